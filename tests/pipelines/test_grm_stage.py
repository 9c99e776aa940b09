"""A round labelled by a generative judge behind a real server: judgements, cost, failures that are tried again."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from tests.pipelines.conftest import Queue
from tests.reward_models.generative.serving import Reply, completion, ok, serving
from trivox.pipelines.rounds.config import RoundConfig
from trivox.pipelines.rounds.context import Outcome, RoundContext, Stopped
from trivox.pipelines.rounds.stages import grm, label
from trivox.platform.errors import BudgetSpent, StageFailed
from trivox.platform.records import (
    AnswerKind,
    Branch,
    Campaign,
    CostEntry,
    FinishReason,
    JudgeKind,
    Judgement,
    Rollout,
    Sampling,
    Split,
    Task,
    TaskKind,
)
from trivox.platform.store import Workspace
from trivox.platform.store.budgets import set_budget
from trivox.reward_models.generative.server import ServerJudge

GOOD = ok(completion("2", {"2": math.log(0.9), "8": math.log(0.1)}))
"""A is better, whichever is A: position bias, so a tie after debiasing."""


def rollout(ws: Workspace, ctx: RoundContext, prompt: str, index: int) -> Rollout:
    return Rollout(
        id=f"ro_{prompt[-4:]}_{index}",
        project=ws.project,
        round=ctx.round.id,
        branch=Branch.TTS,
        prompt=prompt,
        producer="x",
        seed=0,
        index=index,
        sampling=Sampling(),
        engine="e",
        dtype="f",
        tokens=(),
        segments=(),
        logprobs=(),
        finish_reason=FinishReason.END,
        text="one" * (index + 1),
    )


def labelled(ws: Workspace, queued: Queue, url: str, **server: Any) -> RoundContext:
    """A round with one comparison for each of its three prompts."""
    quick = {"base_url": url, "model": "m", "attempts": 2, "pause_s": 0.001, "timeout_s": 2.0}
    judge = {"backend": "server", "server": {**quick, **server}}
    raw = {"policy": "po_base", "prompts": "few", "label": {"judges": "grm", "grm": judge}}
    config = RoundConfig.model_validate(raw)
    ctx = RoundContext.of(ws, queued(config=config.model_dump(mode="json")))
    prompts = [one for split in Split for one in ctx.split(split)]
    languages = ("en-US",)
    ws.records.add(
        Campaign("c", ws.project, "c", Branch.TTS, "which?", 1, languages, 1, ctx.round.created_at)
    )
    for prompt in prompts:
        made = [rollout(ws, ctx, prompt.id, index) for index in (0, 1)]
        ws.tables.write(made, branch=Branch.TTS, round=ctx.round.id, part=prompt.id)
        items = tuple(one.id for one in made)
        ws.records.add(
            Task(
                f"t_{prompt.id}", ws.project, "c", TaskKind.COMPARE, prompt.id, items, "overall@1",
                "en-US", 1, round=ctx.round.id,
            )
        )  # fmt: skip
    return ctx


def judgements(ws: Workspace) -> list[Judgement]:
    return ws.records.find(Judgement, project=ws.project)


def test_the_judge_answers_every_comparison_once(ws: Workspace, queued: Queue) -> None:
    prices = {"prompt_price": 1.0, "completion_price": 2.0}
    with serving(lambda number, body: GOOD) as served:
        ctx = labelled(ws, queued, served.url, **prices)
        outcomes = [label.run(ctx) for _ in range(2)]
    assert isinstance(outcomes[1], Outcome)
    assert outcomes[1].outputs == {"judgements": {"human": 0, "grm": 3, "simulated": 0}}
    found = judgements(ws)
    assert {one.judge_kind for one in found} == {JudgeKind.GRM} and len(served.bodies) == 6
    assert {one.answer.kind for one in found} == {AnswerKind.TIE}
    assert all(len(json.loads(one.comment or "")["views"]) == 2 for one in found)
    (cost,) = ws.records.find(CostEntry, round=ctx.round.id)
    assert (cost.kind, cost.quantity, cost.currency) == ("judge", 6, "USD")
    assert cost.price == pytest.approx((100 * 1 + 10 * 2) / 1e6)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (60.0, "judge_timeout"),
        ((429, {}, b"slow down"), "judge_rate_limited"),
        ((500, {}, b"no"), "judge_server_error"),
        (ok(completion("2")[:-9]), "judge_broken_answer"),
        (ok(b'{"cats": 9}'), "judge_broken_answer"),
    ],
    ids=["no answer", "429", "500", "truncated", "nonsense"],
)
def test_one_comparison_fails_and_the_round_goes_on_until_it_is_tried_again(
    ws: Workspace, queued: Queue, answer: Reply | float, failure: str
) -> None:
    """Both views of it are asked twice, then it is a typed failure: no tie, no number. The others are judged."""
    state = {"down": True}

    def script(number: int, body: dict[str, Any]) -> Reply | float:
        bad = state["down"] and "two" in body["messages"][1]["content"]
        return answer if bad else GOOD

    with serving(script) as served:
        ctx = labelled(ws, queued, served.url, timeout_s=0.4 if answer == 60.0 else 5.0)
        label.run(ctx)
        assert sum("two" in one["messages"][1]["content"] for one in served.bodies) == 4
        first = judgements(ws)
        kinds = sorted(one.answer.kind.value for one in first)
        assert kinds == ["abstention", "tie", "tie"]
        (failed,) = [one for one in first if one.answer.kind is AnswerKind.ABSTENTION]
        assert failed.reasons == (f"failure:{failure}",)
        assert failed.answer.comparison is None and failed.answer.tie is None
        state["down"] = False
        label.run(ctx)
    (again,) = [one for one in judgements(ws) if one not in first]
    assert again.supersedes == failed.id and again.answer.kind is AnswerKind.TIE


def test_a_judge_that_always_fails_stops_the_stage_with_its_cause(
    ws: Workspace, queued: Queue
) -> None:
    with serving(lambda number, body: (401, {}, b"who are you")) as served:
        ctx = labelled(ws, queued, served.url)
        with pytest.raises(
            StageFailed, match=r"all 3 comparisons.*judge_refused.*401: who are you"
        ):
            label.run(ctx)


def test_what_was_paid_for_survives_a_kill_and_a_spent_budget(
    ws: Workspace, queued: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of one comparison, two requests each. Killed in the second batch, only that one is asked again;
    with 4 of 4 requests spent, the third waits until the budget is raised, and no request is paid twice."""
    monkeypatch.setattr(grm, "WAVES", 1)
    killed = {"now": True}
    read = ServerJudge.read

    def reading(self: ServerJudge, views: Any, *more: Any) -> Any:
        if killed["now"] and judgements(ws):
            killed["now"] = False
            raise KeyboardInterrupt
        return read(self, views, *more)

    monkeypatch.setattr(ServerJudge, "read", reading)
    prices = {"prompt_price": 1.0, "completion_price": 2.0, "parallel": 1}
    with serving(lambda number, body: GOOD) as served:
        ctx = labelled(ws, queued, served.url, **prices)
        set_budget(ws.records, project=ws.project, kind="judge", limit=4, round=ctx.round.id)
        with pytest.raises(KeyboardInterrupt):
            label.run(ctx)
        assert (len(judgements(ws)), len(served.bodies)) == (1, 2)
        with pytest.raises(BudgetSpent, match="4 of 4 request of judge"):
            label.run(ctx)
        assert (len(judgements(ws)), len(served.bodies)) == (2, 4)
        set_budget(ws.records, project=ws.project, kind="judge", limit=99, round=ctx.round.id)
        set_budget(ws.records, project=ws.project, kind="judge", limit=4, campaign="c")
        with pytest.raises(BudgetSpent, match="campaign c: 4 of 4 request of judge"):
            label.run(ctx)
        set_budget(ws.records, project=ws.project, kind="judge", limit=99, campaign="c")
        label.run(ctx)
    assert (len(judgements(ws)), len(served.bodies)) == (3, 6)
    costs = ws.records.find(CostEntry, round=ctx.round.id)
    assert [(one.quantity, one.campaign) for one in costs] == [(2, "c")] * 3
    assert [one.price for one in costs] == pytest.approx([(100 * 1 + 10 * 2) / 1e6] * 3)


def test_pausing_stops_between_two_batches(
    ws: Workspace, queued: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grm, "WAVES", 1)

    def paused() -> None:
        if judgements(ws):
            raise Stopped

    with serving(lambda number, body: GOOD) as served:
        ctx = labelled(ws, queued, served.url, parallel=1)
        with pytest.raises(Stopped):
            label.run(replace(ctx, check=paused))
    assert (len(judgements(ws)), len(served.bodies)) == (1, 2)


def test_a_judge_and_grm_belong_together() -> None:
    judge = {"backend": "local", "model": "org/judge"}
    for section in ({"judges": "grm"}, {"judges": "human", "grm": judge}):
        with pytest.raises(ValueError, match="exactly where"):
            RoundConfig.model_validate({"label": section})
    same = RoundConfig.model_validate(
        {
            "label": {"judges": "grm", "grm": {"backend": "server", "server": {
                "base_url": "http://h/v1", "model": "m", "family": "dnsmos"}}},
        }
    )  # fmt: skip
    assert "'dnsmos'" in (same.proxy_reason() or "") and "label.grm" in (same.proxy_reason() or "")
