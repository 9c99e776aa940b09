"""For product managers: what is in use on each branch, how much better it is, what it cost, what waits for
whom."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa

from trivox.dashboards.queries.estimates import chained_odds
from trivox.dashboards.queries.figures import Figure, View, told
from trivox.dashboards.queries.names import BRANCHES, damage_notes
from trivox.dashboards.queries.source import Source
from trivox.dashboards.queries.votes import NO_ROUND
from trivox.platform.records import (
    CostEntry,
    Evaluation,
    Inquiry,
    Person,
    PolicyVersion,
    Round,
    RoundStatus,
    TaskState,
    WorkPause,
)
from trivox.platform.registry import IN_USE
from trivox.platform.store.schema import table_of

WAITS = {"what": pl.String, "for": pl.String, "count": pl.Int64, "where": pl.String}
BRANCH = {
    "branch": pl.String, "figure": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    "unit": pl.String, "note": pl.String,
}  # fmt: skip
COSTS = {
    "round": pl.String, "branch": pl.String, "judge": pl.String, "judgements": pl.Int64, "hours": pl.Float64,
    "pay": pl.Float64, "currency": pl.String,
}  # fmt: skip
SPENT = {
    "round": pl.String, "kind": pl.String, "quantity": pl.Float64, "unit": pl.String, "price": pl.Float64,
    "currency": pl.String,
}  # fmt: skip
# Key in an evaluation's results -> (figure, unit, which way is better).
QUALITY: dict[str, dict[str, tuple[str, str]]] = {
    "asr": {"wer_after": ("WER", "share"), "cer_after": ("CER", "share")},
    "tts": {
        "wer_after": ("WER of what is heard", "share"),
        "quality_after": ("Naturalness", "MOS"),
    },
    "realtime": {
        "persona_consistency_after": ("Persona consistency", "share"),
        "wer_after": ("WER of what is heard", "share"),
        "quality_after": ("Naturalness", "MOS"),
    },
}


def overview(source: Source) -> View:
    """Of the whole project."""
    return source.known("overview", lambda: _overview(source))


def _overview(source: Source) -> View:
    policies = source.ws.records.find(PolicyVersion, project=source.ws.project)
    by_id = {one.id: one for one in policies}
    measured = evaluations(source)
    rounds = source.ws.records.find(Round, project=source.ws.project)
    figures: dict[str, Figure] = {}
    rows: list[tuple[Any, ...]] = []
    for branch in BRANCHES:
        found = _branch(source, branch, policies, by_id, measured)
        figures |= found[0]
        rows += found[1]
    costs = people_costs(source)
    figures |= _totals(costs, rounds)
    waiting = waits(source, rounds)
    return View(
        figures,
        {
            "branches": pl.DataFrame(rows, schema=BRANCH, orient="row"),
            "people": costs,
            "machines": machine_costs(source),
            "waiting": waiting,
            "versions": _versions(policies, by_id),
            "rounds": _rounds(rounds, by_id),
        },
        (*_story(rounds, by_id, measured), *damage_notes(source)),
    )


def evaluations(source: Source) -> list[dict[str, Any]]:
    """Of the project, the oldest first, without their items."""
    return source.digest("evaluations", lambda: _evaluations(source))


def _evaluations(source: Source) -> list[dict[str, Any]]:
    table = table_of(Evaluation).c
    names = ("id", "policy", "parent", "round", "proxy", "results", "evaluators", "suite")
    query = sa.select(*(table[name] for name in names)).where(table.project == source.ws.project)
    with source.ws.records.statements(write=False) as connection:
        return [dict(row) for row in connection.execute(query.order_by(table.seq)).mappings()]


def in_use(policies: Sequence[PolicyVersion], branch: str) -> PolicyVersion | None:
    """The version that a branch runs on; its own, or else the backbone."""
    own = [one for one in policies if one.branch == branch and one.status in IN_USE]
    base = [one for one in policies if one.branch is None and one.status in IN_USE]
    found = own or base
    return found[-1] if found else None


def ancestry(policy: PolicyVersion, by_id: Mapping[str, PolicyVersion]) -> list[PolicyVersion]:
    """The version, its heaviest parent, that one's, up to the first."""
    chain, seen = [policy], {policy.id}
    while chain[-1].parents:
        parent = max(chain[-1].parents, key=lambda one: chain[-1].parents[one])
        if parent not in by_id or parent in seen:
            break
        seen.add(parent)
        chain.append(by_id[parent])
    return chain


