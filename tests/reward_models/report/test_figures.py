"""Each figure of a report by hand; what swapping the replies may change (nothing); bad input."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reward_models.report.conftest import judged
from trivox.platform.errors import UsageError
from trivox.platform.records import Branch, JudgeKind
from trivox.reward_models.report.ceiling import left_out
from trivox.reward_models.report.figures import agreed, biases, figures, subsets
from trivox.reward_models.report.judged import JudgedPair, majority


def test_majority() -> None:
    assert [majority(one) for one in ([1, 2, -1], [-3], [0, 0, 1], [1, -1], [])] == [1, -1, 0, 0, 0]


def test_agreement_by_hand() -> None:
    """Right, wrong, indifferent (half), failed, and a tie of the raters, which asks nothing: 1.5 of 3."""
    pairs = [
        judged("a", [1, 1], 0.7),
        judged("b", [-1], 0.7),
        judged("c", [2], 0.0),
        judged("d", [1], None, failure="no_audio"),
        judged("e", [1, -1], 0.7),
    ]
    found = agreed("all", pairs)
    assert found.accuracy == pytest.approx(0.5) and (found.pairs, found.failed) == (3, 1)
    told = figures(pairs)
    assert told.failures == {"no_audio": 1} and told.flips is None
    assert told.to_json()["judged_by_people"] is False


def test_subsets() -> None:
    pairs = [
        judged("a", [3, 3], texts=("hi", "hi"), expressive=True),
        judged("b", [1], texts=("hi", "ho"), expressive=False, branch=Branch.ASR, source="other"),
        judged("c", [0]),
    ]
    found = {name: [pair.id for pair in inside] for name, inside in subsets(pairs)}
    assert found == {
        "branch: asr": ["b"],
        "branch: tts": ["a", "c"],
        "text: same": ["a"],
        "text: different": ["b"],
        "style: expressive": ["a"],
        "style: plain": ["b"],
        "margin: clear": ["a"],
        "margin: slight": ["b"],
        "source: other": ["b"],
        "source: test": ["a", "c"],
    }


def test_bias_by_hand() -> None:
    """Three pairs whose first is longer; the reward prefers it in all, the raters in one: 1 - 1/3 = 2/3. A pair of
    equal length and one without a size say nothing."""
    pairs = [
        judged("a", [1], 1.0, sizes={"seconds": (2.0, 1.0)}),
        judged("b", [-1], 1.0, sizes={"seconds": (3.0, 1.0)}),
        judged("c", [-1], 1.0, sizes={"seconds": (4.0, 1.0)}),
        judged("d", [-1], 1.0, sizes={"seconds": (1.0, 1.0)}),
        judged("e", [-1], 1.0),
    ]
    [found] = biases(pairs)
    assert (found.size, found.pairs) == ("seconds", 3)
    assert (found.by_reward, found.by_raters) == (1.0, pytest.approx(1 / 3))
    assert found.difference == pytest.approx(2 / 3)


def test_calibration_and_abstention_by_hand() -> None:
    """Confidences 0.9, 0.9, 0.6, 0.6, one of the last wrong: ECE 0.1 (see `calibration_error`)."""
    pairs = [
        judged("a", [1], 1.0, probability=0.9),
        judged("b", [-1], -1.0, probability=0.1),
        judged("c", [1], 0.2, probability=0.6),
        judged("d", [-1], 0.2, probability=0.6),
        judged("e", [1], 0.0, probability=0.5),
    ]
    found = figures(pairs)
    assert found.calibration_error == pytest.approx(0.1)
    assert [one.coverage for one in found.abstention] == [1.0, 0.5]
    assert [one.accuracy for one in found.abstention] == [0.75, 1.0]


def test_flips_of_a_pairwise_judge() -> None:
    pairs = [judged("a", [1], orders=(1, 1)), judged("b", [1], orders=(1, -1)), judged("c", [1])]
    flips = figures(pairs).flips
    assert flips is not None and flips.rate == 0.5 and flips.unjudged == 1


PAIRS = st.lists(
    st.builds(
        lambda votes, difference, p, sizes: (votes, difference, p, sizes),
        st.lists(st.integers(-3, 3), min_size=1, max_size=5),
        st.one_of(st.none(), st.floats(-5, 5)),
        st.floats(0, 1),
        st.tuples(st.floats(0.1, 9), st.floats(0.1, 9)),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(PAIRS)
def test_swapping_all_replies_changes_no_figure(
    raw: list[tuple[list[int], float | None, float, tuple[float, float]]],
) -> None:
    pairs = [
        judged(f"p{n}", votes, difference, sizes={"seconds": sizes})
        for n, (votes, difference, p, sizes) in enumerate(raw)
    ]
    if not any(pair.side for pair in pairs):
        return
    turned = [pair.swapped() for pair in pairs]
    assert [left_out(pair) for pair in pairs] == [left_out(pair) for pair in turned]
    assert [b.by_reward for b in biases(pairs)] == [b.by_reward for b in biases(turned)]
    assert [b.by_raters for b in biases(pairs)] == [b.by_raters for b in biases(turned)]
    for pair in pairs:
        assert pair.swapped().swapped() == pair
        assert pair.side == -pair.swapped().side and pair.credit == pair.swapped().credit


def bad(pair: JudgedPair, **changed: object) -> list[JudgedPair]:
    return [pair, replace(pair, **changed)]  # type: ignore[arg-type]


def test_bad_input() -> None:
    good = judged("a", [1])
    for pairs, why in (
        ([], "no judged pairs"),
        ([judged("a", [0]), judged("b", [1, -1])], "all 2 pairs are ties"),
        (bad(good, difference=float("nan")), "differ by nan"),
        (bad(good, probability=1.5), r"probability 1.5 is outside"),
        (bad(good, votes={"r": 7}), "vote 7"),
        (bad(good, judges=JudgeKind.HUMAN), "human, simulated together"),
    ):
        with pytest.raises(UsageError, match=why):
            figures(pairs)
