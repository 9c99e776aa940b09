"""What each page has to tell, by hand: quality by branch, what watchers said, calibration, speed, links."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.dashboards.building import NOW, policy
from tests.dashboards.conftest import Show
from tests.dashboards.test_overview import source_of
from tests.dashboards.test_pages import drawn
from trivox.dashboards.queries.cluster import cluster
from trivox.dashboards.queries.overview import overview
from trivox.dashboards.queries.rounds import rounds
from trivox.dashboards.queries.source import Source
from trivox.platform.records import (
    Branch,
    Evaluation,
    FinishReason,
    PolicyStatus,
    Rollout,
    Sampling,
)
from trivox.platform.store import Workspace

RATE = {"rate": 0.6, "low": 0.5, "high": 0.7, "wins": 60, "losses": 40, "ties": 0}
MEASURED: dict[Branch, dict[str, Any]] = {
    Branch.ASR: {"wer_after": 0.08, "cer_after": 0.03},
    Branch.REALTIME: {"persona_consistency_after": 0.9, "wer_after": 0.1, "quality_after": 3.4},
}


def spoken(number: int, seconds: float) -> Rollout:
    return Rollout(
        f"live-{number}", "default", "live", Branch.REALTIME, "p", "realtime-1", 0, number, Sampling(),
        "in-process", "float32", (1, 2), (), (), FinishReason.END, timings={"first_audio": seconds},
    )  # fmt: skip


@pytest.fixture
def all_branches(small: Path) -> Source:
    with Workspace.open(small) as ws:
        for branch, results in MEASURED.items():
            made = policy(f"{branch.value}-1", {"base": 1.0}, PolicyStatus.PROMOTED, None)
            made = replace(made, branch=branch)
            told = Evaluation(
                f"e-{branch.value}", "default", made.id, "base", "held-out@1", {"a": "b"}, False,
                results | {"win_rate": RATE}, (), None, NOW,
            )  # fmt: skip
            ws.records.add(made, told)
        said = [spoken(n, seconds) for n, seconds in enumerate((0.1, 0.2, 0.3, 0.4, 0.5))]
        ws.tables.write(said, branch=Branch.REALTIME, round="live", part="a")
    return source_of(small)


def test_each_branch_has_the_figures_that_a_manager_knows(all_branches: Source) -> None:
    """Waiting 0.1 to 0.5 s for the first sound: half within 0.3 s, 95% within 0.5 s."""
    figures = {key: one.value for key, one in overview(all_branches).figures.items()}
    assert (figures["asr.wer_after"], figures["asr.cer_after"]) == (0.08, 0.03)
    assert figures["asr.win_rate"] == figures["asr.win_rate_first"] == 0.6
    assert figures["realtime.persona_consistency_after"] == 0.9
    assert figures["realtime.first_audio_p50"] == pytest.approx(0.3)
    assert figures["realtime.first_audio_p95"] == pytest.approx(0.5)
    assert figures["tts.intelligibility"] == pytest.approx(1 - figures["tts.wer_after"])  # type: ignore[operator]
    assert figures["tts.quality_after"] is not None and figures["tts.win_rate"] == 0.75


def test_watchers_and_gates_say_what_they_saw(built: Path) -> None:
    """Pitch is 2, 3, 4 and 5 semitones of four candidates; one of 24 was silent."""
    rows = rounds(source_of(built), None, "round_1").tables["watchers"].to_dicts()
    told = {one["watcher"]: one for one in rows if one["round"] == "round_1"}
    assert told["silence"]["said"] == "1 did not pass"
    assert told["pitch"]["mean"] == pytest.approx(3.5) and told["pitch"]["scores"] == 24
    assert told["kl"]["said"] == "stopped the run: watcher kl: 1.2 at step 3"


def test_the_report_on_a_reward_is_drawn(show: Show, built: Path) -> None:
    shown = show(built, "rewards")
    metrics = {one.label: one.value for one in shown.metric}
    assert metrics["Swap consistency"] == "90.0%"
    rows = drawn(shown)
    calibrated = [(one["confidence"], one["accuracy"]) for one in rows if "confidence" in one]
    assert calibrated == [(0.55, 0.5), (0.8, 0.85)]
    assert {one["round"] for one in rows if "number" in one} == {"round_1"}  # people judged one
    assert {one["judge"] for one in rows if "divergence" in one} == {"reward", "other-mos"}
    assert {one["what"] for one in rows if "by" in one} >= {"mos: longer", "mos: louder"}


def test_speed_and_failures_by_type(built: Path) -> None:
    """312 tokens in 20 s are 15.6 a second. Each of three rounds has one score without a value, by a timeout."""
    tables = cluster(source_of(built)).tables
    pace = [one for one in tables["speed"].to_dicts() if one["tokens_per_s"] is not None]
    assert [one["tokens_per_s"] for one in pace] == [pytest.approx(15.6)] * 2
    failed = {(one["what"], one["type"]): 0 for one in tables["failures"].to_dicts()}
    for one in tables["failures"].to_dicts():
        failed[one["what"], one["type"]] += one["count"]
    assert failed["scores of wer", "timeout"] == 3
    assert failed["rollouts", "reached the length limit"] == 3
    assert failed["rounds", "stage score: a worker died"] == 1


def test_a_link_opens_what_was_picked(show: Show, built: Path) -> None:
    opened = show(built, "rewards", scorer="mos", judges="grm")
    assert opened.selectbox(key="scorer").value == "mos"
    assert any("generative judges, not people" in one.value for one in opened.warning)
