"""`trivox reward`: what there is, what is wrong with a composition, scores, attacks."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from trivox.cli import app
from trivox.platform.errors import ConfigError, NotFound, UsageError
from trivox.reward_models.composition import default_names
from trivox.reward_models.registry import names

SPEECH = Path(__file__).parent / "data" / "speech"
CLIP = SPEECH / "turn_off_the_light_in_the_bedroom.flac"


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["reward", *arguments], catch_exceptions=False)


def told(*arguments: str) -> Any:
    ended = run(*arguments, "--json")
    assert ended.stdout.count("\n") == 1
    return json.loads(ended.stdout)


def test_list_names_every_scorer() -> None:
    assert [one["scorer"] for one in told("list")["scorers"]] == names()
    assert len(run("list").stdout.splitlines()) > len(names())


@pytest.mark.parametrize("name", default_names())
def test_check_tells_what_a_composition_is(name: str) -> None:
    found = told("check", name)
    assert found["composition"] == found["branch"] == name and found["steady"]
    assert "components" in run("check", name).stdout


def test_check_refuses_a_wrong_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nbranch = "tts"\n[[component]]\nscorer = "loud"\n')
    with pytest.raises((ConfigError, NotFound), match="no scorer is named 'loud'"):
        run("check", str(path))


def test_a_transcript_is_scored_by_the_reward_of_asr() -> None:
    """bedroom/bathroom: 1 of 7 words; (6/7)^(3/5) = 0.9117."""
    given = ["--transcript", "turn off the light in the bathroom", "--with", "asr"]
    [found] = told("score", str(CLIP), *given)["scores"]
    assert found["value"] == pytest.approx((6 / 7) ** 0.6)
    assert {part["scorer"]: part["state"] for part in found["parts"]}["end"] == "counted"
    assert "transcript-errors" in run("score", str(CLIP), *given).stdout


def test_a_scorer_alone_and_a_failure() -> None:
    [gate] = told("score", str(CLIP), "--with", "clicks")["scores"]
    assert gate["value"] == 1.0
    [lacking] = told("score", str(CLIP), "--with", "transcript-errors")["scores"]
    assert lacking["value"] is None and lacking["failure"]["kind"] == "no_transcript"
    assert "failed: " in run("score", str(CLIP), "--with", "transcript-errors").stdout


def test_texts_must_fit_the_clips() -> None:
    with pytest.raises(UsageError, match="1 clips and 2 --text"):
        run("score", str(CLIP), "--text", "a", "--text", "b")


def test_the_battery_lists_what_got_through() -> None:
    """The reward of asr withstands; the gate for clicks alone is fooled by nearly everything."""
    sound = told("battery", "--with", "asr", "--clips", str(SPEECH), "--seed", "3")
    assert sound["adversarial_failures"] == 0 and sound["fooled_by"] == []
    ended = run("battery", "--with", "clicks", "--clips", str(SPEECH), "--most", "2")
    assert ended.exit_code == 1 and "2 of 2" in ended.stdout


def test_doses_are_counted_with_intervals() -> None:
    found = told("battery", "--dose", "--with", "clipping", "--clips", str(SPEECH), "--most", "3")
    assert [one["dimension"] for one in found["doses"]] == ["clipping"] * 3
    assert found["doses"][1]["ordered"] == 3 and found["failed"] == 0
    assert "95%" in run("battery", "--dose", "--with", "clipping", "--clips", str(SPEECH)).stdout


@pytest.mark.slow
def test_the_packaged_rewards_fail_none_of_the_battery() -> None:
    found = told("report", "--defaults", "--most", "3")
    assert found["adversarial_failures"] == 0 and len(found["batteries"]) == 3


def test_a_report_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="--defaults"):
        run("report")
