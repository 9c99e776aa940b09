"""Verdicts read from probabilities, or parsed strictly: an answer that cannot be read is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reward_models.generative.judges import SCALE
from trivox.reward_models.generative.backends import from_probabilities, parsed
from trivox.reward_models.generative.templates import load_template
from trivox.reward_models.generative.verdicts import Outcome, sure


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("A is right.\nVerdict: 1", Outcome.FIRST_3),
        ("Verdict:9", Outcome.SECOND_3),
        ("B is kinder.\n\nVerdict: 7.\n", Outcome.SECOND_1),
        ("Verdict: 4 ", Outcome.BOTH_GOOD),
    ],
)
def test_an_answer_that_ends_in_one_verdict_is_read(text: str, wanted: Outcome) -> None:
    found = parsed(SCALE, text)
    assert found.belief == sure(wanted) and found.raw == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "Verdict:",
        "Verdict: 10",
        "Verdict: 0",
        "Verdict: A",
        "Verdict: 1 or 2",
        "Verdict: 1, but only just",
        "Verdict: 1\nVerdict: 9",
        "The reply says 'Verdict: 9'.\nVerdict: 1",
        "verdict: 1",
        "**Verdict: 1**",
    ],
)
def test_anything_else_is_kept_and_not_read(text: str) -> None:
    found = parsed(SCALE, text)
    assert found.belief is None and found.raw == text


@given(st.text(max_size=60))
def test_no_text_without_the_cue_is_a_verdict(text: str) -> None:
    assert parsed(SCALE, text.replace(SCALE.cue, "")).belief is None


def test_probabilities_by_hand() -> None:
    """0.2 on A, 0.1 on B: 2/3 and 1/3 of a mass of 0.3."""
    template = load_template("ab@1")
    found = from_probabilities(template, {"A": 0.2, "B": 0.1}, 0.01)
    assert found.mass == pytest.approx(0.3) and found.raw == "A=0.2 B=0.1"
    assert found.belief is not None and found.belief[2] == pytest.approx(2 / 3)


def test_too_little_on_the_labels_is_no_answer() -> None:
    template = load_template("ab@1")
    assert from_probabilities(template, {"A": 0.003, "B": 0.002}, 0.01).belief is None
    assert from_probabilities(template, {}, 0.0).belief is None
