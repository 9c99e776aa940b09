"""Rounds, for researchers: make one, watch it, compare it with others."""

from dataclasses import asdict
from functools import partial
from typing import Any

import polars as pl
import streamlit as st

from trivox.dashboards import actions, charts, forms, parts
from trivox.dashboards.queries.figures import View
from trivox.dashboards.queries.names import BRANCHES
from trivox.dashboards.queries.rounds import (
    FIRST_FIGURES,
    MOVING,
    chosen_round,
    curves,
    difference,
    rounds,
    rounds_of,
)
from trivox.dashboards.shell import Here, attempt, moving, page
from trivox.platform.config import validated
from trivox.platform.errors import TrivoxError
from trivox.platform.records import PolicyVersion, PromptSet, Round

WATCH, NEW, COMPARE = "Watch", "New round", "Compare"
EMPTY = (
    "No round yet. Choose New round above: a form shows every setting with its default, and a dry run says "
    "what it would take."
)
LOOK_S = 3.0
ICONS = {
    "pause": ":material/pause:",
    "resume": ":material/play_arrow:",
    "retry": ":material/replay:",
    "cancel": ":material/cancel:",
}


def draw(here: Here) -> None:
    views = [WATCH, NEW, COMPARE]
    view = st.segmented_control(
        "View", views, default=WATCH, key="view", bind="query-params", label_visibility="collapsed"
    )
    {WATCH: _watch, NEW: _new, COMPARE: _compare}[view or WATCH](here)


def _watch(here: Here) -> None:
    columns = st.columns(2)
    with columns[0]:
        branch = parts.pick("Branch", BRANCHES, "branch")
    every = rounds_of(here.source, branch)
    if not every:
        st.info(EMPTY)
        return
    with columns[1]:
        chosen = parts.pick("Round", [one.id for one in every], "round", every=False)
    one = chosen_round(here.source, branch, chosen)
    assert one is not None
    moving(here, lambda now: _state(now, branch, one.id), LOOK_S if one.status in MOVING else None)
    _curves(here, branch, one)
    view = rounds(here.source, branch, one.id)
    parts.table(
        view, "watchers", "What the watchers said", "No watcher or gate looked at these rounds yet."
    )


def _state(here: Here, branch: str | None, id_: str) -> None:
    """How far the round is; drawn anew by itself while it moves."""
    view, one = rounds(here.source, branch, id_), here.ws.records.get(Round, id_)
    st.markdown(
        f"**{one.id}** is **{one.status.value}** at stage **{one.stage.value}**, seed {one.seed}, {one.algorithm}."
    )
    if one.error:
        st.error(one.error)
    parts.notes(view)
    _buttons(here, one)
    parts.figures(list(view.figures.values()), 3)
    _progress(view)
    parts.table(view, "stages", "Stages", "No stage yet.")
    _versions(here, view)
    with st.expander("Log"):
        st.dataframe(view.tables["events"], hide_index=True, key="events")


def _buttons(here: Here, one: Round) -> None:
    if not here.viewer.may_act:
        return
    columns = st.columns(8)
    for column, verb in zip(columns, actions.verbs(one.status), strict=False):
        with column:
            if st.button(verb.capitalize(), key=f"verb-{verb}", icon=ICONS[verb]):
                attempt(partial(actions.say, here.ws, here.viewer, verb, one.id))


def _progress(view: View) -> None:
    for stage in view.tables["stages"].to_dicts():
        if stage["state"] != "done" and stage["of"] and stage["done"]:
            share = min(1.0, stage["done"] / stage["of"])
            st.progress(share, f"{stage['stage']}: {stage['done']} of {stage['of']}")


def _versions(here: Here, view: View) -> None:
    """What the round made, with what can be decided about it."""
    for made in view.tables["made"].to_dicts():
        st.markdown(f"It made **{made['version']}**, which is **{made['status']}**.")
        if not here.viewer.may_act or made["status"].startswith("promoted"):
            continue
        with st.popover(f"Promote {made['version']}", icon=":material/verified:"):
            st.caption(
                "Its comparison with what is in use must have been won, and nothing may have got worse."
            )
            force = st.text_input(
                "Reason to promote it nevertheless (kept with the decision)",
                key=f"force-{made['id']}",
            )
            if st.button("Promote", key=f"promote-{made['id']}", type="primary"):
                why = force.strip() or None
                attempt(partial(actions.promote, here.ws, here.viewer, made["id"], why))


