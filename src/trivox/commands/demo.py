"""`trivox demo`: the whole loop, once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trivox.commands.common import JsonOption, print_json
from trivox.platform.progress import say

if TYPE_CHECKING:
    from trivox.platform.store import Workspace

DEMO_WORKSPACE = Path("trivox-demo")


def demo(
    folder: Annotated[
        Path, typer.Option("--workspace", "-w", help="Where to work.")
    ] = DEMO_WORKSPACE,
    seeds: Annotated[
        int, typer.Option(help="How many rounds, of seeds 0, 1, …, pooled at the end.", min=1)
    ] = 1,
    json: JsonOption = False,
) -> None:
    """Close the loop once: rollouts, scores, simulated judgements, preferences, DPO, evaluation, publication.

    Judges are simulated and recorded as such. Run again, it reuses what is there.
    """
    from trivox.commands.rounds import carry_on, print_pool, show_round
    from trivox.pipelines.report import pool, report
    from trivox.pipelines.rounds.config import demo_config
    from trivox.pipelines.rounds.service import RoundService

    ws = _workspace(folder)
    rounds = []
    for seed in range(seeds):
        round_ = RoundService(ws).start(demo_config(seed))
        say(f"demo, seed {seed}: round {round_.id} is {round_.status.value}; judges are SIMULATED")
        rounds.append(carry_on(ws, round_, serve=False))
    if json:
        reports = [report(ws, one).as_json() for one in rounds]
        print_json({"rounds": reports, "pooled": pool(ws, rounds)})
        return
    for one in rounds:
        show_round(ws, one, json=False)
    if seeds > 1:
        print_pool(pool(ws, rounds), json=False)


def _workspace(folder: Path) -> "Workspace":
    from trivox.pipelines.workspaces import init_workspace
    from trivox.platform.errors import NotFound
    from trivox.platform.store import Workspace

    try:
        return Workspace.open(folder)
    except NotFound:
        return init_workspace(folder)
