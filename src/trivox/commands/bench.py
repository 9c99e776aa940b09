"""`trivox bench`: the project's benchmarks, each against a peer and a limit in the same run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trivox.commands.common import JsonOption, print_figures, print_json, print_rows

if TYPE_CHECKING:
    from trivox.bench.harness import Result


def bench(
    name: Annotated[
        str | None, typer.Argument(help="Benchmark to run; none: list them all.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="The long form, where the benchmark has one.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File that the result is added to, one JSON line (default: benchmarks/results.jsonl)."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure speed or exactness on this machine, against a peer and against the physical limit.

    Both sides run in this process and take turns; times of torch on one thread. The exit code is 1 where the
    benchmark does not pass.
    """
    from trivox.bench import BENCHES
    from trivox.platform.errors import NotFound

    if name is None:
        rows = [(one.name, one.description) for one in BENCHES.values()]
        print_rows("benches", ("name", "description"), rows, "no benchmark", json)
        return
    if name not in BENCHES:
        raise NotFound(f"no benchmark is named {name!r}: give one of {', '.join(sorted(BENCHES))}")
    from trivox.bench.harness import RESULTS, append

    result = BENCHES[name].run(full)
    line = append(result, out or RESULTS, full)
    if json:
        print_json(line)
    else:
        _print(result)
    raise typer.Exit(0 if result.passed else 1)


def _print(result: "Result") -> None:
    typer.echo(
        f"{result.name}: {'passed' if result.passed else 'FAILED'} (passes at {result.threshold})"
    )
    print_figures(
        {
            "ratio_to_peer": result.ratio_to_peer,
            "ratio_to_limit": result.ratio_to_limit,
            "limit": result.terms,
            "figures": result.figures,
            "sizes": result.sizes,
            "median_s": {side: timing.median for side, timing in result.sides.items()},
        }
    )
    for note in result.notes:
        typer.echo(f"note: {note}")
