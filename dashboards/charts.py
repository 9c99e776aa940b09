"""Charts. Colours are Okabe and Ito's (2008), which people who are colour-blind tell apart, without black and
yellow, which vanish on dark or light pages; lines differ in dash too, points in shape."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl
import pyarrow as pa

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 1], [1, 3])
GREY = "#888888"
Drawn = alt.Chart | alt.LayerChart | alt.FacetChart
FEW = 16
"""Steps up to which each is marked with a point."""
# What a chart shows is bounded by the query behind it.
alt.data_transformers.disable_max_rows()


def spec(chart: Drawn | None) -> dict[str, Any] | None:
    """What the browser draws, its rows as Arrow already, so that they are not written again at every run."""
    if chart is None:
        return None
    made: dict[str, Any] = chart.to_dict(validate=False)
    data = made.get("datasets", {})
    return made | {"datasets": {name: _arrow(rows) for name, rows in data.items()}}


def _arrow(rows: list[dict[str, Any]]) -> bytes:
    table, file = pa.Table.from_pylist(rows), pa.BufferOutputStream()
    with pa.ipc.new_stream(file, table.schema) as written:
        written.write_table(table)
    content: bytes = file.getvalue().to_pybytes()
    return content


def colour(field: str, title: str) -> alt.Color:
    below = alt.Legend(orient="bottom", columns=2, labelLimit=140)
    return alt.Color(f"{field}:N", title=title, legend=below, scale=alt.Scale(range=list(COLOURS)))


def intervals(
    rows: pl.DataFrame,
    *,
    value: str,
    name: str,
    title: str,
    reference: float | None = None,
    percent: bool = True,
    by: str | None = None,
) -> Drawn | None:
    """Points with 95% intervals, one row each; reference: a line such as chance. Rows without a value are left
    out."""
    found = rows.filter(pl.col(value).is_not_null())
    if found.is_empty():
        return None
    domain = alt.Scale(domain=[0, 1]) if percent else alt.Scale(zero=False)
    axis = alt.Axis(format=".0%") if percent else alt.Axis()
    base = alt.Chart(found).encode(
        y=alt.Y(f"{name}:N", title=None, sort=None, axis=alt.Axis(labelLimit=320))
    )
    shade = colour(by, by) if by else alt.value(COLOURS[0])
    tips = [alt.Tooltip(one) for one in found.columns]
    points = base.mark_point(filled=True, size=80).encode(
        x=alt.X(f"{value}:Q", title=title, scale=domain, axis=axis), color=shade, tooltip=tips
    )
    if by:
        points = points.encode(
            shape=alt.Shape(f"{by}:N", title=by, scale=alt.Scale(range=list(SHAPES)))
        )
    rules = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q", color=shade)
    layers: list[Any] = [rules, points]
    if reference is not None:
        line = alt.Chart(pl.DataFrame({"reference": [reference]}))
        layers.insert(0, line.mark_rule(strokeDash=[4, 4], color=GREY).encode(x="reference:Q"))
    return alt.layer(*layers).properties(height=alt.Step(26))


def lines(
    rows: pl.DataFrame,
    *,
    x: str,
    y: str,
    by: str,
    x_title: str,
    y_title: str,
    percent: bool = False,
    band: bool = False,
    order: Sequence[str] | None = None,
) -> Drawn | None:
    """Lines over x, each of its own colour and dash; band: with the interval of columns low and high;
    order: of names on x."""
    found = rows.filter(pl.col(y).is_not_null())
    if found.is_empty():
        return None
    scale = alt.Scale(range=[list(dash) for dash in DASHES])
    axis = alt.Axis(format=".0%") if percent else alt.Axis()
    ordered = "N" if found.schema[x] == pl.String else "Q"
    base = alt.Chart(found).encode(
        x=alt.X(
            f"{x}:{ordered}",
            title=x_title,
            sort=None if order is None else list(order),
            axis=alt.Axis(labelLimit=120),
        ),
        color=colour(by, by),
    )
    drawn = base.mark_line(point=found[x].n_unique() <= FEW, strokeWidth=2).encode(
        y=alt.Y(f"{y}:Q", title=y_title, axis=axis, scale=alt.Scale(zero=False)),
        strokeDash=alt.StrokeDash(f"{by}:N", title=by, scale=scale),
        tooltip=[alt.Tooltip(one) for one in found.columns],
    )
    layers: list[Any] = [drawn]
    if band:
        layers.insert(0, base.mark_area(opacity=0.18).encode(y="low:Q", y2="high:Q"))
    return alt.layer(*layers).properties(height=340)


def bars(
    rows: pl.DataFrame, *, x: str, y: str, by: str | None, x_title: str, y_title: str | None = None
) -> Drawn | None:
    """Lengths from zero, one row each."""
    if rows.is_empty():
        return None
    shade = colour(by, by) if by else alt.value(COLOURS[0])
    drawn: Drawn = (
        alt.Chart(rows)
        .mark_bar(height={"band": 0.7})
        .encode(
            x=alt.X(f"{x}:Q", title=x_title),
            y=alt.Y(f"{y}:N", title=y_title, sort=None, axis=alt.Axis(labelLimit=320)),
            color=shade,
            tooltip=[alt.Tooltip(one) for one in rows.columns],
        )
        .properties(height=alt.Step(26))
    )
    return drawn
