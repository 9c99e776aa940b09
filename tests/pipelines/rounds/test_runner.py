"""How a round is carried on, put aside, failed, tried again and taken over.

The stages are fakes (see conftest): what is tested is the runner and the service, on a real store.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.pipelines.conftest import FakeStages, Queue
from trivox.pipelines.pools.cluster import Resources
from trivox.pipelines.rounds import lease, metering
from trivox.pipelines.rounds.config import RoundConfig
from trivox.pipelines.rounds.context import Outcome, RoundContext, Stopped, Waiting
from trivox.pipelines.rounds.finding import manifests
from trivox.pipelines.rounds.owner import worker_name
from trivox.pipelines.rounds.runner import run_round
from trivox.pipelines.rounds.service import RoundService
from trivox.platform.errors import BudgetSpent, ConfigError, StageFailed, StoreError, UsageError
from trivox.platform.records import (
    Branch,
    CostEntry,
    Round,
    RoundStatus,
    Stage,
    StageRun,
)
from trivox.platform.records.budgets import CostKind
from trivox.platform.store import Workspace
from trivox.platform.store.budgets import book, set_budget

ALL = ["rollout", "score", "compare", "label", "aggregate", "train", "evaluate", "publish"]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def failing(error: BaseException) -> Callable[[RoundContext], Outcome]:
    def run(_: RoundContext) -> Outcome:
        raise error

    return run


def stored(ws: Workspace, round_: Round) -> Round:
    return ws.records.get(Round, round_.id)


def test_a_round_runs_through_and_leaves_a_manifest_and_a_cost_of_each_stage(
    ws: Workspace, queued: Queue, fakes: FakeStages
) -> None:
    done = run_round(ws, queued().id)
    assert fakes.names() == ALL
    assert done == stored(ws, done)
    assert (done.status, done.stage) == (RoundStatus.DONE, Stage.PUBLISH)
    assert (done.worker, done.lease_until, done.error) == (None, None, None)
    runs = manifests(ws, done)
    assert [stage.value for stage in runs] == ALL
    for stage, one in runs.items():
        assert one.outputs == {"made": stage.value} and one.inputs == {"seed": 0}
        assert one.finished_at >= one.started_at and (one.peak_memory_mb or 0) > 1
        assert one.code_version
    costs = ws.records.find(CostEntry, round=done.id)
    assert [cost.note["stage"] for cost in costs] == ALL
    assert {(cost.kind, cost.unit, cost.price) for cost in costs} == {("cpu", "s", None)}
    assert all(cost.quantity >= 0 for cost in costs)


def test_a_finished_round_is_not_run_again(ws: Workspace, queued: Queue, fakes: FakeStages) -> None:
    done = run_round(ws, queued().id)
    with pytest.raises(UsageError, match=f"round {done.id} is done: nothing to run here"):
        run_round(ws, done.id)
    assert fakes.names() == ALL


def test_a_failure_is_stored_with_its_cause_and_raised_again(
    ws: Workspace, queued: Queue, fakes: FakeStages
) -> None:
    fakes.answers[Stage.TRAIN] = failing(ValueError("no gradient"))
    round_ = queued()
    with pytest.raises(StageFailed, match="stage train: ValueError.'no gradient'") as caught:
        run_round(ws, round_.id)
    assert isinstance(caught.value.__cause__, ValueError)
    failed = stored(ws, round_)
    assert (failed.status, failed.stage, failed.worker) == (RoundStatus.FAILED, Stage.TRAIN, None)
    assert failed.error == str(caught.value) and round_.id in failed.error
    assert [stage.value for stage in manifests(ws, round_)] == ALL[:5]


def test_an_error_of_ours_is_raised_as_it_is(
    ws: Workspace, queued: Queue, fakes: FakeStages
) -> None:
    error = ConfigError("no prompt in split 'train'")
    fakes.answers[Stage.ROLLOUT] = failing(error)
    round_ = queued()
    with pytest.raises(ConfigError) as caught:
        run_round(ws, round_.id)
    assert caught.value is error
    assert stored(ws, round_).error == "no prompt in split 'train'"


def test_a_retry_goes_on_at_the_failed_stage(
    ws: Workspace, queued: Queue, fakes: FakeStages
) -> None:
    fakes.answers[Stage.TRAIN] = failing(ValueError("once"))
    round_ = queued()
    with pytest.raises(StageFailed):
        run_round(ws, round_.id)
    with pytest.raises(UsageError, match="is failed"):
        run_round(ws, round_.id)  # not by itself
    again = RoundService(ws).retry(round_.id)
    assert (again.status, again.error) == (RoundStatus.QUEUED, None)
    del fakes.answers[Stage.TRAIN]
    fakes.ran.clear()
    assert run_round(ws, round_.id).status is RoundStatus.DONE
    assert fakes.names() == ["train", "evaluate", "publish"]
    assert [run.stage.value for run in ws.records.find(StageRun, round=round_.id)] == ALL


@pytest.mark.parametrize("status", [one for one in RoundStatus if one is not RoundStatus.FAILED])
def test_only_a_failed_round_is_tried_again(
    ws: Workspace, queued: Queue, status: RoundStatus
) -> None:
    with pytest.raises(UsageError, match=f"is {status.value}: only a failed one"):
        RoundService(ws).retry(queued(status=status).id)


def test_an_interrupted_round_is_queued_again(
    ws: Workspace, queued: Queue, fakes: FakeStages
) -> None:
    fakes.answers[Stage.SCORE] = failing(KeyboardInterrupt())
    round_ = queued()
    with pytest.raises(KeyboardInterrupt):
        run_round(ws, round_.id)
    left = stored(ws, round_)
    assert (left.status, left.worker, left.lease_until) == (RoundStatus.QUEUED, None, None)
    del fakes.answers[Stage.SCORE]
    assert run_round(ws, round_.id).status is RoundStatus.DONE
    assert fakes.names().count("rollout") == 1


def test_a_waiting_round_goes_on_where_it_waited(
    ws: Workspace, queued: Queue, fakes: FakeStages
) -> None:
    fakes.answers[Stage.LABEL] = lambda _: Waiting("two comparisons wait")
    round_ = queued()
    waiting = run_round(ws, round_.id)
    assert (waiting.status, waiting.stage) == (RoundStatus.WAITING, Stage.LABEL)
    assert (waiting.worker, waiting.error) == (None, None)
    assert Stage.LABEL not in manifests(ws, round_)
    del fakes.answers[Stage.LABEL]
    assert run_round(ws, round_.id).status is RoundStatus.DONE
    assert fakes.names() == [*ALL[:4], *ALL[3:]]


def test_the_second_of_two_workers_is_told_of_the_first(
    ws: Workspace, queued: Queue, fakes: FakeStages
) -> None:
    round_ = queued()
    ws.records.lease_round("otherhost:77", 60, round_.id)
    with pytest.raises(UsageError, match="is running, held by otherhost:77: nothing to run here"):
        run_round(ws, round_.id)
    assert fakes.ran == [] and stored(ws, round_).worker == "otherhost:77"


def test_two_at_the_same_time_run_every_stage_once(
    ws: Workspace, queued: Queue, fakes: FakeStages
) -> None:
    entered, leave, refused = threading.Event(), threading.Event(), list[str]()

    def slow(_: RoundContext) -> Outcome:
        entered.set()
        assert leave.wait(20)
        return Outcome({}, {})

    fakes.answers[Stage.ROLLOUT] = slow
    round_ = queued()
    first = threading.Thread(target=run_round, args=(ws, round_.id))
    first.start()
    assert entered.wait(20)
    try:
        run_round(ws, round_.id)
    except UsageError as error:
        refused.append(str(error))
    leave.set()
    first.join(20)
    assert len(refused) == 1 and worker_name() in refused[0]
    assert fakes.names() == ALL and stored(ws, round_).status is RoundStatus.DONE


def taken_over(ws: Workspace, round_id: str) -> None:
    """As another worker does when our lease has run out."""
    current = ws.records.get(Round, round_id)
    until = datetime.now(UTC) + timedelta(seconds=60)
    ws.records.replace(replace(current, worker="otherhost:77", lease_until=until))


def test_a_lost_lease_stops_before_the_next_stage(
    ws: Workspace, queued: Queue, fakes: FakeStages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 0.2)  # renewed every 0.05 s

    def lose(ctx: RoundContext) -> Outcome:
        taken_over(ws, ctx.round.id)
        threading.Event().wait(0.5)
        return Outcome({}, {})

    fakes.answers[Stage.SCORE] = lose
    round_ = queued()
    with pytest.raises(StageFailed, match="otherhost:77 has taken its lease"):
        run_round(ws, round_.id)
    assert fakes.names() == ["rollout", "score"]
    kept = stored(ws, round_)
    assert (kept.worker, kept.status) == ("otherhost:77", RoundStatus.RUNNING)


@pytest.mark.parametrize("stage", [Stage.SCORE, Stage.PUBLISH])
@pytest.mark.parametrize("end", ["failure", "waiting", "outcome", "interrupt"])
def test_who_has_lost_the_lease_does_not_touch_the_round(
    ws: Workspace, queued: Queue, fakes: FakeStages, stage: Stage, end: str
) -> None:
    """However a stage ends, the round is now another's: neither failed nor released from here."""

    def lose(ctx: RoundContext) -> Outcome | Waiting:
        taken_over(ws, ctx.round.id)
        if end == "failure":
            raise ValueError("too late")
        if end == "interrupt":
            raise KeyboardInterrupt
        return Waiting("too late") if end == "waiting" else Outcome({}, {})

    fakes.answers[stage] = lose
    round_ = queued()
    with pytest.raises((StageFailed, KeyboardInterrupt)):
        run_round(ws, round_.id)
    kept = stored(ws, round_)
    assert (kept.worker, kept.status) == ("otherhost:77", RoundStatus.RUNNING)
    assert kept.error is None


