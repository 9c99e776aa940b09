"""Which pairs are asked: distinct audio only, everybody heard about equally, the same for the same seed."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivox.annotation.comparisons import make_comparisons
from trivox.platform.errors import ConfigError, NotFound
from trivox.platform.records import (
    Branch,
    Campaign,
    FinishReason,
    Rollout,
    Sampling,
    Task,
    TaskKind,
)

CAMPAIGN = Campaign(
    id="campaign_1",
    project="default",
    name="first",
    branch=Branch.TTS,
    guideline="Which one says the text better?",
    guideline_version=1,
    languages=("en",),
    overlap=2,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    round="round_1",
)
LANGUAGES = {"p1": "en", "p2": "zh-CN"}


def rollout(prompt: str, index: int, audio: str | None = "own") -> Rollout:
    """audio "own": a sound that no other rollout has."""
    name = f"ro_{prompt}_{index}"
    return Rollout(
        id=name,
        project="default",
        round="round_1",
        branch=Branch.TTS,
        prompt=prompt,
        producer="policy_1",
        seed=index,
        index=index,
        sampling=Sampling(),
        engine="test",
        dtype="float32",
        tokens=(),
        segments=(),
        logprobs=(),
        finish_reason=FinishReason.END,
        audio=f"audio_{name}" if audio == "own" else audio,
    )


def rollouts(prompt: str, count: int) -> list[Rollout]:
    return [rollout(prompt, index) for index in range(count)]


def made(made_from: list[Rollout], pairs: int, seed: int = 0) -> list[Task]:
    return make_comparisons(CAMPAIGN, LANGUAGES, made_from, pairs, seed)


def test_a_task_carries_what_the_campaign_says() -> None:
    (task,) = made(rollouts("p2", 2), 5)
    assert set(task.items) == {"ro_p2_0", "ro_p2_1"}
    assert (task.kind, task.language, task.overlap) == (TaskKind.COMPARE, "zh-CN", 2)
    assert (task.campaign, task.round, task.question) == ("campaign_1", "round_1", "overall@1")


def test_same_audio_is_never_compared() -> None:
    same = [rollout("p1", index, "audio_x") for index in range(3)]
    (task,) = made([*same, rollout("p1", 3)], 5)
    assert set(task.items) == {"ro_p1_0", "ro_p1_3"}  # the lowest index stands for all three


def test_rollouts_without_audio_are_left_out() -> None:
    assert made([rollout("p1", 0), rollout("p1", 1, None)], 5) == []


def test_two_pairs_of_four_rollouts_use_each_once() -> None:
    for seed in range(20):
        heard = Counter(item for task in made(rollouts("p1", 4), 2, seed) for item in task.items)
        assert set(heard.values()) == {1} and len(heard) == 4


def test_sides_come_out_both_ways() -> None:
    """100 prompts: the rollout of index 0 is first in about half (between 35 and 65 of 100)."""
    languages = {f"p{number}": "en" for number in range(100)}
    both = [one for prompt in languages for one in rollouts(prompt, 2)]
    tasks = make_comparisons(CAMPAIGN, languages, both, 1, seed=0)
    assert 35 <= sum(task.items[0].endswith("_0") for task in tasks) <= 65


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 9), st.integers(1, 50), st.integers(0, 3), st.randoms())
def test_pairs_are_distinct_balanced_and_repeatable(
    count: int, pairs: int, seed: int, order: object
) -> None:
    candidates = rollouts("p1", count)
    tasks = made(candidates, pairs, seed)
    possible = count * (count - 1) // 2
    assert len({frozenset(task.items) for task in tasks}) == len(tasks) == min(pairs, possible)
    heard = Counter({one.id: 0 for one in candidates})
    heard.update(item for task in tasks for item in task.items)
    # A matching hears everyone at most once; an odd one out is one behind in each unfinished turn.
    assert not tasks or max(heard.values()) - min(heard.values()) <= 2
    order.shuffle(candidates)  # type: ignore[attr-defined]
    assert made(candidates, pairs, seed) == tasks


def test_other_seeds_ask_other_pairs() -> None:
    assert len({made(rollouts("p1", 8), 1, seed)[0].id for seed in range(10)}) > 5


def test_ids_follow_the_order_of_items_and_the_campaign() -> None:
    (task,) = made(rollouts("p1", 2), 1)
    other = replace(CAMPAIGN, id="campaign_2")
    (elsewhere,) = make_comparisons(other, LANGUAGES, rollouts("p1", 2), 1, 0)
    assert task.items == elsewhere.items and task.id != elsewhere.id


def test_what_is_refused() -> None:
    with pytest.raises(ConfigError, match="pairs_per_prompt is 0"):
        made(rollouts("p1", 2), 0)
    with pytest.raises(NotFound, match="prompt p9: no language"):
        made(rollouts("p9", 2), 1)