def _curves(here: Here, branch: str | None, one: Round) -> None:
    st.subheader("Training, step by step")
    others = [other.id for other in rounds_of(here.source, branch) if other.id != one.id]
    shown = st.multiselect(
        "Rounds to lay over it", others, others[:3], key=f"over-{branch}-{one.id}"
    )
    rows = curves(here.source, (one.id, *shown))
    if rows.is_empty():
        st.caption("None of these rounds has trained yet.")
        return
    names = rows["figure"].unique(maintain_order=True).to_list()
    first = [name for name in FIRST_FIGURES if name in names] or names[:4]
    figures = st.multiselect("Figures", names, first, key="figures", bind="query-params")
    columns = st.columns(2)
    view = here.source.known(
        ("curve charts", one.id, *shown), lambda: View(tables={"curves": rows})
    )
    for place, name in enumerate(figures):
        with columns[place % 2]:
            _curve(view, name)


def _curve(view: View, name: str) -> None:
    rows = view.tables["curves"].filter(pl.col("figure") == name)
    parts.chart(
        view,
        f"curve-{name}",
        lambda: charts.lines(rows, x="step", y="value", by="round", x_title="step", y_title=name),
        alt=f"{name} at every step of training, one line for each round",
        empty=f"{name}: no value",
    )


def _new(here: Here) -> None:
    if not here.viewer.may_act:
        st.info("You may look at rounds; starting them is for researchers.")
        return
    st.caption(
        "Every setting with its default; the question mark says what it does. Nothing runs before Start."
    )
    policies = [one.name for one in here.ws.records.find(PolicyVersion, project=here.ws.project)]
    sets = [one.reference for one in here.ws.records.find(PromptSet, project=here.ws.project)]
    from trivox.pipelines.rounds.config import RoundConfig
    from trivox.reward_models.registry import names

    scorers = sorted(names())
    choices = {
        "policy": lambda: policies[::-1],
        "prompts": lambda: sets[::-1],
        **{f"score.{one}": lambda: scorers for one in ("rewards", "gates")},
        "evaluate.evaluators": lambda: scorers,
    }
    raw = forms.fields(RoundConfig, choices)
    columns = st.columns(6)
    with columns[0]:
        dry = st.button("Dry run", icon=":material/calculate:")
    with columns[1]:
        go = st.button("Start", type="primary", icon=":material/play_arrow:")
    if dry or go:
        _checked(here, raw, go)


def _checked(here: Here, raw: dict[str, Any], go: bool) -> None:
    from trivox.pipelines.rounds.config import RoundConfig

    try:
        config = validated(raw, RoundConfig, "round configuration")
        if go:
            made = actions.start(here.ws, here.viewer, config)
            st.success(
                f"Round {made.id} is {made.status.value}: `trivox worker` carries it out. Watch it above."
            )
            return
        plan = actions.plan(here.ws, here.viewer, config)
    except TrivoxError as error:
        st.error(str(error))
        return
    st.success("It can run." if not plan.exists else f"It is there already, as {plan.round}.")
    if plan.proxy_reason:
        st.warning(f"Its win rate would be a proxy one: {plan.proxy_reason}")
    st.dataframe(
        pl.DataFrame(list(plan.work.items()), schema=["work", "pieces"], orient="row"),
        hide_index=True,
        key="plan",
    )
    st.caption(f"Stages: {' → '.join(plan.stages)}. {_people(asdict(plan))}")


def _people(plan: dict[str, Any]) -> str:
    if plan["judges"] != "human":
        return f"Judged by {plan['judges']} judges."
    return f"People are asked for {plan['work'].get('judgements', 0)} judgements."


def _compare(here: Here) -> None:
    every = [one.id for one in rounds_of(here.source)]
    if len(every) < 2:
        st.info("Two rounds are needed to compare.")
        return
    columns = st.columns(2)
    with columns[0]:
        one = parts.pick("One", every, "one", every=False)
    with columns[1]:
        others = [id_ for id_ in every if id_ != one]
        other = parts.pick("Other", others, "other", every=False)
    assert one is not None and other is not None
    view = difference(here.source, one, other)
    parts.table(view, "config", "Configured differently", "Their configurations are the same.")
    parts.table(view, "made", "What they made differs", "What they made is the same.")


if __name__ == "__main__":
    page(draw)
