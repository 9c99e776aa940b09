"""`trivox round`, `worker`, `label` and `report`: rounds from configuration to published policy."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    LogOption,
    WorkspaceOption,
    open_workspace,
    print_json,
    print_rows,
)
from trivox.platform.errors import EXIT_WAITING
from trivox.platform.observability.logs import LogForm, written
from trivox.platform.progress import say
from trivox.platform.records import Branch

if TYPE_CHECKING:
    from trivox.platform.records import Round
    from trivox.platform.store import Workspace

app = typer.Typer(help="Run rounds of RL and look at what they made.", no_args_is_help=True)
RoundArgument = Annotated[
    str, typer.Argument(help="Round id, its beginning or its end, or `last`.", metavar="ROUND")
]
LAST = "last"
ConfigOption = Annotated[Path | None, typer.Option(help="TOML file; options below override it.")]
BranchOption = Annotated[Branch | None, typer.Option(help="Branch to improve.")]
StartOption = Annotated[str | None, typer.Option(help="Version to start from (default: nano).")]
PromptsOption = Annotated[str | None, typer.Option(help="Prompt set, `name` or `name@version`.")]
SeedOption = Annotated[int | None, typer.Option(help="Another seed is another round.")]


@app.command()
def run(
    config: ConfigOption = None,
    branch: BranchOption = None,
    policy: StartOption = None,
    prompts: PromptsOption = None,
    seed: SeedOption = None,
    judges: Annotated[str | None, typer.Option(help="human (default) or simulated.")] = None,
    count: Annotated[int | None, typer.Option(help="How many training prompts.")] = None,
    candidates: Annotated[int | None, typer.Option(help="Candidates for each prompt.")] = None,
    enqueue_only: Annotated[
        bool, typer.Option("--enqueue", help="Leave the work to `trivox worker`.")
    ] = False,
    serve: Annotated[
        bool, typer.Option(help="With human judges: serve the labelling page and wait.")
    ] = True,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Run a round: rollout, score, compare, label, aggregate, train, evaluate, publish.

    The same configuration and seed is the same round: a finished one is shown, a broken one goes on where it
    stopped. Exit code 3: it waits for people.
    """
    from trivox.pipelines.rounds.service import RoundService
    from trivox.platform.records import RoundStatus

    ws = open_workspace(workspace)
    overrides: dict[str, Any] = {
        "branch": branch,
        "policy": policy,
        "prompts": prompts,
        "seed": seed,
        "label.judges": judges,
        "rollout.prompts": count,
        "rollout.candidates": candidates,
    }
    round_ = RoundService(ws).start(read_config(config, overrides))
    say(f"round {round_.id}: {round_.status.value}")
    stop_at_sigterm()
    if not enqueue_only:
        round_ = carry_on(ws, round_, serve)
    show_round(ws, round_, json)
    if round_.status is RoundStatus.WAITING:
        raise typer.Exit(EXIT_WAITING)


