"""Which pairs of rollouts a judge is asked to compare."""

import random
from collections.abc import Iterator, Mapping, Sequence

from trivox.platform.errors import ConfigError, NotFound
from trivox.platform.hashing import derived_id, derived_seed
from trivox.platform.records import Campaign, Rollout, Task, TaskKind

OVERALL = "overall@1"


def make_comparisons(
    campaign: Campaign,
    prompt_language: Mapping[str, str],
    rollouts: Sequence[Rollout],
    pairs_per_prompt: int,
    seed: int,
    question: str = OVERALL,
) -> list[Task]:
    """At most pairs_per_prompt COMPARE tasks for each prompt, prompts in order of their ids.

    Only distinct audio is compared: of rollouts that sound the same the one of the lowest index stands for
    all; rollouts without audio are left out. The pairs of a prompt, and the order of the two items, are drawn
    from the seed, so that every rollout is heard about equally often. The order of `rollouts` is of no effect.
    Raises ConfigError for pairs_per_prompt below 1, NotFound for a prompt without a language.
    """
    if pairs_per_prompt < 1:
        raise ConfigError(f"pairs_per_prompt is {pairs_per_prompt}: give at least 1")
    tasks = []
    for prompt, candidates in sorted(_by_prompt(rollouts).items()):
        if prompt not in prompt_language:
            raise NotFound(f"prompt {prompt}: no language given; import it with its language")
        language = prompt_language[prompt]
        for pair in _pairs(_distinct(candidates), pairs_per_prompt, seed, prompt):
            tasks.append(_task(campaign, prompt, language, pair, question))
    return tasks


def _by_prompt(rollouts: Sequence[Rollout]) -> dict[str, list[Rollout]]:
    groups: dict[str, list[Rollout]] = {}
    for rollout in rollouts:
        groups.setdefault(rollout.prompt, []).append(rollout)
    return groups


def _distinct(rollouts: Sequence[Rollout]) -> list[str]:
    """Ids of rollouts with audio, one for each different audio, by index."""
    first: dict[str, str] = {}
    for rollout in sorted(rollouts, key=lambda one: (one.index, one.id)):
        if rollout.audio is not None:
            first.setdefault(rollout.audio, rollout.id)
    return list(first.values())


def _pairs(items: list[str], count: int, seed: int, prompt: str) -> Iterator[tuple[str, str]]:
    rng = random.Random(derived_seed("comparisons", seed, prompt))
    rng.shuffle(items)
    for _, (one, other) in zip(range(count), _tournament(items), strict=False):
        yield (one, other) if rng.random() < 0.5 else (other, one)


def _tournament(items: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every pair once, in matchings: nobody meets twice before all have met once (the circle method)."""
    seats: list[str | None] = [*items, None] if len(items) % 2 else list(items)
    for _ in range(len(seats) - 1):
        for seat in range(len(seats) // 2):
            one, other = seats[seat], seats[-1 - seat]
            if one is not None and other is not None:
                yield one, other
        seats = [seats[0], seats[-1], *seats[1:-1]]


def _task(
    campaign: Campaign, prompt: str, language: str, items: tuple[str, str], question: str
) -> Task:
    return Task(
        id=derived_id("task", campaign.id, question, prompt, *items),
        project=campaign.project,
        campaign=campaign.id,
        kind=TaskKind.COMPARE,
        prompt=prompt,
        items=items,
        question=question,
        language=language,
        overlap=campaign.overlap,
        round=campaign.round,
    )
