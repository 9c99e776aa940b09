"""Prompts that need no source: sentences of the domain that trivox-nano knows."""

import itertools
import random
import string

from trivox.pipelines.imports.publish import add_set
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.nano.sentences import SLOTS, TEMPLATES, sentences
from trivox.platform.errors import ConfigError
from trivox.platform.hashing import derived_id, derived_seed
from trivox.platform.records import Branch, Prompt, PromptItem, PromptSet, Split
from trivox.platform.store import Workspace


def builtin_prompts(
    workspace: Workspace,
    name: str = "nano-domain",
    *,
    train: int,
    test: int,
    seed: int,
    recipe: NanoRecipe | None = None,
) -> PromptSet:
    """A tts set of sentences that no split of the recipe holds, so that its held-out figures stay so.

    The same counts and seed give the same version again. Raises ConfigError for counts out of range.
    """
    if train < 0 or test < 0 or train + test < 1:
        raise ConfigError(f"{train} train and {test} test prompts: ask for at least one in all")
    texts = _new_sentences(train + test, seed, recipe or NanoRecipe())
    prompts = [Prompt.of(Branch.TTS, ("en-US",), text=text) for text in texts]
    items = [
        PromptItem(
            prompt=prompt.id,
            split=Split.TRAIN if index < train else Split.TEST,
            group=derived_id("gr", prompt.text),
            licence="Apache-2.0",
            source=f"trivox:nano-domain:seed={seed}",
        )
        for index, prompt in enumerate(prompts)
    ]
    with workspace.records.transaction():
        workspace.records.add(*prompts)
        return add_set(workspace, name, items)[0]


def _new_sentences(count: int, seed: int, recipe: NanoRecipe) -> list[str]:
    """count sentences that the recipe's corpus lacks, in a random order fixed by the seed.

    Templates are drawn evenly while they last: most of what is left is of the few largest.
    """
    known = recipe.train_sentences + recipe.validation_sentences + recipe.test_sentences
    corpus = set(sentences(known, recipe.seed))
    left = [[text for text in _expand(template) if text not in corpus] for template in TEMPLATES]
    if count > (there := sum(map(len, left))):
        raise ConfigError(f"{count} prompts: the domain has {there} that are new to the model")
    rng = random.Random(derived_seed("builtin-prompts", seed))
    for texts in left:
        rng.shuffle(texts)
    chosen: list[str] = []
    while len(chosen) < count:
        chosen.append(rng.choice([texts for texts in left if texts]).pop())
    return chosen


def _expand(template: str) -> list[str]:
    """Every sentence of a template; a slot with a digit at its end differs from the slot without."""
    names = [name for _, name, _, _ in string.Formatter().parse(template) if name]
    fillings = (
        dict(zip(names, values, strict=True))
        for values in itertools.product(*(SLOTS[name.rstrip("2")] for name in names))
    )
    return [
        template.format(**filling)
        for filling in fillings
        if all(filling[name] != filling.get(f"{name}2") for name in names)
    ]
