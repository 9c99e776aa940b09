"""`trivox campaign`: what people are asked, how far it is, how well they agree, and what would come of it."""

from dataclasses import asdict
from pathlib import Path
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

if TYPE_CHECKING:
    from trivox.annotation.work.report import Report
    from trivox.platform.records import Campaign
    from trivox.platform.store import Workspace

app = typer.Typer(help="Campaigns of labelling: create, follow, evaluate.", no_args_is_help=True)
CampaignArgument = Annotated[
    str, typer.Argument(help="Campaign id, its beginning, or its name.", metavar="CAMPAIGN")
]


@app.command()
def create(
    config: Annotated[Path, typer.Argument(help="TOML file; docs/campaigns.md has one.")],
    round_name: Annotated[
        str | None, typer.Option("--round", help="Ask for comparisons of this round's samples.")
    ] = None,
    pairs: Annotated[int, typer.Option(help="Comparisons for each prompt of the round.")] = 1,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Make a campaign from a TOML file: name, branch, languages, guideline, overlap, budget and [plan].

    [plan] says how it is worked through: shares of random draws, controls and repeats, caps, training, pools.
    """
    from trivox.annotation.leads.campaigns import add_round
    from trivox.annotation.leads.campaigns import create as make
    from trivox.annotation.people.audit import THE_SYSTEM
    from trivox.annotation.work.settings import read_settings
    from trivox.pipelines.rounds.finding import find_round

    ws = open_workspace(workspace)
    round_id = None if round_name is None else find_round(ws, round_name).id
    made = make(ws, THE_SYSTEM, read_settings(config).wanted())
    tasks = 0
    if round_id is not None:
        tasks = add_round(ws, THE_SYSTEM, made.id, round_id, pairs_per_prompt=pairs)
    told = {"campaign": made.id, "name": made.name, "tasks": tasks}
    print_json(told) if json else print_figures(told)


@app.command("list")
def list_(workspace: WorkspaceOption = DEFAULT_WORKSPACE, json: JsonOption = False) -> None:
    """List the campaigns of the project with how far they are."""
    from trivox.annotation.work.report import status as status_of
    from trivox.platform.records import Campaign

    ws = open_workspace(workspace)
    found = [status_of(ws, one) for one in ws.records.find(Campaign, project=ws.project)]
    names = ("campaign", "name", "state", "tasks", "finished", "answered", "wanted")
    rows = [[getattr(one, name) for name in names] for one in found]
    print_rows("campaigns", names, rows, "no campaign yet: trivox campaign create --help", json)


@app.command()
def status(
    name: CampaignArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Show how far a campaign is: tasks finished, judgements by kind of judge, what waits for an expert."""
    from trivox.annotation.work.report import status as status_of

    ws = open_workspace(workspace)
    told = asdict(status_of(ws, _find(ws, name)))
    print_json(told) if json else print_figures(told)


@app.command()
def report(
    name: CampaignArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Show agreement, reliability of the judges, leaderboard of policies and side bias, with 95 % intervals.

    Only people's judgements count. Policies are ranked by the lower bound of their strength.
    """
    from trivox.annotation.work.report import report as report_of

    ws = open_workspace(workspace)
    found = report_of(ws, _find(ws, name))
    if json:
        print_json(asdict(found))
    else:
        _print(found)


@app.command()
def preview(
    name: CampaignArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Show how many preferences each method would keep at each threshold of margin and confidence.

    Nothing is stored: choose the thresholds here, then commit them, or put them into [aggregate] of a round.
    """
    from trivox.annotation.leads.results import yields

    ws = open_workspace(workspace)
    found = yields(ws, _find(ws, name).id)
    names = ("method", "min_margin", "min_confidence", "kept", "tasks")
    rows = [
        (one.method.value, one.min_margin, round(one.min_confidence, 3), one.kept, one.tasks)
        for one in found
    ]
    print_rows("yields", names, rows, "nothing to aggregate yet", json)


@app.command()
def commit(
    name: CampaignArgument,
    method: Annotated[
        str, typer.Option(help="majority, weighted or dawid-skene; see `trivox campaign preview`.")
    ] = "majority",
    min_margin: Annotated[float, typer.Option(help="Least mean strength, 0 to 3.")] = 0.5,
    min_confidence: Annotated[float, typer.Option(help="Least confidence, 0 to 1.")] = 0.5,
    heard_only: Annotated[
        bool,
        typer.Option(
            "--heard-only",
            help="Leave out judgements without proof of listening: Label Studio's, imported ones.",
        ),
    ] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Store the preferences of a campaign at these thresholds, for training; look at the preview first.

    The same judgements and thresholds again are the same set.
    """
    from trivox.annotation.leads import results
    from trivox.annotation.people.audit import THE_SYSTEM

    ws = open_workspace(workspace)
    wanted = results.Wanted(results.method_named(method), min_margin, min_confidence, heard_only)
    made = results.commit(ws, THE_SYSTEM, _find(ws, name).id, wanted)
    told = {
        "preference_set": made.id,
        "method": made.method,
        "preferences": len(made.preferences),
        "dropped": made.dropped,
    }
    print_json(told) if json else print_figures(told)


@app.command()
def export(
    name: CampaignArgument,
    out: Annotated[Path, typer.Option("--out", help="File to write, .csv or .jsonl.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Write a campaign's judgements to a file.

    .jsonl has every judgement in full, with whether it counts; .csv those of comparisons that count, as
    `trivox people import` takes them back.
    """
    from trivox.annotation.leads import results

    ws = open_workspace(workspace)
    count = results.write_judgements(ws, _find(ws, name).id, out)
    told = {"file": str(out), "judgements": count}
    print_json(told) if json else print_figures(told)


@app.command()
def refresh(
    name: CampaignArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Work out anew which questions tell the most, from scores and answers so far; servers do it too."""
    from trivox.annotation.work.information import refresh as work_out

    ws = open_workspace(workspace)
    one = _find(ws, name)
    told = {"campaign": one.id, "tasks": work_out(ws, one.id)}
    print_json(told) if json else print_figures(told)


def _find(ws: "Workspace", name: str) -> "Campaign":
    from trivox.platform.errors import NotFound, UsageError
    from trivox.platform.records import Campaign

    every = ws.records.find(Campaign, project=ws.project)
    found = [one for one in every if name in (one.id, one.name)] or [
        one for one in every if one.id.startswith(name)
    ]
    if not found:
        raise NotFound(f"campaign {name!r} is not there: see `trivox campaign list`")
    if len(found) > 1:
        raise UsageError(f"campaign {name!r} may be any of {len(found)}: give the id")
    return found[0]


def _print(found: "Report") -> None:
    from rich.console import Console

    print_figures(asdict(found.status))
    console = Console()
    for one in found.agreement:
        for label in ("alpha", "kappa", "icc", "ceiling"):
            value = getattr(one, label)
            if value is not None:
                console.print(
                    f"{one.question} {one.scale} {label:<8} {_with(value)}", highlight=False
                )
    for judge, trust in found.reliability.items():
        console.print(
            f"{judge} reliability {trust.share:.2f} {_between(trust.interval)}", highlight=False
        )
    for judge, raised in found.flags.items():
        for flag in raised:
            console.print(f"{judge} {flag.kind}: {flag.reason}", highlight=False)
    for place in found.leaderboard.standings if found.leaderboard else ():
        console.print(
            f"{place.item} strength {place.strength:+.2f} {_between(place.interval)}",
            highlight=False,
        )
    side = found.side
    console.print(
        f"shown first won {side.first} of {side.decided} (p = {side.p:.3g})", highlight=False
    )


def _with(value: Any) -> str:
    shown = "unknown" if value.value is None else f"{value.value:.3f}"
    return f"{shown} {_between(value.interval)} of {value.units} units"


def _between(interval: Any) -> str:
    return f"({interval.low:.2f} to {interval.high:.2f})"
