"""People's own prompts: imported through the command line, used in a round, in Mandarin to a label."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from tests.e2e.listener import Listener
from trivox.annotation.comparisons import make_comparisons
from trivox.annotation.server import serve_labels
from trivox.cli import app
from trivox.pipelines.rounds.finding import find_prompt_set
from trivox.pipelines.workspaces import init_workspace
from trivox.platform.records import (
    Branch,
    Campaign,
    FinishReason,
    Judgement,
    Prompt,
    Rollout,
    Round,
    Sampling,
    ScorerRole,
    Split,
    Task,
)
from trivox.platform.scoring import Item, to_score
from trivox.platform.store import Workspace
from trivox.platform.text.error_rate import error_counts
from trivox.reward_models.registry import build

SPEECH = Path(__file__).parents[1] / "data" / "speech"
MANDARIN, SAID = SPEECH / "women_qu_gongyuan_ba.flac", "我们去公园吧"


def manifest(folder: Path, *rows: dict[str, str]) -> Path:
    path = folder / "mine.jsonl"
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def trivox(ws: Workspace, *arguments: str) -> dict[str, Any]:
    """A command that succeeds, with the one JSON object that it prints."""
    ended = CliRunner().invoke(app, [*arguments, "--workspace", str(ws.root), "--json"])
    assert ended.exit_code == 0, (ended.output, ended.exception)
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


@pytest.mark.slow
def test_a_round_on_a_persons_own_prompts(
    tmp_path: Path, ray_session: None, mini_toml: Path
) -> None:
    texts = ["Call the office in the morning!", "play some music", "stop the timer", "good night"]
    rows = [{"text": text, "split": "train" if i < 2 else "test"} for i, text in enumerate(texts)]
    with init_workspace(tmp_path / "ws") as ws:
        source = manifest(tmp_path, *rows)
        told = trivox(ws, "data", "import", str(source), "--name", "mine")
        assert told["splits"] == {"train": 2, "validation": 0, "test": 2}
        done = trivox(
            ws, "round", "run", "--config", str(mini_toml), "--prompts", "mine", "--count", "9"
        )
        assert done["status"] == "done" and done["stages"]["rollout"]["prompts"] == 2
        mine = find_prompt_set(ws, "mine")
        assert ws.records.get(Round, done["round"]).prompt_set == mine.id
        spoken = {one.prompt for one in ws.tables.read(Rollout, round=done["round"])}
        assert spoken == set(mine.prompts(Split.TRAIN)) | set(mine.prompts(Split.TEST))


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "ws")


def imported(ws: Workspace, folder: Path, branch: Branch) -> Prompt:
    row = {"audio": str(MANDARIN.name), "text": SAID, "language": "zh-cn", "speaker": "machine"}
    (folder / MANDARIN.name).write_bytes(MANDARIN.read_bytes())
    source = manifest(folder, row)
    name = f"mandarin-{branch.value}"
    arguments = ["--name", name, "--branch", branch.value, "--consent", "annotate"]
    told = trivox(ws, "data", "import", str(source), *arguments)
    assert (told["taken"], told["refused"]) == (1, [])
    (item,) = find_prompt_set(ws, name).items
    return ws.records.get(Prompt, item.prompt)


def test_mandarin_is_scored_by_characters(ws: Workspace, tmp_path: Path) -> None:
    prompt = imported(ws, tmp_path, Branch.ASR)
    assert prompt.languages == ("zh-CN",) and prompt.reference_text == SAID
    assert prompt.audio is not None
    samples, rate = ws.audio.read(prompt.audio)
    scorer = build("whisper-base-wer")
    item = Item("ro_1", samples, rate, prompt.reference_text, prompt.languages[0])
    (value,) = scorer.score([item])
    assert value.failure is None and value.evidence
    counts = error_counts(SAID, value.evidence, prompt.languages[0])
    assert counts.metric == "cer" and counts.reference_length == len(SAID)
    assert counts.normaliser == "characters@1"
    assert value.value == pytest.approx(counts.rate)
    assert counts.rate < 0.5  # a robot's voice, a small recogniser: most characters all the same
    score = to_score(
        value, scorer.info, item, project=ws.project, round=None, role=ScorerRole.EVALUATOR
    )
    assert score.evidence == value.evidence and score.value == value.value


def test_a_mandarin_comparison_is_labelled_with_its_language(ws: Workspace, tmp_path: Path) -> None:
    prompt = imported(ws, tmp_path, Branch.TTS)
    assert prompt.text == SAID and prompt.reference_audio is not None
    samples, rate = ws.audio.read(prompt.reference_audio)
    takes = [take(ws, prompt, index, samples * (1 - index / 2), rate) for index in range(2)]
    tasks = asked(ws, prompt, takes)
    assert [task.language for task in tasks] == ["zh-CN"]
    with serve_labels(ws, "round_zh") as labels, httpx.Client(base_url=labels.address) as client:
        ann = Listener(client, labels.url)
        page = ann.page()
        assert re.search(rf'<p class="text" lang="zh-CN"[^>]*>\s*{SAID}\s*</p>', page)
        ann.answer("a2")
        assert labels.waiting() == 0
    (judgement,) = ws.records.find(Judgement)
    task = ws.records.get(Task, judgement.task)
    assert (task.language, task.prompt) == ("zh-CN", prompt.id)
    assert ws.records.get(Campaign, task.campaign).languages == ("zh-CN",)


def take(ws: Workspace, prompt: Prompt, index: int, samples: Any, rate: int) -> Rollout:
    audio = ws.audio.put(samples, rate, project=ws.project, source="test")
    ws.records.add(audio)
    return Rollout(
        id=f"ro_zh_{index}",
        project=ws.project,
        round="round_zh",
        branch=Branch.TTS,
        prompt=prompt.id,
        producer="external:espeak",
        seed=0,
        index=index,
        sampling=Sampling(),
        engine="external",
        dtype="",
        tokens=(),
        segments=(),
        logprobs=(),
        finish_reason=FinishReason.END,
        audio=audio.id,
    )


def asked(ws: Workspace, prompt: Prompt, takes: list[Rollout]) -> list[Task]:
    from tests.pipelines.conftest import NOW
    from trivox.platform.records import RoundStatus, Stage

    ws.tables.write(takes, branch=Branch.TTS, round="round_zh", part="all")
    languages = {prompt.id: prompt.languages[0]}
    campaign = Campaign(
        "campaign_zh", ws.project, "zh", Branch.TTS, "哪一段说得更好？", 1, ("zh-CN",), 1, NOW,
        round="round_zh",
    )  # fmt: skip
    waiting = Round(
        "round_zh", ws.project, Branch.TTS, "dpo", "po", "set", {}, 0, Stage.LABEL,
        RoundStatus.WAITING, NOW, NOW,
    )  # fmt: skip
    tasks = make_comparisons(campaign, languages, takes, 1, seed=0)
    ws.records.add(waiting, campaign, *tasks)
    return tasks
