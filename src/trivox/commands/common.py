"""What all commands share: the workspace option, JSON on stdout, tables."""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trivox.platform.observability.logs import LogForm

if TYPE_CHECKING:
    from trivox.platform.records import PolicyVersion
    from trivox.platform.store import Workspace
    from trivox.policy.resident import ResidentPolicy

DEFAULT_WORKSPACE = Path("trivox-workspace")
PIPE_WIDTH = 400

WorkspaceOption = Annotated[
    Path,
    typer.Option(
        "--workspace", "-w", envvar="TRIVOX_WORKSPACE", help="Folder of the workspace to work in."
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object and nothing else on stdout.")
]
LogOption = Annotated[
    LogForm,
    typer.Option(
        "--log",
        envvar="TRIVOX_LOG",
        help="What stderr gets: json, an object a line with the ids of round and stage; text, for people; auto: "
        "text at a terminal, else json.",
    ),
]
PolicyOption = Annotated[
    str,
    typer.Option("--policy", "-p", help="Policy version: a name, an id, or the start of an id."),
]


def open_workspace(root: Path) -> "Workspace":
    from trivox.platform.store import Workspace

    return Workspace.open(root)


def print_json(value: Any) -> None:
    """One JSON object on stdout; numbers that JSON does not know become null."""
    typer.echo(json.dumps(_plain(value), ensure_ascii=False, default=str))


def print_figures(figures: dict[str, Any], prefix: str = "") -> None:
    """One figure a line; those of a part after its name and a dot."""
    for name, value in figures.items():
        if isinstance(value, dict):
            print_figures(value, f"{prefix}{name}.")
        else:
            shown = f"{value:.4f}" if isinstance(value, float) else value
            typer.echo(f"{prefix + name:<40} {shown}")


def print_rows(
    key: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str, json: bool
) -> None:
    """Rows on stdout: as one JSON object under `key`, as a table, or the line `empty` when there is none."""
    if json:
        print_json({key: [dict(zip(columns, row, strict=True)) for row in rows]})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    if not table.row_count:
        typer.echo(empty)
        return
    stdout = Console()
    # Into a file or pipe: rows that other programs can read, not folded to a screen.
    (stdout if stdout.is_terminal else Console(width=PIPE_WIDTH)).print(table)


def load_policy(root: Path, name: str) -> "tuple[ResidentPolicy, PolicyVersion, Path | None]":
    """The resident backbone of a policy version, the version, and its adapter's folder.

    Without a workspace at root only the packaged model can be named.
    """
    from trivox.pipelines.versions import find_version
    from trivox.policy.resident import ResidentPolicy

    found = find_version(root, name)
    return ResidentPolicy(found.backbone), found.policy, found.adapter


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
