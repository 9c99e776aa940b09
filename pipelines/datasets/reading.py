"""Records of a workspace, a batch at a time."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from trivox.platform.store import Workspace
from trivox.platform.store.rows import codec_of
from trivox.platform.store.schema import table_of

R = TypeVar("R")
BATCH = 5_000
"""Records in memory at once."""


def stream(
    ws: Workspace, kind: type[R], size: int = BATCH, **equal: str | None
) -> Iterator[list[R]]:
    """Records of a kind in the order of adding, at most size at a time; no transaction stays open between them."""
    table, codec = table_of(kind), codec_of(kind)
    chosen = [table.c[name] == value for name, value in equal.items()]
    last = 0
    while True:
        query = sa.select(table).where(table.c.seq > last, *chosen).order_by(table.c.seq)
        with ws.records.statements(write=False) as connection:
            rows = connection.execute(query.limit(size)).mappings().all()
        if not rows:
            return
        yield [codec.from_row(row) for row in rows]
        last = rows[-1]["seq"]


def by_id(ws: Workspace, kind: type[R], ids: Sequence[str], size: int = 500) -> dict[str, R]:
    """Those of ids that are stored."""
    table, codec = table_of(kind), codec_of(kind)
    found: dict[str, Any] = {}
    asked = list(dict.fromkeys(ids))
    for start in range(0, len(asked), size):
        query = sa.select(table).where(table.c.id.in_(asked[start : start + size]))
        with ws.records.statements(write=False) as connection:
            rows = connection.execute(query).mappings().all()
        found.update({row["id"]: codec.from_row(row) for row in rows})
    return found
