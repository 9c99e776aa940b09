"""`trivox people import`: judgements that were made elsewhere."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_json,
)
from trivox.platform.records import JudgeKind

if TYPE_CHECKING:
    from trivox.annotation.imports import Imported, RefusedRow
    from trivox.platform.store import Workspace

SHOWN = 20


def import_(
    source: Annotated[
        Path,
        typer.Argument(help="CSV, JSONL, or a Parquet file of SpeechJudge-Data.", metavar="FILE"),
    ],
    judges: Annotated[
        JudgeKind, typer.Option(help="Who judged; only people count among people.")
    ] = JudgeKind.HUMAN,
    licence: Annotated[str, typer.Option(help="Of SpeechJudge's audio.")] = "CC-BY-NC-4.0",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Import judgements made elsewhere: good rows are taken once, the others are listed with reason and remedy.

    Refused rows are kept in the workspace's quarantine: mend their `values` there and import that file.

    A row of CSV or JSONL has task, judge, answer (3 to -3 without 0, both_good, both_bad, cannot_tell, skip),
    created_at with its time zone, and optionally shown_first (1 or 2), reasons, comment. Rows of SpeechJudge bring
    their audio, and get a campaign of their own.
    """
    from trivox.annotation.imports import import_speechjudge
    from trivox.annotation.people.audit import THE_SYSTEM
    from trivox.pipelines.imports.quarantine import Quarantine
    from trivox.pipelines.imports.rows import Refusal

    ws = open_workspace(workspace)
    quarantine = Quarantine(ws.root, "judgements")

    def keep(one: "RefusedRow", held: Any) -> None:
        label = f"{source.name}:{one.row}"
        quarantine.keep([Refusal(label, one.reason, one.remedy, held)])

    if source.suffix == ".parquet":
        told = import_speechjudge(ws, THE_SYSTEM, source, licence, keep=keep)
    else:
        told = _import_rows(ws, source, judges, keep)
    kept = quarantine.file
    refused = [asdict(one) for one in told.refused]
    if json:
        counts = {"taken": told.taken, "repeated": told.repeated, "beyond": told.beyond}
        print_json(counts | {"refused": refused, "quarantine": kept})
        return
    count = len(refused) + told.beyond
    typer.echo(f"{told.taken} taken, {told.repeated} there already, {count} refused")
    for one in told.refused[:SHOWN]:
        typer.echo(f"  row {one.row}: {one.reason}: {one.remedy}")
    if kept is not None:
        typer.echo(f"  refused rows are kept in {kept}")


def _import_rows(
    ws: "Workspace", source: Path, judges: JudgeKind, keep: Callable[["RefusedRow", Any], None]
) -> "Imported":
    """Rows of a file, a few at a time; keep: is given what was refused, by its keys and values or its place."""
    from trivox.annotation.imports import Unread, import_rows, rows_of
    from trivox.annotation.people.audit import THE_SYSTEM
    from trivox.pipelines.imports.rows import Lines, Refusal, placed_lines
    from trivox.platform.errors import UsageError

    def lines() -> Iterator[tuple[str | Unread, Lines]]:
        for _, line, place in placed_lines(source):
            said = Unread(line.reason, line.remedy) if isinstance(line, Refusal) else line
            yield said, place

    def place_of(held: Lines | list[Lines]) -> Lines:
        some = [held] if isinstance(held, Lines) else held
        end = some[-1].start + some[-1].length
        return Lines(source, some[0].start, end - some[0].start)

    form: Literal["csv", "jsonl"] = "csv" if ".csv" in source.suffixes else "jsonl"
    try:
        return import_rows(
            ws, THE_SYSTEM, rows_of(lines(), form), judges,
            keep=lambda one, raw: keep(
                one, place_of(raw.held) if isinstance(raw.values, Unread) else raw.values
            ),
        )  # fmt: skip
    except OSError as error:
        raise UsageError(f"{source}: cannot be read: {error.strerror}") from None
