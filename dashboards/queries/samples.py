"""Samples to listen to: comparisons of a round by what is odd about them, and one of them with all that was
said."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from trivox.dashboards.queries.figures import Figure, View
from trivox.dashboards.queries.names import JUDGES, damage_notes, judges_note
from trivox.dashboards.queries.rounds import rounds_of
from trivox.dashboards.queries.shards import scan
from trivox.dashboards.queries.source import Source
from trivox.platform.errors import NotFound
from trivox.platform.records import Judgement, Prompt, Task

SHOWN = 50
MOST = 4
"""Candidates of a prompt that are laid side by side."""
ORDERS = {
    "disagree": "people and reward disagree, widest first",
    "margin": "the reward can hardly tell them apart",
    "flagged": "a gate or watcher spoke up",
    "any": "all, surest judges first",
}
LIST = {
    "sample": pl.String, "prompt": pl.String, "text": pl.String, "judges": pl.String, "votes": pl.Int64,
    "strength": pl.Float64, "scorer": pl.String, "difference": pl.Float64, "scaled": pl.Float64,
    "agree": pl.String, "flags": pl.String,
}  # fmt: skip
SCORES = {
    "item": pl.String, "scorer": pl.String, "component": pl.String, "role": pl.String, "value": pl.Float64,
    "unit": pl.String, "uncertainty": pl.Float64, "failure": pl.String, "evidence": pl.String,
}  # fmt: skip
ITEMS = {
    "item": pl.String, "audio": pl.String, "text": pl.String, "finish_reason": pl.String, "tokens": pl.Int64,
    "producer": pl.String, "seed": pl.Int64,
}  # fmt: skip
SAID = {
    "judge_kind": pl.String, "judge": pl.String, "answer": pl.String, "prefers": pl.String, "reasons": pl.String,
    "comment": pl.String, "purpose": pl.String, "at": pl.String,
}  # fmt: skip


def rounds_with_rollouts(source: Source, branch: str | None = None) -> list[str]:
    """The newest first; those that no record of a round knows come last."""
    stored = {one.round for one in source.parts["rollout"] if branch in (None, one.branch)}
    known = [one.id for one in rounds_of(source, branch) if one.id in stored]
    return known + sorted(stored - set(known))


def samples(
    source: Source,
    branch: str | None = None,
    round_: str | None = None,
    scorer: str | None = None,
    order: str = "disagree",
) -> View:
    """Up to SHOWN comparisons of a round, or where there is none, prompts with their candidates."""
    every = rounds_with_rollouts(source, branch)
    newest = every[0] if every else None
    chosen = round_ if round_ in every else newest
    key = ("samples", branch, chosen, scorer, order)
    return source.known(key, lambda: _samples(source, branch, chosen, scorer, order))


def _samples(
    source: Source, branch: str | None, round_: str | None, scorer: str | None, order: str
) -> View:
    if round_ is None:
        return View(tables={"samples": pl.DataFrame(schema=LIST)}, notes=damage_notes(source))
    pairs = source.rollups.pairs(branch, round_).filter(
        pl.col("role").is_null() | (pl.col("role") != "evaluator")
    )
    if scorer is not None:
        pairs = pairs.filter(pl.col("scorer") == scorer)
    flags = source.rollups.flags(branch, round_)
    if order == "flagged":
        flagged = flags["rollout"].implode()
        pairs = pairs.filter(pl.col("first").is_in(flagged) | pl.col("second").is_in(flagged))
    found = _ordered(pairs, order).head(SHOWN).collect()
    rows = (
        _rows(source, found, flags)
        if len(found)
        else _prompts(source, branch, round_, flags, order)
    )
    counted = (
        source.rollups.pairs(branch, round_).select(pl.col("task").n_unique()).collect().item()
    )
    kinds = found["judge_kind"].unique().to_list() if len(found) else []
    return View(
        {
            "compared": Figure("Comparisons judged", int(counted), note=f"of round {round_}"),
            "flagged": Figure("Rollouts flagged by gates or watchers", len(flags)),
        },
        {"samples": rows},
        (*judges_note(kinds[0] if len(kinds) == 1 else None), *damage_notes(source)),
    )


def _ordered(pairs: pl.LazyFrame, order: str) -> pl.LazyFrame:
    against = pl.col("scaled") * pl.col("side")
    if order == "disagree":
        apart = -against * pl.col("strength").abs()
        return pairs.filter(against < 0).sort(apart, descending=True, maintain_order=True)
    if order == "margin":
        return pairs.filter(pl.col("scaled").is_not_null()).sort(
            pl.col("scaled").abs(), maintain_order=True
        )
    return pairs.sort(
        pl.col("strength").abs(), descending=True, nulls_last=True, maintain_order=True
    )


def _texts(source: Source, prompts: Sequence[str]) -> dict[str, str]:
    texts = {}
    for id_ in dict.fromkeys(prompts):
        found = source.ws.records.find(Prompt, id=id_)
        texts[id_] = told(found[0]) if found else ""
    return texts


def told(prompt: Prompt) -> str:
    """A prompt in one line."""
    if prompt.text:
        return prompt.text
    if prompt.turns:
        return " / ".join(f"{turn.role}: {turn.text or 'speech'}" for turn in prompt.turns)
    return prompt.reference_text or ("speech" if prompt.audio else "")


def _said_of(flags: pl.DataFrame, items: pl.Series) -> dict[str, str]:
    """Rollout -> what gates and failures say of it."""
    return dict(flags.filter(pl.col("rollout").is_in(items.implode())).iter_rows())


def _rows(source: Source, found: pl.DataFrame, flags: pl.DataFrame) -> pl.DataFrame:
    texts, rows = _texts(source, found["prompt"].to_list()), []
    told = _said_of(flags, pl.concat([found["first"], found["second"]]))
    for one in found.to_dicts():
        agree = None if one["scaled"] is None or not one["side"] else one["scaled"] * one["side"]
        word = (
            ""
            if agree is None
            else "agree"
            if agree > 0
            else "undecided"
            if agree == 0
            else "disagree"
        )
        said = [f"{side}: {told[one[side]]}" for side in ("first", "second") if one[side] in told]
        rows.append((
            one["task"], one["prompt"], texts[one["prompt"]], JUDGES[one["judge_kind"]],
            one["votes"], one["strength"],
            one["scorer"], one["difference"], one["scaled"], word, "; ".join(said),
        ))  # fmt: skip
    return pl.DataFrame(rows, schema=LIST, orient="row")


def _prompts(
    source: Source, branch: str | None, round_: str, flags: pl.DataFrame, order: str
) -> pl.DataFrame:
    """Where nothing was compared: prompts of the round, by their ids."""
    part = next(
        (p for p in source.parts["rollout"] if p.round == round_ and branch in (None, p.branch)),
        None,
    )
    rows = scan(part, ["id", "prompt"])[0] if part else None
    if rows is None or order in ("disagree", "margin"):
        return pl.DataFrame(schema=LIST)
    if order == "flagged":
        rows = rows.filter(pl.col("id").is_in(flags["rollout"].implode()))
    grouped = rows.group_by("prompt").agg("id").sort("prompt").head(SHOWN).collect()
    texts = _texts(source, grouped["prompt"].to_list())
    said = _said_of(flags, grouped["id"].explode())
    made = [
        (
            id_, id_, texts[id_], "nobody yet", 0, None, None, None, None, "",
            "; ".join(said[item] for item in ids if item in said),
        )
        for id_, ids in grouped.iter_rows()
    ]  # fmt: skip
    return pl.DataFrame(made, schema=LIST, orient="row")


def sample(source: Source, name: str, round_: str | None = None) -> View:
    """One comparison (a task), or the candidates of a prompt in a round: items, scores and judgements.

    Raises NotFound for what is neither.
    """
    return source.known(("sample", name, round_), lambda: _sample(source, name, round_))


def _sample(source: Source, name: str, round_: str | None) -> View:
    tasks = source.ws.records.find(Task, id=name, project=source.ws.project)
    if tasks:
        task = tasks[0]
        prompt, wanted, of = task.prompt, task.items, task.round or round_
    else:
        prompt, wanted, of = name, (), round_
    prompts = source.ws.records.find(Prompt, id=prompt)
    if not prompts and not tasks:
        raise NotFound(
            f"no sample {name!r}: it is neither a comparison nor a prompt of this project"
        )
    items = _items(source, prompt, wanted, of)
    ids = items["item"].to_list()
    said = [row for one in tasks for row in _said(source, one, ids)]
    return View(
        tables={
            "items": items,
            "scores": _scores(source, ids, of),
            "judgements": pl.DataFrame(said, schema=SAID, orient="row"),
        },
        notes=(told(prompts[0]), *filter(None, [prompts[0].instruction])) if prompts else ("",),
    )  # fmt: skip


def _items(source: Source, prompt: str, wanted: Sequence[str], round_: str | None) -> pl.DataFrame:
    columns = ["id", "prompt", "audio", "text", "finish_reason", "tokens", "producer", "seed"]
    parts = [pl.DataFrame(schema=ITEMS)]
    for part in source.parts["rollout"]:
        if round_ not in (None, part.round):
            continue
        rows, _ = scan(part, columns)
        if rows is None:
            continue
        mine = rows.filter(
            pl.col("id").is_in(list(wanted)) if wanted else pl.col("prompt") == prompt
        )
        named = mine.with_columns(item="id", tokens=pl.col("tokens").list.len())
        parts.append(
            named.select(pl.col(name).cast(kind) for name, kind in ITEMS.items())
            .head(MOST)
            .collect()
        )
    found = pl.concat(parts)
    order = {id_: place for place, id_ in enumerate(wanted)}
    return found.sort(pl.col("item").replace_strict(order, default=99), "item").head(MOST)


def _scores(source: Source, ids: Sequence[str], round_: str | None) -> pl.DataFrame:
    columns = [
        "rollout",
        "scorer",
        "component",
        "role",
        "value",
        "unit",
        "uncertainty",
        "failure",
        "evidence",
    ]
    parts = [pl.DataFrame(schema=SCORES)]
    for part in source.parts["score"]:
        if round_ not in (None, part.round):
            continue
        rows, _ = scan(part, columns)
        if rows is None:
            continue
        why = pl.col("failure")
        mine = rows.filter(pl.col("rollout").is_in(list(ids))).with_columns(
            item="rollout", failure=why.struct.field("kind") + ": " + why.struct.field("message")
        )  # fmt: skip
        parts.append(
            mine.select(pl.col(name).cast(kind) for name, kind in SCORES.items()).collect()
        )
    return pl.concat(parts).sort("scorer", "item", "role")


def _said(source: Source, task: Task, ids: Sequence[str]) -> list[tuple[Any, ...]]:
    """Judgements of a task; judges by pseudonym."""
    from trivox.dashboards.queries.annotation import pseudonym

    rows = []
    for one in source.ws.records.find(Judgement, task=task.id):
        strength = one.answer.comparison
        side = "" if strength is None else "first" if strength > 0 else "second"
        if one.answer.tie is not None:
            side = f"tie: {one.answer.tie.value}"
        answer = (
            str(strength)
            if strength is not None
            else (one.answer.abstention or one.answer.kind.value)
        )
        rows.append((
            one.judge_kind.value, pseudonym(source.ws.project, one.judge), answer, side, ", ".join(one.reasons),
            one.comment or "", one.purpose.value, f"{one.created_at:%Y-%m-%d %H:%M}",
        ))  # fmt: skip
    return rows
