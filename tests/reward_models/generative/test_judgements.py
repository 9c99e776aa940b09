"""From tasks to stored judgements: evidence, order, failures that are tried again, and the configuration."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.reward_models.generative.judges import ANNA, told
from trivox.platform.errors import UsageError
from trivox.platform.records import (
    AnswerKind,
    Branch,
    Failure,
    FinishReason,
    JudgeKind,
    Judgement,
    Prompt,
    Rollout,
    Sampling,
    Task,
    TaskKind,
    Turn,
)
from trivox.reward_models.generative.backends import JudgeFailure, Reading, failure
from trivox.reward_models.generative.config import JudgeConfig, opened
from trivox.reward_models.generative.judge import GenerativeJudge
from trivox.reward_models.generative.judgements import Material, is_failure, judged, question_of
from trivox.reward_models.generative.questions import View
from trivox.reward_models.generative.verdicts import Outcome, sure

NOW = datetime(2026, 1, 2, tzinfo=UTC)
PROMPT = Prompt.of(Branch.REALTIME, ("en",), turns=(Turn("user", "turn on the lamp"),))


def rollout(name: str, text: str | None, **more: Any) -> Rollout:
    fixed: dict[str, Any] = {
        "project": "p",
        "round": "r",
        "branch": Branch.REALTIME,
        "prompt": PROMPT.id,
        "producer": "x",
        "seed": 0,
        "index": 0,
        "sampling": Sampling(),
        "engine": "e",
        "dtype": "f",
        "tokens": (),
        "segments": (),
        "logprobs": (),
        "finish_reason": FinishReason.END,
    }
    return Rollout(id=name, text=text, **fixed, **more)


ROLLOUTS = {
    "ro1": rollout("ro1", "the lamp is on"),
    "ro2": rollout("ro2", None, turns=(Turn("user", "hi"), Turn("assistant", "no"))),
}
MATERIAL = Material(PROMPT, ROLLOUTS, ANNA)


def task(name: str = "t1", items: tuple[str, ...] = ("ro1", "ro2")) -> Task:
    return Task(name, "p", "c", TaskKind.COMPARE, PROMPT.id, items, "overall@1", "en", 1)


def longer(view: View) -> Reading:
    first, second = (len(reply.text or "") for reply in view.shown)
    return Reading(sure(Outcome.FIRST_2 if first > second else Outcome.SECOND_2), "length")


def run(judge: GenerativeJudge, stored: Sequence[Judgement] = ()) -> list[Judgement]:
    return judged(judge, [task()], lambda _: MATERIAL, stored, NOW)


def test_a_task_becomes_a_question_with_all_that_was_said() -> None:
    asked = question_of(task(), MATERIAL)
    assert (asked.first.text, asked.second.text, asked.persona) == ("the lamp is on", "no", ANNA)
    assert [(line.role, line.text) for line in asked.history] == [("user", "turn on the lamp")]
    with pytest.raises(UsageError, match="3 items"):
        question_of(task(items=("ro1", "ro2", "ro1")), MATERIAL)
    with pytest.raises(UsageError, match="ro9 is not at hand"):
        question_of(task(items=("ro1", "ro9")), MATERIAL)


def test_a_judgement_keeps_every_view_as_evidence() -> None:
    (found,) = run(told(longer))
    assert found.judge_kind is JudgeKind.GRM and found.judge.startswith("grm:told:")
    assert found.answer.comparison == 2 and not is_failure(found) and found.reasons == ()
    kept = json.loads(found.comment or "")
    assert kept["template"] == "scale@1" and len(kept["template_sha256"]) == 64
    assert sorted(view["shown"] for view in kept["views"]) == [["ro1", "ro2"], ["ro2", "ro1"]]
    assert [view["raw"] for view in kept["views"]] == ["length", "length"]
    assert list(found.presentation) == kept["views"][0]["shown"]


def test_the_order_of_the_items_turns_the_answer_and_nothing_else() -> None:
    swapped = judged(told(longer), [task(items=("ro2", "ro1"))], lambda _: MATERIAL, [], NOW)
    assert swapped[0].answer.comparison == -2


def test_what_was_answered_is_not_asked_again_by_the_same_judge() -> None:
    first = run(told(longer))
    assert run(told(longer), first) == [] and run(told(longer)) == first
    other = run(told(longer, votes=2), first)
    assert len(other) == 1 and other[0].judge != first[0].judge and other[0].supersedes is None


def test_a_failure_is_an_abstention_that_a_later_run_supersedes() -> None:
    def down(view: View) -> Failure:
        return failure(JudgeFailure.TIMEOUT, "no answer within 1 s")

    (failed,) = run(told(down))
    assert failed.answer.kind is AnswerKind.ABSTENTION and is_failure(failed)
    assert failed.reasons == ("failure:judge_timeout",)
    assert failed.answer.abstention == "judge_timeout: no answer within 1 s"
    (again,) = run(told(longer), [failed])
    assert again.supersedes == failed.id and again.answer.comparison == 2 and again.id != failed.id
    assert run(told(longer), [failed, again]) == []


def test_an_abstention_of_the_judge_stays() -> None:
    def mute(view: View) -> Reading:
        return Reading(None, "hm")

    found = run(told(mute))
    assert found[0].answer.kind is AnswerKind.ABSTENTION and not is_failure(found[0])
    assert run(told(mute), found) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"backend": "local"},
        {"backend": "server"},
        {"backend": "server", "server": {"base_url": "http://h/v1", "model": "m"}, "adapter": "a"},
        {"backend": "local", "model": "m", "adapter": "a"},
        {"backend": "local", "model": "m", "server": {"base_url": "http://h/v1", "model": "m"}},
    ],
)
def test_configurations_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="backend"):
        JudgeConfig.model_validate(wrong)


def test_judges_are_opened_by_their_configuration(
    chat_folder: Path, judging_backbone: Path
) -> None:
    local = JudgeConfig(backend="local", model=str(chat_folder), least_mass=0.0)
    shared = JudgeConfig.model_validate(
        {
            "backend": "backbone",
            "model": str(judging_backbone),
            "least_mass": 0.0,
            "judging": {"template": "backbone@1"},
        }
    )
    for config in (local, shared):
        with opened(config) as judge:
            (found,) = run(judge)
            assert not is_failure(found)
            assert judge.backend.identity.family == config.family
