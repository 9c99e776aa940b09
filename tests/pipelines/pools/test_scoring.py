"""What a scoring worker stores: single scorers, and a composition's total and parts."""

from dataclasses import replace

import numpy as np
import pytest

from tests.pipelines.conftest import Queue, prompt_set
from trivox.pipelines.pools.scoring import ScoringRequest, ScoringWorker
from trivox.pipelines.rounds.config import RoundConfig
from trivox.pipelines.rounds.context import RoundContext
from trivox.pipelines.rounds.listening import score
from trivox.platform.records import (
    Branch,
    FinishReason,
    Prompt,
    Rollout,
    Sampling,
    Score,
    ScorerRole,
    Split,
)
from trivox.platform.store import Workspace
from trivox.reward_models.composition import CompositionConfig

RATE = 16_000
MINE = CompositionConfig.model_validate(
    {
        "name": "mine",
        "branch": "tts",
        "combine": "mean",
        "gate": [{"scorer": "end"}, {"scorer": "level", "at_least": -60.0}],
        "component": [
            {
                "scorer": "level",
                "normalise": {"by": "target", "target": -12.0, "tolerance": 20.0},
                "clip": [0.0, 1.0],
            }
        ],
    }
)


@pytest.fixture
def unit(ws: Workspace) -> tuple[ScoringRequest, ...]:
    """One rollout that came to its end and one that did not."""
    (prompt,) = prompt_set(ws, {"hello there": Split.TRAIN}, "worker").prompts(Split.TRAIN)
    sound = (0.3 * np.sin(np.arange(RATE) / 20)).astype(np.float32)
    audio = ws.audio.put(sound, RATE, project=ws.project, source="test")
    ws.records.add(audio)
    return tuple(
        ScoringRequest(
            ws.records.get(Prompt, prompt),
            Rollout(
                f"ro_{reason.value}", ws.project, "r", Branch.TTS, prompt, "x", 0, 0, Sampling(), "e",
                "f", (), (), (), reason, audio=audio.id,
            ),
        )
        for reason in (FinishReason.END, FinishReason.LENGTH)
    )  # fmt: skip


def worked(
    ws: Workspace, unit: tuple[ScoringRequest, ...], **singles: ScorerRole
) -> dict[tuple[str, str], Score]:
    found = ScoringWorker(ws.root, singles, ws.project, "r", MINE).work(unit)
    assert len({(one.rollout, one.scorer) for one in found}) == len(found)
    return {(one.rollout, one.scorer): one for one in found}


def test_total_and_parts_are_stored_and_what_a_gate_stops_is_not_asked(
    ws: Workspace, unit: tuple[ScoringRequest, ...]
) -> None:
    found = worked(ws, unit)
    assert [*found] == [
        ("ro_end", "composition:mine"), ("ro_end", "end"), ("ro_end", "level"),
        ("ro_length", "composition:mine"), ("ro_length", "end"),
    ]  # fmt: skip
    assert found["ro_end", "level"].role is ScorerRole.REWARD  # gate and component: stored once
    total = found["ro_end", "composition:mine"]
    assert total.role is ScorerRole.REWARD and 0 < (total.value or 0) <= 1
    assert found["ro_length", "composition:mine"].value == 0
    assert found["ro_length", "end"].role is ScorerRole.GATE


def test_a_scorer_that_is_asked_alone_is_stored_as_asked(
    ws: Workspace, unit: tuple[ScoringRequest, ...]
) -> None:
    found = worked(ws, unit, level=ScorerRole.WATCHER)
    assert found["ro_end", "level"].role is ScorerRole.WATCHER
    assert ("ro_length", "level") in found and len(found) == 6


def test_a_round_stores_them_once(
    ws: Workspace, unit: tuple[ScoringRequest, ...], queued: Queue, ray_session: None
) -> None:
    settings = {"rewards": [], "gates": ["end"], "composition": MINE.model_dump(mode="json")}
    config = RoundConfig.model_validate({"score": settings | {"workers": 1}})
    ctx = RoundContext.of(ws, queued(config=config.model_dump(mode="json")))
    made = [replace(one.rollout, round=ctx.round.id) for one in unit]
    asked = ctx.config.score.composition
    found = score(ctx, made, {"end": ScorerRole.GATE}, "score", asked)
    assert {(one.rollout, one.scorer) for one in found} == {
        ("ro_end", "composition:mine"), ("ro_end", "end"), ("ro_end", "level"),
        ("ro_length", "composition:mine"), ("ro_length", "end"),
    }  # fmt: skip
    assert score(ctx, made, {"end": ScorerRole.GATE}, "score", asked) == found
    assert len(ctx.scores()) == 5
