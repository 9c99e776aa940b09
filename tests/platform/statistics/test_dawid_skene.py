"""Planted judges are found out, and their votes weighed accordingly."""

import numpy as np
import pytest

from trivox.platform.errors import UsageError
from trivox.platform.statistics.dawid_skene import Vote, dawid_skene


def planted(
    seed: int, skills: list[float], items: int, classes: int
) -> tuple[list[Vote], list[int]]:
    """Every judge votes on every item: the truth with the judge's skill, else another class at random."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=items)
    votes: list[Vote] = []
    for item, true in enumerate(truth):
        for judge, skill in enumerate(skills):
            off = int(rng.integers(1, classes))
            vote = int(true) if rng.random() < skill else (int(true) + off) % classes
            votes.append((item, judge, vote))
    return votes, [int(true) for true in truth]


def majority(votes: list[Vote], items: int, classes: int) -> list[int]:
    counts = np.zeros((items, classes))
    for item, _, kind in votes:
        counts[item, kind] += 1  # type: ignore[index]
    return [int(row.argmax()) for row in counts]


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_beats_majority_on_unreliable_judges(classes: int) -> None:
    poor = [0.55, 0.52, 0.5, 0.55, 0.52] if classes == 2 else [0.35, 0.3, 0.35, 0.3, 0.4]
    skills = [0.95, 0.9, *poor]
    votes, truth = planted(1, skills, 400, classes)
    found = dawid_skene(votes, classes)
    right = np.mean([found.posterior[item].argmax() == true for item, true in enumerate(truth)])
    plain = np.mean(np.array(majority(votes, 400, classes)) == truth)
    assert right > plain + 0.02 and right > 0.9
    for judge, skill in enumerate(skills):
        one = found.reliability[judge]
        # Jeffreys' interval knows nothing of what is uncertain about the truth: a little room.
        assert one.interval.low - 0.03 < skill < one.interval.high + 0.03 and one.votes == 400


def test_one_item_by_hand() -> None:
    """Two judges for 0, one for 1. The first step has posterior (2/3, 1/3) and prevalence (5/9, 4/9) by Laplace's
    rule; the judges of 0 have P(0|0) = (2/3 + 2/3) / (5/3) = 4/5 and P(0|1) = (1/3 + 1/3) / (4/3) = 1/2, the other
    P(1|0) = (1/3 + 2/3) / (5/3) = 3/5 and P(1|1) = (2/3 + 1/3) / (4/3) = 3/4. So class 0 to class 1 is
    5/9 (4/5)^2 3/5 to 4/9 (1/2)^2 3/4."""
    found = dawid_skene([("x", "a", 0), ("x", "b", 0), ("x", "c", 1)], 2, steps=1)
    zero, one = 5 / 9 * 0.8**2 * 0.6, 4 / 9 * 0.5**2 * 0.75
    assert found.posterior["x"] == pytest.approx([zero / (zero + one), one / (zero + one)])
    assert found.steps == 1


def test_ordered_classes_take_neighbours_for_near() -> None:
    """With hardly any votes the prior speaks: 5 and 6 together say 5 or 6, never 0."""
    votes: list[Vote] = [("x", "a", 5), ("x", "b", 6)]
    near = dawid_skene(votes, 7, ordered=True).posterior["x"]
    assert near[5] + near[6] > 0.9 and near[4] > near[0]


def test_the_order_of_votes_is_of_no_effect() -> None:
    votes, _ = planted(2, [0.9, 0.6, 0.6], 50, 3)
    one, other = dawid_skene(votes, 3), dawid_skene(votes[::-1], 3)
    for item in one.posterior:
        assert one.posterior[item] == pytest.approx(other.posterior[item], abs=1e-9)


def test_refusals() -> None:
    with pytest.raises(UsageError, match="0 votes"):
        dawid_skene([], 2)
    with pytest.raises(UsageError, match=r"class 2 of x is outside 0\.\.1"):
        dawid_skene([("x", "a", 2)], 2)
