"""Lineage drawn: a graph in DOT, which the browser lays out."""

import json

from trivox.dashboards.charts import COLOURS, GREY
from trivox.dashboards.queries.figures import View

SHAPES = {
    "version": ("box", COLOURS[0]),
    "round": ("ellipse", COLOURS[1]),
    "prompts": ("folder", COLOURS[2]),
    "rollouts": ("cylinder", COLOURS[5]),
    "judgements": ("note", COLOURS[4]),
    "preferences": ("component", COLOURS[3]),
    "reward": ("hexagon", COLOURS[3]),
    "evaluation": ("tab", GREY),
    "decision": ("diamond", GREY),
}
"""Kind -> shape and colour of its line: kinds are told apart without colour too."""


def dot(view: View) -> str:
    """The nodes and edges of a lineage. Words of people are quoted, so that none is taken for DOT."""
    lines = [
        "digraph { rankdir=LR; bgcolor=transparent; nodesep=0.25;",
        f'node [fontname="sans-serif" fontsize=11 fontcolor="{GREY}" penwidth=2]; edge [color="{GREY}"];',
    ]
    for one in view.tables["nodes"].to_dicts():
        shape, colour = SHAPES[one["kind"]]
        words = _quoted(one["what"])
        lines.append(f'{_quoted(one["id"])} [label={words} shape={shape} color="{colour}"];')
    for one in view.tables["edges"].to_dicts():
        lines.append(f"{_quoted(one['from'])} -> {_quoted(one['to'])};")
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    """In quotes, with line breaks kept and nothing else of effect."""
    return json.dumps(text, ensure_ascii=False).replace("\\\\", "\\\\\\\\")
