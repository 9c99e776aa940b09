"""What the Parquet of each round comes to, kept in small files and made anew only for rounds that changed.

Three kinds: `rollouts` (counts, tokens, how they ended), `scores` (counts, failures, quantiles by scorer) and
`pairs` (each judged comparison beside what every scorer says of it). No page reads rollouts or scores
themselves but for the samples that it shows.
"""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

import polars as pl

from trivox.dashboards.queries.agreement import AGREED, agreement
from trivox.dashboards.queries.judgements import Mirror, _parquet
from trivox.dashboards.queries.pairs import PAIRS, judged_pairs
from trivox.dashboards.queries.shards import Damage, Partition, scan
from trivox.platform.hashing import content_hash
from trivox.platform.store.files import write_atomically

Key = tuple[str, str]
"""Branch and round."""
Make = Callable[[Key], tuple[pl.DataFrame, Sequence[Damage]]]
FORM = 1
"""Of the files kept; another one is made anew."""
ROLLOUTS = {
    "branch": pl.String, "round": pl.String, "producer": pl.String, "finish_reason": pl.String,
    "rollouts": pl.Int64, "tokens": pl.Int64, "with_audio": pl.Int64, "first_audio_p50": pl.Float64,
    "first_audio_p95": pl.Float64,
}  # fmt: skip
SCORES = {
    "branch": pl.String, "round": pl.String, "scorer": pl.String, "component": pl.String, "role": pl.String,
    "family": pl.String, "unit": pl.String, "direction": pl.String, "failure": pl.String, "scores": pl.Int64,
    "mean": pl.Float64, "deviation": pl.Float64, "p05": pl.Float64, "p50": pl.Float64, "p95": pl.Float64,
    "zeros": pl.Int64,
}  # fmt: skip
"""failure: kind, null for the row of what was scored."""


@dataclass(frozen=True)
class Kept:
    """A partition as it was when its rollup was made."""

    branch: str
    round: str
    fingerprint: str
    damage: tuple[Damage, ...] = ()


