"""Records in SQL."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from trivox.platform.errors import NotFound, StoreError, UsageError
from trivox.platform.records import Judgement, Round, RoundStatus
from trivox.platform.store.engine import lock, writing
from trivox.platform.store.faults import retried, sql_errors
from trivox.platform.store.rows import codec_of
from trivox.platform.store.schema import KINDS, MUTABLE, metadata, table_of

R = TypeVar("R")
T = TypeVar("T")
_KEY = "key_of_row"
_INSERTS: dict[str, Callable[..., Any]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


class Records:
    """Every kind of record but rollouts and scores. Threads may share one.

    All but the kinds of MUTABLE are append-only.
    """

    def __init__(self, engine: sa.Engine, place: str) -> None:
        self._engine = engine
        self._writer = writing(engine)
        self._relaxed = writing(engine, durable=False)
        self._place = self.place = place
        self.dialect = engine.dialect.name
        self._open: ContextVar[sa.Connection | None] = ContextVar(
            "trivox_transaction", default=None
        )

    def add(self, *records: Any) -> int:
        """Add what is not there yet, all or nothing; returns how many were new.

        The first write of an id wins, and so does a judgement's first idempotency key. Records that name
        each other may be given in any order. Raises StoreError when one names a project, person, round,
        campaign or task that is not in the store.
        """
        kinds: dict[type[Any], list[Any]] = defaultdict(list)
        for record in records:
            kinds[type(record)].append(record)
        ordered = sorted(kinds, key=lambda kind: _depth(table_of(kind)))

        def insert() -> int:
            with self._writing() as connection:
                return sum(self._insert(connection, kind, kinds[kind]) for kind in ordered)

        return self.again(insert)

    def _insert(self, connection: sa.Connection, kind: type[Any], records: list[Any]) -> int:
        codec, table = codec_of(kind), table_of(kind)
        statement = _INSERTS[connection.dialect.name](table)
        # Only for judgements is another unique key a sign of the same record.
        same = None if kind is Judgement else ["id"]
        statement = statement.on_conflict_do_nothing(index_elements=same)
        with sql_errors(f"{self._place}: adding {kind.__name__}"):
            rows = [codec.row(record) for record in records]
            if connection.dialect.name == "sqlite":
                return connection.execute(statement, rows).rowcount
            # A thousand rows in one statement, of which PostgreSQL tells the new ones.
            return len(connection.execute(statement.returning(table.c.seq), rows).all())

    def get(self, kind: type[R], id: str) -> R:
        """One record; NotFound names kind and id."""
        found = self.find(kind, id=id)
        if not found:
            raise NotFound(f"no {kind.__name__} {id!r} in {self._place}")
        return found[0]

    def find(self, kind: type[R], /, **equal: Any) -> list[R]:
        """Records whose columns equal the values given (None: is not set), in the order of adding."""
        codec = codec_of(kind)
        unknown = [name for name in equal if name not in codec.scalars]
        if unknown:
            raise UsageError(
                f"{kind.__name__} cannot be found by {unknown[0]!r}: by {', '.join(codec.scalars)}"
            )
        asked = tuple((name, equal[name] is not None) for name in equal)
        query = _selection(kind, asked)  # type: ignore[arg-type]  # a class is hashable
        given = {
            name: value.value if isinstance(value, Enum) else value
            for name, value in equal.items()
            if value is not None
        }

        def select() -> Sequence[sa.RowMapping]:
            with self._reading() as connection, sql_errors(self._place):
                return connection.execute(query, given).mappings().all()

        return [codec.from_row(row) for row in self.again(select)]

    def replace(self, record: Any) -> None:
        """Put record in the place of the one of its id; only the kinds of MUTABLE.

        Raises UsageError for an append-only kind and NotFound when there is none of that id.
        """
        kind = type(record)
        if kind not in MUTABLE:
            raise UsageError(
                f"{kind.__name__} {record.id} cannot be changed: its kind is append-only"
            )
        row = codec_of(kind).row(record) | {_KEY: record.id}
        change = _change(kind)  # type: ignore[arg-type]  # a class is hashable
        place = f"{self._place}: {kind.__name__} {record.id}"

        def update() -> None:
            with self._writing() as connection, sql_errors(place):
                if connection.execute(change, row).rowcount == 0:
                    raise NotFound(f"no {kind.__name__} {record.id!r} in {self._place}")

        self.again(update)

    @contextmanager
    def statements(self, *, write: bool) -> Iterator[sa.Connection]:
        """A connection for SQL that the records have no word for; joins the open transaction, if any."""
        with self._connected(self._writer if write else self._engine) as connection:
            yield connection

    def again(self, work: Callable[[], T]) -> T:
        """work, which is whole in itself and may be repeated; inside a transaction only the caller may do so."""
        return work() if self._open.get() is not None else retried(work)

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """All calls inside, by this thread or task, succeed together or leave nothing; nests.

        One runs at a time, so that what it reads is still so when it writes; single calls outside do not wait for
        it on PostgreSQL. Not durable: for what may be lost in a power cut, though never by the end of the process.
        Raises DatabaseLost when the connection breaks: then nothing of it has happened, or, where only the answer
        to its commit is missing, all of it; `within` repeats it.
        """
        inside = self._open.get() is not None
        with self._connected(self._writer if durable else self._relaxed) as connection:
            if not inside:
                with sql_errors(self._place):
                    lock(connection, "transaction")
            if not durable and connection.dialect.name == "postgresql":
                connection.execute(sa.text("SET LOCAL synchronous_commit TO off"))
            yield

    def within(self, work: Callable[[], T]) -> T:
        """work in a transaction, repeated while the connection is lost; it must bear being done twice."""

        def whole() -> T:
            with self.transaction():
                return work()

        return self.again(whole)

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """A transaction of which, among those of the same name, one runs at a time."""
        with self.transaction():
            yield

    @contextmanager
    def unlocked(self) -> Iterator[sa.Connection]:
        """A connection outside of any transaction, for what the database does with the whole file."""
        sqlite = self._engine.dialect.name == "sqlite"
        # SQLite's driver begins nothing by itself here: only our own BEGIN is to be left out.
        options = {"trivox_begin": "SELECT 1"} if sqlite else {"isolation_level": "AUTOCOMMIT"}
        with sql_errors(self._place), self._engine.connect() as connection:
            yield connection.execution_options(**options)

    def count(self, kind: type[Any]) -> int:
        """How many records of a kind there are."""
        query = sa.select(sa.func.count()).select_from(table_of(kind))
        with self._reading() as connection, sql_errors(self._place):
            return int(connection.execute(query).scalar_one())

    def latest(self, kind: type[R]) -> R | None:
        """The record added last; None when there is none."""
        table = table_of(kind)
        query = sa.select(table).order_by(table.c.seq.desc()).limit(1)
        with self._reading() as connection, sql_errors(self._place):
            row = connection.execute(query).mappings().first()
        return None if row is None else cast(R, codec_of(kind).from_row(row))

    def lease_round(
        self, worker: str, seconds: float, round_id: str | None = None, project: str | None = None
    ) -> Round | None:
        """The oldest queued round, or one whose lease ran out, now running and leased to worker.

        With round_id that round or None; then a waiting one is taken too. project: only of that one. Times are the
        database's own, for the clocks of workers differ. NotFound: no such round.
        """
        with self.transaction():
            now = self.now()
            taken = self._first_free(now, round_id, project)
            if taken is None:
                return None
            leased = replace(
                taken,
                status=RoundStatus.RUNNING,
                worker=worker,
                lease_until=now + timedelta(seconds=seconds),
                updated_at=now,
            )
            self.replace(leased)
            return leased

    def now(self) -> datetime:
        """The time of the database: PostgreSQL's for all its clients, SQLite's is this machine's."""
        with self._reading() as connection, sql_errors(self._place):
            if connection.dialect.name != "postgresql":
                return datetime.now(UTC)
            told: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
            return told.astimezone(UTC)

    def _first_free(self, now: datetime, round_id: str | None, project: str | None) -> Round | None:
        rounds = table_of(Round)
        expired = sa.or_(rounds.c.lease_until.is_(None), rounds.c.lease_until < now)
        free = sa.or_(
            rounds.c.status == RoundStatus.QUEUED.value,
            sa.and_(rounds.c.status == RoundStatus.RUNNING.value, expired),
        )
        if round_id is not None:
            self.get(Round, round_id)
            waiting = rounds.c.status == RoundStatus.WAITING.value
            free = sa.and_(rounds.c.id == round_id, sa.or_(free, waiting))
        if project is not None:
            free = sa.and_(rounds.c.project == project, free)
        query = sa.select(rounds).where(free).order_by(rounds.c.seq).limit(1)
        with self._writing() as connection, sql_errors(self._place):
            # Without effect on SQLite, where the transaction holds the only write lock.
            row = connection.execute(query.with_for_update(skip_locked=True)).mappings().first()
        return None if row is None else codec_of(Round).from_row(row)

    def renew_lease(self, round_id: str, worker: str, seconds: float) -> None:
        """Extend worker's lease to seconds from now; StoreError when it is no longer worker's."""
        with self.transaction():
            held = self.get(Round, round_id)
            if held.worker != worker or held.status != RoundStatus.RUNNING:
                raise StoreError(
                    f"round {round_id} is not leased to {worker!r}: it is {held.status.value}"
                    f" with {held.worker!r}"
                )
            until = self.now() + timedelta(seconds=seconds)
            self.replace(replace(held, lease_until=until))

    def _reading(self) -> AbstractContextManager[sa.Connection]:
        return self._connected(self._engine)

    def _writing(self) -> AbstractContextManager[sa.Connection]:
        return self._connected(self._writer)

    @contextmanager
    def _connected(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        joined = self._open.get()
        if joined is not None:
            yield joined
            return
        with sql_errors(self._place), engine.begin() as connection:
            token = self._open.set(connection)
            try:
                yield connection
            finally:
                self._open.reset(token)


# Statements are made once: building one takes longer than SQLite takes to answer it.


@cache
def _selection(kind: type[Any], given: tuple[tuple[str, bool], ...]) -> sa.Select[Any]:
    """Rows by columns that equal a parameter of their name, or are not set (False)."""
    table = table_of(kind)
    query = sa.select(table).order_by(table.c.seq)
    for name, is_set in given:
        column = table.c[name]
        query = query.where(column == sa.bindparam(name) if is_set else column.is_(None))
    return query


@cache
def _change(kind: type[Any]) -> sa.Update:
    table = table_of(kind)
    return sa.update(table).where(table.c.id == sa.bindparam(_KEY))


def _depth(table: sa.Table) -> int:
    return list(metadata().sorted_tables).index(table)


__all__ = ["KINDS", "MUTABLE", "Records"]
