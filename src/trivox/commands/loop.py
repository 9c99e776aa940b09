"""`trivox loop`: rounds one after the other, until a rule stops them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_json,
    print_rows,
)
from trivox.platform.errors import EXIT_WAITING
from trivox.platform.progress import say

if TYPE_CHECKING:
    from trivox.pipelines.rounds.loops import LoopRound, LoopService
    from trivox.platform.records import Loop

app = typer.Typer(
    help="Rounds one after the other, each from what the last one published.", no_args_is_help=True
)
LoopArgument = Annotated[
    str, typer.Argument(help="Loop id, its beginning, or `last`.", metavar="LOOP")
]
LAST = "last"


@app.command()
def run(
    config: Annotated[
        Path | None, typer.Option(help="TOML file: rounds, reference, [round…], [stop].")
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="At most so many rounds.", min=1)] = None,
    enqueue_only: Annotated[
        bool, typer.Option("--enqueue", help="Leave the work to `trivox worker`.")
    ] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Run a schedule of rounds; the same configuration again goes on with the same loop.

    It ends after its last round, without gain, at its limit of work, or when a watcher stops an update. Exit code
    3: a round waits for people, or for someone to see to it.
    """
    from trivox.commands.rounds import stop_at_sigterm
    from trivox.pipelines.rounds.loops import LoopConfig, LoopService
    from trivox.platform.config import load_toml, validated

    read = LoopConfig() if config is None else load_toml(config, LoopConfig)
    raw = read.model_dump(mode="json") | ({} if rounds is None else {"rounds": rounds})
    service = LoopService(open_workspace(workspace))
    loop = service.start(validated(raw, LoopConfig, "loop configuration"))
    say(f"loop {loop.id}: {loop.status.value}")
    stop_at_sigterm()
    if not enqueue_only:
        loop = _carried_on(service, loop)
    _show(service, loop, json)
    if loop.status.value == "running" and not enqueue_only:
        raise typer.Exit(EXIT_WAITING)


def _carried_on(service: "LoopService", loop: "Loop") -> "Loop":
    """Work on its rounds until it ends or a round rests."""
    from trivox.commands.rounds import carry_on
    from trivox.pipelines.rounds.finding import ENDED
    from trivox.pipelines.rounds.service import RoundService
    from trivox.platform.records import RoundStatus

    while loop.status not in ENDED:
        last = service.rounds_of(loop)[-1]
        if last.status is RoundStatus.FAILED:
            last = RoundService(service.ws).retry(last.id)
        ended = carry_on(service.ws, last, serve=False)
        before, loop = loop, service.advance(loop.id)
        if ended.status is not RoundStatus.DONE and loop.rounds == before.rounds:
            break
    return loop


@app.command()
def status(
    name: LoopArgument = LAST,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """How far a loop is, and why it ended or what it waits for."""
    service = _service(workspace)
    _show(service, service.find(name), json)


@app.command("list")
def list_(workspace: WorkspaceOption = DEFAULT_WORKSPACE, json: JsonOption = False) -> None:
    """List the loops, the oldest first."""
    rows = [
        (one.id, one.status.value, str(len(one.rounds)), one.reason or "")
        for one in _service(workspace).loops()
    ]
    print_rows(
        "loops",
        ("loop", "status", "rounds", "reason"),
        rows,
        "no loop yet: trivox loop run --help",
        json,
    )


@app.command()
def cancel(name: LoopArgument, workspace: WorkspaceOption = DEFAULT_WORKSPACE) -> None:
    """Begin no further round; the one at work ends by itself."""
    ended = _service(workspace).cancel(name)
    typer.echo(f"loop {ended.id} is {ended.status.value}")


def _show(service: "LoopService", loop: "Loop", json: bool) -> None:
    state = service.status(loop.id)
    columns = ("round", "seed", "status", "from", "promoted")
    rows = [
        (one.round, str(one.seed), one.status.value, one.policy, _published(one))
        for one in state.rounds
    ]
    if json:
        told = {"loop": loop.id, "status": state.status.value, "reason": state.reason}
        print_json(told | {"rounds": [dict(zip(columns, row, strict=True)) for row in rows]})
        return
    typer.echo(f"loop {loop.id}: {state.status.value}{f': {state.reason}' if state.reason else ''}")
    print_rows("rounds", columns, rows, "no round yet", json)


def _published(one: "LoopRound") -> str:
    return (one.promoted or "no") if one.status.value == "done" else ""


def _service(workspace: Path) -> "LoopService":
    from trivox.pipelines.rounds.loops import LoopService

    return LoopService(open_workspace(workspace))
