"""`trivox nano`: the public, seeded recipe of the model that ships with Trivox."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_json,
)

app = typer.Typer(help="The recipe of trivox-nano: prepare, train, evaluate.", no_args_is_help=True)
DEFAULT_OUT = Path("trivox-nano")
OutOption = Annotated[Path, typer.Option(help="Folder of corpus, checkpoints and result.")]
RecipeOption = Annotated[
    Path | None, typer.Option(help="TOML file that overrides the recipe's numbers.")
]


@app.command()
def prepare(out: OutOption = DEFAULT_OUT, recipe: RecipeOption = None) -> None:
    """Let the teacher voice speak the sentences, fit the quantiser, encode. Some 8 minutes, 800 MB."""
    from trivox.pipelines.nano.prepare import prepare as run
    from trivox.pipelines.nano.recipe import NanoRecipe

    run(NanoRecipe.load(recipe), out)
    typer.echo(f"corpus ready in {out}; next: trivox nano train --out {out}")


@app.command()
def train(
    out: OutOption = DEFAULT_OUT,
    recipe: RecipeOption = None,
    part: Annotated[
        str, typer.Option(help="codec, lm, or all. The two may run side by side.")
    ] = "all",
    checkpoint: Annotated[
        Path | None, typer.Option(help="Where to export the trained model.")
    ] = None,
) -> None:
    """Train codec and language model; a stopped run resumes. Some two hours on two cores."""
    from trivox.pipelines.nano.export import export
    from trivox.pipelines.nano.recipe import NanoRecipe
    from trivox.pipelines.nano.train_codec import train_codec
    from trivox.pipelines.nano.train_lm import train_lm
    from trivox.platform.errors import UsageError

    if part not in ("codec", "lm", "all"):
        raise UsageError(f"--part is {part!r}: give codec, lm or all")
    numbers = NanoRecipe.load(recipe)
    if part in ("codec", "all"):
        train_codec(numbers, out)
    if part in ("lm", "all"):
        train_lm(numbers, out)
    if part == "all" or checkpoint:
        target = checkpoint or out / "checkpoint"
        size = export(out, target)
        typer.echo(
            f"{target}: {size / 1e6:.1f} MB; next: trivox nano evaluate --checkpoint {target}"
        )


@app.command()
def evaluate(
    out: OutOption = DEFAULT_OUT,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Model to evaluate (default: the packaged one).")
    ] = None,
    sentences: Annotated[int, typer.Option(help="Held-out sentences.", min=1)] = 100,
    human: Annotated[
        str | None, typer.Option(help="Prompt set of recordings of people to transcribe as well.")
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """WER of both branches and of the codec on held-out sentences, judged by an independent recogniser.

    The held-out sentences are spoken by the teacher when they are not there yet. With --human, recordings
    imported into the workspace (`trivox data import --layout asterisk`) are transcribed and reported too.
    """
    from trivox.pipelines.nano.evaluate import evaluate as run
    from trivox.pipelines.nano.evaluate import evaluate_prompts
    from trivox.pipelines.nano.prepare import prepare_split
    from trivox.pipelines.nano.recipe import NanoRecipe
    from trivox.pipelines.rounds.service import find_prompt_set
    from trivox.pipelines.workspaces import packaged_checkpoint

    model = checkpoint or packaged_checkpoint()
    prepare_split(NanoRecipe(), out, "test")
    figures: dict[str, Any] = {"checkpoint": str(model), **run(model, out, sentences)}
    if human:
        ws = open_workspace(workspace)
        figures["human"] = evaluate_prompts(model, ws, find_prompt_set(ws, human))
    if json:
        print_json(figures)
        return
    for name, value in figures.items():
        typer.echo(f"{name:<16} {value:.4f}" if isinstance(value, float) else f"{name:<16} {value}")
