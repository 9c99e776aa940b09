"""Schedules of rounds: what comes next, from which policy, and what ends them. Stages are fakes."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from tests.pipelines.conftest import NOW, FakeStages, Queue, nano_record
from trivox.cli import app
from trivox.pipelines.rounds import service as service_module
from trivox.pipelines.rounds.config import RoundConfig
from trivox.pipelines.rounds.context import Outcome, RoundContext, Waiting
from trivox.pipelines.rounds.loops import LoopConfig, LoopService, StopSection
from trivox.pipelines.rounds.runner import run_round
from trivox.pipelines.rounds.service import RoundService
from trivox.pipelines.rounds.worker import work
from trivox.platform.errors import NotFound, UsageError
from trivox.platform.records import (
    AuditEntry,
    Loop,
    PolicyVersion,
    PromptSet,
    Round,
    RoundStatus,
    Stage,
)
from trivox.platform.store import Workspace

ROUND = RoundConfig(policy="po_base", prompts="few", seed=7)


@pytest.fixture(autouse=True)
def _speakable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy of these tests is a record only."""
    monkeypatch.setattr(service_module, "check_speakable", lambda ctx, prompts: (prompts, []))


def publishing(*gains: bool) -> Callable[[RoundContext], Outcome]:
    """A last stage that promotes a version of its own where the round of that number gains."""

    def run(ctx: RoundContext) -> Outcome:
        number = ctx.round.seed - ROUND.seed
        made = replace(nano_record(ctx.ws.project), id=f"po_{number}", name=f"v{number}")
        ctx.ws.records.add(made)
        return Outcome({}, {"policy": made.id, "promoted": gains[number]})

    return run


def test_each_round_begins_from_what_the_last_published(ws: Workspace, fakes: FakeStages) -> None:
    fakes.answers[Stage.PUBLISH] = publishing(True, False, True)
    service = LoopService(ws)
    loop = service.start(LoopConfig(rounds=3, round=ROUND))
    assert loop.status is RoundStatus.RUNNING and len(loop.rounds) == 1
    assert work(ws, once=True) == 3
    ended = service.find("last")
    assert (ended.status, ended.reason) == (RoundStatus.DONE, "all 3 rounds are done")
    rounds = service.rounds_of(ended)
    # The second gained nothing: the third begins where it began, with another seed.
    assert [one.policy for one in rounds] == ["po_base", "po_0", "po_0"]
    assert [one.seed for one in rounds] == [7, 8, 9]
    assert {one.loop for one in rounds} == {loop.id}


def test_a_fixed_reference_stays(ws: Workspace, fakes: FakeStages) -> None:
    fakes.answers[Stage.PUBLISH] = publishing(True, True)
    LoopService(ws).start(LoopConfig(rounds=2, reference="fixed", round=ROUND))
    work(ws, once=True)
    assert {one.policy for one in RoundService(ws).rounds()} == {"po_base"}


def test_no_gain_ends_it(ws: Workspace, fakes: FakeStages) -> None:
    fakes.answers[Stage.PUBLISH] = publishing(True, False, False, True)
    LoopService(ws).start(LoopConfig(rounds=9, round=ROUND))
    assert work(ws, once=True) == 3
    assert LoopService(ws).find("last").reason == "no gain in 2 rounds"


def test_a_limit_of_work_ends_it(ws: Workspace, fakes: FakeStages) -> None:
    fakes.answers[Stage.PUBLISH] = publishing(True, True)
    stop = StopSection(cpu_s=1e-9)
    LoopService(ws).start(LoopConfig(rounds=9, round=ROUND, stop=stop))
    assert work(ws, once=True) == 1
    assert "s of work are spent" in (LoopService(ws).find("last").reason or "")


def test_advancing_again_and_again_makes_one_round(ws: Workspace, fakes: FakeStages) -> None:
    config = LoopConfig(rounds=3, round=ROUND)
    service = LoopService(ws)
    loop = service.start(config)
    for _ in range(3):
        assert service.start(config).id == loop.id
        service.advance(loop.id)
    assert len(RoundService(ws).rounds()) == 1 and len(ws.records.find(Loop)) == 1
    fakes.answers[Stage.LABEL] = lambda _: Waiting("people")
    assert run_round(ws, loop.rounds[0]).status is RoundStatus.WAITING
    assert "is waiting" in (service.advance(loop.id).reason or "")


