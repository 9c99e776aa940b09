"""Between two units of work a stage asks whether it may go on."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from trivox.pipelines.rounds.config import RoundConfig
from trivox.pipelines.rounds.context import RoundContext
from trivox.platform.errors import BudgetSpent
from trivox.platform.records import Branch, Round, RoundStatus, Stage
from trivox.platform.records.budgets import CostKind
from trivox.platform.store import Workspace
from trivox.platform.store.budgets import Measured, book, set_budget

NOW = datetime(2030, 1, 2, tzinfo=UTC)


@pytest.fixture
def ctx(tmp_path: Path) -> RoundContext:
    ws = Workspace.create(tmp_path / "ws")
    round_ = Round(
        id="rd_1", project=ws.project, branch=Branch.TTS, algorithm="dpo", policy="p", prompt_set="s",
        config={}, seed=0, stage=Stage.ROLLOUT, status=RoundStatus.RUNNING, created_at=NOW, updated_at=NOW,
    )  # fmt: skip
    return RoundContext(ws, round_, RoundConfig())


def test_a_full_storage_stops_the_stage(ctx: RoundContext) -> None:
    limits = {"project": ctx.ws.project, "kind": "storage"}
    set_budget(ctx.ws.records, limit=10, **limits)
    ctx.go_on()
    ctx.ws.audio.put(np.zeros(800, np.float32), 8000, project=ctx.ws.project, source="t")
    fresh = RoundContext(ctx.ws, ctx.round, ctx.config)
    with pytest.raises(BudgetSpent, match="of 10 B of storage"):
        fresh.go_on()
    set_budget(ctx.ws.records, limit=1e6, **limits)
    fresh.go_on()


def test_spent_time_of_people_stops_people_alone(ctx: RoundContext) -> None:
    """With all their answers in, the round that paid for them goes on."""
    where = {"project": ctx.ws.project, "round": ctx.round.id}
    set_budget(ctx.ws.records, kind="people", limit=3, **where)
    book(ctx.ws.records, kind=CostKind.PEOPLE, quantity=3, key=("jd",), **where)
    ctx.go_on()
    set_budget(ctx.ws.records, kind="gpu", limit=0, **where)
    with pytest.raises(BudgetSpent, match="of gpu"):
        ctx.go_on()


def test_what_takes_long_is_measured_rarely() -> None:
    """A measurement of 2 s is worth 100 s of work: at 2 %."""
    now, measured = [0.0], list[float]()

    def measure() -> int:
        now[0] += 2.0
        measured.append(now[0])
        return len(measured)

    stored = Measured(measure, lambda: now[0])
    assert (stored(), stored()) == (1, 1)
    now[0] += 99.0
    assert stored() == 1
    now[0] += 1.0
    assert stored() == 2
