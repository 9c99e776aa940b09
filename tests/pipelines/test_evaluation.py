"""Parent against candidate: verdicts and figures, worked out by hand."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.pipelines.evaluation import compare_policies, summarise
from trivox.platform.records import (
    Branch,
    Direction,
    Failure,
    FinishReason,
    Rollout,
    Sampling,
    Score,
    ScorerRole,
)

EVALUATORS = ("ear", "taste")
MARGIN = 0.1

Figures = tuple[float | None, float | None]  # error rate, quality; None: the scorer failed


def rollout(id: str, prompt: str) -> Rollout:
    return Rollout(
        id=id,
        project="default",
        round="round_1",
        branch=Branch.TTS,
        prompt=prompt,
        producer="po_1",
        seed=0,
        index=0,
        sampling=Sampling(),
        engine="test",
        dtype="float32",
        tokens=(1,),
        segments=(),
        logprobs=(0.0,),
        finish_reason=FinishReason.END,
    )


def score(rollout: str, scorer: str, component: str, value: float | None) -> Score:
    return Score(
        id=f"{rollout}:{scorer}",
        project="default",
        round="round_1",
        rollout=rollout,
        scope="episode",
        component=component,
        scorer=scorer,
        scorer_version="1",
        weights_hash="0",
        family=scorer,
        role=ScorerRole.EVALUATOR,
        unit="",
        direction=Direction.LOWER,
        value=value,
        failure=Failure("no_audio", "silent") if value is None else None,
    )


def compared(
    items: Sequence[tuple[Figures, Figures]],
    extra: Sequence[Score] = (),
    monitor: str | None = None,
) -> tuple[dict[str, Any], tuple[dict[str, Any], ...]]:
    """results and rows of (parent's figures, candidate's figures) by prompt."""
    pairs, scores = [], list(extra)
    for index, sides in enumerate(items):
        names = (f"old{index}", f"new{index}")
        pairs.append((rollout(names[0], f"pr{index}"), rollout(names[1], f"pr{index}")))
        for name, (wer, quality) in zip(names, sides, strict=True):
            scores.append(score(name, "ear", "intelligibility", wer))
            scores.append(score(name, "taste", "quality", quality))
    verdicts = compare_policies(
        pairs, scores, evaluators=EVALUATORS, monitor=monitor, quality_margin=MARGIN, seed=0
    )
    return verdicts.results, verdicts.per_item


@pytest.mark.parametrize(
    ("parent", "candidate", "verdict"),
    [
        ((0.5, 3.0), (0.25, 1.0), "win"),  # fewer errors win over any quality
        ((0.25, 1.0), (0.5, 5.0), "loss"),
        ((0.25, 3.0), (0.25, 3.5), "win"),  # equal errors: quality decides
        ((0.25, 3.5), (0.25, 3.0), "loss"),
        ((0.25, 3.0), (0.25, 3.05), "tie"),  # within the margin
        ((0.25, 3.0), (0.25, 2.95), "tie"),
        ((0.0, 1.0), (0.0, 1.0), "tie"),
        ((None, 3.0), (0.25, 3.0), "failed"),
        ((0.25, 3.0), (None, 3.0), "failed"),
        ((0.25, None), (0.25, 3.0), "failed"),  # quality was needed and is not there
        ((0.5, None), (0.25, 3.0), "win"),  # quality was not needed
    ],
)
def test_verdicts(parent: Figures, candidate: Figures, verdict: str) -> None:
    _, rows = compared([(parent, candidate)])
    assert [row["verdict"] for row in rows] == [verdict]


def test_figures_by_hand() -> None:
    results, rows = compared(
        [
            ((0.50, 3.0), (0.25, 3.0)),  # win, -0.25
            ((0.50, 3.0), (0.00, 3.0)),  # win, -0.5
            ((0.00, 3.0), (0.25, 3.0)),  # loss, +0.25
            ((0.25, 3.0), (0.25, 3.0)),  # tie, 0
            ((None, 3.0), (0.25, 4.0)),  # failed: in no mean of error rates
        ]
    )
    win = results["win_rate"]
    assert (win["wins"], win["losses"], win["ties"], results["failed"]) == (2, 1, 1, 1)
    assert win["rate"] == pytest.approx(2 / 3)
    # Wilson's interval of 2 in 3, from the formula with z = 1.95996.
    assert (win["low"], win["high"]) == pytest.approx((0.20766, 0.93851), abs=1e-5)
    assert results["wer_before"] == pytest.approx(1.25 / 4)
    assert results["wer_after"] == pytest.approx(0.75 / 4)
    change = results["wer_change"]
    assert change["mean"] == pytest.approx(-0.125)
    assert -0.5 <= change["low"] < change["mean"] < change["high"] <= 0.25
    assert results["quality_change"]["mean"] == pytest.approx(1.0 / 5)
    assert results["prompts"] == 5 == len(rows)
    assert rows[0] == {
        "prompt": "pr0",
        "parent_rollout": "old0",
        "candidate_rollout": "new0",
        "wer_before": 0.5,
        "wer_after": 0.25,
        "quality_before": 3.0,
        "quality_after": 3.0,
        "monitor_wer_before": None,
        "monitor_wer_after": None,
        "verdict": "win",
    }


def test_all_ties_have_no_win_rate() -> None:
    results, _ = compared([((0.0, 3.0), (0.0, 3.0))] * 3)
    assert results["win_rate"] == {
        "rate": None, "low": 0.0, "high": 1.0, "wins": 0, "losses": 0, "ties": 3
    }  # fmt: skip


def test_nothing_scored_has_no_figures() -> None:
    results, _ = compared([((None, None), (None, None))])
    assert results["failed"] == 1 and results["win_rate"]["rate"] is None
    assert results["wer_before"] is None
    assert results["wer_change"] == {"mean": None, "low": None, "high": None}


def test_the_monitor_decides_nothing() -> None:
    says = [
        score("old0", "watch", "intelligibility", 0.9),
        score("new0", "watch", "intelligibility", 0.1),
    ]
    results, rows = compared([((0.25, 3.0), (0.25, 3.0))], says, monitor="watch")
    assert rows[0]["verdict"] == "tie"
    assert results["monitor_wer_change"]["mean"] == pytest.approx(-0.8)


def test_scores_of_other_scorers_are_not_looked_at() -> None:
    reward = [score("new0", "reward", "intelligibility", 0.0)]
    _, rows = compared([((0.25, 3.0), (0.5, 3.0))], reward)
    assert rows[0]["wer_after"] == 0.5 and rows[0]["verdict"] == "loss"


def row(prompt: str, verdict: str, before: float | None, after: float | None) -> dict[str, Any]:
    empty = dict.fromkeys(
        ("quality_before", "quality_after", "monitor_wer_before", "monitor_wer_after")
    )
    return {"prompt": prompt, "verdict": verdict, "wer_before": before, "wer_after": after, **empty}


def test_rows_of_several_seeds_are_clustered_by_prompt() -> None:
    # One prompt always wins by 0.5, the other always loses by 0.5, three seeds each: six rows, but only
    # two independent things to learn from. Resampled prompts give means of 0, 0.5 and 1.
    rows = [row("a", "win", 0.5, 0.0), row("b", "loss", 0.0, 0.5)] * 3
    pooled = summarise(rows, seed=0)
    win = pooled["win_rate"]
    assert (win["rate"], win["low"], win["high"]) == (0.5, 0.0, 1.0)
    assert pooled["prompts"] == 2
    change = pooled["wer_change"]
    assert (change["mean"], change["low"], change["high"]) == (0.0, -0.5, 0.5)
    alone = summarise([{**one, "prompt": str(i)} for i, one in enumerate(rows)], seed=0)
    assert alone["win_rate"]["low"] > 0.1  # Wilson's of 3 in 6: as if there were six prompts


def test_prompts_that_agree_over_seeds_leave_no_doubt_about_seeds() -> None:
    rows = [row(prompt, "win", 0.5, 0.25) for prompt in "ab" for _ in range(3)]
    pooled = summarise(rows, seed=0)
    assert pooled["wer_change"] == {"mean": -0.25, "low": -0.25, "high": -0.25}


figures = st.tuples(
    st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 1.0])),
    st.one_of(st.none(), st.sampled_from([1.0, 2.5, 2.55, 4.0])),
)


@given(st.lists(st.tuples(figures, figures), min_size=1, max_size=6))
def test_swapping_parent_and_candidate_swaps_the_outcome(
    items: list[tuple[Figures, Figures]],
) -> None:
    there, _ = compared(items)
    back, _ = compared([(new, old) for old, new in items])
    one, other = there["win_rate"], back["win_rate"]
    assert (one["wins"], one["losses"], one["ties"]) == (
        other["losses"], other["wins"], other["ties"]
    )  # fmt: skip
    assert there["failed"] == back["failed"]
    if one["rate"] is not None:
        assert one["rate"] == pytest.approx(1 - other["rate"])
        assert one["low"] == pytest.approx(1 - other["high"], abs=1e-9)
    for column in ("wer", "quality"):
        assert there[f"{column}_before"] == back[f"{column}_after"]
        change = there[f"{column}_change"]["mean"]
        if change is not None:
            assert change == pytest.approx(-back[f"{column}_change"]["mean"])
