"""`trivox sample`: the audio that rounds made."""

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_rows,
)

if TYPE_CHECKING:
    from trivox.platform.records import Rollout
    from trivox.platform.store import Workspace

app = typer.Typer(help="Find and hear the samples of rounds.", no_args_is_help=True)
PLAYERS = (
    ["pw-play"],
    ["paplay"],
    ["afplay"],
    ["aplay", "-q"],
    ["ffplay", "-nodisp", "-autoexit", "-v", "error"],
)
SampleArgument = Annotated[
    str, typer.Argument(help="Rollout id, or its beginning or end.", metavar="SAMPLE")
]


@app.command("list")
def list_(
    round_name: Annotated[
        str, typer.Option("--round", help="Round id, part of it, or `last`.")
    ] = "last",
    limit: Annotated[int, typer.Option(help="How many at most.")] = 20,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """List samples of a round with the text they were to say."""
    from trivox.pipelines.rounds.finding import find_round
    from trivox.platform.records import Prompt, Rollout

    ws = open_workspace(workspace)
    rollouts = ws.tables.read(Rollout, round=find_round(ws, round_name).id)[:limit]
    names = ("sample", "producer", "finished", "text")
    rows = [
        (r.id, r.producer, r.finish_reason.value, ws.records.get(Prompt, r.prompt).text or "")
        for r in rollouts
    ]
    print_rows("samples", names, rows, "no sample yet: run a round", json)


@app.command()
def path(name: SampleArgument, workspace: WorkspaceOption = DEFAULT_WORKSPACE) -> None:
    """Print where the audio of a sample lies."""
    typer.echo(_audio_path(open_workspace(workspace), name))


@app.command()
def play(name: SampleArgument, workspace: WorkspaceOption = DEFAULT_WORKSPACE) -> None:
    """Play a sample with a player of this machine."""
    from trivox.platform.errors import NotFound

    audio = _audio_path(open_workspace(workspace), name)
    for command in PLAYERS:
        if shutil.which(command[0]):
            subprocess.run([*command, str(audio)], check=True)
            return
    names = ", ".join(command[0] for command in PLAYERS)
    raise NotFound(f"no player found ({names}): install one, or open {audio}")


def _audio_path(ws: "Workspace", name: str) -> Path:
    from trivox.platform.errors import NotFound

    rollout = _find(ws, name)
    if rollout.audio is None:
        raise NotFound(f"sample {rollout.id} has no audio: the policy said nothing")
    return ws.audio.path(rollout.audio)


def _find(ws: "Workspace", name: str) -> "Rollout":
    import polars as pl

    from trivox.platform.errors import NotFound, UsageError
    from trivox.platform.records import Rollout

    matches = pl.col("id").str.starts_with(name) | pl.col("id").str.ends_with(name)
    found = ws.tables.scan(Rollout).filter(matches).select("id", "round").collect().rows()
    if not found:
        raise NotFound(f"sample {name!r} is not there: see `trivox sample list`")
    if len(found) > 1:
        raise UsageError(f"sample {name!r} may be any of {len(found)}: give more of its id")
    (rollout_id, round_id), *_ = found
    return next(r for r in ws.tables.read(Rollout, round=round_id) if r.id == rollout_id)
