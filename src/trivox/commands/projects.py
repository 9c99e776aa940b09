"""`trivox project`: several teams in one workspace: their places, budgets and costs."""

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

if TYPE_CHECKING:
    from trivox.platform.store import Workspace

app = typer.Typer(
    help="Projects: teams that share a workspace, each with its own storage prefix, roles, budgets and costs. "
    "Commands work in the project of trivox.toml, or in that of TRIVOX_PROJECT.",
    no_args_is_help=True,
)
RoundOption = Annotated[str | None, typer.Option(help="Of this round alone: its id, or `last`.")]
CampaignOption = Annotated[str | None, typer.Option(help="Of this campaign alone: its id.")]


@app.command("list")
def list_(workspace: WorkspaceOption = DEFAULT_WORKSPACE, json: JsonOption = False) -> None:
    """The projects of the workspace's database; the one that commands work in is marked."""
    from trivox.platform.records import Project
    from trivox.platform.store.projects import prefix_of

    with open_workspace(workspace) as ws:
        rows = [
            (one.id, prefix_of(ws.records, one.id), one.created_at, one.id == ws.project)
            for one in ws.records.find(Project)
        ]
    print_rows("projects", ("project", "prefix", "created_at", "current"), rows, "no project", json)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Its name.")],
    prefix: Annotated[
        str | None,
        typer.Option(
            help="Where its audio and artefacts lie below the workspace's. Default: the name."
        ),
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Make a project. To work in it: TRIVOX_PROJECT=NAME trivox …; its people and roles are its own."""
    from trivox.platform.store.projects import create_project

    with open_workspace(workspace) as ws:
        plan = create_project(ws.records, name, prefix)
    if json:
        print_json({"project": plan.project, "prefix": plan.prefix})
    else:
        typer.echo(
            f"project {plan.project} keeps its files below {plan.prefix}/; next: TRIVOX_PROJECT={name}"
        )


@app.command()
def budget(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="people, gpu, cpu (seconds), judge (requests), money (--unit EUR) or storage (bytes); none: list."
        ),
    ] = None,
    limit: Annotated[float | None, typer.Argument(help="How much may be spent in all.")] = None,
    unit: Annotated[str | None, typer.Option(help="Currency of a budget of money.")] = None,
    round: RoundOption = None,
    campaign: CampaignOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Set or list budgets. Work stops politely where one is used up, and goes on when it is raised."""
    from trivox.platform.errors import UsageError
    from trivox.platform.store.budgets import budgets, set_budget

    with open_workspace(workspace) as ws:
        if kind is not None:
            if limit is None:
                raise UsageError(
                    f"a budget of {kind} needs its limit: trivox project budget {kind} LIMIT"
                )
            chosen = _round(ws, round)
            set_budget(
                ws.records, project=ws.project, kind=kind, limit=limit, unit=unit, round=chosen, campaign=campaign
            )  # fmt: skip
        rows = [
            (one.kind, one.unit, one.round, one.campaign, one.limit, ws.stored_bytes() if used is None else used)
            for one, used in budgets(ws.records, ws.project)
        ]  # fmt: skip
    columns = ("kind", "unit", "round", "campaign", "limit", "used")
    print_rows("budgets", columns, rows, "no budget: everything may be spent", json)


@app.command()
def costs(workspace: WorkspaceOption = DEFAULT_WORKSPACE, json: JsonOption = False) -> None:
    """What the project spent by round, campaign and kind; what has no price is counted as such."""
    from trivox.platform.store.budgets import spent

    with open_workspace(workspace) as ws:
        found = spent(ws.records, ws.project)
    rows = [
        (
            one.round,
            one.campaign,
            one.kind,
            one.quantity,
            one.unit,
            one.entries,
            one.money,
            one.unpriced,
        )
        for one in found
    ]
    columns = ("round", "campaign", "kind", "quantity", "unit", "entries", "money", "unpriced")
    print_rows("costs", columns, rows, "nothing was booked yet", json)


def _round(ws: "Workspace", name: str | None) -> str | None:
    from trivox.pipelines.rounds.finding import find_round

    return None if name is None else find_round(ws, name).id
