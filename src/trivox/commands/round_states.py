"""`trivox round plan | status | watch | pause | resume | cancel | retry | diff | lineage`."""

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_figures,
    print_json,
    print_rows,
)
from trivox.commands.rounds import (
    LAST,
    BranchOption,
    ConfigOption,
    PromptsOption,
    RoundArgument,
    SeedOption,
    StartOption,
    read_config,
)
from trivox.platform.errors import EXIT_FAILED, EXIT_WAITING
from trivox.platform.progress import say

if TYPE_CHECKING:
    from trivox.pipelines.rounds.service import RoundService
    from trivox.pipelines.rounds.views import RoundState

Other = Annotated[str, typer.Argument(help="The other round.", metavar="OTHER")]
POLL_S = 2.0
RESTING = ("done", "failed", "cancelled", "paused")


def add_to(app: typer.Typer) -> None:
    """Put the commands below into the group `round`."""
    for command in (plan, status, watch, pause, resume, cancel, retry, diff, lineage):
        app.command()(command)


def plan(
    config: ConfigOption = None,
    branch: BranchOption = None,
    policy: StartOption = None,
    prompts: PromptsOption = None,
    seed: SeedOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Say what a round would make, in how many pieces, without making any of it."""
    overrides = {"branch": branch, "policy": policy, "prompts": prompts, "seed": seed}
    made = _service(workspace).plan(read_config(config, overrides))
    if json:
        print_json(asdict(made))
        return
    known = "there already" if made.exists else "new"
    typer.echo(f"round {made.round}: {known}; {' → '.join(made.stages)}")
    typer.echo(
        f"{made.algorithm} on branch {made.branch}, from {made.policy}, prompts {made.prompt_set}, "
        f"seed {made.seed}, judges: {made.judges}"
    )
    print_figures(made.work)


def status(
    name: RoundArgument = LAST,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """How far a round is: its stages, who works on it, what waits, what it cost so far."""
    state = _service(workspace).status(name)
    if json:
        print_json(asdict(state))
    else:
        _print_state(state)


def watch(
    name: RoundArgument = LAST,
    every: Annotated[
        float, typer.Option(help="Seconds between two looks.", min=0.1, max=3600)
    ] = POLL_S,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Follow a round until it ends, fails, is paused or waits for people; another process does the work.

    Exit code 0 when it is done, 3 when it waits for people, else 1.
    """
    service, last = _service(workspace), ""
    while True:
        state = service.status(name)
        line = f"{state.round}: {state.status}, stage {state.stage}"
        if line != last:
            say(line)
            last = line
        if state.status in RESTING or state.waiting:
            break
        time.sleep(every)
    if json:
        print_json(asdict(state))
    raise typer.Exit(_exit_code(state))


def _exit_code(state: "RoundState") -> int:
    if state.status == "waiting":
        return EXIT_WAITING
    return 0 if state.status == "done" else EXIT_FAILED


def pause(name: RoundArgument, workspace: WorkspaceOption = DEFAULT_WORKSPACE) -> None:
    """Stop a round between two units of work; nothing that it made is lost, and people may go on judging."""
    _say(_service(workspace), "pause", name)


def resume(name: RoundArgument, workspace: WorkspaceOption = DEFAULT_WORKSPACE) -> None:
    """Queue a paused round again; it goes on where it stopped."""
    _say(_service(workspace), "resume", name)


def cancel(name: RoundArgument, workspace: WorkspaceOption = DEFAULT_WORKSPACE) -> None:
    """End a round for good, also a running one; what it made stays, and nobody is asked to judge it any more."""
    _say(_service(workspace), "cancel", name)


def retry(name: RoundArgument, workspace: WorkspaceOption = DEFAULT_WORKSPACE) -> None:
    """Queue a failed round again; finished stages and finished units of work stay."""
    _say(_service(workspace), "retry", name)


def _say(service: "RoundService", verb: str, name: str) -> None:
    changed = getattr(service, verb)(name)
    typer.echo(f"round {changed.id} is {changed.status.value}")


def diff(
    one: RoundArgument,
    other: Other,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """What two rounds were told differently, and how what they made differs."""
    found = _service(workspace).diff(one, other)
    if json:
        print_json(asdict(found))
        return
    rows = [
        (where, key, _shown(a), _shown(b))
        for where, pairs in (("config", found.config), ("made", found.made))
        for key, (a, b) in pairs.items()
    ]
    same = "they do not differ"
    print_rows("differences", ("where", "key", found.one, found.other), rows, same, json)


def lineage(
    name: RoundArgument = LAST,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Where everything of a round came from: policies, prompts, rollouts, judgements; and what came of it."""
    found = asdict(_service(workspace).lineage(name))
    if json:
        print_json(found)
        return
    print_figures({key: _shown(value) for key, value in found.items()})


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {one}" for key, one in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _print_state(state: "RoundState") -> None:
    typer.echo(f"round {state.round}: {state.status}, at {state.stage}")
    if state.worker:
        typer.echo(f"worker {state.worker}{' (dead)' if state.alive is False else ''}")
    if state.waiting:
        typer.echo(f"{state.waiting} comparisons wait for people: trivox label {state.round}")
    if state.error:
        typer.echo(f"error: {state.error}")
    rows = [
        (
            one.stage,
            one.state,
            "" if one.seconds is None else f"{one.seconds:.1f}",
            _shown(one.made or {}) if one.made else "",
        )
        for one in state.stages
    ]
    print_rows("stages", ("stage", "state", "seconds", "made"), rows, "no stage", json=False)


def _service(workspace: Any) -> "RoundService":
    from trivox.pipelines.rounds.service import RoundService

    return RoundService(open_workspace(workspace))
