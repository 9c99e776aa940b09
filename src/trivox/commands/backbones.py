"""`trivox policy init | add`: backbones that users make."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_json,
)

if TYPE_CHECKING:
    from trivox.policy.extend import Extended


def init(
    out: Annotated[Path, typer.Option(help="New folder for the backbone.")],
    backbone: Annotated[
        str | None,
        typer.Option(help="Causal LM with one output head, and its tokenizer: hub id or folder."),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option(
            help="Codec: hub id, folder, or package:NAME for that of a packaged backbone."
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="Model whose audio encoder it hears with: hub id or folder."),
    ] = None,
    codebooks: Annotated[
        int | None, typer.Option(min=1, help="How many codebooks to use; all of them if not given.")
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            help="Order of the codes: flat (if not given), delayed, interleaved or interleaved:FRAMES."
        ),
    ] = None,
    words: Annotated[
        bool, typer.Option("--words", help="Speech goes word by word with its text (flat only).")
    ] = False,
    codec_by_id: Annotated[
        bool, typer.Option("--codec-by-id", help="Name the codec instead of copying its weights.")
    ] = False,
    adapter_stack: Annotated[
        int | None,
        typer.Option(min=1, help="Encoder frames in one embedding; as many as make 12.5 a second."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the new rows and the adapter; 0 if not given.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="small: SmolLM2-135M, Whisper tiny.en and nano's codec (docs/trivox-small.md); other options "
            "change it."
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="TOML file that changes the preset; options go before it.", metavar="FILE"
        ),
    ] = None,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Take the preset's weights from the installed packages."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Make a backbone of a language model, a codec and perhaps an audio encoder of your own.

    \b
    trivox policy init --backbone org/lm --codec kyutai/mimi --encoder openai/whisper-small --out models/mine
    trivox policy init --preset small --offline --out models/small
    """
    from dataclasses import asdict

    given = {
        "backbone": backbone,
        "codec": codec,
        "encoder": encoder,
        "codebooks": codebooks,
        "layout": layout,
        "carries": "words" if words else None,
        "copy_codec": False if codec_by_id else None,
        "adapter_stack": adapter_stack,
        "seed": seed,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    if preset is None:
        done = _extended(chosen, out, recipe, offline)
    else:
        done = _preset(preset, chosen, out, recipe, offline)
    print_json(asdict(done)) if json else _show(done)


def _extended(chosen: dict[str, Any], out: Path, recipe: Path | None, offline: bool) -> "Extended":
    from trivox.platform.errors import ConfigError
    from trivox.policy.extend import Extension, extend

    if recipe is not None or offline:
        raise ConfigError("--recipe and --offline change a preset: give --preset small with them")
    for needed in ("backbone", "codec"):
        if needed not in chosen:
            raise ConfigError(f"no --{needed}: give --backbone and --codec, or --preset small")
    return extend(Extension(**chosen), out)


def _preset(
    name: str, chosen: dict[str, Any], out: Path, recipe: Path | None, offline: bool
) -> "Extended":
    from trivox.pipelines.small.build import build
    from trivox.pipelines.small.recipe import SmallRecipe
    from trivox.platform.errors import ConfigError

    if name != "small":
        raise ConfigError(f"preset {name!r} is not known: small is")
    if "backbone" in chosen:
        chosen["language_model"] = chosen.pop("backbone")
    if offline:
        chosen["source"] = "packages"
    return build(SmallRecipe.load(recipe, chosen), out)


def _show(done: "Extended") -> None:
    typer.echo(f"{done.folder}: {done.parameters / 1e6:.1f} M parameters, {done.vocab_size} tokens")
    typer.echo(
        f"  {done.audio_tokens} are audio; a second of speech is {done.tokens_per_second:g} of them"
    )
    typer.echo("  its audio tokens are untrained: `trivox policy train --algorithm sft` comes next")


def add(
    folder: Annotated[
        Path, typer.Argument(help="Backbone folder, as `trivox policy init` writes it.")
    ],
    name: Annotated[str, typer.Option(help="Name of the version.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Register a backbone of your own in the workspace, as a candidate; its folder stays where it is."""
    from dataclasses import asdict

    from trivox.pipelines.backbones import add_backbone

    policy = add_backbone(open_workspace(workspace), folder, name)
    print_json(asdict(policy)) if json else typer.echo(f"{policy.name}: {policy.id}")