def _branch(
    source: Source,
    branch: str,
    policies: Sequence[PolicyVersion],
    by_id: Mapping[str, PolicyVersion],
    measured: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Figure], list[tuple[Any, ...]]]:
    policy = in_use(policies, branch)
    if policy is None:
        return {}, []
    chain = ancestry(policy, by_id)
    last = next((one for one in reversed(measured) if one["policy"] == policy.id), None)
    line = " ← ".join(one.name for one in chain)
    found = {
        f"{branch}.win_rate": _over_parent(branch, last),
        f"{branch}.win_rate_first": _over_first(branch, chain, measured),
    }
    found |= _quality(source, branch, policy, last)
    rows: list[tuple[Any, ...]] = [
        (branch, "In use", None, None, None, "", f"{line} ({policy.status.value})")
    ]
    rows += [
        (branch, one.name, one.value, one.low, one.high, one.unit, one.note)
        for one in found.values()
    ]
    return found, rows


def _over_parent(branch: str, last: Mapping[str, Any] | None) -> Figure:
    name = f"{branch}: win rate over the parent"
    win = (last or {}).get("results", {}).get("win_rate")
    if last is None or win is None:
        return Figure(name, None, "share", note="no evaluation against a parent yet")
    who = "proxy: automatic evaluators" if last["proxy"] else "independent evaluators"
    counts = f"{win['wins']} won, {win['losses']} lost, {win['ties']} tied"
    note = f"{counts}; {who}: {', '.join(sorted(last['evaluators']))}"
    if win["rate"] is None:
        return Figure(name, None, "share", note=f"no decision: {note}")
    return Figure(name, win["rate"], "share", win["low"], win["high"], note)


def _over_first(
    branch: str, chain: Sequence[PolicyVersion], measured: Sequence[Mapping[str, Any]]
) -> Figure:
    """By an evaluation against the first version, else by the chain of those over each parent."""
    name = f"{branch}: win rate over the first version"
    if len(chain) < 2:
        return Figure(name, None, "share", note="it is the first version")
    latest = {(one["policy"], one["parent"]): one["results"].get("win_rate") for one in measured}
    direct = latest.get((chain[0].id, chain[-1].id))
    if direct and direct["rate"] is not None:
        return Figure(
            name,
            direct["rate"],
            "share",
            direct["low"],
            direct["high"],
            f"over {chain[-1].name}, measured",
        )
    steps = [latest.get((one.id, before.id)) for one, before in zip(chain, chain[1:], strict=False)]
    odds = chained_odds([(one["wins"], one["losses"]) for one in steps if one])
    if odds is None or not all(steps):
        return Figure(
            name,
            None,
            "share",
            note="not every version of the line was evaluated against its parent",
        )
    note = f"over {chain[-1].name}, by the odds of {len(steps)} evaluations"
    return Figure(name, *_first(odds), note=note)


def _first(odds: tuple[float, float, float]) -> tuple[float, str, float, float]:
    return odds[0], "share", odds[1], odds[2]


def _quality(
    source: Source, branch: str, policy: PolicyVersion, last: Mapping[str, Any] | None
) -> dict[str, Figure]:
    results = (last or {}).get("results", {})
    found = {}
    for key, (name, unit) in QUALITY[branch].items():
        value = results.get(key)
        note = "held-out prompts" if value is not None else "not measured"
        found[f"{branch}.{key}"] = Figure(f"{branch}: {name}", value, unit, note=note)
    if branch == "tts":
        heard = results.get("wer_after")
        clear = None if heard is None else max(0.0, 1 - heard)
        found["tts.intelligibility"] = Figure(
            "tts: intelligibility", clear, "share", note="1 - WER of what a recogniser hears"
        )
    if branch == "realtime":
        found |= _first_audio(source)
    return found


def _first_audio(source: Source) -> dict[str, Figure]:
    """Of the realtime rollouts stored last."""
    rows = source.rollups.rollouts.table.filter(
        pl.col("branch") == "realtime", pl.col("first_audio_p50").is_not_null()
    )
    last = rows.tail(1).to_dicts()
    return {
        f"realtime.first_audio_{at}": Figure(
            f"realtime: first audio {at}",
            last[0][f"first_audio_{at}"] if last else None,
            "s",
            note=f"replies kept in {last[0]['round']}"
            if last
            else "no reply with times is kept (trivox serve --keep)",
        )
        for at in ("p50", "p95")
    }


