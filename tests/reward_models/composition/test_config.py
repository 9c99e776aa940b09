"""What is wrong with a composition is said before a model is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

from trivox.platform.errors import ConfigError, NotFound
from trivox.platform.records import Branch
from trivox.reward_models.composition import default_names, load

HEAD = 'name = "mine"\nbranch = "tts"\n'
GOOD = '[[component]]\nscorer = "distillmos"\nnormalise = {by = "range", worst = 1, best = 5}\nclip = [0, 1]\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "reward.toml"
    path.write_text(text)
    return path


def test_each_branch_has_a_default() -> None:
    assert [load(name).branch for name in default_names()] == [
        Branch.ASR,
        Branch.REALTIME,
        Branch.TTS,
    ]


def test_a_file_is_read(tmp_path: Path) -> None:
    config = load(written(tmp_path, HEAD + '[[gate]]\nscorer = "end"\n' + GOOD))
    assert config.scorers == ["end", "distillmos"] and config.steady


WRONG = {
    "no scorer is named 'loudest'": '[[component]]\nscorer = "loudest"\n',
    "known keys: scorer, weight": GOOD + "wieght = 2\n",
    "'end' is a gate": '[[component]]\nscorer = "end"\nclip = [0, 1]\n',
    "by itself: leave the bounds out": '[[gate]]\nscorer = "end"\nat_most = 1\n' + GOOD,
    "say at_least or at_most": '[[gate]]\nscorer = "distillmos"\n' + GOOD,
    "better higher, but worst is 5.0 and best 1.0": GOOD.replace(
        "worst = 1, best = 5", "worst = 5, best = 1"
    ),
    "takes best and worst, given is best": GOOD.replace("worst = 1, ", ""),
    "nothing lies between": GOOD.replace("best = 5", "best = 1"),
    "normalise by target": GOOD.replace("distillmos", "pitch-spread"),
    "mean takes values from 0 on": GOOD.replace("clip = [0, 1]", "clip = [-1, 1]"),
    "give clip": GOOD.replace("clip = [0, 1]\n", ""),
    "a power is of values": GOOD.replace("clip = [0, 1]", 'shape = {by = "power"}'),
    "from the lowest to the highest": GOOD.replace("clip = [0, 1]", "clip = [1, 0]"),
    "weighed twice": GOOD * 2,
    "needs transcript": '[[component]]\nscorer = "transcript-errors"\nclip = [0, 1]\n',
    "greater than 0": GOOD + "weight = 0\n",
    "Input should be 'no_audio'": GOOD + 'missing = ["no_luck"]\n',
    "at least 1 item": "component = []\n",
}


@pytest.mark.parametrize(("says", "text"), WRONG.items(), ids=list(WRONG))
def test_what_is_wrong_is_named(says: str, text: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigError, NotFound), match=says):
        load(written(tmp_path, HEAD + text))


def test_a_family_is_not_on_both_sides(tmp_path: Path) -> None:
    text = (
        HEAD
        + 'evaluators = ["whisper-tiny-wer"]\n[[gate]]\nscorer = "vote-wer"\nat_most = 0.5\n'
        + GOOD
    )
    with pytest.raises(
        ConfigError, match=r"'whisper' is on both sides: 'vote-wer'.*'whisper-tiny-wer'"
    ):
        load(written(tmp_path, text))


def test_nothing_that_passes_falls_below_what_is_stopped(tmp_path: Path) -> None:
    text = HEAD + 'combine = "mean"\n' + GOOD.replace("clip = [0, 1]", "clip = [-3, 3]")
    with pytest.raises(ConfigError, match="may come below 0.0, the total of stopped rollouts"):
        load(written(tmp_path, text))
    assert load(written(tmp_path, text.replace("combine", "stopped = -3\ncombine")))


def test_a_part_of_a_sum_may_not_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a sum without it is another reward"):
        load(written(tmp_path, HEAD + 'combine = "sum"\n' + GOOD + 'missing = ["no_voice"]\n'))


def test_an_unknown_name_lists_the_packaged() -> None:
    with pytest.raises(NotFound, match="'ttx'.*asr, realtime, tts"):
        load("ttx")


def test_checking_loads_no_model_library() -> None:
    code = (
        "import sys\nfrom trivox.reward_models.composition import default_names, load\n"
        "[load(name) for name in default_names()]\n"
        "heavy = {'torch', 'faster_whisper', 'onnxruntime', 'librosa', 'transformers'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
