"""What the Parquet and the judgements of each round come to, kept in small files and made anew only for rounds
that changed.

`rollouts` (counts, tokens, how they ended), `scores` (counts, failures, quantiles by scorer), `agreed` (scorers
against judges), and of the judgements `days`, `voters` and `units` (votes.py). Each round has files of its own for
the page of samples: `pairs` (each judged comparison beside what every scorer says of it) and `flags` (what gates
and failures say of which rollout). No page reads rollouts, scores or judgements themselves, but for the samples
that it shows.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl

from trivox.dashboards.queries import votes
from trivox.dashboards.queries.agreement import AGREED, agreement
from trivox.dashboards.queries.judgements import Mirror, parquet
from trivox.dashboards.queries.kept import Key, Rollup
from trivox.dashboards.queries.pairs import PAIRS, judged_pairs
from trivox.dashboards.queries.shards import Damage, Partition, scan
from trivox.platform.hashing import content_hash
from trivox.platform.store.files import write_atomically

ROLLOUTS: dict[str, Any] = {
    "branch": pl.String, "round": pl.String, "producer": pl.String, "finish_reason": pl.String,
    "rollouts": pl.Int64, "tokens": pl.Int64, "with_audio": pl.Int64, "first_audio_p50": pl.Float64,
    "first_audio_p95": pl.Float64,
}  # fmt: skip
SCORES: dict[str, Any] = {
    "branch": pl.String, "round": pl.String, "scorer": pl.String, "component": pl.String, "role": pl.String,
    "family": pl.String, "unit": pl.String, "direction": pl.String, "failure": pl.String, "scores": pl.Int64,
    "mean": pl.Float64, "deviation": pl.Float64, "p05": pl.Float64, "p50": pl.Float64, "p95": pl.Float64,
    "zeros": pl.Int64,
}  # fmt: skip
"""failure: kind, null for the row of what was scored."""
FLAGS = {"rollout": pl.String, "said": pl.String}
"""Rollouts that a gate did not let pass or a scorer failed on, one row each."""


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


def flags_of(part: Partition) -> pl.DataFrame:
    """FLAGS of one partition of scores."""
    rows, _ = scan(part, ["rollout", "scorer", "role", "value"])
    if rows is None:
        return pl.DataFrame(schema=FLAGS)
    failed = pl.col("value").is_null()
    stopped = (pl.col("role") == "gate") & (pl.col("value") == 0)
    how = pl.when(failed).then(pl.lit(" failed")).otherwise(pl.lit(" not passed"))
    told = (
        rows.filter(failed | stopped).group_by("rollout").agg(said=(pl.col("scorer") + how).sort())
    )
    return told.select("rollout", pl.col("said").list.join("; ")).sort("rollout").collect()


def _of(rows: pl.LazyFrame, part: Partition) -> pl.DataFrame:
    named = rows.with_columns(branch=pl.lit(part.branch), round=pl.lit(part.round))
    made = named.collect()
    return made.sort(sorted(made.columns))


class Rollups:
    """All that is kept of a workspace, below one folder."""

    def __init__(self, folder: Path, mirror: Mirror) -> None:
        self._mirror, self._folder = mirror, folder
        self.rollouts = Rollup(folder / "rollouts.parquet", ROLLOUTS)
        self.scores = Rollup(folder / "scores.parquet", SCORES)
        self.agreed = Rollup(folder / "agreed.parquet", AGREED)
        self.days = Rollup(folder / "days.parquet", votes.DAYS)
        self.voters = Rollup(folder / "voters.parquet", votes.VOTERS)
        self.units = Rollup(folder / "units.parquet", votes.UNITS)

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
        self.scores.refresh(_marks(said), lambda key: self._scored(said[key]), say)
        judged = votes.marks(_placed(self._mirror.marked()))
        self._vote(judged)
        marks = {
            key: content_hash([made[key].fingerprint, said[key].fingerprint, count])
            for key, count in _compared(judged).items()
            if key in made and key in said
        }
        self.agreed.refresh(marks, lambda key: self._agreed(made[key], said[key], sounds), say)

    def _vote(self, judged: pl.DataFrame) -> None:
        """What the judgements of each round come to."""
        counts = judged.select(*votes.AT, "count", "counted", "last")
        marks = {(row[0], row[1]): content_hash(row[2:]) for row in counts.iter_rows()}
        self.days.refresh_at_once(marks, lambda keys: votes.days(self._judgements(keys)))
        self.voters.refresh_at_once(marks, lambda keys: votes.voters(self._judgements(keys)))
        self.units.refresh_at_once(marks, lambda keys: votes.units(self._judgements(keys)))

    def _judgements(self, keys: Sequence[Key]) -> pl.LazyFrame:
        """Of these rounds, marked."""
        wanted = pl.DataFrame(keys, schema=list(votes.AT), orient="row").lazy()
        rounds = [round_ for _, round_ in keys]
        of = pl.col("round").is_in(rounds) | pl.col("round").is_null()
        return _placed(self._mirror.marked().filter(of)).join(wanted, on=votes.AT, how="semi")

    def _scored(self, part: Partition) -> tuple[pl.DataFrame, Sequence[Damage]]:
        """SCORES of one round; its flags are kept in a file of their own."""
        write_atomically(self._file("flags", part.branch, part.round), parquet(flags_of(part)))
        return score_rollup(part)

    def flags(self, branch: str | None, round_: str) -> pl.DataFrame:
        """FLAGS of one round."""
        found = [pl.DataFrame(schema=FLAGS)]
        for key in self.scores.kept():
            path = self._file("flags", *key)
            if branch in (None, key[0]) and round_ == key[1] and path.is_file():
                found.append(pl.read_parquet(path))
        return pl.concat(found)

    def _agreed(
        self,
        rollouts: Partition,
        scores: Partition,
        sounds: Callable[[Sequence[str]], pl.DataFrame],
    ) -> tuple[pl.DataFrame, Sequence[Damage]]:
        """AGREED of one round; its pairs are kept in a file of their own, for the page of samples."""
        pairs, damage = judged_pairs(self._mirror, rollouts, scores, sounds)
        write_atomically(self._file("pairs", rollouts.branch, rollouts.round), parquet(pairs))
        return agreement(pairs), damage

    def pairs(self, branch: str | None = None, round_: str | None = None) -> pl.LazyFrame:
        """PAIRS of one round, or of all of a branch or of the project."""
        known = self.agreed.kept()
        wanted = [key for key in known if branch in (None, key[0]) and round_ in (None, key[1])]
        paths = [path for key in wanted if (path := self._file("pairs", *key)).is_file()]
        return pl.scan_parquet(paths) if paths else pl.DataFrame(schema=PAIRS).lazy()

    def _file(self, kind: str, branch: str, round_: str) -> Path:
        return self._folder / kind / branch / f"{quote(round_, safe='')}.parquet"


def _placed(marked: pl.LazyFrame) -> pl.LazyFrame:
    return marked.with_columns(pl.col("round").fill_null(votes.NO_ROUND))


def _compared(judged: pl.DataFrame) -> dict[Key, list[str]]:
    """Rounds with comparisons -> what changes when another answer counts."""
    rows = judged.filter(pl.col("compared") > 0, pl.col("round") != votes.NO_ROUND)
    found = rows.select(*votes.AT, "compared", "last_compared").iter_rows()
    return {(branch, round_): [str(count), str(last)] for branch, round_, count, last in found}


def _marks(parts: dict[Key, Partition]) -> dict[Key, str]:
    return {key: one.fingerprint for key, one in parts.items()}
