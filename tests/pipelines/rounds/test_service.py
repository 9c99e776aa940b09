"""What people do with rounds, by the service that command line, API and dashboard share; stages are fakes."""

import subprocess
import sys
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from tests.pipelines.conftest import FakeStages, Queue
from trivox import __version__
from trivox.annotation.people.audit import By
from trivox.cli import app
from trivox.pipelines.rounds import upgrades
from trivox.pipelines.rounds.context import Outcome, RoundContext, Stopped, Waiting
from trivox.pipelines.rounds.finding import MAY
from trivox.pipelines.rounds.lease import LOOK_S
from trivox.pipelines.rounds.owner import is_dead, worker_name
from trivox.pipelines.rounds.runner import run_round
from trivox.pipelines.rounds.service import RoundService
from trivox.pipelines.rounds.upgrades import OtherVersion
from trivox.pipelines.rounds.worker import next_round, work
from trivox.platform.errors import UsageError
from trivox.platform.records import (
    AuditEntry,
    Branch,
    Campaign,
    CampaignStatus,
    Round,
    RoundStatus,
    Stage,
)
from trivox.platform.store import Workspace

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENDS = {
    "pause": RoundStatus.PAUSED,
    "resume": RoundStatus.QUEUED,
    "retry": RoundStatus.QUEUED,
    "cancel": RoundStatus.CANCELLED,
}


def dead_worker() -> str:
    """The name of a process of this machine that has ended."""
    code = "from trivox.pipelines.rounds.owner import worker_name; print(worker_name())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


@pytest.mark.parametrize("status", RoundStatus)
@pytest.mark.parametrize("verb", MAY)
def test_every_verb_in_every_state(
    ws: Workspace, queued: Queue, verb: str, status: RoundStatus
) -> None:
    round_ = queued(status=status)
    service = RoundService(ws, By("person:ada", "10.0.0.7"))
    if status in MAY[verb]:
        assert getattr(service, verb)("last").status is ENDS[verb]
        (entry,) = ws.records.find(AuditEntry)
        assert (entry.actor, entry.address) == ("person:ada", "10.0.0.7")
        assert (entry.action, entry.object) == (f"{verb} round", round_.id)
        assert entry.details == {"was": status.value}
        return
    with pytest.raises(UsageError, match=f"round {round_.id} is {status.value}: "):
        getattr(service, verb)("last")
    assert ws.records.find(AuditEntry) == [] and ws.records.find(Round) == [round_]


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_a_running_round_stops_between_two_units_and_is_not_taken_again(
    ws: Workspace, queued: Queue, fakes: FakeStages, verb: str
) -> None:
    units = []

    def stage(ctx: RoundContext) -> Outcome:
        getattr(RoundService(ws), verb)(ctx.round.id)
        for unit in range(2000):
            units.append(unit)
            ctx.check()
            time.sleep(LOOK_S / 100)
        return Outcome({}, {})

    fakes.answers[Stage.SCORE] = stage
    stopped = run_round(ws, queued().id)
    assert stopped.status is ENDS[verb] and stopped.worker is None
    assert 0 < len(units) < 1000 and fakes.names() == ["rollout", "score"]
    assert work(ws, once=True) == 0
    if verb == "pause":
        RoundService(ws).resume("last")
        del fakes.answers[Stage.SCORE]
        assert run_round(ws, stopped.id).status is RoundStatus.DONE
        assert fakes.names().count("rollout") == 1


def test_a_pause_that_is_taken_back_before_the_worker_saw_it_changes_nothing(
    ws: Workspace, queued: Queue, fakes: FakeStages
) -> None:
    def stage(ctx: RoundContext) -> Outcome:
        RoundService(ws).pause(ctx.round.id)
        assert RoundService(ws).resume(ctx.round.id).status is RoundStatus.RUNNING
        return Outcome({}, {})

    fakes.answers[Stage.ROLLOUT] = stage
    assert run_round(ws, queued().id).status is RoundStatus.DONE


def test_a_round_paused_while_its_last_stage_ends_is_done(
    ws: Workspace, queued: Queue, fakes: FakeStages
) -> None:
    def stage(ctx: RoundContext) -> Outcome:
        RoundService(ws).pause(ctx.round.id)
        return Outcome({}, {})

    fakes.answers[Stage.PUBLISH] = stage
    assert run_round(ws, queued().id).status is RoundStatus.DONE


def test_cancelling_closes_what_people_were_asked(ws: Workspace, queued: Queue) -> None:
    round_ = queued(status=RoundStatus.WAITING, stage=Stage.LABEL)
    campaign = Campaign(
        "c", ws.project, "c", Branch.TTS, "g", 1, ("en-US",), 1, NOW, round=round_.id
    )
    ws.records.add(campaign)
    RoundService(ws).cancel("last")
    assert ws.records.get(Campaign, "c").status is CampaignStatus.CLOSED