def test_a_long_stage_keeps_its_lease(
    ws: Workspace, queued: Queue, fakes: FakeStages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 1.0)

    def long(ctx: RoundContext) -> Outcome:
        leased, end = ctx.round.lease_until, time.monotonic() + 30
        while ws.records.get(Round, ctx.round.id).lease_until == leased:
            assert time.monotonic() < end, "the lease was never renewed"
            time.sleep(0.05)
        return Outcome({}, {})

    fakes.answers[Stage.TRAIN] = long
    assert run_round(ws, queued().id).status is RoundStatus.DONE


def test_a_spent_budget_pauses_the_round_between_stages_until_it_is_raised(
    ws: Workspace, queued: Queue, fakes: FakeStages
) -> None:
    round_ = queued()
    set_budget(ws.records, project=ws.project, kind="cpu", limit=5.0, round=round_.id)
    spend = {"project": ws.project, "round": round_.id, "kind": CostKind.CPU, "quantity": 9.0}

    def costly(_: RoundContext) -> Outcome:
        book(ws.records, key=("a GPU farm",), **spend)  # type: ignore[arg-type]
        return Outcome({}, {})

    fakes.answers[Stage.SCORE] = costly
    paused = run_round(ws, round_.id)
    assert (paused.status, paused.worker) == (RoundStatus.PAUSED, None)
    assert paused.error is not None and "budget" in paused.error
    assert fakes.names() == ["rollout", "score"]
    set_budget(ws.records, project=ws.project, kind="cpu", limit=500.0, round=round_.id)
    RoundService(ws).resume(round_.id)
    assert run_round(ws, round_.id).status is RoundStatus.DONE
    assert fakes.names().count("score") == 1


