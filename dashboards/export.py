"""The overview as a file: PDF or PNG to send around, CSV to go on with. Figures are those of the page."""

import io
from collections.abc import Sequence
from datetime import datetime
from textwrap import wrap
from typing import Any, Literal

import polars as pl

from trivox.dashboards.charts import COLOURS, GREY
from trivox.dashboards.queries.figures import Figure, View

Kind = Literal["pdf", "png"]
KINDS: tuple[Kind, ...] = ("pdf", "png")
_SIZE = (8.27, 11.69)
"""Inches: A4, upright."""


def sheet(view: View, title: str, made_at: datetime, kind: Kind) -> bytes:
    """One page: what happened in words, the figures with intervals, win rates drawn, what waits."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=_SIZE, dpi=150)
    FigureCanvasAgg(drawing)
    y = _head(drawing, title, made_at, view.notes)
    y = _numbers(drawing, list(view.figures.values()), y)
    _rates(drawing, view.tables["branches"], y)
    file = io.BytesIO()
    # Without the time of writing the same figures give the same bytes.
    about = {"CreationDate": None} if kind == "pdf" else {"Software": "Trivox"}
    drawing.savefig(file, format=kind, metadata=about)
    return file.getvalue()


def _head(drawing: Any, title: str, made_at: datetime, notes: Sequence[str]) -> float:
    drawing.text(0.07, 0.955, title, fontsize=17, weight="bold")
    drawing.text(0.07, 0.938, f"Trivox, {made_at:%Y-%m-%d %H:%M} UTC", fontsize=8, color=GREY)
    y = 0.915
    for line in [part for note in notes for part in wrap(note, 108)]:
        drawing.text(0.07, y, line, fontsize=8.5, parse_math=False)
        y -= 0.0145
    return y - 0.012


def _numbers(drawing: Any, found: Sequence[Figure], y: float) -> float:
    for one in found:
        if one.value is None:
            continue
        shown = f"{one.shown}  ({one.interval})" if one.interval else one.shown
        drawing.text(0.07, y, one.name, fontsize=8.5, parse_math=False)
        drawing.text(0.42, y, shown, fontsize=8.5, weight="bold", parse_math=False)
        drawing.text(0.66, y, one.note[:52], fontsize=6.5, color=GREY, parse_math=False)
        y -= 0.0165
    unknown = [one.name for one in found if one.value is None]
    for line in wrap(f"Not known: {', '.join(unknown)}.", 130) if unknown else []:
        drawing.text(0.07, y, line, fontsize=6.5, color=GREY, parse_math=False)
        y -= 0.0125
    return y - 0.02


def _rates(drawing: Any, rows: pl.DataFrame, y: float) -> None:
    found = rows.filter(pl.col("value").is_not_null(), pl.col("low").is_not_null()).to_dicts()
    if not found:
        return
    height = min(0.035 * len(found) + 0.02, max(0.08, y - 0.1))
    axes = drawing.add_axes((0.36, max(0.06, y - height), 0.56, height))
    for place, one in enumerate(reversed(found)):
        axes.plot([one["low"], one["high"]], [place, place], color=COLOURS[0], linewidth=2)
        axes.plot([one["value"]], [place], "o", color=COLOURS[0])
    axes.axvline(0.5, linestyle="--", color=GREY, linewidth=1)
    axes.set_yticks(range(len(found)), [one["figure"] for one in reversed(found)], fontsize=7)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.6, len(found) - 0.4)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"], fontsize=7)
    axes.set_xlabel("win rate with its 95% interval; dashed: chance", fontsize=7)
