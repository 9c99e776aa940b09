"""From the recipe of trivox-small to a backbone folder."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from trivox.pipelines.small.recipe import SmallRecipe
from trivox.pipelines.small.weights import PACKAGES, write_encoder, write_language_model
from trivox.platform.errors import ConfigError, MissingModel
from trivox.policy.extend import Extended, extend


def build(recipe: SmallRecipe, folder: Path) -> Extended:
    """Write the backbone into folder, a new one, complete or not at all.

    Raises ConfigError, NotFound and MissingModel as `extend` does, and MissingModel for packages that are missing.
    """
    recipe.check()
    if folder.exists() and any(folder.iterdir()):  # said before the weights are converted
        raise ConfigError(f"{folder} is not empty: give a new folder")
    disable_progress_bar()
    with _parts(recipe) as (language_model, encoder):
        made = _extended(recipe, language_model, encoder, folder)
    (folder / "README.md").write_text(_card(recipe, made))
    return made


@contextmanager
def _parts(recipe: SmallRecipe) -> Iterator[tuple[str, str]]:
    """Language model and encoder as `extend` takes them."""
    if recipe.source == "hub":
        yield recipe.language_model, recipe.encoder
        return
    with tempfile.TemporaryDirectory(prefix="trivox-small-") as name:
        here = Path(name)
        encoder = write_encoder(here / "encoder")
        yield str(write_language_model(here / "language_model")), str(encoder)


def _extended(recipe: SmallRecipe, language_model: str, encoder: str, folder: Path) -> Extended:
    try:
        return extend(recipe.extension(language_model, encoder), folder)
    except MissingModel as error:
        if recipe.source == "hub" and {recipe.language_model, recipe.encoder} <= PACKAGES.keys():
            raise MissingModel(f"{error}; or take the installed packages with --offline") from error
        raise


def _card(recipe: SmallRecipe, made: Extended) -> str:
    return f"""# trivox-small

A Trivox backbone of {made.parameters / 1e6:.1f} M parameters and {made.vocab_size} tokens.

| | |
|---|---|
| language model | {_origin(recipe, recipe.language_model)} |
| audio encoder, frozen | {_origin(recipe, recipe.encoder)} |
| frames in one embedding | {recipe.adapter_stack} |
| codec | {recipe.codec}, {made.tokens_per_second:g} tokens a second |
| layout | {recipe.layout}, speech carries {recipe.carries} |
| new tokens | {made.added_tokens}, of which {made.audio_tokens} are audio |

Untrained as to audio: the rows of the new tokens and the adapter are random (seed {recipe.seed}).
"""


def _origin(recipe: SmallRecipe, model: str) -> str:
    if recipe.source == "hub":
        return model
    weights = PACKAGES[model]
    return f"{model}, as {weights.package} {weights.version} carries it (sha256 {weights.sha256[:12]}…)"