def stop_at_sigterm() -> None:
    """What a scheduler sends before it kills (Kubernetes, SLURM) ends the work as Ctrl-C does: politely."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def read_config(path: Path | None, overrides: dict[str, Any]) -> Any:
    """The configuration of a TOML file with `section.key` overrides; None overrides nothing."""
    from trivox.pipelines.rounds.config import RoundConfig
    from trivox.platform.config import load_toml, validated

    base = RoundConfig() if path is None else load_toml(path, RoundConfig)
    raw = base.model_dump(mode="json")
    for key, value in overrides.items():
        *sections, name = key.split(".")
        place = raw
        for section in sections:
            place = place[section]
        if value is not None:
            place[name] = value
    return validated(raw, RoundConfig, "round configuration")


def carry_on(ws: "Workspace", round_: "Round", serve: bool) -> "Round":
    """Work on a round until it ends, or until people are needed and none is served."""
    from trivox.pipelines.rounds.finding import ENDED
    from trivox.pipelines.rounds.lease import STOPPING
    from trivox.pipelines.rounds.runner import run_round
    from trivox.platform.records import RoundStatus

    while round_.status not in (*ENDED, *STOPPING):
        round_ = run_round(ws, round_.id)
        if round_.status is RoundStatus.WAITING and not (serve and _labelled(ws, round_.id) == 0):
            break
    return round_


def _labelled(ws: "Workspace", round_id: str) -> int:
    """Serve the labelling page until nothing waits or the person stops; returns what still waits."""
    from trivox.annotation.server import serve_labels

    with serve_labels(ws, round_id) as server:
        say(f"\nLabel in a browser on this machine (the address works once):\n\n  {server.url}\n")
        try:
            return server.wait()
        except KeyboardInterrupt:
            return server.waiting()


def show_round(ws: "Workspace", round_: "Round", json: bool) -> None:
    from trivox.pipelines.rendering import print_report, write_html
    from trivox.pipelines.report import report as make

    made = make(ws, round_)
    if json:
        print_json(made.as_json())
        return
    path = ws.root / "reports" / f"{round_.id}.html"
    write_html(made, path)
    print_report(made, path)


@app.command()
def show(
    name: RoundArgument = LAST,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """What each stage of a round made, how the policy changed, and what to run next."""
    from trivox.pipelines.rounds.finding import find_round

    ws = open_workspace(workspace)
    show_round(ws, find_round(ws, name), json)


@app.command("list")
def list_(workspace: WorkspaceOption = DEFAULT_WORKSPACE, json: JsonOption = False) -> None:
    """List the rounds, the oldest first."""
    from trivox.platform.records import Round

    ws = open_workspace(workspace)
    names = ("round", "branch", "algorithm", "seed", "stage", "status", "error")
    rows = [
        (
            r.id,
            r.branch.value,
            r.algorithm,
            str(r.seed),
            r.stage.value,
            r.status.value,
            r.error or "",
        )
        for r in ws.records.find(Round, project=ws.project)
    ]
    print_rows("rounds", names, rows, "no round yet: trivox round run", json)


def worker(
    once: Annotated[bool, typer.Option(help="Stop when nothing is runnable.")] = False,
    log: LogOption = LogForm.AUTO,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Work on queued rounds, and on waiting ones as soon as people have judged, until interrupted.

    Several may run, on one machine or on many with the same database: each round has one worker at a time. SIGTERM
    ends it as an interruption does, with its round queued again.
    """
    from trivox.pipelines.rounds.worker import work

    stop_at_sigterm()
    with written(log):
        worked = work(open_workspace(workspace), once=once)
    typer.echo(f"{worked} rounds worked on")


def label(
    name: RoundArgument = LAST,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Serve the labelling page of a waiting round on this machine, behind a one-time address."""
    from trivox.pipelines.rounds.finding import find_round

    ws = open_workspace(workspace)
    waiting = _labelled(ws, find_round(ws, name).id)
    if waiting:
        typer.echo(f"{waiting} comparisons still wait")
        raise typer.Exit(EXIT_WAITING)
    typer.echo("all judged; go on with: trivox worker --once")


def print_pool(pooled: dict[str, Any], json: bool) -> None:
    from trivox.platform.statistics.intervals import told

    if json:
        print_json(pooled)
        return
    win, change = pooled["win_rate"], pooled["wer_change"]
    rate = (
        "none"
        if win["rate"] is None
        else f"{win['rate']:.1%} ({win['low']:.1%} to {win['high']:.1%})"
    )
    typer.echo(
        f"{len(pooled['rounds'])} rounds, {pooled['pairs']} pairs of {pooled['prompts']} prompts"
    )
    typer.echo(
        f"win rate {rate}; {win['wins']} wins, {win['losses']} losses, {win['ties']} ties, "
        f"{pooled['failed']} failed"
    )
    if change["mean"] is not None:
        low, high = (None if one is None else 100 * one for one in (change["low"], change["high"]))
        typer.echo(
            f"WER {pooled['wer_before']:.2%} before, {pooled['wer_after']:.2%} after, change "
            f"{100 * change['mean']:+.2f} points ({told(low, high, '+.2f')})"
        )
