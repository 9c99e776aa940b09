"""What is stored, and where it comes from: from a version down to single judgements, and back up."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import sqlalchemy as sa

from trivox.dashboards.queries.figures import Figure, View
from trivox.dashboards.queries.names import damage_notes
from trivox.dashboards.queries.source import Source
from trivox.dashboards.queries.votes import NO_ROUND
from trivox.platform.errors import NotFound
from trivox.platform.records import (
    Audio,
    Decision,
    Evaluation,
    Judgement,
    PolicyVersion,
    PreferenceSet,
    PromptSet,
    RewardModelVersion,
    Round,
    Task,
)
from trivox.platform.store.schema import table_of

STORED = {
    "kind": pl.String,
    "branch": pl.String,
    "round": pl.String,
    "count": pl.Int64,
    "note": pl.String,
}
PROMPTS = {
    "set": pl.String, "split": pl.String, "source": pl.String, "licence": pl.String, "prompts": pl.Int64,
}  # fmt: skip
SOUNDS = {"source": pl.String, "licence": pl.String, "clips": pl.Int64, "hours": pl.Float64}
PREFERENCES: dict[str, Any] = {
    "preference": pl.String, "set": pl.String, "round": pl.String, "chosen": pl.String, "rejected": pl.String,
    "margin": pl.Float64, "confidence": pl.Float64, "judges": pl.String, "judgements": pl.List(pl.String),
}  # fmt: skip
MOST = 200
"""Rows of one table of a lineage; the counts are of all."""


@dataclass
class Graph:
    """What came of what. nodes: id -> (kind, words); edges: (from, to), from what was there first."""

    nodes: dict[str, tuple[str, str]] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)

    def add(self, id: str, kind: str, words: str, *to: str) -> None:
        self.nodes.setdefault(id, (kind, words))
        self.edges += [(id, other) for other in to if (id, other) not in self.edges]

    def frames(self) -> dict[str, pl.DataFrame]:
        nodes = [(id_, kind, words) for id_, (kind, words) in self.nodes.items()]
        known = [edge for edge in self.edges if edge[0] in self.nodes and edge[1] in self.nodes]
        named = {"id": pl.String, "kind": pl.String, "what": pl.String}
        return {
            "nodes": pl.DataFrame(nodes, schema=named, orient="row"),
            "edges": pl.DataFrame(known, schema={"from": pl.String, "to": pl.String}, orient="row"),
        }


def data(source: Source, branch: str | None = None) -> View:
    return source.known(("data", branch), lambda: _data(source, branch))


def _data(source: Source, branch: str | None) -> View:
    stored = _stored(source, branch)
    sounds = source.digest("sounds", lambda: _sounds(source))

    def total(kind: str) -> int:
        return int(stored.filter(pl.col("kind") == kind)["count"].sum())

    return View(
        {
            "rollouts": Figure("Rollouts", total("rollouts")),
            "scores": Figure("Scores", total("scores")),
            "judgements": Figure("Judgements", total("judgements")),
            "preferences": Figure("Preferences", total("preferences")),
            "hours": Figure("Audio", float(sounds["hours"].sum()), "h"),
        },
        {
            "stored": stored,
            "prompts": source.digest("prompts", lambda: _prompts(source)),
            "sounds": sounds,
        },
        damage_notes(source),
    )


def _stored(source: Source, branch: str | None) -> pl.DataFrame:
    """Rollouts, scores, judgements and preferences by branch and round."""
    made = source.rollups.rollouts.table.group_by("branch", "round").agg(
        count=pl.col("rollouts").sum(), tokens=pl.col("tokens").sum()
    )
    rollouts = made.select(
        pl.lit("rollouts").alias("kind"),
        "branch",
        "round",
        "count",
        note=pl.format("{} tokens", "tokens"),
    )
    said = source.rollups.scores.table.group_by("branch", "round").agg(
        count=pl.col("scores").sum(),
        failed=pl.col("scores").filter(pl.col("failure").is_not_null()).sum(),
    )
    scores = said.select(
        pl.lit("scores").alias("kind"),
        "branch",
        "round",
        "count",
        note=pl.format("{} failed", "failed"),
    )
    days = source.rollups.days.table.with_columns(pl.col("round").replace(NO_ROUND, None))
    counted = days.group_by("branch", "round", note="judge_kind").agg(count=pl.col("answers").sum())
    judged = counted.select(pl.lit("judgements").alias("kind"), "branch", "round", "count", "note")
    parts = [
        rollouts,
        scores,
        judged,
        source.digest("preferences", lambda: _preference_counts(source)),
    ]
    rows = pl.concat([one.select(pl.col(n).cast(k) for n, k in STORED.items()) for one in parts])
    return rows.filter(pl.lit(branch is None) | (pl.col("branch") == (branch or ""))).sort(
        "branch", "round", "kind", "note", nulls_last=True
    )


def _preference_counts(source: Source) -> pl.DataFrame:
    one, round_ = table_of(PreferenceSet).c, table_of(Round).c
    query = (
        sa.select(
            sa.literal("preferences"),
            round_.branch,
            one.round,
            sa.func.json_array_length(one.preferences),
            one.method,
        )
        .select_from(table_of(PreferenceSet).outerjoin(table_of(Round), one.round == round_.id))
        .where(one.project == source.ws.project)
    )
    return source.frame(query, STORED)


def _prompts(source: Source) -> pl.DataFrame:
    """Prompts of the newest version of each set, by split, source and licence."""
    newest: dict[str, PromptSet] = {}
    for one in source.ws.records.find(PromptSet, project=source.ws.project):
        if one.name not in newest or newest[one.name].version < one.version:
            newest[one.name] = one
    rows = [
        (one.reference, item.split.value, item.source, item.licence or "none stated")
        for one in newest.values()
        for item in one.items
    ]
    frame = (
        pl.DataFrame(rows, schema=list(PROMPTS)[:4], orient="row")
        if rows
        else pl.DataFrame(schema=PROMPTS)
    )
    if not rows:
        return frame
    counted = frame.group_by("set", "split", "source", "licence").agg(prompts=pl.len())
    return counted.select(pl.col(n).cast(k) for n, k in PROMPTS.items()).sort(
        "set", "split", "source"
    )


def _sounds(source: Source) -> pl.DataFrame:
    one = table_of(Audio).c
    query = (
        sa.select(
            one.source,
            sa.func.coalesce(one.licence, "none stated"),
            sa.func.count(),
            sa.func.sum(one.duration_s) / 3600,
        )
        .where(one.project == source.ws.project)
        .group_by(one.source, one.licence)
        .order_by(sa.func.count().desc(), one.source)
        .limit(MOST)
    )
    return source.frame(query, SOUNDS)


def versions(source: Source) -> list[PolicyVersion]:
    """The newest first."""
    return source.known(
        "versions", lambda: source.ws.records.find(PolicyVersion, project=source.ws.project)[::-1]
    )


def lineage(source: Source, version: str) -> View:
    """Everything a version came from: its ancestors, the rounds that made them, and the preferences, each with its
    judgements. Raises NotFound."""
    return source.known(("lineage", version), lambda: _lineage(source, version))


def _lineage(source: Source, version: str) -> View:
    by_id = {one.id: one for one in versions(source)}
    if version not in by_id:
        raise NotFound(f"no policy version {version!r} in this project")
    graph, sets = Graph(), list[PreferenceSet]()
    for one in _ancestors(by_id, version):
        parents = [parent for parent in one.parents if parent in by_id]
        graph.add(one.id, "version", f"{one.name}\n{one.status.value}")
        for parent in parents:
            graph.add(
                parent, "version", f"{by_id[parent].name}\n{by_id[parent].status.value}", one.id
            )
        if one.round is not None:
            sets += _round_into(source, graph, one.round, one.id)
    _judged_into(source, graph, version)
    tables = graph.frames() | {"preferences": _preferences(sets)}
    counts = Figure("Preferences behind it", sum(len(one.preferences) for one in sets))
    judged = {
        id_ for one in sets for preference in one.preferences for id_ in preference.judgements
    }
    return View(
        {"preferences": counts, "judgements": Figure("Judgements behind it", len(judged))},
        tables,
        damage_notes(source),
    )


def _ancestors(by_id: dict[str, PolicyVersion], version: str) -> list[PolicyVersion]:
    found, seen = [by_id[version]], {version}
    for one in found:  # grows while it is walked
        for parent in (*one.parents, *([one.backbone] if one.backbone else [])):
            if parent in by_id and parent not in seen:
                seen.add(parent)
                found.append(by_id[parent])
    return found


def _round_into(source: Source, graph: Graph, round_: str, version: str) -> list[PreferenceSet]:
    """A round with its prompts, rollouts, judgements and preference sets; returns the sets."""
    found = source.ws.records.find(Round, id=round_)
    words = f"{round_}\n{found[0].algorithm}, {found[0].status.value}" if found else round_
    graph.add(round_, "round", words, version)
    if found:
        prompts = source.ws.records.find(PromptSet, id=found[0].prompt_set)
        name = prompts[0].reference if prompts else found[0].prompt_set
        graph.add(
            found[0].prompt_set,
            "prompts",
            f"{name}\n{len(prompts[0].items) if prompts else '?'} prompts",
            round_,
        )
        graph.add(found[0].policy, "version", found[0].policy, round_)
    made = source.rollups.rollouts.table.filter(pl.col("round") == round_)
    if len(made):
        graph.add(f"{round_}/rollouts", "rollouts", f"{made['rollouts'].sum()} rollouts", round_)
    sets = source.ws.records.find(PreferenceSet, round=round_)
    for kind, count in _judgement_counts(source, round_):
        targets = [one.id for one in sets] or [round_]
        graph.add(
            f"{round_}/{kind}", "judgements", f"{count} judgements\nby {kind} judges", *targets
        )
    for one in sets:
        graph.add(
            one.id, "preferences", f"{len(one.preferences)} preferences\n{one.method}", round_
        )
        for model in source.ws.records.find(RewardModelVersion, project=source.ws.project):
            if one.id in model.preference_sets:
                graph.add(model.id, "reward", f"reward model\n{model.name}")
                graph.edges.append((one.id, model.id))
    return sets


def _judgement_counts(source: Source, round_: str) -> Iterator[tuple[str, int]]:
    rows = source.rollups.days.table.filter(pl.col("round") == round_)
    counted = rows.group_by("judge_kind").agg(pl.col("answers").sum())
    yield from counted.sort("judge_kind").iter_rows()


def _judged_into(source: Source, graph: Graph, version: str) -> None:
    """What was measured of the version and decided about it."""
    table = table_of(Evaluation).c
    query = sa.select(table.id, table.suite, table.proxy).where(table.policy == version)
    with source.ws.records.statements(write=False) as connection:
        measured = connection.execute(query).all()
    for id_, suite, proxy in measured:
        graph.add(id_, "evaluation", f"evaluation\n{suite}{' (proxy)' if proxy else ''}")
        graph.edges.append((version, id_))
    for made in source.ws.records.find(Decision, subject=version):
        graph.add(made.id, "decision", f"{made.kind}\nby {made.actor}")
        graph.edges.append((version, made.id))


def _preferences(sets: Sequence[PreferenceSet]) -> pl.DataFrame:
    rows = [
        (
            made.id, one.id, one.round, made.chosen, made.rejected, made.margin, made.confidence,
            ", ".join(sorted(kind.value for kind in made.judges)), list(made.judgements),
        )
        for one in sets
        for made in one.preferences
    ]  # fmt: skip
    return pl.DataFrame(rows[:MOST], schema=PREFERENCES, orient="row")


def from_judgement(source: Source, judgement: str) -> View:
    """What came of one judgement: its question and campaign, the preferences that count it, the rounds of
    their sets, the versions those made, and what was made from those. Raises NotFound."""
    return source.known(("from judgement", judgement), lambda: _from_judgement(source, judgement))


def _from_judgement(source: Source, judgement: str) -> View:
    from trivox.dashboards.queries.annotation import pseudonym

    found = source.ws.records.find(Judgement, id=judgement, project=source.ws.project)
    if not found:
        raise NotFound(f"no judgement {judgement!r} in this project")
    one, graph = found[0], Graph()
    task = source.ws.records.get(Task, one.task)
    who = pseudonym(source.ws.project, one.judge)
    graph.add(one.id, "judgements", f"judgement\n{one.judge_kind.value}, {who}")
    graph.add(task.id, "prompts", f"question\n{task.question}", one.id)
    reached = list[str]()
    for made in source.ws.records.find(PreferenceSet, project=source.ws.project):
        if any(one.id in preference.judgements for preference in made.preferences):
            graph.add(made.id, "preferences", f"preferences\n{made.method}")
            graph.edges.append((one.id, made.id))
            if made.round is not None:
                graph.add(made.round, "round", made.round)
                graph.edges.append((made.id, made.round))
                reached += _versions_of(source, graph, made.round)
    _offspring(source, graph, reached)
    count = sum(kind == "version" for kind, _ in graph.nodes.values())
    return View({"versions": Figure("Versions that it reached", count)}, graph.frames())


def _versions_of(source: Source, graph: Graph, round_: str) -> list[str]:
    made = [one for one in versions(source) if one.round == round_]
    for one in made:
        graph.add(one.id, "version", f"{one.name}\n{one.status.value}")
        graph.edges.append((round_, one.id))
    return [one.id for one in made]


def _offspring(source: Source, graph: Graph, reached: list[str]) -> None:
    for id_ in reached:  # grows while it is walked
        for one in versions(source):
            if id_ in one.parents:
                graph.add(one.id, "version", f"{one.name}\n{one.status.value}")
                graph.edges.append((id_, one.id))
                if one.id not in reached:
                    reached.append(one.id)
