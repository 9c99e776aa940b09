"""Beliefs and what is decided from them, by hand; and that a swap negates exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.platform.errors import ConfigError
from trivox.platform.records import Answer, AnswerKind, Tie
from trivox.reward_models.generative.verdicts import (
    OUTCOMES,
    Belief,
    Outcome,
    belief,
    decide,
    mean,
    mirrored,
    mixed,
    opposite,
    sides,
    spread,
    strength,
    sure,
)

weights = st.floats(0, 1, allow_subnormal=False)
beliefs = (
    st.lists(weights, min_size=9, max_size=9)
    .filter(lambda one: sum(one) > 1e-6)
    .map(lambda one: belief(dict(zip(OUTCOMES, one, strict=True))))
)
margins = st.sampled_from([None, (0.1, 0.75, 2.0)])
HALF = belief({Outcome.FIRST_3: 0.5, Outcome.SECOND_1: 0.5})


def test_weights_become_probabilities() -> None:
    found = belief({Outcome.FIRST_3: 3, Outcome.BOTH_BAD: 1})
    assert found == (0.75, 0, 0, 0, 0.25, 0, 0, 0, 0)
    for wrong in (
        {},
        {Outcome.FIRST_1: 0.0},
        {Outcome.FIRST_1: -1.0},
        {Outcome.FIRST_1: float("nan")},
    ):
        with pytest.raises(ConfigError, match="weights of the verdicts"):
            belief(wrong)


def test_mirrored_turns_sides_and_keeps_ties() -> None:
    one = tuple(float(n) for n in range(9))
    assert mirrored(one) == (8, 7, 6, 3, 4, 5, 2, 1, 0)


def test_strength_and_spread_by_hand() -> None:
    """Half +3 and half -1: mean 1, second moment 5, so a deviation of 2."""
    assert strength(sure(Outcome.FIRST_2)) == 2 and spread(sure(Outcome.FIRST_2)) == 0
    assert strength(HALF) == 1 and spread(HALF) == 2
    assert strength(sure(Outcome.BOTH_GOOD)) == 0


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ({Outcome.FIRST_3: 1}, 3),
        ({Outcome.FIRST_3: 1, Outcome.FIRST_2: 1}, 3),  # 2.5 rounds up
        ({Outcome.FIRST_3: 1, Outcome.FIRST_1: 2}, 2),  # 5 / 3
        ({Outcome.SECOND_1: 3, Outcome.FIRST_3: 2}, -1),
        ({Outcome.SECOND_2: 1, Outcome.SECOND_3: 1}, -3),
        ({Outcome.BOTH_GOOD: 2, Outcome.FIRST_1: 1}, Tie.BOTH_GOOD),
        ({Outcome.BOTH_BAD: 1, Outcome.FIRST_1: 1}, Tie.BOTH_BAD),  # as likely as the side
        ({Outcome.FIRST_1: 1, Outcome.SECOND_3: 1}, Tie.CANNOT_TELL),  # equal sides
    ],
)
def test_decisions_by_hand(found: dict[Outcome, float], wanted: int | Tie) -> None:
    answer = decide(belief(found))
    assert wanted in (answer.comparison, answer.tie)


def test_labels_without_strength_are_measured_by_log_odds() -> None:
    """ln(0.6 / 0.4) = 0.41, ln(0.8 / 0.2) = 1.39, ln(0.9 / 0.1) = 2.2, ln(0.51 / 0.49) = 0.04."""
    found = [
        decide(belief({Outcome.FIRST_1: p, Outcome.SECOND_1: 1 - p}), (0.1, 0.75, 2.0))
        for p in (0.6, 0.8, 0.9, 0.51, 1.0)
    ]
    assert [one.comparison for one in found] == [1, 2, 3, None, 3]
    assert found[3].tie is Tie.CANNOT_TELL


@given(beliefs, margins)
def test_the_mirrored_belief_gives_exactly_the_opposite(
    one: Belief, least: tuple[float, float, float] | None
) -> None:
    assert mirrored(mirrored(one)) == one
    assert decide(mirrored(one), least) == opposite(decide(one, least))
    assert strength(mirrored(one)) == -strength(one) and spread(mirrored(one)) == spread(one)


@given(st.lists(beliefs, min_size=1, max_size=5), margins)
def test_swapping_negates_every_debiased_verdict(
    seen: list[Belief], least: tuple[float, float, float] | None
) -> None:
    """seen: in the order A, B; the other order gives any other beliefs. Exact, not nearly."""
    other = seen[::-1]
    debiased = mean([*seen, *(mirrored(one) for one in other)])
    swapped = mean([*(mirrored(one) for one in seen), *other])
    assert swapped == mirrored(debiased)
    assert decide(swapped, least) == opposite(decide(debiased, least))


@given(st.lists(st.tuples(st.floats(0.01, 1), beliefs), min_size=1, max_size=4))
def test_weighed_criteria_mirror_too(parts: list[tuple[float, Belief]]) -> None:
    assert mixed([(w, mirrored(one)) for w, one in parts]) == mirrored(mixed(parts))


def test_mixing_by_hand() -> None:
    found = mixed([(3, sure(Outcome.FIRST_3)), (1, sure(Outcome.SECOND_1))])
    assert sides(found).first == 0.75 and sides(found).second == 0.25
    with pytest.raises(ConfigError, match="no belief"):
        mean([])


def test_opposites() -> None:
    tie = Answer(AnswerKind.TIE, tie=Tie.BOTH_BAD)
    assert opposite(tie) is tie
    assert opposite(Answer(AnswerKind.COMPARISON, comparison=2)).comparison == -2
