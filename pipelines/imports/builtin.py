"""Prompts that need no source: sentences of the domain that trivox-nano knows."""

import itertools
import random
from collections.abc import Sequence

from trivox.pipelines.imports.publish import add_set
from trivox.pipelines.nano.clips import plan
from trivox.pipelines.nano.domain import request, split_of
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.platform.errors import ConfigError
from trivox.platform.hashing import derived_id, derived_seed
from trivox.platform.records import Branch, Prompt, PromptItem, PromptSet, Split
from trivox.platform.store import Workspace

TRIES = 400
"""Draws for each new sentence before the domain counts as exhausted."""


def builtin_prompts(
    workspace: Workspace,
    name: str = "nano-domain",
    *,
    train: int,
    test: int,
    seed: int,
    recipe: NanoRecipe | None = None,
    manners: Sequence[str] = ("",),
) -> PromptSet:
    """A tts set of sentences that no split of the recipe holds, so that its held-out figures stay so.

    manners: instructions (a voice, words of style) that the sentences get in turn, "" for none. The same
    counts, manners and seed give the same version again. Raises ConfigError for counts out of range.
    """
    if train < 0 or test < 0 or train + test < 1:
        raise ConfigError(f"{train} train and {test} test prompts: ask for at least one in all")
    recipe = recipe or NanoRecipe()
    texts = [
        *((text, Split.TRAIN) for text in _new_sentences(train, Split.TRAIN, seed, recipe)),
        *((text, Split.TEST) for text in _new_sentences(test, Split.TEST, seed, recipe)),
    ]
    asked = itertools.cycle(manner or None for manner in manners)
    prompts = [
        Prompt.of(Branch.TTS, ("en-US",), text=text, instruction=next(asked)) for text, _ in texts
    ]
    items = [
        PromptItem(
            prompt=prompt.id,
            split=split,
            group=derived_id("gr", prompt.text),
            licence="Apache-2.0",
            source=f"trivox:nano-domain:seed={seed}",
        )
        for prompt, (_, split) in zip(prompts, texts, strict=True)
    ]
    with workspace.records.transaction():
        workspace.records.add(*prompts)
        return add_set(workspace, name, items)[0]


def _new_sentences(count: int, split: Split, seed: int, recipe: NanoRecipe) -> list[str]:
    """count requests of a split that the recipe's corpus lacks, in a random order fixed by the seed."""
    corpus = {clip.text for clip in plan(recipe, split)}
    rng = random.Random(derived_seed("builtin-prompts", split, seed))
    chosen: dict[str, None] = {}
    for _ in range(TRIES * max(1, count)):
        if len(chosen) == count:
            return list(chosen)
        text = request(rng).text
        if split_of(text) is split and text not in corpus:
            chosen.setdefault(text)
    if len(chosen) == count:
        return list(chosen)
    raise ConfigError(
        f"{count} {split} prompts: the domain gave {len(chosen)} that are new to the model: ask for fewer"
    )
