"""The command line: it teaches, and with --json it prints one JSON object and nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from typer.testing import CliRunner

from trivox.cli import app
from trivox.pipelines.rounds.config import RoundConfig
from trivox.pipelines.rounds.service import RoundService
from trivox.pipelines.workspaces import init_workspace
from trivox.platform.records import Branch, FinishReason, Prompt, Rollout, Round, Sampling
from trivox.platform.store import Workspace

SPEECH = Path(__file__).parent / "data" / "speech" / "turn_off_the_light_in_the_bedroom.flac"


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(words, command) of every command below."""
    for name, sub in getattr(command, "commands", {}).items():
        yield (*path, name), sub
        yield from commands(sub, (*path, name))


ALL = dict(commands(typer.main.get_command(app)))


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_teaches(words: tuple[str, ...]) -> None:
    command = ALL[words]
    shown = run(*words, "--help")
    assert shown.exit_code == 0 and shown.stdout.startswith("Usage: ")
    assert command.help and len(command.help) > 15, "what does it do?"
    for parameter in command.params:
        # An argument's help is shown in its own section, an option's beside it.
        assert getattr(parameter, "help", None), f"{parameter.name}: what is it for?"
        if isinstance(parameter, click.Option):
            assert max(parameter.opts, key=len) in shown.stdout


def test_the_first_help_names_all_commands() -> None:
    shown = run("--help").stdout
    for name, *rest in ALL:
        assert rest or f"  {name} " in shown
    assert "trivox demo" in shown and "3 waiting for people" in " ".join(shown.split())


