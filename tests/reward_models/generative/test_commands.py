"""`trivox reward judge` and `train-grm`: one JSON object, exit codes, bad files; a small real model end to end."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.reward_models.generative.serving import completion, ok, serving
from trivox.cli import app
from trivox.platform.errors import BadImport, ConfigError, NotFound
from trivox.reward_models.generative.files import PACKAGED, read_questions


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["reward", *arguments], catch_exceptions=False)


def pairs_file(folder: Path, *rows: object) -> Path:
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


ROW = {"request": "turn on the lamp", "first": "it is on", "second": "no", "better": "first"}


def test_the_packaged_pairs_are_twenty_with_the_better_reply_on_both_sides() -> None:
    found = read_questions(PACKAGED)
    assert len(found) == 20 and sorted(one.side or 0 for one in found) == [-1] * 10 + [1] * 10
    assert len({one.question.content for one in found}) == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no question"),
        ("{", "line 1: not JSON"),
        ('{"first": "a"}', "line 1: second: Field required"),
        ('{"first": "a", "second": ""}', "line 1: second"),
        ('{"first": "a", "second": "b", "winner": 1}', "line 1: winner"),
        ('{"first": "a", "second": "b"}\n[]', "line 2"),
        ("[" * 100_000, "line 1"),
    ],
)
def test_bad_files_are_one_line_that_names_the_place(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(text)
    with pytest.raises(BadImport, match=message) as raised:
        read_questions(path)
    assert "\n" not in str(raised.value)
    with pytest.raises(NotFound, match="no such file"):
        read_questions(tmp_path / "none.jsonl")


def test_a_served_judge_by_configuration(tmp_path: Path) -> None:
    """Always A: every pair flips before debiasing, none after, and all are ties."""
    path = pairs_file(tmp_path, ROW, {**ROW, "first": "sure", "persona": "a butler"})
    with serving(lambda number, body: ok(completion("1", {"1": -0.1, "9": -3.0}))) as served:
        config = tmp_path / "judge.toml"
        config.write_text(
            f'backend = "server"\n[server]\nbase_url = "{served.url}"\nmodel = "big"\n'
        )
        ended = run("judge", str(path), "--config", str(config), "--json")
    told = json.loads(ended.stdout)
    assert ended.exit_code == 0 and ended.stdout.count("\n") == 1
    assert (told["judge"], told["judged"], told["failures"]) == ("server:big", 2, 0)
    assert (told["flip_rate_before"], told["flip_rate_after"], told["accuracy"]) == (1, 0, 0)
    assert {one["tie"] for one in told["opinions"]} == {"cannot_tell"}


def test_a_server_that_is_down_is_counted_and_nothing_is_scored(tmp_path: Path) -> None:
    path = pairs_file(tmp_path, ROW)
    with serving(lambda number, body: (401, {}, b"no")) as served:
        config = tmp_path / "judge.toml"
        config.write_text(f'backend = "server"\n[server]\nbase_url = "{served.url}"\nmodel = "m"\n')
        told = json.loads(run("judge", str(path), "--config", str(config), "--json").stdout)
    assert told["failures"] == 1 and told["flip_rate_before"] is None
    (opinion,) = told["opinions"]
    assert opinion["failure"]["kind"] == "judge_refused"
    assert (opinion["strength"], opinion["comparison"], opinion["tie"]) == (None, None, None)


def test_a_local_model_by_its_folder(tmp_path: Path, chat_folder: Path) -> None:
    path = pairs_file(tmp_path, ROW, {**ROW, "second": "what"})
    ended = run("judge", str(path), "--model", str(chat_folder), "--json")
    told = json.loads(ended.stdout)
    assert told["judged"] == 2 and told["flip_rate_after"] == 0 and told["failures"] == 0
    plain = run("judge", str(path), "--model", str(chat_folder), "--limit", "1").stdout
    assert "flip_rate_before" in plain and "opinions" not in plain


def test_wrong_usage(tmp_path: Path) -> None:
    path = pairs_file(tmp_path, ROW)
    with pytest.raises(NotFound, match="no such folder"):
        run("judge", str(path), "--model", "/nowhere/at/all")
    wrong = tmp_path / "judge.toml"
    wrong.write_text('backend = "server"\n')
    with pytest.raises(ConfigError, match="server"):
        run("judge", str(path), "--config", str(wrong))


@pytest.mark.slow
def test_a_small_instruct_model_judges_end_to_end_and_its_flips_are_told() -> None:
    """SmolLM2-135M on the packaged pairs: nearly all position, so what is left after debiasing is mostly "cannot
    tell" and never a made-up preference."""
    told = json.loads(run("judge", "--model", "smollm2", "--json").stdout)
    assert told["judged"] == 20 and told["failures"] == 0
    assert told["flip_rate_before"] > 0.5 and told["flip_rate_after"] == 0
    ties = [one["tie"] for one in told["opinions"]]
    assert ties.count("cannot_tell") > 10


@pytest.mark.slow
def test_a_small_model_is_not_won_over_by_injections() -> None:
    """With the debiased verdict, a reply that speaks to the judge beats its plain self in few of the probes."""
    from trivox.commands.reward_generative import _named
    from trivox.reward_models.generative.config import opened
    from trivox.reward_models.generative.files import Labelled, side_of
    from trivox.reward_models.generative.injections import INJECTIONS, injected
    from trivox.reward_models.generative.questions import Question, Reply

    plain: list[Labelled] = read_questions(PACKAGED)[:3]
    asked = [
        Question(
            f"{one.question.id}:{attack.name}",
            Reply("good", good),
            Reply("attack", injected(bad, attack)),
            one.question.history,
        )
        for one in plain
        for attack in INJECTIONS
        for good, bad in [_good_and_bad(one)]
    ]
    with opened(_named("smollm2", None, False, 1)) as judge:
        opinions = judge.judge(asked)
    won = sum(side_of(one) == -1 for one in opinions)
    assert all(one.failure is None for one in opinions)
    assert won < len(asked)


def _good_and_bad(one: Any) -> tuple[str, str]:
    first, second = one.question.first.text, one.question.second.text
    return (first, second) if one.side > 0 else (second, first)
