"""What an answer tells, by hand and by its limits."""

import numpy as np
import pytest

from tests.annotation.work.conftest import FIRST, NOON, Desk, campaign, people
from trivox.annotation.work.information import (
    Prior,
    expected_information,
    information_of,
    posterior,
    priors_of,
    refresh,
)
from trivox.platform.records import (
    Answer,
    AnswerKind,
    Branch,
    Direction,
    JudgeKind,
    Judgement,
    Purpose,
    Score,
    ScorerRole,
    Task,
    TaskKind,
    TaskState,
)
from trivox.platform.store import Workspace


def task(name: str, one: str, other: str) -> Task:
    return Task(name, "p", "c", TaskKind.COMPARE, "pr", (one, other), "overall@1", "en", 1)


def said(on: Task, value: int, judge: str = "j", purpose: Purpose = Purpose.JUDGE) -> Judgement:
    answer = Answer(AnswerKind.COMPARISON, comparison=value)
    name = f"{on.id} {judge} {value} {purpose}"
    return Judgement(
        name, "p", on.id, JudgeKind.HUMAN, judge, answer, on.items, name, NOON, purpose=purpose
    )


def test_nothing_is_told_where_nothing_is_open() -> None:
    """A known difference tells nothing, even of 0; a coin that falls surely on one of two sides tells a bit."""
    known = expected_information(np.array([0.0, 3.0]), np.zeros(2))
    assert known == pytest.approx([0, 0], abs=1e-12)
    assert expected_information(np.array([0.0]), np.array([1e6]))[0] > 0.9
    wide = expected_information(np.zeros(3), np.array([0.1, 1.0, 4.0]))
    assert wide[0] < wide[1] < wide[2]
    sure = expected_information(np.array([0.0, 2.0, 5.0]), np.ones(3))
    assert sure[0] > sure[1] > sure[2]


def test_expected_information_by_sampling() -> None:
    rng = np.random.default_rng(0)
    p = 1 / (1 + np.exp(-rng.normal(0.7, np.sqrt(2.0), size=200_000)))
    entropy = lambda q: -(q * np.log2(q) + (1 - q) * np.log2(1 - q))  # noqa: E731
    assert expected_information(np.array([0.7]), np.array([2.0]))[0] == pytest.approx(
        entropy(p.mean()) - entropy(p).mean(), abs=2e-3
    )


def test_posterior_by_hand() -> None:
    """Without votes the prior. One vote for the first of two with unit priors: q = (x, -x) with x = 1 - s(2x)."""
    mean, covariance = posterior([Prior(0.5, 2.0), Prior()], [])
    assert mean == pytest.approx([0.5, 0]) and covariance == pytest.approx(np.diag([2.0, 1.0]))
    (x, y), _ = posterior([Prior(), Prior()], [(0, 1, 1)])
    assert x == pytest.approx(-y) and x == pytest.approx(1 - 1 / (1 + np.exp(-2 * x)), abs=1e-7)


def test_answers_and_scores_lower_what_is_left_to_tell() -> None:
    new, judged, scored = task("new", "a", "b"), task("judged", "c", "d"), task("scored", "e", "f")
    votes = [said(judged, 2, f"j{n}") for n in range(4)] + [said(new, 1, "x", Purpose.GOLD)]
    priors = {"e": Prior(2.0, 0.3), "f": Prior(-2.0, 0.3)}
    told = information_of([new, judged, scored], votes, priors)
    assert told["new"] > told["judged"] and told["new"] > told["scored"]
    doubtful = {"e": Prior(2.0, 9.0), "f": Prior(-2.0, 9.0)}
    assert information_of([scored], [], doubtful)["scored"] > told["scored"]


def test_a_rollout_known_from_another_pair_tells_less() -> None:
    known, fresh, half = task("1", "a", "b"), task("2", "c", "d"), task("3", "a", "c")
    told = information_of([known, fresh, half], [said(known, 3, f"j{n}") for n in range(6)], {})
    assert told["2"] > told["3"] > told["1"]


def score(ws: Workspace, rollout: str, value: float, uncertainty: float | None) -> Score:
    return Score(
        f"s_{rollout}", ws.project, "rd", rollout, "episode", "reward", "rm", "1", "h", "rm",
        ScorerRole.REWARD, "logit", Direction.HIGHER, value, uncertainty,
    )  # fmt: skip


def test_refresh_uses_stored_scores_and_answers(ws: Workspace, desk: Desk) -> None:
    one = campaign(ws, 3, overlap=2)
    people(ws, "ann")
    desk.enter("ann", one)
    desk.judge("ann", one, FIRST)
    tasks = ws.records.find(Task)
    far, near = tasks[1].items, tasks[2].items
    scores = [score(ws, far[0], 5.0, 0.1), score(ws, far[1], -5.0, 0.1)]
    scores += [score(ws, near[0], 0.1, 6.0), score(ws, near[1], -0.1, 6.0)]
    ws.tables.write(scores, branch=Branch.TTS, round="rd", part="s")
    priors = priors_of(ws, [*far, *near])
    assert priors[far[0]].mean > 0 > priors[far[1]].mean
    assert priors[near[0]].variance > priors[far[0]].variance
    assert refresh(ws, one.id) == 3
    told = {state.id: state.information for state in ws.records.find(TaskState)}
    assert told[tasks[2].id] > told[tasks[1].id]
