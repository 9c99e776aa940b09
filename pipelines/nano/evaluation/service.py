"""One evaluation of a checkpoint of nano: every figure that it is judged by."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivox.pipelines.nano.corpus import Corpus, is_complete
from trivox.pipelines.nano.evaluation.conversing import conversing
from trivox.pipelines.nano.evaluation.hearing import hearing, recorded_prompts
from trivox.pipelines.nano.evaluation.judges import BATCH
from trivox.pipelines.nano.evaluation.speaking import speaking, style
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.nano.speaking import speak_split
from trivox.pipelines.nano.teachers import HIBARI_VOICE
from trivox.platform.records import PromptSet, Split
from trivox.platform.store import Workspace
from trivox.policy.resident import ResidentPolicy


@dataclass(frozen=True)
class Extent:
    """How much is evaluated. sentences are spoken, the voices in turn; style: texts under opposite instructions;
    episodes: dialogues of three turns. 0 leaves a part out."""

    sentences: int = 60
    style: int = 30
    episodes: int = 40
    seed: int = 0


def evaluate(
    checkpoint: Path,
    folder: Path,
    recipe: NanoRecipe,
    extent: Extent,
    recordings: tuple[Workspace, PromptSet] | None = None,
) -> dict[str, Any]:
    """Figures on the held-out speech of a prepared corpus, which is spoken when it is not there yet: in the one
    voice that `make install` brings where the recipe names no folder of the others (see voices_left_out).

    Raises MissingModel without teacher or judges, NotFound for recordings that a prompt lacks.
    """
    held_out, left_out = _held_out(recipe, folder)
    policy = ResidentPolicy(checkpoint, BATCH)
    figures: dict[str, Any] = {"checkpoint": str(checkpoint), "voices_left_out": left_out}
    with policy.using(None) as speaker:
        figures |= hearing(speaker, held_out, recipe.tts_voices)
        figures |= speaking(speaker, held_out, recipe.tts_voices, extent.sentences, extent.seed)
        if extent.style:
            texts = [clip.text for clip in held_out.clips if len(clip.text.split()) > 4]
            figures["style"] = style(speaker, texts[: extent.style], HIBARI_VOICE, extent.seed)
        if extent.episodes:
            figures |= conversing(speaker, extent.episodes, extent.seed)
        if recordings:
            figures["human"] = recorded_prompts(speaker, *recordings)
    return figures


def _held_out(recipe: NanoRecipe, folder: Path) -> tuple[Corpus, list[str]]:
    """The held-out speech, and the voices that are not in it."""
    if recipe.kokoro_voices is None and not is_complete(folder / Split.TEST):
        voices = {"tts_voices": (HIBARI_VOICE,), "unseen_voices": ()}
        every = (*recipe.tts_voices, *recipe.unseen_voices)
        left_out = [voice for voice in every if voice != HIBARI_VOICE]
        folder = folder / HIBARI_VOICE
        recipe = recipe.model_copy(update=voices)
    else:
        left_out = []
    speak_split(recipe, folder, Split.TEST)
    return Corpus.load(folder / Split.TEST), left_out
