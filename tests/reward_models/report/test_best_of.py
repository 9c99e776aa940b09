"""Best of n: the expectation by hand and by drawing, and who may not be asked."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.platform.errors import ConfigError, UsageError
from trivox.reward_models.report.best_of import Candidate, best_of, expected_best

FAMILIES = {"reward": "trivox-backbone", "mos": "dnsmos"}


def test_by_hand() -> None:
    """Of 1, 2, 3 the bests of the three pairs are 2, 3, 3."""
    assert expected_best([1, 2, 3], 2) == pytest.approx(8 / 3)
    assert expected_best([1, 2, 3], 1) == pytest.approx(2)
    assert expected_best([1, 2, 3], 3) == 3


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=7), st.integers(1, 7))
def test_it_is_the_mean_over_all_draws(values: list[float], n: int) -> None:
    """values in order of reward: the last of each draw is what the reward would take."""
    n = min(n, len(values))
    drawn = [draw[-1] for draw in itertools.combinations(values, n)]
    assert expected_best(values, n) == pytest.approx(sum(drawn) / len(drawn), abs=1e-9)


def test_a_reward_that_is_hacked_shows() -> None:
    """Reward 0..255; the other judge likes it up to 128 and hates the rest: searched hard, its opinion falls while
    the reward rises. ln 4 - 3/4 = 0.636294 nats."""
    candidates = [
        Candidate(f"p{prompt}", float(r), {"mos": float(r if r < 128 else 255 - 2 * r)})
        for prompt in range(3)
        for r in range(256)
    ]
    found = {(one.judge, one.n): one for one in best_of(candidates, FAMILIES)}
    rewards = [found["reward", n].mean for n in (1, 4, 16, 64, 256)]
    others = [found["mos", n].mean for n in (1, 4, 16, 64, 256)]
    assert rewards == sorted(rewards, key=lambda one: one or 0.0) and rewards[-1] == 255
    assert others[-1] == 255 - 2 * 255 and (others[4] or 0) < (others[0] or 0)
    assert found["mos", 4].divergence == pytest.approx(math.log(4) - 0.75)


def test_too_few_candidates_are_not_a_number() -> None:
    few = [Candidate("p", float(r), {"mos": 1.0}) for r in range(5)]
    found = {(one.judge, one.n): one for one in best_of(few, FAMILIES, counts=(4, 16))}
    assert found["mos", 4].mean == 1.0 and found["mos", 4].prompts == 1
    assert found["mos", 16].mean is None and found["mos", 16].prompts == 0


def test_failed_candidates_are_left_out() -> None:
    some = [Candidate("p", None, {"mos": 9.0}), Candidate("p", 1.0, {"mos": None})]
    some += [Candidate("p", 2.0, {"mos": 3.0})]
    found = {(one.judge, one.n): one for one in best_of(some, FAMILIES, counts=(1,))}
    assert found["reward", 1].mean == 1.5 and found["mos", 1].mean == 3.0


def test_bad_input() -> None:
    with pytest.raises(UsageError, match="no candidates"):
        best_of([], FAMILIES)
    one = [Candidate("p", 1.0, {"mos": 1.0})]
    with pytest.raises(UsageError, match="mos has no family"):
        best_of(one, {"reward": "x"})
    with pytest.raises(ConfigError, match="is on both sides"):
        best_of(one, {"reward": "same", "mos": "same"})
    with pytest.raises(UsageError, match="best of 4 out of 3"):
        expected_best([1, 2, 3], 4)
