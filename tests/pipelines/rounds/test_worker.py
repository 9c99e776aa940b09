"""What the worker takes up, and what people do with rounds: cancel, try again, find.

The stages are fakes (see conftest).
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.pipelines.conftest import FakeStages, Queue
from trivox.pipelines.rounds.context import Outcome, RoundContext
from trivox.pipelines.rounds.finding import find_prompt_set, find_round
from trivox.pipelines.rounds.runner import run_round
from trivox.pipelines.rounds.service import RoundService
from trivox.pipelines.rounds.worker import next_round, work
from trivox.platform.errors import NotFound, UsageError
from trivox.platform.records import (
    Branch,
    Campaign,
    Prompt,
    Round,
    RoundStatus,
    Stage,
    Task,
    TaskKind,
)
from trivox.platform.store import Workspace

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def failing(error: BaseException) -> Callable[[RoundContext], Outcome]:
    def run(_: RoundContext) -> Outcome:
        raise error

    return run


def stored(ws: Workspace, round_: Round) -> Round:
    return ws.records.get(Round, round_.id)


def test_the_worker_takes_what_is_queued_oldest_first_and_survives_failures(
    ws: Workspace, queued: Queue, fakes: FakeStages
) -> None:
    bad, good = queued(1), queued(2)
    fakes.answers[Stage.COMPARE] = lambda ctx: (
        failing(ValueError("bad seed"))(ctx) if ctx.round.seed == 1 else Outcome({}, {})
    )
    assert work(ws, once=True) == 2
    assert stored(ws, bad).status is RoundStatus.FAILED
    assert stored(ws, good).status is RoundStatus.DONE
    assert [name for name, _ in fakes.ran] == [bad.id] * 3 + [good.id] * 8
    assert work(ws, once=True) == 0  # failed ones wait for a person's retry


def test_the_worker_takes_over_when_a_lease_has_run_out(
    ws: Workspace, queued: Queue, fakes: FakeStages
) -> None:
    now = datetime.now(UTC)
    held = queued(
        1, status=RoundStatus.RUNNING, worker="a:1", lease_until=now + timedelta(seconds=60)
    )
    crashed = queued(
        2, status=RoundStatus.RUNNING, worker="b:2", lease_until=now - timedelta(seconds=1)
    )
    found = next_round(ws)
    assert found is not None and found.id == crashed.id
    assert work(ws, once=True) == 1
    assert stored(ws, crashed).status is RoundStatus.DONE
    assert stored(ws, held).worker == "a:1"


def test_the_worker_takes_a_waiting_round_when_all_is_judged(
    ws: Workspace, queued: Queue, fakes: FakeStages
) -> None:
    still = queued(1, status=RoundStatus.WAITING, stage=Stage.LABEL)
    ready = queued(2, status=RoundStatus.WAITING, stage=Stage.LABEL)
    prompt = ws.records.find(Prompt)[0]
    campaign = Campaign(
        "campaign", ws.project, "c", Branch.TTS, "g", 1, ("en-US",), 1, NOW, round=still.id
    )
    task = Task(
        "task", ws.project, "campaign", TaskKind.COMPARE, prompt.id, ("a", "b"), "overall@1", "en-US",
        1, round=still.id,
    )  # fmt: skip
    ws.records.add(campaign, task)
    found = next_round(ws)
    assert found is not None and found.id == ready.id
    assert work(ws, once=True) == 1
    assert stored(ws, still).status is RoundStatus.WAITING
    assert {name for name, _ in fakes.ran} == {ready.id}


def test_cancelling(ws: Workspace, queued: Queue, fakes: FakeStages) -> None:
    round_ = queued()
    assert RoundService(ws).cancel(round_.id).status is RoundStatus.CANCELLED
    assert work(ws, once=True) == 0 and fakes.ran == []
    with pytest.raises(UsageError, match="is cancelled"):
        RoundService(ws).cancel(round_.id)
    with pytest.raises(UsageError, match="is cancelled: nothing to run here"):
        run_round(ws, round_.id)


@pytest.mark.parametrize("status", [RoundStatus.DONE, RoundStatus.CANCELLED])
def test_what_has_ended_is_not_cancelled(ws: Workspace, queued: Queue, status: RoundStatus) -> None:
    with pytest.raises(UsageError, match=f"is {status.value}: it cannot be cancelled"):
        RoundService(ws).cancel(queued(status=status).id)


def test_cancelling_and_retrying_look_at_the_round_as_it_is_now(
    ws: Workspace, queued: Queue
) -> None:
    """A worker may have taken the round since the person looked at it."""
    seen = queued(1)
    ws.records.lease_round("otherhost:77", 60, seen.id)
    with pytest.raises(UsageError, match="is running"):
        RoundService(ws).retry(seen.id)
    failed = queued(2, status=RoundStatus.FAILED)
    RoundService(ws).retry(failed.id)
    with pytest.raises(UsageError, match="is queued"):
        RoundService(ws).retry(failed.id)
    assert stored(ws, seen).worker == "otherhost:77"


def test_rounds_by_part_of_their_id(ws: Workspace, queued: Queue) -> None:
    with pytest.raises(NotFound, match="'last' is not there; the last ones: none yet"):
        find_round(ws, "last")
    one, other = queued(1, id="round_aaa1"), queued(2, id="round_bbb1")
    assert find_round(ws, "last") == other
    assert find_round(ws, "round_a") == one == find_round(ws, "aaa1")
    with pytest.raises(UsageError, match="may be round_aaa1, round_bbb1"):
        find_round(ws, "round_")
    with pytest.raises(NotFound, match="the last ones: round_aaa1, round_bbb1"):
        find_round(ws, "zzz")


def test_prompt_sets_by_reference(ws: Workspace) -> None:
    first = find_prompt_set(ws, "few")
    newer = replace(first, id="set_2", version=2)
    ws.records.add(newer)
    assert find_prompt_set(ws, "few") == newer
    assert find_prompt_set(ws, "few@1") == first == find_prompt_set(ws, first.id)
    with pytest.raises(NotFound, match="'many' is not in this workspace; there is few@1, few@2"):
        find_prompt_set(ws, "many")
