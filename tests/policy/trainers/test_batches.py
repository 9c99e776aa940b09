"""Which rows meet in a batch, and how often each is seen."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.platform.errors import ConfigError
from trivox.platform.records import Branch
from trivox.policy.trainers.batches import plan_batches

ASR, TTS = Branch.ASR, Branch.TTS


def test_a_plan_by_hand() -> None:
    """Lengths 10, 10, 30 of asr and 25, 5 of tts, 40 tokens a batch: 10 and 10 fit together (20), with 30 they
    would take 90; 25 and 5 would take 50."""
    lengths, branches = [10, 10, 30, 25, 5], [ASR, ASR, ASR, TTS, TTS]
    plan = plan_batches(lengths, branches, [1.0] * 5, epochs=1, batch_tokens=40, seed=0)
    assert sorted(tuple(sorted(batch)) for batch in plan) == [(0, 1), (2,), (3,), (4,)]


def test_weights_are_kept_over_the_epochs() -> None:
    """Weight 2 twice an epoch, 0.5 in every second one, 0 never, whatever the seed."""
    for seed in range(5):
        plan = plan_batches([4] * 4, [ASR] * 4, [1, 2, 0.5, 0], 4, 8, seed)
        assert Counter(row for batch in plan for row in batch) == {0: 4, 1: 8, 2: 2}


def test_epochs_differ_and_seeds_repeat() -> None:
    plans = [plan_batches([9] * 30, [ASR] * 30, [1.0] * 30, 2, 27, seed) for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]
    first, second = plans[0].batches[:10], plans[0].batches[10:]
    assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in second}


@given(
    rows=st.lists(
        st.tuples(st.integers(1, 60), st.sampled_from(list(Branch)), st.integers(0, 3)), min_size=1
    ),
    epochs=st.integers(1, 3),
    batch_tokens=st.integers(1, 100),
    seed=st.integers(0, 2**63 - 1),
)
def test_every_plan(
    rows: list[tuple[int, Branch, int]], epochs: int, batch_tokens: int, seed: int
) -> None:
    """Each row as often as its weight says, batches of one branch, padded within the limit unless of one row."""
    lengths, branches, weights = zip(*rows, strict=True)
    if not any(weights):
        with pytest.raises(ConfigError, match="leave none"):
            plan_batches(lengths, branches, weights, epochs, batch_tokens, seed)
        return
    plan = plan_batches(lengths, branches, weights, epochs, batch_tokens, seed)
    seen = Counter(row for batch in plan for row in batch)
    assert seen == {i: epochs * weight for i, weight in enumerate(weights) if weight}
    for batch in plan:
        assert len({branches[row] for row in batch}) == 1
        assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= batch_tokens


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_weights_that_are_none(weight: float) -> None:
    with pytest.raises(ConfigError, match="weight of a row"):
        plan_batches([4, 4], [ASR, ASR], [1.0, weight], 1, 8, 0)