def test_version() -> None:
    from trivox import __version__

    assert run("--version").stdout == f"trivox {__version__}\n"


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace with the packaged model, the built-in prompts and a queued round with one sample."""
    with init_workspace(tmp_path_factory.mktemp("cli") / "ws") as made:
        round_ = RoundService(made).enqueue(RoundConfig())
        made.tables.write([sample(made, round_)], branch=Branch.TTS, round=round_.id, part="one")
        yield made


def sample(ws: Workspace, round_: Round) -> Rollout:
    from trivox.platform.audio.io import read_audio

    audio = ws.audio.put(*read_audio(SPEECH), project=ws.project, source="test")
    ws.records.add(audio)
    return Rollout(
        id="ro_sample",
        project=ws.project,
        round=round_.id,
        branch=Branch.TTS,
        prompt=ws.records.find(Prompt)[0].id,
        producer="external:hibari",
        seed=0,
        index=0,
        sampling=Sampling(),
        engine="external",
        dtype="",
        tokens=(),
        segments=(),
        logprobs=(),
        finish_reason=FinishReason.END,
        audio=audio.id,
    )


JSON_COMMANDS: dict[tuple[str, ...], tuple[list[str], set[str]]] = {
    ("data", "list"): ([], {"prompt_sets"}),
    ("round", "show"): (["last"], {"round", "status", "stages", "results"}),
    ("round", "list"): ([], {"rounds"}),
    ("round", "plan"): (["--seed", "3"], {"round", "exists", "stages", "work", "proxy_reason"}),
    ("round", "status"): (["last"], {"round", "status", "stages", "costs", "worker", "alive"}),
    ("round", "diff"): (["last", "last"], {"config", "made"}),
    ("round", "lineage"): (["last"], {"round", "policies", "judgements", "rounds"}),
    ("round", "run"): (["--enqueue"], {"round", "status"}),
    ("policy", "list"): ([], {"policies"}),
    ("policy", "show"): (["nano"], {"id", "lineage", "evaluations", "decisions"}),
    ("sample", "list"): ([], {"samples"}),
    ("asr", "transcribe"): ([str(SPEECH)], {"policy", "transcripts"}),
}
# Tried elsewhere: import in bad input's tests, report and demo in whole rounds, nano in its own.
SPOKEN = ("turn_off_the_light_in_the_bedroom", "call_john_tomorrow_in_the_morning")
ELSEWHERE = {("data", "import"), ("report",), ("demo",), ("nano", "evaluate"), ("tts", "say")}
ELSEWHERE |= {("realtime", "reply")}
ELSEWHERE |= {("asr", "rover"), ("asr", "pseudo-label")}  # tests/test_cli_asr.py
ELSEWHERE |= {("policy", "train"), ("policy", "train-mtp")}  # tests/pipelines/training
# tests/pipelines/updates
UPDATES = ("samples", "evaluate", "compare", "promote", "rollback", "merge", "export")
ELSEWHERE |= {("policy", verb) for verb in UPDATES}
ELSEWHERE |= {("policy", "init"), ("policy", "add")}  # tests/policy/test_bring_your_own.py
ELSEWHERE |= {("talk",)}  # tests/test_cli_talk.py
ELSEWHERE |= {("reward", "judge"), ("reward", "train-grm")}  # tests/reward_models/generative
ELSEWHERE |= {("reward", "train")}  # tests/pipelines/test_reward_training.py
ELSEWHERE |= {("bench",)}  # tests/bench
ELSEWHERE |= {("round", "watch")}  # tests/pipelines/rounds
ELSEWHERE |= {("cluster", "status")}  # needs a cluster
ELSEWHERE |= {("loop", verb) for verb in ("run", "status", "list")}  # tests/pipelines/rounds
ELSEWHERE |= {("data", "describe")}  # tests/pipelines/descriptions
DATASETS = ("freeze", "versions", "diff", "stats", "split", "gc", "validate", "export", "forget")
ELSEWHERE |= {("data", verb) for verb in DATASETS}  # tests/pipelines/datasets
ELSEWHERE |= {("people", verb) for verb in ("invite", "list", "hours", "audit", "import")}
ELSEWHERE |= {("people", "token", "make"), ("people", "token", "list")}  # tests/test_cli_people.py
CAMPAIGN = ("create", "list", "status", "report", "preview", "commit", "export", "refresh")
ELSEWHERE |= {("campaign", verb) for verb in CAMPAIGN}  # tests/test_cli_campaigns.py
ELSEWHERE |= {("label-studio", verb) for verb in ("people", "push", "pull")}  # test_real_server.py
ELSEWHERE |= {("persona", verb) for verb in ("list", "show", "add", "export", "expand", "check")}
# tests/test_cli_projects.py
ELSEWHERE |= {("doctor",)}
ELSEWHERE |= {("project", verb) for verb in ("list", "create", "budget", "costs")}
# tests/test_cli_reward.py
ELSEWHERE |= {("reward", verb) for verb in ("list", "check", "score", "battery", "report")}


def test_every_command_with_json_is_tried() -> None:
    has = {
        words for words, command in ALL.items() if any("--json" in p.opts for p in command.params)
    }
    assert has == JSON_COMMANDS.keys() | ELSEWHERE


@pytest.mark.parametrize("words", JSON_COMMANDS, ids=" ".join)
def test_json_is_one_object_and_nothing_else(ws: Workspace, words: tuple[str, ...]) -> None:
    arguments, keys = JSON_COMMANDS[words]
    ended = run(*words, *arguments, "--workspace", str(ws.root), "--json")
    assert ended.exit_code == 0
    told = json.loads(ended.stdout)  # fails for anything before or after
    assert isinstance(told, dict) and keys <= told.keys()
    assert ended.stdout.count("\n") == 1


@pytest.mark.parametrize("words", [("data", "list"), ("round", "list"), ("policy", "list")])
def test_lists_are_tables_without_json(ws: Workspace, words: tuple[str, ...]) -> None:
    ended = run(*words, "--workspace", str(ws.root))
    assert ended.exit_code == 0 and len(ended.stdout.splitlines()) >= 2


def test_a_spoken_sentence_is_a_wav_file(ws: Workspace, tmp_path: Path) -> None:
    import soundfile

    out = tmp_path / "lamp.wav"
    arguments = ["--out", str(out), "--workspace", str(ws.root), "--json"]
    ended = run("tts", "say", "Turn off the lamp!", *arguments)
    told = json.loads(ended.stdout)
    samples, rate = soundfile.read(out)
    assert told == {
        "policy": "trivox-nano-v2",
        "file": str(out),
        "seconds": pytest.approx(len(samples) / rate),
        "seed": 0,
    }
    first = out.read_bytes()
    run("tts", "say", "Turn off the lamp!", *arguments)
    assert out.read_bytes() == first  # the same seed is the same take


def test_a_reply_in_character_is_a_wav_file(ws: Workspace, tmp_path: Path) -> None:
    """The packaged persona Anna begins with the words that are hers; the second turn is answered too."""
    import soundfile

    asked = [str(SPEECH.with_stem(name)) for name in SPOKEN]
    out = tmp_path / "replies"
    given = [
        "--persona",
        "anna",
        "--think",
        "--out",
        str(out),
        "--workspace",
        str(ws.root),
        "--json",
    ]
    told = json.loads(run("realtime", "reply", *asked, *given).stdout)
    assert told["policy"] == "trivox-nano-v2" and told["persona"] == "anna"
    assert [reply["file"] for reply in told["replies"]] == [
        str(out / f"reply-{number}.wav") for number in (1, 2)
    ]
    for reply in told["replies"]:
        samples, rate = soundfile.read(reply["file"])
        assert reply["seconds"] == pytest.approx(len(samples) / rate)
        assert reply["text"] and reply["thought"]


def test_samples_are_found_by_part_of_their_id(ws: Workspace) -> None:
    ended = run("sample", "path", "sample", "--workspace", str(ws.root))
    path = Path(ended.stdout.strip())
    assert path.suffix == ".flac" and path.is_file()


def test_enqueuing_again_is_the_same_round(ws: Workspace) -> None:
    ended = [run("round", "run", "--enqueue", "-w", str(ws.root), "--json") for _ in range(2)]
    ids = {json.loads(one.stdout)["round"] for one in ended}
    assert len(ids) == 1 and len(ws.records.find(Round)) == 1


def test_cancel(tmp_path: Path, ws: Workspace) -> None:
    other = RoundService(ws).enqueue(RoundConfig(seed=9))
    ended = run("round", "cancel", other.id, "--workspace", str(ws.root))
    assert ended.stdout == f"round {other.id} is cancelled\n"