def people_costs(source: Source) -> pl.DataFrame:
    """COSTS: judgements by round and kind of judge, and for people their hours and pay."""
    voters = source.rollups.voters.table
    counted = voters.group_by("round", "branch", judge="judge_kind").agg(
        judgements=pl.col("counted").sum()
    )
    joined = counted.join(_worked(source, voters), on=["round", "judge"], how="left")
    placed = joined.with_columns(pl.col("round").replace(NO_ROUND, None))
    return placed.select(pl.col(name).cast(kind) for name, kind in COSTS.items()).sort(
        "round", "judge", nulls_last=True
    )


def _worked(source: Source, voters: pl.DataFrame) -> pl.DataFrame:
    """Hours and pay of people by round, from when a question was shown until it was answered, whether or not the
    answer still counts."""
    person = table_of(Person).c
    rate = {"judge": pl.String, "rate": pl.Float64, "currency": pl.String}
    query = sa.select(sa.literal("human:") + person.id, person.pay_rate, person.pay_currency).where(
        person.pay_rate.is_not(None)
    )
    people = voters.filter(pl.col("judge_kind") == "human").with_columns(
        hours=pl.col("seconds") / 3600
    )
    rated = people.join(source.frame(query, rate), on="judge", how="left")
    return rated.group_by("round").agg(
        pl.col("hours").sum(),
        pay=pl.when(pl.col("rate").is_not_null().any()).then(
            (pl.col("hours") * pl.col("rate")).sum()
        ),
        currency=pl.col("currency").drop_nulls().first(),
        judge=pl.lit("human"),
    )


def machine_costs(source: Source) -> pl.DataFrame:
    """SPENT: what rounds used of machines and of judges that are paid by the call."""
    cost = table_of(CostEntry).c
    query = (
        sa.select(
            cost.round, cost.kind, sa.func.sum(cost.quantity), cost.unit,
            sa.func.sum(cost.quantity * cost.price), cost.currency,
        )
        .where(cost.project == source.ws.project)
        .group_by(cost.round, cost.kind, cost.unit, cost.currency)
        .order_by(sa.func.min(cost.seq))
    )  # fmt: skip
    return source.frame(query, SPENT)


def _totals(costs: pl.DataFrame, rounds: Sequence[Round]) -> dict[str, Figure]:
    def total(kind: str) -> int:
        return int(costs.filter(pl.col("judge") == kind)["judgements"].sum())

    hours = costs["hours"].sum()
    paid = costs.filter(pl.col("pay").is_not_null())
    currencies = paid["currency"].unique().to_list()
    pay = float(paid["pay"].sum()) if len(currencies) == 1 else None
    going = [
        one
        for one in rounds
        if one.status in (RoundStatus.RUNNING, RoundStatus.QUEUED, RoundStatus.WAITING)
    ]
    return {
        "rounds": Figure("Rounds", len(rounds)),
        "going": Figure("Rounds under way", len(going)),
        "human": Figure("Human judgements", total("human")),
        "grm": Figure("Model judgements", total("grm")),
        "simulated": Figure("Simulated judgements", total("simulated"), note="never counted among people's"),
        "hours": Figure("People's hours", float(hours), "h"),
        "pay": Figure(
            "People's pay", pay, currencies[0] if pay is not None and currencies[0] else "",
            note="hours at the agreed rates" if pay is not None else "no rate is agreed, or several currencies",
        ),
    }  # fmt: skip


def waits(source: Source, rounds: Sequence[Round]) -> pl.DataFrame:
    """WAITS: what cannot go on without somebody, and who that is."""
    ws, rows = source.ws, []
    for status, who in (
        (RoundStatus.QUEUED, "a worker (trivox worker)"),
        (RoundStatus.PAUSED, "a researcher: resume or cancel"),
        (RoundStatus.FAILED, "a researcher: see the error, then retry"),
    ):
        found = [one.id for one in rounds if one.status is status]
        rows.append((f"rounds {status.value}", who, len(found), ", ".join(found[-3:])))
    waiting = [one.id for one in rounds if one.status is RoundStatus.WAITING]
    rows.append(("rounds waiting", "annotators", len(waiting), ", ".join(waiting[-3:])))
    rows.append(("questions without all their answers", "annotators", _open_tasks(source), ""))
    state = table_of(TaskState).c
    expert = sa.select(sa.func.count()).where(
        state.project == ws.project, state.expert.is_(True), state.closed.is_(False)
    )
    rows.append(("questions where judges disagree", "experts", _scalar(source, expert), ""))
    asked = table_of(Inquiry).c
    open_ = sa.select(sa.func.count()).where(
        asked.project == ws.project, asked.answered_at.is_(None)
    )
    rows.append(("questions and appeals of annotators", "leads", _scalar(source, open_), ""))
    paused = table_of(WorkPause).c
    held = sa.select(sa.func.count()).where(
        paused.project == ws.project, paused.lifted_at.is_(None)
    )
    rows.append(("annotators whose work is paused", "leads", _scalar(source, held), ""))
    policy = table_of(PolicyVersion).c
    undecided = sa.select(sa.func.count()).where(
        policy.project == ws.project, policy.status == "candidate"
    )
    rows.append(("candidates without a decision", "researchers", _scalar(source, undecided), ""))
    return pl.DataFrame([row for row in rows if row[2]], schema=WAITS, orient="row")