class Rollup:
    """One kind of rollup, kept in a file and a list of what it was made of."""

    def __init__(self, path: Path, schema: dict[str, pl.DataType]) -> None:
        self._path, self._schema = path, schema
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], Kept] | None = None
        self.table = pl.DataFrame(schema=schema)

    @property
    def damage(self) -> list[Damage]:
        return [one for kept in (self._kept or {}).values() for one in kept.damage]

    def keys(self) -> list[tuple[str, str]]:
        """Branch and round of what is kept."""
        return sorted(self._kept or {})

    def refresh(
        self,
        wanted: dict[tuple[str, str], str],
        make: Make,
        say: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Bring it up to date with `wanted`, partition -> fingerprint."""
        with self._lock:
            held = self._load()
            stale = [
                key
                for key, mark in wanted.items()
                if key not in held or held[key].fingerprint != mark
            ]
            gone = [key for key in held if key not in wanted]
            if stale or gone:
                self._update(held, stale, gone, wanted, make, say)

    def _update(
        self,
        held: dict[Key, Kept],
        stale: Sequence[Key],
        gone: Sequence[Key],
        wanted: dict[Key, str],
        make: Make,
        say: Callable[[int, int], None],
    ) -> None:
        parts = []
        for number, key in enumerate(stale):
            rows, damage = make(key)
            held[key] = Kept(key[0], key[1], wanted[key], tuple(damage))
            parts.append(
                rows.select(pl.col(name).cast(kind) for name, kind in self._schema.items())
            )
            say(number + 1, len(stale))
        for key in gone:
            del held[key]
        changed = pl.DataFrame(
            [*stale, *gone], schema={"branch": pl.String, "round": pl.String}, orient="row"
        )
        old = self.table.join(changed, on=["branch", "round"], how="anti")
        self.table = pl.concat([old, *parts]).sort("branch", "round", maintain_order=True)
        self._save(held)

    def _load(self) -> dict[tuple[str, str], Kept]:
        if self._kept is None:
            self._kept = {}
            try:
                told = json.loads(self._path.with_suffix(".json").read_text(encoding="utf-8"))
                table = pl.read_parquet(self._path)
                if told["form"] == FORM and table.schema == pl.Schema(self._schema):
                    self.table = table
                    self._kept = {(one["branch"], one["round"]): _kept(one) for one in told["of"]}
            except (OSError, ValueError, KeyError, pl.exceptions.PolarsError):
                self._kept = {}  # a cache that cannot be read is made anew
        return self._kept

    def _save(self, held: dict[tuple[str, str], Kept]) -> None:
        told = {"form": FORM, "of": [asdict(one) for one in held.values()]}
        # The list last: a table without it is made anew.
        self._path.with_suffix(".json").unlink(missing_ok=True)
        write_atomically(self._path, _parquet(self.table))
        write_atomically(self._path.with_suffix(".json"), json.dumps(told).encode())


def _kept(told: dict[str, str]) -> Kept:
    damage = tuple(Damage(**one) for one in told["damage"])  # type: ignore[arg-type]
    return Kept(told["branch"], told["round"], told["fingerprint"], damage)


def rollout_rollup(part: Partition) -> tuple[pl.DataFrame, Sequence[Damage]]:
    """ROLLOUTS of one partition."""
    columns = ["producer", "finish_reason", "tokens", "audio", "timings"]
    rows, damage = scan(part, columns)
    if rows is None:
        return pl.DataFrame(schema=ROLLOUTS), damage
    waited = pl.col("timings").list.eval(
        pl.element().filter(pl.element().struct.field("name") == "first_audio").struct.field("seconds")
    ).list.first()  # fmt: skip
    found = rows.group_by("producer", "finish_reason").agg(
        rollouts=pl.len(),
        tokens=pl.col("tokens").list.len().sum(),
        with_audio=pl.col("audio").is_not_null().sum(),
        first_audio_p50=waited.quantile(0.5),
        first_audio_p95=waited.quantile(0.95),
    )
    return _of(found, part), damage


def score_rollup(part: Partition) -> tuple[pl.DataFrame, Sequence[Damage]]:
    """SCORES of one partition."""
    by = ["scorer", "component", "role", "family", "unit", "direction"]
    rows, damage = scan(part, [*by, "value", "failure"])
    if rows is None:
        return pl.DataFrame(schema=SCORES), damage
    value = pl.col("value")
    found = rows.with_columns(pl.col("failure").struct.field("kind").alias("failure")).group_by(
        [*by, "failure"]
    ).agg(
        scores=pl.len(), mean=value.mean(), deviation=value.std(), p05=value.quantile(0.05),
        p50=value.quantile(0.5), p95=value.quantile(0.95), zeros=(value == 0).sum(),
    )  # fmt: skip
    return _of(found, part), damage


def _of(rows: pl.LazyFrame, part: Partition) -> pl.DataFrame:
    named = rows.with_columns(branch=pl.lit(part.branch), round=pl.lit(part.round))
    made = named.collect()
    return made.sort(sorted(made.columns))


class Rollups:
    """All that is kept of a workspace, below one folder."""

    def __init__(self, folder: Path, mirror: Mirror) -> None:
        self._mirror, self._folder = mirror, folder
        self.rollouts = Rollup(folder / "rollouts.parquet", ROLLOUTS)  # type: ignore[arg-type]
        self.scores = Rollup(folder / "scores.parquet", SCORES)  # type: ignore[arg-type]
        self.agreed = Rollup(folder / "agreed.parquet", AGREED)

    @property
    def damage(self) -> list[Damage]:
        every = [*self.rollouts.damage, *self.scores.damage, *self.agreed.damage]
        return list(dict.fromkeys(every))

    def refresh(
        self,
        rollouts: Sequence[Partition],
        scores: Sequence[Partition],
        sounds: Callable[[Sequence[str]], pl.DataFrame],
        say: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """sounds: ids of audio -> columns audio, seconds, lufs."""
        made, said = {one.key: one for one in rollouts}, {one.key: one for one in scores}
        self.rollouts.refresh(_marks(made), lambda key: rollout_rollup(made[key]), say)
        self.scores.refresh(_marks(said), lambda key: score_rollup(said[key]), say)
        judged = self._judged()
        marks = {
            key: content_hash([made[key].fingerprint, said[key].fingerprint, count])
            for key, count in judged.items()
            if key in made and key in said
        }
        self.agreed.refresh(marks, lambda key: self._agreed(made[key], said[key], sounds), say)

    def _agreed(
        self,
        rollouts: Partition,
        scores: Partition,
        sounds: Callable[[Sequence[str]], pl.DataFrame],
    ) -> tuple[pl.DataFrame, Sequence[Damage]]:
        """AGREED of one round; its pairs are kept in a file of their own, for the page of samples."""
        pairs, damage = judged_pairs(self._mirror, rollouts, scores, sounds)
        write_atomically(self._pairs_file(rollouts.branch, rollouts.round), _parquet(pairs))
        return agreement(pairs), damage

    def pairs(self, branch: str | None = None, round_: str | None = None) -> pl.LazyFrame:
        """PAIRS of one round, or of all of a branch or of the project."""
        known = self.agreed.keys()
        wanted = [key for key in known if branch in (None, key[0]) and round_ in (None, key[1])]
        paths = [path for key in wanted if (path := self._pairs_file(*key)).is_file()]
        return pl.scan_parquet(paths) if paths else pl.DataFrame(schema=PAIRS).lazy()

    def _pairs_file(self, branch: str, round_: str) -> Path:
        return self._folder / "pairs" / branch / f"{quote(round_, safe='')}.parquet"

    def _judged(self) -> dict[tuple[str, str], list[str]]:
        """Rounds with comparisons -> what changes when another answer counts."""
        rows = (
            self._mirror.standing()
            .filter(pl.col("kind") == "compare", pl.col("round").is_not_null())
            .group_by("branch", "round")
            .agg(pl.len().cast(pl.String), pl.col("seq").max().cast(pl.String).alias("last"))
            .collect()
        )
        return {(branch, round_): [count, last] for branch, round_, count, last in rows.iter_rows()}


def _marks(parts: dict[tuple[str, str], Partition]) -> dict[tuple[str, str], str]:
    return {key: one.fingerprint for key, one in parts.items()}