def test_rounds_by_rewards_have_three_stages(
    ws: Workspace, queued: Queue, fakes: FakeStages
) -> None:
    """grpo and ppo draw and score inside `train`; for every branch."""
    for branch, algorithm in (("asr", "grpo"), ("realtime", "ppo"), ("tts", "grpo")):
        config = RoundConfig(branch=Branch(branch), algorithm=algorithm, policy="po_base")  # type: ignore[arg-type]
        round_ = queued(
            id=f"round_{branch}", branch=Branch(branch), algorithm=algorithm,
            config=config.model_dump(mode="json"), stage=Stage.TRAIN,
        )  # fmt: skip
        assert run_round(ws, round_.id).status is RoundStatus.DONE
        assert fakes.names()[-3:] == ["train", "evaluate", "publish"]
        assert [one.stage for one in RoundService(ws).status(round_.id).stages] == fakes.names()[
            -3:
        ]
    assert len(fakes.ran) == 9


def test_a_budget_spent_inside_a_stage_pauses_between_two_units(
    ws: Workspace, queued: Queue, fakes: FakeStages
) -> None:
    """Three units of 10 s on 2 CPUs and half a GPU, 25 CPU seconds allowed: the second goes over, the third is not
    begun. Raised, the round ends; the units that were made are not paid again."""
    half = Resources(cpus=2.0, gpus=0.5)
    made: list[str] = []

    def score(ctx: RoundContext) -> Outcome:
        for part in ("a", "b", "c"):
            ctx.book_unit(part, 10.0, half)
            made.append(part)
            ctx.go_on()
        return Outcome({}, {})

    fakes.answers[Stage.SCORE] = score
    round_ = queued()
    set_budget(ws.records, project=ws.project, kind="cpu", limit=25.0, round=round_.id)
    paused = run_round(ws, round_.id)
    assert (paused.status, paused.stage, made) == (RoundStatus.PAUSED, Stage.SCORE, ["a", "b"])
    assert paused.worker is None and "25 s of cpu are spent" in (paused.error or "")
    set_budget(ws.records, project=ws.project, kind="cpu", limit=500.0, round=round_.id)
    RoundService(ws).resume(round_.id)
    assert run_round(ws, round_.id).status is RoundStatus.DONE
    units = [one for one in ws.records.find(CostEntry, round=round_.id) if "part" in one.note]
    assert [(one.kind, one.quantity, one.note["part"]) for one in units] == [
        (kind, quantity, part) for part in "abc" for kind, quantity in (("cpu", 20), ("gpu", 5))
    ]
    assert {one.note["stage"] for one in units} == {"score"}


