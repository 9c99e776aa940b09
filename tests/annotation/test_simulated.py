"""Simulated judges: their utility by hand, their noise, and what they do without scores."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivox.annotation.simulated import SimulatedJudge, simulated_judgement, utility
from trivox.platform.errors import UsageError
from trivox.platform.records import (
    AnswerKind,
    Direction,
    Failure,
    JudgeKind,
    Judgement,
    Score,
    ScorerRole,
    Task,
    TaskKind,
    Tie,
)
from trivox.reward_models.registry import build

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUIET = SimulatedJudge(noise=0.0)
TASK = Task(
    "task_1", "default", "c", TaskKind.COMPARE, "p1", ("ro_a", "ro_b"), "overall@1", "en", 1
)


def score(rollout: str, component: str, value: float | None) -> Score:
    return Score(
        id=f"sc_{rollout}_{component}",
        project="default",
        round=None,
        rollout=rollout,
        scope="episode",
        component=component,
        scorer="test",
        scorer_version="1",
        weights_hash="",
        family="test",
        role=ScorerRole.REWARD,
        unit="",
        direction=Direction.HIGHER,
        value=value,
        failure=None if value is not None else Failure("broken", "no audio"),
    )


def scores(
    rollout: str, wer: float | None, mos: float | None, gate: float = 1.0
) -> dict[str, Score]:
    values = {
        "intelligibility": wer,
        "naturalness": mos,
        "duration": gate,
        "silence": 1.0,
        "end": 1.0,
    }
    return {name: score(rollout, name, value) for name, value in values.items()}


def judged(
    a: dict[str, Score], b: dict[str, Score], judge: SimulatedJudge = QUIET, task: Task = TASK
) -> Judgement:
    return simulated_judgement(task, {"ro_a": a, "ro_b": b}, judge, NOW)


def test_utility_by_hand() -> None:
    """-8 x 0.25 + 1 x 3.5 = 1.5; with weights 2 and 0.5: -0.5 + 1.75 = 1.25."""
    given_scores = scores("ro_a", 0.25, 3.5)
    assert utility("ro_a", given_scores, QUIET) == pytest.approx(1.5)
    other = replace(QUIET, wer_weight=2.0, mos_weight=0.5)
    assert utility("ro_a", given_scores, other) == pytest.approx(1.25)


@pytest.mark.parametrize(
    ("wer_a", "mos_a", "answer"),
    [
        (0.0, 4.0, 3),  # 4.0 against 2.0: 2.0 is at least 1.5
        (0.0, 3.0, 2),  # 3.0 against 2.0: 1.0 is at least 0.7
        (0.0, 2.5, 1),  # 0.5 is at least 0.2
        (0.0, 1.75, -1),  # -0.25
        (0.125, 2.0, -2),  # an error rate of 1/8 costs 1.0
        (0.25, 2.0, -3),  # 1/4 costs 2.0
    ],
)
def test_margins_by_hand(wer_a: float, mos_a: float, answer: int) -> None:
    judgement = judged(scores("ro_a", wer_a, mos_a), scores("ro_b", 0.0, 2.0))
    assert judgement.answer.kind == AnswerKind.COMPARISON
    assert judgement.answer.comparison == answer


@pytest.mark.parametrize(
    ("mos", "tie"),
    [(3.0, Tie.BOTH_GOOD), (2.0, Tie.CANNOT_TELL), (1.5, Tie.CANNOT_TELL), (1.25, Tie.BOTH_BAD)],
)
def test_ties_have_a_reason(mos: float, tie: Tie) -> None:
    assert judged(scores("ro_a", 0.0, mos), scores("ro_b", 0.0, mos)).answer.tie == tie


def test_gates_outweigh_everything() -> None:
    passed, gated = scores("ro_a", 1.0, 1.0), scores("ro_b", 0.0, 5.0, gate=0.0)
    assert judged(passed, gated).answer.comparison == 3
    assert judged(scores("ro_a", 0.0, 4.0, gate=0.0), gated).answer.tie == Tie.BOTH_BAD


def test_other_components_can_be_judged() -> None:
    judge = replace(QUIET, error_rate="cer", mos="quality", gates=())
    worse, better = (
        {"cer": score(name, "cer", rate), "quality": score(name, "quality", 3.0)}
        for name, rate in (("ro_a", 0.5), ("ro_b", 0.0))
    )
    assert judged(worse, better, judge).answer.comparison == -3


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("pocketsphinx-wer", QUIET.error_rate),
        ("distillmos", QUIET.mos),
        *((gate, gate) for gate in QUIET.gates),
    ],
)
def test_scorers_measure_what_the_judge_asks_for(name: str, component: str) -> None:
    assert build(name).info.component == component


@pytest.mark.parametrize(
    "component", ["intelligibility", "naturalness", "duration", "silence", "end"]
)
@pytest.mark.parametrize("how", ["failed", "missing"])
def test_without_a_score_the_judge_abstains(component: str, how: str) -> None:
    broken = scores("ro_b", 0.0, 3.0)
    del broken[component]
    if how == "failed":
        broken[component] = score("ro_b", component, None)
    answer = judged(scores("ro_a", 0.0, 5.0), broken).answer
    assert answer.kind == AnswerKind.ABSTENTION
    assert component in str(answer.abstention) and "ro_b" in str(answer.abstention)


def test_an_unscored_rollout_is_an_abstention() -> None:
    alone = {"ro_a": scores("ro_a", 0.0, 5.0)}
    assert simulated_judgement(TASK, alone, QUIET, NOW).answer.kind == AnswerKind.ABSTENTION


def test_mos_is_not_needed_when_it_weighs_nothing() -> None:
    judge = replace(QUIET, mos_weight=0.0)
    assert (
        judged(scores("ro_a", 0.0, None), scores("ro_b", 1.0, None), judge).answer.comparison == 3
    )


def test_recorded_as_simulated() -> None:
    judgement = judged(scores("ro_a", 0.0, 3.0), scores("ro_b", 0.0, 2.0))
    assert (judgement.judge_kind, judgement.judge) == (JudgeKind.SIMULATED, "simulated:wer-mos")
    assert judgement.heard_s == {} and judgement.taken_s is None


VALUES = st.tuples(st.floats(0, 2), st.floats(1, 5), st.sampled_from([0.0, 1.0]))


@settings(deadline=None)
@given(VALUES, VALUES, st.integers(0, 5), st.floats(0, 2))
def test_swapping_the_items_negates(
    a: tuple[float, float, float], b: tuple[float, float, float], seed: int, noise: float
) -> None:
    judge = SimulatedJudge(seed=seed, noise=noise)
    given_scores = scores("ro_a", *a), scores("ro_b", *b)
    answer = judged(*given_scores, judge).answer
    swapped = judged(*given_scores, judge, replace(TASK, items=("ro_b", "ro_a"))).answer
    assert swapped.kind == answer.kind
    assert swapped.tie == answer.tie
    assert -(swapped.comparison or 0) == (answer.comparison or 0)


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_the_same_seed_gives_the_same_judgement(number: int) -> None:
    task = replace(TASK, id=f"task_{number}")
    close = scores("ro_a", 0.1, 3.0), scores("ro_b", 0.1, 3.1)
    judge = SimulatedJudge(seed=number)
    assert judged(*close, judge, task) == judged(*close, judge, task)
    assert judged(*close, judge, task).id != judged(*close, replace(judge, seed=-1), task).id


def test_noise_and_sides_differ_between_tasks() -> None:
    """Equal rollouts, noise far above the margins, 200 tasks: either side wins, or comes first, in 70 to 130."""
    noisy = SimulatedJudge(noise=5.0)
    made = [
        judged(
            scores("ro_a", 0.1, 3.0),
            scores("ro_b", 0.1, 3.0),
            noisy,
            replace(TASK, id=f"task_{number}"),
        )
        for number in range(200)
    ]
    assert 70 <= sum((one.answer.comparison or 0) > 0 for one in made) <= 130
    assert 70 <= sum(one.presentation == ("ro_a", "ro_b") for one in made) <= 130


def test_three_items_are_no_comparison() -> None:
    with pytest.raises(UsageError, match="task task_1: 3 items"):
        simulated_judgement(replace(TASK, items=("a", "b", "c")), {}, QUIET, NOW)