def _open_tasks(source: Source) -> int:
    state = table_of(TaskState).c
    query = sa.select(sa.func.count()).where(
        state.project == source.ws.project,
        state.control.is_(None),
        state.closed.is_(False),
        state.answered < state.wanted,
    )
    return _scalar(source, query)


def _scalar(source: Source, query: sa.Select[Any]) -> int:
    with source.ws.records.statements(write=False) as connection:
        return int(connection.scalar(query) or 0)


def _versions(
    policies: Sequence[PolicyVersion], by_id: Mapping[str, PolicyVersion]
) -> pl.DataFrame:
    schema = {
        "version": pl.String, "branch": pl.String, "status": pl.String, "parents": pl.String, "round": pl.String,
        "created": pl.String, "id": pl.String,
    }  # fmt: skip
    rows = [
        (
            one.name,
            one.branch.value if one.branch else "all",
            one.status.value,
            ", ".join(by_id[p].name if p in by_id else p for p in one.parents),
            one.round or "",
            f"{one.created_at:%Y-%m-%d %H:%M}",
            one.id,
        )
        for one in reversed(policies)
    ]
    return pl.DataFrame(rows, schema=schema, orient="row")


def _rounds(rounds: Sequence[Round], by_id: Mapping[str, PolicyVersion]) -> pl.DataFrame:
    schema = {
        "round": pl.String, "branch": pl.String, "algorithm": pl.String, "from": pl.String, "status": pl.String,
        "stage": pl.String, "seed": pl.Int64, "created": pl.String, "error": pl.String,
    }  # fmt: skip
    rows = [
        (
            one.id, one.branch.value, one.algorithm, by_id[one.policy].name if one.policy in by_id else one.policy,
            one.status.value, one.stage.value, one.seed, f"{one.created_at:%Y-%m-%d %H:%M}", one.error or "",
        )
        for one in reversed(rounds)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def _story(
    rounds: Sequence[Round],
    by_id: Mapping[str, PolicyVersion],
    measured: Sequence[Mapping[str, Any]],
) -> tuple[str, ...]:
    """The last round in plain words."""
    if not rounds:
        return ()
    one = rounds[-1]
    start = by_id[one.policy].name if one.policy in by_id else one.policy
    lines = [
        f"The last round, {one.id}, began from {start} on branch {one.branch.value}, by {one.algorithm}."
    ]
    made = [policy for policy in by_id.values() if policy.round == one.id]
    found = [row for row in measured if row["round"] == one.id]
    if one.status is not RoundStatus.DONE:
        lines.append(
            f"It is {one.status.value} at stage {one.stage.value}{': ' + one.error if one.error else ''}."
        )
    if made and found:
        lines.append(_verdict(made[-1], found[-1]))
    return (" ".join(lines),)


def _verdict(policy: PolicyVersion, measured: Mapping[str, Any]) -> str:
    win, what = (
        measured["results"].get("win_rate") or {},
        f"Its candidate {policy.name} is {policy.status.value}",
    )
    if win.get("rate") is None:
        return f"{what}: no comparison with its parent was decisive."
    rate, low, high = (told(win[key], "share") for key in ("rate", "low", "high"))
    if win["low"] > 0.5:
        sense = "it is better than its parent beyond chance"
    elif win["high"] < 0.5:
        sense = "it is worse than its parent beyond chance"
    else:
        sense = "the two cannot be told apart with this many prompts"
    by = (
        "automatic stand-ins for listeners"
        if measured["proxy"]
        else "evaluators that had no part in its training"
    )
    won = f"it won {rate} of decided comparisons (95% interval {low} to {high})"
    return f"{what}: {won}, so {sense}, as judged by {by}."
