"""THE round, once and in miniature: every record that it leaves, and that it can be repeated."""

import html
import json
import re
import time
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.e2e.conftest import MiniRound, play
from trivox.cli import app
from trivox.pipelines.rendering import headline, write_html
from trivox.pipelines.report import pool, report
from trivox.pipelines.rounds.context import RoundContext
from trivox.pipelines.rounds.finding import manifests
from trivox.pipelines.rounds.runner import run_round
from trivox.pipelines.rounds.service import RoundService
from trivox.pipelines.rounds.stages import STAGES, publish
from trivox.platform.hashing import sha256_file
from trivox.platform.records import (
    Audio,
    Campaign,
    CostEntry,
    Decision,
    Evaluation,
    FinishReason,
    JudgeKind,
    Judgement,
    PolicyStatus,
    PolicyVersion,
    PreferenceSet,
    Prompt,
    Rollout,
    RoundStatus,
    Score,
    ScorerRole,
    Split,
    Stage,
    StageRun,
    Task,
)
from trivox.platform.registry import lineage, resolve

PROMPTS, CANDIDATES, HELD_OUT = 4, 3, 3


def candidates(mini: MiniRound) -> list[Rollout]:
    return RoundContext.of(mini.ws, mini.round).rollouts(
        manifests(mini.ws, mini.round)[Stage.ROLLOUT].outputs["rollouts"]
    )


def test_it_is_done(mini: MiniRound) -> None:
    assert mini.round.status is RoundStatus.DONE and mini.round.error is None
    assert mini.round.worker is None and mini.round.lease_until is None


def test_rollouts_with_their_audio(mini: MiniRound) -> None:
    made = candidates(mini)
    assert len(made) == PROMPTS * CANDIDATES
    assert set(Counter(one.prompt for one in made).values()) == {CANDIDATES}
    nano = resolve(mini.ws, "nano")
    split = RoundContext.of(mini.ws, mini.round).prompt_set.prompts(Split.TRAIN)
    for one in made:
        assert one.prompt in split and one.producer == nano.id and one.round == mini.round.id
        assert len(one.logprobs) == len(one.tokens) <= 160
        assert all(value <= 0 for value in one.logprobs)
        assert (one.finish_reason is FinishReason.LENGTH) == (len(one.tokens) == 160)
        assert one.audio is not None
        audio = mini.ws.records.get(Audio, one.audio)
        samples, rate = mini.ws.audio.read(one.audio)  # checks the content against the id
        assert (len(samples), rate) == (audio.frames, audio.rate)
        # 25 frames a second.
        assert audio.duration_s == pytest.approx(len(one.codes) / 25, abs=0.05)
    assert len({one.audio for one in made}) > PROMPTS  # candidates differ


def test_scores_by_role(mini: MiniRound) -> None:
    scores = mini.ws.tables.read(Score, round=mini.round.id)
    by_role = {role: {s.scorer for s in scores if s.role is role} for role in ScorerRole}
    assert by_role[ScorerRole.REWARD] == {"whisper-tiny-wer", "distillmos"}
    assert by_role[ScorerRole.GATE] == {"duration", "silence", "end"}
    assert by_role[ScorerRole.EVALUATOR] == {"pocketsphinx-wer", "dnsmos"}
    assert by_role[ScorerRole.WATCHER] == set()
    assert len({one.id for one in scores}) == len(scores)
    made = {one.id for one in candidates(mini)}
    rewarding = (ScorerRole.REWARD, ScorerRole.GATE)
    assert {s.rollout for s in scores if s.role in rewarding} == made
    assert not {s.rollout for s in scores if s.role is ScorerRole.EVALUATOR} & made
    assert Counter(s.scorer for s in scores if s.role in rewarding) == Counter(
        dict.fromkeys(by_role[ScorerRole.REWARD] | by_role[ScorerRole.GATE], len(made))
    )


