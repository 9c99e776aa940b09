"""A workspace's comparisons: learned from, reported on, with people and simulated judges kept apart."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.pipelines.conftest import NOW, Queue
from tests.policy.conftest import write_backbone
from tests.reward_models.conftest import SPEECH
from tests.reward_models.generative.serving import Reply, completion, ok, serving
from trivox.annotation.aggregation import aggregate
from trivox.cli import app
from trivox.pipelines.reward_data import Material, judged_items, reward_pairs
from trivox.pipelines.reward_report import (
    attack,
    open_reward,
    opened_reward,
    report_on_workspace,
)
from trivox.pipelines.reward_training import find_set, train_from_sets
from trivox.platform.errors import ConfigError, NotFound, UsageError
from trivox.platform.records import (
    Answer,
    AnswerKind,
    Branch,
    Campaign,
    FinishReason,
    JudgeKind,
    Judgement,
    PreferenceSet,
    Prompt,
    RewardModelVersion,
    Rollout,
    Sampling,
    Task,
    TaskKind,
    Tie,
)
from trivox.platform.store import Workspace
from trivox.policy.backbone import Backbone
from trivox.reward_models.bradley_terry.training import RewardSettings

PROMPTS = 24
RATE = 16_000
ROUND = "round_reward"


def tone(pitch: float, seconds: float) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * pitch * times)).astype(np.float32)


def said(ws: Workspace, prompt: str, index: int) -> Rollout:
    """The second reply is longer, so that its tokens differ whatever a random codec makes of tones."""
    sound = tone(150.0 + int(prompt[-2:], 16) % 40, 0.3 + 0.1 * index)
    audio = ws.audio.put(sound, RATE, project=ws.project, source="test")
    ws.records.add(audio)
    return Rollout(
        f"ro_{prompt[-6:]}_{index}", ws.project, ROUND, Branch.TTS, prompt, "x", 0, index, Sampling(), "e",
        "f", (), (), (), FinishReason.END, audio=audio.id,
    )  # fmt: skip


def judgement(ws: Workspace, task: Task, judge: str, kind: JudgeKind, answer: Answer) -> Judgement:
    name = f"j_{task.id}_{judge}"
    return Judgement(name, ws.project, task.id, kind, judge, answer, task.items, name, NOW)


@pytest.fixture
def judged(ws: Workspace, queued: Queue) -> Iterator[Workspace]:
    """Three people prefer the second of each prompt's two replies, one of them not always; every sixth is a tie. A
    simulated judge says the opposite of everything."""
    queued(id=ROUND)
    ws.records.add(Campaign("c", ws.project, "c", Branch.TTS, "which?", 1, ("en-US",), 3, NOW))
    texts = [f"say {'abcdefgh'[n % 8]} {'ijklmnop'[n // 8]}" for n in range(PROMPTS)]
    prompts = [Prompt.of(Branch.TTS, ("en-US",), text=text) for text in texts]
    ws.records.add(*prompts)
    rollouts = [said(ws, prompt.id, index) for prompt in prompts for index in (0, 1)]
    ws.tables.write(rollouts, branch=Branch.TTS, round=ROUND, part="p")
    for number, prompt in enumerate(prompts):
        items = (rollouts[2 * number].id, rollouts[2 * number + 1].id)
        task = Task(
            f"t{number}",
            ws.project,
            "c",
            TaskKind.COMPARE,
            prompt.id,
            items,
            "overall@1",
            "en-US",
            3,
            round=ROUND,
        )
        ws.records.add(task)
        ws.records.add(*votes(ws, task, number))
    yield ws


def votes(ws: Workspace, task: Task, number: int) -> list[Judgement]:
    second = Answer(AnswerKind.COMPARISON, comparison=-2)
    first = Answer(AnswerKind.COMPARISON, comparison=1)
    tie = Answer(AnswerKind.TIE, tie=Tie.BOTH_GOOD)
    people = (
        [tie] * 3 if number % 6 == 5 else [second, second, first if number % 4 == 0 else second]
    )
    made = [judgement(ws, task, f"p{n}", JudgeKind.HUMAN, one) for n, one in enumerate(people)]
    return [*made, judgement(ws, task, "simulated:x", JudgeKind.SIMULATED, first)]


def preference_set(ws: Workspace, kind: JudgeKind = JudgeKind.HUMAN) -> PreferenceSet:
    tasks = ws.records.find(Task, project=ws.project)
    every = ws.records.find(Judgement, project=ws.project, judge_kind=kind)
    made = aggregate(tasks, every, project=ws.project, round=ROUND)
    ws.records.add(made)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_backbone(tmp_path_factory.mktemp("b"))


def test_people_and_the_simulated_are_kept_apart(judged: Workspace) -> None:
    people = judged_items(judged, Material(judged), JudgeKind.HUMAN)
    assert len(people) == PROMPTS and {len(one.votes) for one in people} == {3}
    machines = judged_items(judged, Material(judged), JudgeKind.SIMULATED)
    assert {tuple(one.votes) for one in machines} == {("simulated:x",)}
    with pytest.raises(NotFound, match="judged by grm judges"):
        judged_items(judged, Material(judged), JudgeKind.GRM)


def test_preferences_in_tokens(judged: Workspace, folder: Path) -> None:
    """A unanimous pair weighs 1, one of two against one 2/3; the four ties that the set left out are there. A set
    of people and one of the simulated are not mixed."""
    people, machines = preference_set(judged), preference_set(judged, JudgeKind.SIMULATED)
    data = reward_pairs(judged, Backbone.load(folder), [people])
    assert data.judges == (JudgeKind.HUMAN,) and data.left_out == {}
    assert len(data.pairs) == PROMPTS and sum(pair.tie for pair in data.pairs) == PROMPTS // 6
    assert {round(pair.tokens.weight, 3) for pair in data.pairs} == {1.0, 0.667}
    assert all(pair.tokens.chosen != pair.tokens.rejected for pair in data.pairs)
    short = [replace(one, chosen=one.rejected) for one in people.preferences[:2]]
    same = reward_pairs(
        judged, Backbone.load(folder), [replace(people, preferences=tuple(short))], ties=False
    )
    assert same.left_out == {"same tokens": 2}
    with pytest.raises(UsageError, match="not both"):
        reward_pairs(judged, Backbone.load(folder), [people, machines])
    with pytest.raises(UsageError, match="no preference set"):
        reward_pairs(judged, Backbone.load(folder), [])


def test_trained_registered_and_reported_on(judged: Workspace, folder: Path) -> None:
    one = preference_set(judged)
    settings = RewardSettings(epochs=1, lora_rank=2, lora_alpha=4, calibration=0.3, test=0.3)
    made = train_from_sets(judged, [one.id[:9]], folder, settings, "mine", 0)
    [version] = judged.records.find(RewardModelVersion, name="mine")
    assert (
        version.preference_sets == (one.id,) and version.artefact_hash == made.trained.weights_hash
    )
    assert version.report["figures"]["judged_by_people"] is True
    again = train_from_sets(judged, [one.id], folder, settings, "mine", 0)
    assert again.facts["reward_model"] == version.id
    with pytest.raises(UsageError, match="choose another --name"):
        train_from_sets(judged, [one.id], folder, settings, "mine", 1)

    scorer = open_reward("mine", judged, folder)
    found = report_on_workspace(judged, scorer, JudgeKind.HUMAN)
    assert found.figures is not None and found.figures.judges is JudgeKind.HUMAN
    assert found.figures.overall.pairs == PROMPTS - PROMPTS // 6
    assert found.figures.overall.ceiling.votes > 0 and found.data["votes"] == 3 * PROMPTS
    machines = report_on_workspace(judged, scorer, JudgeKind.SIMULATED)
    assert machines.figures is not None and machines.figures.overall.ceiling.accuracy is None
    assert "SIMULATED" in " ".join(machines.to_json()["notes"])


def test_best_of_the_stored_candidates(judged: Workspace) -> None:
    """Gates are scorers too: the reward `clicks` and the evaluator `dnsmos` differ in family; `end` shares its."""
    scorer = open_reward("clicks", judged, Path())
    with pytest.raises(ConfigError, match="is on both sides"):
        report_on_workspace(judged, scorer, JudgeKind.HUMAN, evaluators=["clipping"])


def longer(number: int, body: dict[str, Any]) -> Reply:
    """A judge that hears: the longer reply is much better, nearly surely."""
    parts = body["messages"][-1]["content"]
    sizes = [len(p["input_audio"]["data"]) for p in parts if p["type"] == "input_audio"]
    label = "1" if sizes[0] > sizes[1] else "9"
    return ok(completion(label, {label: math.log(0.9), "5": math.log(0.1)}))


def first(number: int, body: dict[str, Any]) -> Reply:
    """A judge with nothing but position bias."""
    return ok(completion("1", {"1": math.log(0.8), "9": math.log(0.2)}))


def judge_file(folder: Path, url: str) -> Path:
    path = folder / "judge.toml"
    server = f'base_url = "{url}"\nmodel = "ears"\nhears = true\nattempts = 1\n'
    path.write_text(f'backend = "server"\n[server]\n{server}')
    return path


def test_a_generative_judge_is_reported_on(judged: Workspace, tmp_path: Path) -> None:
    """People prefer the longer reply in all 20 decided pairs: so does one judge, and the other says 50%."""
    with (
        serving(longer) as served,
        opened_reward(str(judge_file(tmp_path, served.url)), judged, Path()) as scorer,
    ):
        good = report_on_workspace(judged, scorer, JudgeKind.HUMAN).figures
    assert good is not None and good.overall.accuracy == 1 and good.overall.pairs == 20
    assert good.flips is not None and good.flips.rate == 0 and good.flips.judged == PROMPTS
    assert good.calibration_error == pytest.approx(0.05) and good.abstention
    with (
        serving(first) as served,
        opened_reward(str(judge_file(tmp_path, served.url)), judged, Path()) as scorer,
    ):
        biased = report_on_workspace(judged, scorer, JudgeKind.HUMAN).figures
    assert biased is not None and biased.overall.accuracy == 0.5
    assert biased.flips is not None and biased.flips.rate == 1
    with (
        serving(lambda number, body: ok(b"{")) as served,
        opened_reward(str(judge_file(tmp_path, served.url)), judged, Path()) as scorer,
    ):
        broken = report_on_workspace(judged, scorer, JudgeKind.HUMAN).figures
    assert broken is not None and broken.overall.pairs == 0 and broken.overall.failed == 20
    assert sum(broken.failures.values()) == PROMPTS


def test_a_judge_is_attacked_and_reported_on_by_command(judged: Workspace, tmp_path: Path) -> None:
    """It counts what it hears: an injection that is only written does not move it, so it gets through."""
    from trivox.commands.reward import attack_clips

    with serving(longer) as served:
        path = judge_file(tmp_path, served.url)
        given = ["reward", "report", "--with", str(path), "-w", str(judged.root), "--no-battery"]
        ended = CliRunner().invoke(app, [*given, "--json"], catch_exceptions=False)
        told = json.loads(ended.stdout)
        assert told["subject"]["name"] == "grm-server:ears" and told["subject"]["family"] == "ears"
        assert told["figures"]["overall"]["accuracy"] == 1
        with opened_reward(str(path), None, Path()) as scorer:
            clips = attack_clips(SPEECH, None, 2, (1.0, 10.0))
            found = attack(str(path), scorer, clips, 0, Branch.TTS)
    assert found.unscored == () and "injection" in found.fooled_by


def test_sets_by_the_beginning_of_their_id(judged: Workspace) -> None:
    one, other = preference_set(judged), preference_set(judged, JudgeKind.SIMULATED)
    assert find_set(judged, one.id) == one and find_set(judged, other.id[:12]) == other
    with pytest.raises(UsageError, match="begins the ids of 2"):
        find_set(judged, "ps_")
    with pytest.raises(NotFound, match="no preference set 'nothing'"):
        find_set(judged, "nothing")


def test_by_command(judged: Workspace, tmp_path: Path) -> None:
    """A gate as the reward: without attacks, then refused without judges of a kind."""
    given = ["reward", "report", "--with", "audible", "--no-battery", "-w", str(judged.root)]
    page = tmp_path / "r.html"
    ended = CliRunner().invoke(app, [*given, "--html", str(page), "--json"], catch_exceptions=False)
    told = json.loads(ended.stdout)
    assert ended.exit_code == 0 and ended.stdout.count("\n") == 1 and page.is_file()
    assert told["figures"]["overall"]["accuracy"] == 0.5 and told["adversarial_failures"] is None
    shown = CliRunner().invoke(app, [*given, "--judges", "simulated"], catch_exceptions=False)
    assert "SIMULATED, not people" in shown.stdout and "duration (s)" in shown.stdout
    with pytest.raises(UsageError, match="judges 'cats'"):
        CliRunner().invoke(app, [*given, "--judges", "cats"], catch_exceptions=False)
