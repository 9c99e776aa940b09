"""Samples: listen side by side, with everything that was said of them."""

from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import altair as alt
import polars as pl
import streamlit as st

from trivox.dashboards import charts, parts
from trivox.dashboards.queries.figures import View
from trivox.dashboards.queries.names import BRANCHES
from trivox.dashboards.queries.rewards import scorers
from trivox.dashboards.queries.samples import ORDERS, rounds_with_rollouts, sample, samples
from trivox.dashboards.shell import Here, page
from trivox.dashboards.sounds import seen
from trivox.platform.errors import TrivoxError
from trivox.platform.records import Consent

EMPTY = (
    "No sample yet: as soon as a round has spoken, its candidates can be heard here side by side."
)
PLACES = ("first", "second", "third", "fourth")
NONE = "Nothing of that kind in this round."


def draw(here: Here) -> None:
    columns = st.columns(4)
    with columns[0]:
        branch = parts.pick("Branch", BRANCHES, "branch")
    every = rounds_with_rollouts(here.source, branch)
    if not every:
        st.info(EMPTY)
        return
    with columns[1]:
        round_ = parts.pick("Round", every, "round", every=False)
    with columns[2]:
        scorer = parts.pick("Reward", scorers(here.source, branch), "scorer")
    with columns[3]:
        order = parts.pick(
            "Show where",
            list(ORDERS),
            "order",
            every=False,
            tip="; ".join(f"{k}: {v}" for k, v in ORDERS.items()),
        )
    view = samples(here.source, branch, round_, scorer, order or "disagree")
    parts.notes(view)
    parts.figures(list(view.figures.values()))
    st.caption(ORDERS[order or "disagree"])
    parts.table(view, "samples", "Samples", NONE, height=240)
    _one(here, view, round_)


def _one(here: Here, view: View, round_: str | None) -> None:
    """The sample that is heard, and a link to it."""
    ids = view.tables["samples"]["sample"].unique(maintain_order=True).to_list()
    # The sample of a link is shown though it is not in the list, until another round is picked.
    linked = st.session_state.setdefault("linked", (round_, st.query_params.get("sample")))
    if linked[0] == round_ and linked[1] and linked[1] not in ids:
        ids = [linked[1], *ids]
    chosen = parts.pick("Listen to", ids, "sample", every=False)
    if chosen is None:
        return
    found = sample(here.source, chosen, round_)
    st.subheader(f"“{found.notes[0]}”" if found.notes[0] else chosen)
    for line in found.notes[1:]:
        st.caption(f"Asked for: {line}")
    link = urlencode({"round": round_ or "", "sample": chosen})
    st.caption(f"[Link to this sample](/samples?{link})")
    _side_by_side(here, found)
    parts.table(found, "judgements", "Judgements", "Nobody has judged it.")
    parts.table(found, "scores", "Scores", "Nothing has scored it.", height=260)


def _side_by_side(here: Here, found: View) -> None:
    items = found.tables["items"].to_dicts()
    if not items:
        st.caption("Its rollouts are not stored, or damaged.")
        return
    for place, (column, one) in enumerate(zip(st.columns(len(items)), items, strict=True)):
        with column:
            st.markdown(
                f"**{PLACES[place]}**, {one['tokens']} tokens, ended by {one['finish_reason']}"
            )
            if one["text"]:
                st.caption(one["text"])
            _sound(here, found, one["item"], one["audio"])
            _scores(found.tables["scores"].filter(pl.col("item") == one["item"]))


def _sound(here: Here, found: View, item: str, audio: str | None) -> None:
    if audio is None:
        st.caption("It said nothing.")
        return
    try:
        from trivox.pipelines.consent import require_consent

        require_consent(here.ws, audio, Consent.ANNOTATE)
        wave, picture, seconds = seen(here.ws, str(here.ws.root), audio)
        st.audio(str(here.ws.audio.path(audio)), format="audio/flac")
    except TrivoxError as error:
        st.error(str(error))
        return
    parts.chart(
        found,
        f"wave-{item}",
        lambda: _wave(wave, _peak(here, found)),
        alt=f"Waveform, {seconds:.2f} s",
        empty="",
    )
    st.image(picture, caption=f"Spectrogram, 0 to {seconds:.2f} s, 80 dB deep", width="stretch")


def _peak(here: Here, found: View) -> float:
    """The highest amplitude of the sounds side by side that can be read."""
    highest = 0.01
    for audio in found.tables["items"]["audio"].drop_nulls():
        with suppress(TrivoxError):
            wave, _, _ = seen(here.ws, str(here.ws.root), audio)
            highest = max(highest, float(wave["high"].max() or 0), -float(wave["low"].min() or 0))  # type: ignore[arg-type]
    return highest


def _wave(wave: pl.DataFrame, peak: float) -> alt.Chart:
    """peak: of the loudest of those side by side, so that louder looks louder."""
    drawn = alt.Chart(wave).mark_area(
        color=charts.COLOURS[5], line={"color": charts.COLOURS[0], "strokeWidth": 0.5}
    )
    made: alt.Chart = drawn.encode(
        x=alt.X("seconds:Q", title="seconds"),
        y=alt.Y("low:Q", title="amplitude", scale=alt.Scale(domain=[-peak, peak])),
        y2="high:Q",
    ).properties(height=150)
    return made


def _value(one: dict[str, Any]) -> str:
    failed = one["value"] is None
    return f"failed, {one['failure']}" if failed else f"{one['value']:.3g} {one['unit']}"


def _scores(rows: pl.DataFrame) -> None:
    lines = [
        f"{one['scorer']} ({one['role']}): {_value(one)}"
        for one in rows.to_dicts()
    ]  # fmt: skip
    st.markdown("  \n".join(lines))


if __name__ == "__main__":
    page(draw)