def test_it_goes_on_after_a_failed_round_was_seen_to(ws: Workspace, fakes: FakeStages) -> None:
    def fail(_: RoundContext) -> Outcome:
        raise ValueError("no gradient")

    fakes.answers |= {Stage.TRAIN: fail, Stage.PUBLISH: publishing(True, True)}
    service = LoopService(ws)
    service.start(LoopConfig(rounds=2, round=ROUND))
    assert work(ws, once=True) == 1
    held = service.find("last")
    assert held.status is RoundStatus.RUNNING and "no gradient" in (held.reason or "")
    del fakes.answers[Stage.TRAIN]
    RoundService(ws).retry("last")
    assert work(ws, once=True) == 2
    assert service.find("last").status is RoundStatus.DONE


def test_cancelling_a_loop_or_its_round(ws: Workspace, fakes: FakeStages) -> None:
    service = LoopService(ws)
    first = service.start(LoopConfig(rounds=2, round=ROUND))
    assert service.cancel(first.id[:9]).status is RoundStatus.CANCELLED
    with pytest.raises(UsageError, match="is cancelled: it cannot"):
        service.cancel("last")
    other = service.start(LoopConfig(rounds=2, round=ROUND.model_copy(update={"seed": 70})))
    RoundService(ws).cancel(other.rounds[0])
    assert service.advance(other.id).status is RoundStatus.CANCELLED
    with pytest.raises(NotFound, match="the last ones: loop_"):
        service.find("elsewhere")
    actions = [one.action for one in ws.records.find(AuditEntry)]
    assert actions.count("start loop") == 2 and actions.count("cancel loop") == 1


def test_what_an_earlier_version_made_is_gone_on_with(
    ws: Workspace, queued: Queue, fakes: FakeStages
) -> None:
    """Its configuration has no key of what came later, which is at its default now: the same round, the same
    loop, whatever their ids were made from."""
    (prompts,) = ws.records.find(PromptSet, name="few")
    stored = LoopConfig(rounds=2, round=ROUND).model_dump(mode="json")
    for section, key in (("score", "pipelined"), ("score", "composition"), ("aggregate", "method")):
        del stored["round"][section][key]
    old = queued(id="round_before", seed=7, config=stored["round"] | {"prompts": prompts.id})
    assert RoundService(ws).enqueue(ROUND) == old
    before = Loop("loop_before", ws.project, stored, RoundStatus.RUNNING, (), NOW, NOW)
    ws.records.add(before)
    service = LoopService(ws)
    found = service.start(LoopConfig(rounds=2, round=ROUND))
    assert (found.id, found.rounds) == ("loop_before", ("round_before",))
    other = ROUND.model_copy(update={"score": ROUND.score.model_copy(update={"pipelined": True})})
    assert service.start(LoopConfig(rounds=2, round=other)).id != "loop_before"
    assert len(ws.records.find(Loop)) == len(ws.records.find(Round)) == 2


def test_from_the_command_line(ws: Workspace, fakes: FakeStages) -> None:
    fakes.answers[Stage.PUBLISH] = publishing(True, False)
    path = ws.root / "loop.toml"
    path.write_text('rounds = 2\n[round]\npolicy = "po_base"\nprompts = "few"\nseed = 7\n')
    where = ["--workspace", str(ws.root)]
    told = CliRunner().invoke(app, ["loop", "run", "--config", str(path), *where, "--json"])
    assert told.exit_code == 0, told.output
    shown = json.loads(told.stdout)
    assert (shown["status"], [one["promoted"] for one in shown["rounds"]]) == (
        "done",
        ["po_0", "no"],
    )
    assert ws.records.get(PolicyVersion, "po_1").name == "v1"
    for words in (["loop", "status"], ["loop", "list"]):
        assert CliRunner().invoke(app, [*words, *where, "--json"]).stdout.startswith("{")
