"""The pieces that pages are made of: figures with intervals, tables with CSV, charts, empty states, picks that
stand in the URL."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import polars as pl
import streamlit as st

from trivox.annotation.leads.hours import plain
from trivox.dashboards import charts
from trivox.dashboards.queries.figures import Figure, View

ALL = "all"


def figures(found: Sequence[Figure], width: int = 4) -> None:
    """Figures in rows, each with its interval and what it is of."""
    for begin in range(0, len(found), width):
        columns = st.columns(width)
        for column, one in zip(columns, found[begin : begin + width], strict=False):
            with column:
                figure(one)


def figure(one: Figure) -> None:
    st.metric(one.name, one.shown, help=one.note or None)
    if one.interval:
        st.caption(f"95% interval {one.interval}")
    elif one.value is None and one.note:
        st.caption(one.note)


def notes(view: View) -> None:
    """What a reader has to know; damage as a warning."""
    for line in view.notes:
        (st.warning if "damaged" in line or "not people" in line else st.markdown)(line)


def table(view: View, name: str, title: str, empty: str, *, height: int | None = None) -> None:
    """A table under its title, with a button that downloads it; `empty` where there is nothing."""
    st.subheader(title)
    rows = view.tables[name]
    if rows.is_empty():
        st.caption(empty)
        return
    tall: Any = height if height is not None and len(rows) * 36 >= height else "auto"
    shown = number_columns(rows)
    st.dataframe(rows, height=tall, hide_index=True, key=f"table-{name}", column_config=shown)
    csv(rows, name)


def csv(rows: pl.DataFrame, name: str) -> None:
    """Made when it is asked for."""
    content, file, icon = partial(view_csv, rows), f"trivox-{name}.csv", ":material/download:"
    st.download_button("CSV", content, file, "text/csv", key=f"csv-{name}", icon=icon)


def view_csv(rows: pl.DataFrame) -> str:
    """As CSV in which no text is a formula of a spreadsheet."""
    nested = [name for name, kind in rows.schema.items() if kind.is_nested()]
    flat = rows.with_columns(pl.col(name).list.join(" ") for name in nested)
    texts = [name for name, kind in flat.schema.items() if kind == pl.String]
    safe = [pl.col(name).map_elements(plain, pl.String) for name in texts]
    return flat.with_columns(safe).write_csv()


def number_columns(rows: pl.DataFrame) -> dict[str, Any]:
    """Floats to three digits: what is beyond is in the CSV."""
    floats = [name for name, kind in rows.schema.items() if kind.is_float()]
    return {name: st.column_config.NumberColumn(name, format="%.3f") for name in floats}


def chart(view: View, name: str, draw: Callable[[], Any], *, alt: str, empty: str) -> None:
    """A chart of a view, made once for its data. draw: gives an Altair chart, or None for nothing to show."""
    spec = view.drawn(name, lambda: charts.spec(draw()))
    if spec is None:
        st.caption(empty)
    else:
        st.vega_lite_chart(spec, alt=alt, key=f"chart-{name}")


def pick(
    label: str, options: Sequence[str], key: str, *, every: bool = True, tip: str | None = None
) -> str | None:
    """One of the options, kept in the URL; None for all."""
    choices = [ALL, *options] if every else list(options)
    if not choices:
        return None
    if st.session_state.get(key) not in (None, *choices):
        del st.session_state[key]
    found = st.selectbox(label, choices, key=key, bind="query-params", help=tip)
    return None if found == ALL else found
