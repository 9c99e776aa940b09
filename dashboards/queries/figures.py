"""What a page shows, before it is drawn: figures with their intervals, tables, notes. The command line prints the
same."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

UNKNOWN = "not known"


@dataclass(frozen=True)
class Figure:
    """One number. unit: "share" (0..1, shown as a percentage), "s", "h", "WER", … or "" for a count; low,
    high: its 95% interval, None where there is none; note: of what, by whom, or why there is no value."""

    name: str
    value: float | None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    note: str = ""

    @property
    def shown(self) -> str:
        """As people read it: `62.5%`, `1,204`, `not known`."""
        return UNKNOWN if self.value is None else told(self.value, self.unit)

    @property
    def interval(self) -> str:
        """`45.3% to 77.1%`, or "" without one."""
        if self.low is None or self.high is None:
            return ""
        return f"{told(self.low, self.unit)} to {told(self.high, self.unit)}"

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name, "value": self.value, "unit": self.unit, "low": self.low, "high": self.high,
            "shown": self.shown, "note": self.note,
        }  # fmt: skip


def told(value: float, unit: str) -> str:
    """A value with its unit, to the digits that matter."""
    if not math.isfinite(value):
        return "unbounded"
    if unit == "share":
        return f"{value:.1%}"
    if unit == "points":
        return f"{100 * value:+.1f} points"
    number = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3g}"
    if abs(value) >= 1000:
        number = f"{value:,.0f}"
    return f"{number} {unit}".strip()


@dataclass(frozen=True)
class View:
    """figures by key and tables by name, in the order in which a page shows them; notes: sentences for people."""

    figures: dict[str, Figure] = field(default_factory=dict)
    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    _drawn: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        unknown = all(not one.value for one in self.figures.values())
        return unknown and all(table.is_empty() for table in self.tables.values())

    def drawn(self, name: str, draw: Callable[[], Any]) -> Any:
        """What draw makes of this view, made once: a chart costs more than the query behind it."""
        if name not in self._drawn:
            self._drawn[name] = draw()
        return self._drawn[name]

    def to_json(self) -> dict[str, Any]:
        return {
            "figures": {key: one.to_json() for key, one in self.figures.items()},
            "tables": {name: table.to_dicts() for name, table in self.tables.items()},
            "notes": list(self.notes),
        }
