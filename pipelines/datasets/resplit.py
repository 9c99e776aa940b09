"""A prompt set with its groups divided anew, as its next version."""

from collections import Counter
from dataclasses import replace

from trivox.pipelines.imports.publish import add_set
from trivox.pipelines.imports.splits import TEXT, Key, SplitPlan, assign, connected_groups
from trivox.pipelines.rounds.finding import find_prompt_set
from trivox.platform.records import Prompt, PromptSet, Split
from trivox.platform.store import Workspace


def resplit(ws: Workspace, name: str, plan: SplitPlan) -> tuple[PromptSet, bool]:
    """The set divided by plan, and whether that is a new version.

    A group is never divided; prompts of equal words, in whatever case, are made one group first. Raises NotFound.
    """
    found = find_prompt_set(ws, name)
    keys: list[list[Key]] = [
        [(0, item.group), *_words(ws.records.get(Prompt, item.prompt))] for item in found.items
    ]
    groups = connected_groups(keys)
    splits = assign(groups, {}, plan)
    items = [
        replace(item, group=group, split=splits[group])
        for item, group in zip(found.items, groups, strict=True)
    ]
    return add_set(ws, found.name, items)


def _words(prompt: Prompt) -> list[Key]:
    text = prompt.text or prompt.reference_text or ""
    letters = "".join(c for c in text.casefold() if c.isalnum())
    return [(TEXT, letters)] if letters else []


def crossing(one: PromptSet) -> dict[str, list[Split]]:
    """Groups that lie in several splits: there should be none."""
    found: dict[str, set[Split]] = {}
    for item in one.items:
        found.setdefault(item.group, set()).add(item.split)
    return {group: sorted(splits) for group, splits in found.items() if len(splits) > 1}


def counts(one: PromptSet) -> dict[str, int]:
    """Split -> prompts."""
    counted = Counter(item.split.value for item in one.items)
    return {split.value: counted[split.value] for split in Split}
