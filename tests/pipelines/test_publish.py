"""The gate between a candidate and its promotion, worked out by hand."""

from typing import Any

import pytest

from trivox.pipelines.rounds.config import PublishSection
from trivox.pipelines.rounds.stages.publish import gate

LIMITS = PublishSection()  # the interval begins above 50%, WER grows by at most 2 points


def results(rate: float | None, low: float, change: float | None) -> dict[str, Any]:
    return {"win_rate": {"rate": rate, "low": low}, "wer_change": {"mean": change}}


@pytest.mark.parametrize(
    ("figures", "faults"),
    [
        (results(0.70, 0.58, -0.01), []),
        (results(0.70, 0.58, 0.02), []),  # at the limit is allowed
        (results(0.70, 0.501, 0.0), []),
        (
            results(0.55, 0.44, 0.0),
            ["the win rate's 95% interval begins at 44.0%, not above 50%"],
        ),
        (
            results(0.60, 0.50, 0.0),  # exactly one half is not above one half
            ["the win rate's 95% interval begins at 50.0%, not above 50%"],
        ),
        (
            results(0.70, 0.58, 0.031),
            ["held-out WER changes by +3.1 points, at most +2.0 are allowed"],
        ),
        (results(None, 0.0, 0.0), ["no comparison was decisive"]),
        (
            results(0.70, 0.58, None),
            ["held-out WER changes by unknown, at most +2.0 are allowed"],
        ),
    ],
)
def test_gate(figures: dict[str, Any], faults: list[str]) -> None:
    assert gate(figures, LIMITS) == faults


def test_every_fault_is_named() -> None:
    assert len(gate(results(0.4, 0.3, 0.5), LIMITS)) == 2


def test_the_limits_are_those_of_the_configuration() -> None:
    strict = PublishSection(win_rate_above=0.6, wer_increase_at_most=0)
    assert len(gate(results(0.7, 0.58, 0.001), strict)) == 2
