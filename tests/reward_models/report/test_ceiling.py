"""The human ceiling by hand, and against a panel whose ceiling is known."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.policy.conftest import random_codec
from tests.reward_models.report.conftest import judged
from trivox.platform.records import Branch
from trivox.policy.vocabulary import TokenMap, nano_token_map
from trivox.reward_models.bradley_terry.planted import (
    Panel,
    PlantedPair,
    planted_ceiling,
    planted_pairs,
)
from trivox.reward_models.report.ceiling import ceiling, left_out

VOTES = st.lists(st.integers(-3, 3), max_size=7)


def test_by_hand() -> None:
    """1, 1, -1: only the dissenter can be held against a majority. 1, 1, 1, -1: three right, one wrong. A tie left
    out is half right; two raters are each other's majority."""
    assert left_out(judged("a", [1, 1, -1])) == [0.0]
    assert left_out(judged("b", [2, 3, 1, -1])) == [1.0, 1.0, 1.0, 0.0]
    assert left_out(judged("c", [1, 1, 0])) == [0.5]
    assert left_out(judged("d", [1, -2])) == [0.0, 0.0]
    assert left_out(judged("e", [0, 0, 0])) == []
    found = ceiling([judged("b", [2, 3, 1, -1]), judged("a", [1, 1, -1])])
    assert found.accuracy == pytest.approx(3 / 5) and found.votes == 5


def test_one_rater_has_no_ceiling() -> None:
    found = ceiling([judged("a", [1]), judged("b", [-2])])
    assert found.accuracy is None and found.reliability is None
    assert found.reason is not None and "at most 1 raters" in found.reason


@given(VOTES)
def test_swapping_the_replies_changes_nothing(votes: list[int]) -> None:
    pair = judged("a", votes)
    assert sorted(left_out(pair)) == sorted(left_out(pair.swapped()))


@pytest.fixture(scope="module")
def tokens() -> TokenMap:
    return nano_token_map(random_codec().spec)


def as_judged(pair: PlantedPair) -> object:
    return replace(judged(pair.id, [], prompt=pair.group), votes=dict(pair.votes))


@pytest.mark.parametrize(("raters", "noise"), [(3, 0.3), (5, 0.5), (5, 1.0)])
def test_a_planted_ceiling_is_found_within_two_points(
    tokens: TokenMap, raters: int, noise: float
) -> None:
    panel = Panel(raters, noise, seed=4)
    planted = planted_pairs(tokens, 2000, 7, panel, [Branch.TTS])
    found = ceiling([as_judged(pair) for pair in planted])  # type: ignore[misc]
    wanted = planted_ceiling(planted, panel)
    assert found.accuracy is not None
    assert abs(found.accuracy - wanted) < 0.02
    assert wanted in found.interval


def test_the_planted_ceiling_by_hand(tokens: TokenMap) -> None:
    """Without noise all agree: 1. Two raters of equal replies, noise 0.5: first with Q(0.1 / 0.7071) = 0.443767,
    second the same, a tie with 0.112466; the other decides: agreement is 0.443767 + 0.112466 / 2 = 0.5."""
    [pair] = planted_pairs(tokens, 1, 0)
    apart = replace(pair, worths=(1.0, -1.0))
    assert planted_ceiling([apart], Panel(3, 0.0)) == pytest.approx(1.0)
    even = replace(pair, worths=(0.3, 0.3))
    assert planted_ceiling([even], Panel(2, 0.5)) == pytest.approx(0.5)


def test_reliability_of_a_panel(tokens: TokenMap) -> None:
    """Votes of raters who agree more are more reliable, and the steps of Spearman and Brown hold: about
    r5 = 5 r1 / (1 + 4 r1)."""
    quiet, loud = (
        ceiling(
            [as_judged(p) for p in planted_pairs(tokens, 600, 1, Panel(5, noise), [Branch.TTS])]
        ).reliability  # type: ignore[misc]
        for noise in (0.2, 2.0)
    )
    assert quiet is not None and loud is not None and math.isfinite(quiet)
    assert 0.9 < quiet <= 1.0 and loud < quiet - 0.1


def test_planted_pairs_are_the_same_again(tokens: TokenMap, tmp_path: Path) -> None:
    assert planted_pairs(tokens, 9, 5) == planted_pairs(tokens, 9, 5)
    assert planted_pairs(tokens, 9, 5) != planted_pairs(tokens, 9, 6)