def test_tasks_judgements_and_preferences(mini: MiniRound) -> None:
    records = mini.ws.records
    tasks = records.find(Task, round=mini.round.id)
    (campaign,) = records.find(Campaign, round=mini.round.id)
    judgements = {one.id: one for one in records.find(Judgement)}
    assert tasks and {task.campaign for task in tasks} == {campaign.id}
    assert {one.judge_kind for one in judgements.values()} == {JudgeKind.SIMULATED}
    assert {one.task for one in judgements.values()} == {task.id for task in tasks}
    by_id = {one.id: one for one in candidates(mini)}
    (preferences,) = records.find(PreferenceSet, round=mini.round.id)
    assert preferences.preferences
    for one in preferences.preferences:
        assert one.judges == (JudgeKind.SIMULATED,)
        assert {by_id[one.chosen].prompt, by_id[one.rejected].prompt} == {one.prompt}
        assert by_id[one.chosen].audio != by_id[one.rejected].audio
        (judgement,) = (judgements[name] for name in one.judgements)
        task = next(task for task in tasks if task.id == judgement.task)
        assert set(task.items) == {one.chosen, one.rejected}
        first_won = (judgement.answer.comparison or 0) > 0
        assert one.chosen == task.items[0 if first_won else 1]
    dropped = sum(preferences.dropped.values())
    assert len(preferences.preferences) + dropped == len(tasks)


def test_the_policy_version_has_a_lineage_and_an_artefact(mini: MiniRound) -> None:
    (candidate,) = mini.ws.records.find(PolicyVersion, round=mini.round.id)
    nano = resolve(mini.ws, "nano")
    assert [one.id for one in lineage(mini.ws, candidate)] == [candidate.id, nano.id]
    assert candidate.parents == {nano.id: 1.0} and candidate.backbone == nano.id
    weights = mini.ws.root / candidate.artefact / "adapter_model.safetensors"
    assert sha256_file(weights) == candidate.artefact_hash
    assert not list((mini.ws.root / "artefacts").glob("*.partial"))


def test_evaluation_and_decision(mini: MiniRound) -> None:
    (candidate,) = mini.ws.records.find(PolicyVersion, round=mini.round.id)
    (evaluation,) = mini.ws.records.find(Evaluation, round=mini.round.id)
    assert (evaluation.policy, evaluation.parent) == (candidate.id, resolve(mini.ws, "nano").id)
    assert evaluation.evaluators == {"pocketsphinx-wer": "pocketsphinx", "dnsmos": "dnsmos"}
    assert not evaluation.proxy and len(evaluation.per_item) == HELD_OUT
    held_out = RoundContext.of(mini.ws, mini.round).prompt_set.prompts(Split.TEST)[:HELD_OUT]
    assert [row["prompt"] for row in evaluation.per_item] == held_out
    win = evaluation.results["win_rate"]
    counted = win["wins"] + win["losses"] + win["ties"] + evaluation.results["failed"]
    assert counted == HELD_OUT
    (decision,) = mini.ws.records.find(Decision, subject=candidate.id)
    faults = publish.gate(evaluation.results, mini.config.publish)
    promoted = candidate.status is PolicyStatus.PROXY
    assert decision.kind == ("promotion" if promoted else "rejection")
    assert promoted == (not faults) and candidate.status is not PolicyStatus.CANDIDATE
    assert decision.evidence["evaluation"] == evaluation.id


def test_manifests_and_costs(mini: MiniRound) -> None:
    runs = mini.ws.records.find(StageRun, round=mini.round.id)
    assert [run.stage for run in runs] == [
        stage for stage in STAGES if stage is not Stage.TRAIN_REWARD
    ]
    assert all(run.inputs and run.outputs for run in runs)
    costs = mini.ws.records.find(CostEntry, round=mini.round.id)
    stages = [one.note["stage"] for one in costs if "part" not in one.note]
    # A stage that takes long books while it works.
    assert [*dict.fromkeys(stages)] == [run.stage.value for run in runs]
    units = [one for one in costs if "part" in one.note]
    assert {one.note["stage"] for one in units} == {"rollout", "score", "evaluate"}
    assert len({one.note["part"] for one in units}) == len(units)
    assert all(one.kind == "cpu" and one.quantity > 0 for one in units)


def test_publishing_twice_decides_once(mini: MiniRound) -> None:
    ctx = RoundContext.of(mini.ws, mini.round)
    before = mini.ws.records.find(Decision)
    again = publish.run(ctx)
    assert again == publish.run(ctx)
    assert again.outputs == manifests(mini.ws, mini.round)[Stage.PUBLISH].outputs
    assert mini.ws.records.find(Decision) == before