def test_a_dead_owner_on_this_machine_does_not_hold_a_round(
    ws: Workspace, queued: Queue, fakes: FakeStages
) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    dead = dead_worker()
    assert is_dead(dead) and not is_dead(worker_name())
    round_ = queued(status=RoundStatus.RUNNING, worker=dead, lease_until=later)
    assert RoundService(ws).status("last").alive is False
    found = next_round(ws)
    assert found is not None and found.id == round_.id
    assert run_round(ws, round_.id).status is RoundStatus.DONE


@pytest.mark.parametrize("name", ["otherhost:1", "otherhost.12345678:1.5", "odd", "a:b:c", ""])
def test_who_is_elsewhere_is_never_called_dead(name: str) -> None:
    assert not is_dead(name)


def test_a_process_number_in_use_again_is_another_process() -> None:
    machine, _, process = worker_name().partition(":")
    pid, _, started = process.partition(".")
    assert int(started) > 0
    assert is_dead(f"{machine}:{pid}.{int(started) - 1}")
    assert not is_dead(f"{machine}x:{pid}.1")


def test_a_waiting_round_survives_an_upgrade(
    ws: Workspace, queued: Queue, fakes: FakeStages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun with the version before, whose configuration had fewer keys; people judged while it was upgraded."""
    fakes.answers[Stage.LABEL] = lambda _: Waiting("wait")
    round_ = queued(code_version="0.0.9")
    config = {k: v for k, v in round_.config.items() if k != "train_reward"}
    ws.records.replace(replace(round_, config=config))
    monkeypatch.setattr("trivox.pipelines.rounds.runner.__version__", "0.0.9")
    assert run_round(ws, round_.id).status is RoundStatus.WAITING
    monkeypatch.undo()
    monkeypatch.setattr("trivox.pipelines.rounds.runner.STAGES", fakes_of(fakes))
    del fakes.answers[Stage.LABEL]
    done = run_round(ws, round_.id)
    assert done.status is RoundStatus.DONE and fakes.names().count("rollout") == 1
    versions = RoundService(ws).lineage("last").code_versions
    assert versions["rollout"] == "0.0.9" and versions["label"] == __version__


def fakes_of(fakes: FakeStages) -> object:
    return {one: fakes.stage(one) for one in Stage}


def test_or_refuses_it_by_name(
    ws: Workspace, queued: Queue, fakes: FakeStages, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes.answers[Stage.LABEL] = lambda _: Waiting("wait")
    round_ = run_round(ws, queued().id)
    monkeypatch.setattr(upgrades, "OLDEST", {Stage.COMPARE: "0.2.0"})
    monkeypatch.setattr(upgrades, "__version__", "0.3.0")
    told = f"round {round_.id} was worked on by Trivox {__version__}, whose stage compare is not"
    with pytest.raises(OtherVersion, match=f"{told}.*pip install trivox=={__version__}"):
        run_round(ws, round_.id)
    assert ws.records.get(Round, round_.id) == round_
    monkeypatch.setattr(upgrades, "__version__", "0.0.1")
    with pytest.raises(OtherVersion, match="which is newer; this is 0.0.1"):
        run_round(ws, round_.id)
    monkeypatch.undo()
    ws.records.replace(replace(round_, config=round_.config | {"voices": 3}))
    with pytest.raises(OtherVersion, match=r"does not know \(voices: Extra inputs"):
        run_round(ws, round_.id)
    assert work(ws, once=True) == 0  # the worker names it once and goes on


def test_how_far_a_round_is_and_how_two_differ(
    ws: Workspace, queued: Queue, fakes: FakeStages
) -> None:
    fakes.answers[Stage.LABEL] = lambda _: Waiting("wait")
    first, second = run_round(ws, queued(1).id), queued(2, status=RoundStatus.PAUSED)
    state = RoundService(ws).status(first.id)
    assert [(one.stage, one.state) for one in state.stages][:5] == [
        ("rollout", "done"), ("score", "done"), ("compare", "done"), ("label", "waiting"),
        ("aggregate", "pending"),
    ]  # fmt: skip
    assert state.stages[0].made == {"made": "rollout"} and state.costs["cpu"]["s"] > 0
    found = RoundService(ws).diff(first.id, second.id)
    assert found.config == {"seed": (1, 2)}
    assert found.made["rollout.made"] == ("rollout", None)
    assert asdict(RoundService(ws).lineage(first.id))["policies"] == ("trivox-nano-test",)


def test_watching_from_the_command_line(ws: Workspace, queued: Queue) -> None:
    round_ = queued(status=RoundStatus.PAUSED)
    arguments = ["--workspace", str(ws.root)]
    told = CliRunner().invoke(app, ["round", "watch", "last", *arguments, "--json"])
    assert told.exit_code == 1 and f'"round": "{round_.id}"' in told.stdout
    for verb, status in (("resume", "queued"), ("pause", "paused"), ("cancel", "cancelled")):
        told = CliRunner().invoke(app, ["round", verb, round_.id, *arguments])
        assert told.stdout == f"round {round_.id} is {status}\n"
    assert {one.actor for one in ws.records.find(AuditEntry)} == {"system"}


def test_stopped_is_no_failure() -> None:
    """A stage that swallows errors of Trivox must not swallow this."""
    from trivox.platform.errors import TrivoxError

    assert not issubclass(Stopped, TrivoxError)