def burnt(seconds: float) -> None:
    """Of processor time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def working(seconds: float) -> Callable[[RoundContext], Outcome]:
    def run(_: RoundContext) -> Outcome:
        burnt(seconds)
        return Outcome({}, {})

    return run


def of_driver(ws: Workspace, stage: str) -> list[CostEntry]:
    return [one for one in ws.records.find(CostEntry, kind="cpu") if one.note["stage"] == stage]


@pytest.mark.parametrize(
    "end", [Stopped(), BudgetSpent("none is left"), ConfigError("no"), KeyError("x"), KeyboardInterrupt()]
)  # fmt: skip
def test_what_an_attempt_took_is_booked_however_it_ends(
    ws: Workspace, queued: Queue, fakes: FakeStages, end: BaseException
) -> None:
    """Two attempts of 0.02 s that break off, one of 0.01 s that ends: three entries, 0.05 s and little more."""

    def breaking(_: RoundContext) -> Outcome:
        burnt(0.02)
        raise end

    round_ = queued()
    fakes.answers[Stage.ROLLOUT] = breaking
    for _ in range(2):
        with suppress(StageFailed, ConfigError, KeyboardInterrupt):
            run_round(ws, round_.id)
        ws.records.replace(replace(stored(ws, round_), status=RoundStatus.QUEUED))
    fakes.answers[Stage.ROLLOUT] = working(0.01)
    assert run_round(ws, round_.id).status is RoundStatus.DONE
    booked = of_driver(ws, "rollout")
    assert [one.note["attempt"] for one in booked] == [1, 2, 3]
    assert all(cost.quantity >= s for cost, s in zip(booked, (0.02, 0.02, 0.01), strict=True))
    assert 0.05 <= sum(one.quantity for one in booked) < 1


def test_a_budget_stops_a_long_stage_by_what_the_stage_itself_takes(
    ws: Workspace, queued: Queue, fakes: FakeStages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of 0.02 s and a budget of 0.1 s, booked after every step: it ends before the tenth, and every second
    is booked once."""
    monkeypatch.setattr(metering, "BOOK_S", 0.0)
    steps, began = list[int](), list[float]()

    def training(ctx: RoundContext) -> Outcome:
        began.append(time.process_time())
        for step in range(len(steps), 10):
            burnt(0.02)
            steps.append(step)
            ctx.go_on()
        return Outcome({}, {})

    fakes.answers[Stage.ROLLOUT] = training
    round_ = queued()
    set_budget(ws.records, project=ws.project, kind="cpu", limit=0.1, round=round_.id)
    paused = run_round(ws, round_.id)
    taken = time.process_time() - began[0]
    assert (paused.status, paused.stage) == (RoundStatus.PAUSED, Stage.ROLLOUT)
    assert 1 <= len(steps) <= 5
    assert 0.1 <= sum(one.quantity for one in of_driver(ws, "rollout")) <= taken + 0.1
    set_budget(ws.records, project=ws.project, kind="cpu", limit=500.0, round=round_.id)
    RoundService(ws).resume(round_.id)
    assert run_round(ws, round_.id).status is RoundStatus.DONE
    booked = of_driver(ws, "rollout")
    assert steps == list(range(10)) and {one.note["attempt"] for one in booked} == {1, 2}
    assert 0.2 <= sum(one.quantity for one in booked) <= time.process_time() - began[0] + 0.1


def test_a_manifest_that_is_not_stored_leaves_no_cost_twice(
    ws: Workspace, queued: Queue, fakes: FakeStages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last cost goes with the manifest in one transaction; it breaks, and is booked once, as of a failure."""
    original, broken = metering.book, list[int]()

    def breaking(*given: object, **named: object) -> CostEntry:
        made = original(*given, **named)  # type: ignore[arg-type]
        if not broken:
            broken.append(1)
            raise StoreError("the disk is full")
        return made

    monkeypatch.setattr(metering, "book", breaking)
    fakes.answers[Stage.ROLLOUT] = working(0.02)
    round_ = queued()
    with pytest.raises(StoreError, match="disk is full"):
        run_round(ws, round_.id)
    assert Stage.ROLLOUT not in manifests(ws, round_)
    (booked,) = of_driver(ws, "rollout")
    assert 0.02 <= booked.quantity < 1