def test_the_report_is_one_honest_file(mini: MiniRound) -> None:
    made = report(mini.ws, mini.round)
    path = mini.ws.root / "reports" / "test.html"
    write_html(made, path)
    page = path.read_text(encoding="utf-8")
    assert not re.search(r"https?://", page) and "<script" not in page
    assert "SIMULATED" in page and "win rate" in page and "Word error rate" in page
    assert mini.round.id in page and headline(made) in html.unescape(page)
    sources = re.findall(r'<audio[^>]* src="([^"]+)"', page)
    assert sources
    for source in sources:
        assert not source.startswith("/") and (path.parent / source).resolve().is_file()
    json.dumps(made.as_json(), allow_nan=False)


def test_run_again_it_reuses_what_is_there(mini: MiniRound, mini_toml: Path) -> None:
    before = sorted((p, p.stat().st_mtime_ns) for p in mini.ws.root.rglob("*.parquet"))
    assert RoundService(mini.ws).enqueue(mini.config).id == mini.round.id
    started = time.monotonic()
    arguments = ["--config", str(mini_toml), "--workspace", str(mini.ws.root), "--json"]
    again = CliRunner().invoke(app, ["round", "run", *arguments])
    assert time.monotonic() - started < 10
    assert again.exit_code == 0, again.output
    told = json.loads(again.stdout)
    assert (told["round"], told["status"]) == (mini.round.id, "done")
    assert sorted((p, p.stat().st_mtime_ns) for p in mini.ws.root.rglob("*.parquet")) == before


def test_pooling_one_round_is_its_evaluation(mini: MiniRound) -> None:
    pooled = pool(mini.ws, [mini.round])
    made = report(mini.ws, mini.round)
    assert made.results is not None
    assert pooled["win_rate"] == made.results["win_rate"]
    assert pooled["wer_after"] == made.results["wer_after"]


@pytest.mark.slow
def test_the_same_seed_elsewhere_gives_the_same_round(mini: MiniRound, tmp_path: Path) -> None:
    other = play(tmp_path / "other", mini.config)
    with other.ws:
        assert other.round.id == mini.round.id

        def what(one: MiniRound) -> dict[str, tuple[object, ...]]:
            rollouts = one.ws.tables.read(Rollout, round=one.round.id)
            return {r.id: (r.tokens, r.logprobs, r.audio, r.seed) for r in rollouts}

        assert what(other) == what(mini)
        assert other.ws.records.find(PreferenceSet) == mini.ws.records.find(PreferenceSet)
        hashes = [
            manifests(one.ws, one.round)[Stage.TRAIN].outputs["adapter_hash"]
            for one in (mini, other)
        ]
        assert hashes[0] == hashes[1]
        results = [one.ws.records.find(Evaluation)[0].results for one in (mini, other)]
        assert results[0] == results[1]


@pytest.mark.slow
def test_a_second_round_goes_on_from_the_first_ones_adapter(
    mini: MiniRound, tmp_path: Path
) -> None:
    first = play(tmp_path / "ws", mini.config)
    with first.ws as ws:
        (parent,) = ws.records.find(PolicyVersion, round=first.round.id)
        config = first.config.model_copy(update={"policy": parent.name})
        second = run_round(ws, RoundService(ws).enqueue(config).id)
        assert second.status is RoundStatus.DONE and second.id != first.round.id
        (child,) = ws.records.find(PolicyVersion, round=second.id)
        nano = resolve(ws, "nano")
        assert [one.id for one in lineage(ws, child)] == [child.id, parent.id, nano.id]
        assert child.backbone == nano.id and child.artefact_hash != parent.artefact_hash
        rollouts = ws.tables.read(Rollout, round=second.id)
        assert {one.producer for one in rollouts} == {parent.id, child.id}
        first_ids = {one.id for one in ws.tables.read(Rollout, round=first.round.id)}
        assert not first_ids & {one.id for one in rollouts}
        pooled = pool(ws, [first.round, second])
        assert pooled["pairs"] == 2 * HELD_OUT and pooled["prompts"] == HELD_OUT


def test_prompts_keep_their_language(mini: MiniRound) -> None:
    for task in mini.ws.records.find(Task, round=mini.round.id):
        assert task.language == mini.ws.records.get(Prompt, task.prompt).languages[0] == "en-US"
