"""`trivox report`: the figures of the dashboards, or the evaluations of several rounds as one."""

from typing import Annotated, Any

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_json,
)


def report(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Rounds to pool, such as three seeds; none: the project.", metavar="ROUND..."
        ),
    ] = None,
    page: Annotated[
        str | None,
        typer.Option(
            help="One page alone: overview, rounds, samples, rewards, annotation, data, cluster."
        ),
    ] = None,
    branch: Annotated[str | None, typer.Option(help="As the pages' pick of a branch.")] = None,
    round: Annotated[str | None, typer.Option(help="As the pages' pick of a round.")] = None,
    scorer: Annotated[str | None, typer.Option(help="As the pages' pick of a reward.")] = None,
    judges: Annotated[str | None, typer.Option(help="human, grm or simulated.")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Say in figures how the project stands: what the pages of `trivox dashboard` show, page by page.

    With rounds named, pool their evaluations instead: one win rate, one change in WER, intervals by prompt.
    """
    if names:
        from trivox.commands.rounds import print_pool
        from trivox.pipelines.report import pool
        from trivox.pipelines.rounds.finding import find_round

        ws = open_workspace(workspace)
        print_pool(pool(ws, [find_round(ws, name) for name in names]), json)
        return
    from trivox.dashboards.queries.report import Picks, report_of
    from trivox.dashboards.queries.source import Source

    source = Source(open_workspace(workspace))
    source.look()
    told = report_of(source, Picks(branch, round, scorer, judges), page)
    print_json(told) if json else _print(told)


def _print(told: dict[str, Any]) -> None:
    for name, page in told.items():
        typer.echo(f"\n{name}")
        for note in page["notes"]:
            typer.echo(f"  {note}")
        for one in page["figures"].values():
            typer.echo(f"  {one['name']:<44} {one['shown']:<14} {one['note']}".rstrip())
        for table, rows in page["tables"].items():
            typer.echo(f"  {table}: {len(rows)} rows (--json shows them)")
