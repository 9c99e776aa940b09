"""The recipe's numbers in TOML: what is wrong is one line that names file and key."""

from pathlib import Path

import pytest

from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.platform.errors import ConfigError


def test_default_without_a_file() -> None:
    assert NanoRecipe.load(None) == NanoRecipe()


def test_a_file_overrides(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text("seed = 7\nlm_steps = 10\n")
    assert NanoRecipe.load(path) == NanoRecipe(seed=7, lm_steps=10)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lm_step = 10", "lm_step: Extra inputs are not permitted; known keys: seed"),
        ("lm_steps = 0", "lm_steps: Input should be greater than or equal to 1"),
        ("lm_reasoning_share = 1.5", "lm_reasoning_share: Input should be less than or equal to 1"),
        ("lm_branch_shares = {sing = 1.0}", "'asr', 'tts' or 'realtime'"),
        ("lm_branch_shares = {tts = -1.0}", "greater than or equal to 0"),
        ('seed = "x"', "seed: Input should be a valid integer"),
        ("seed = ", "not valid TOML"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        NanoRecipe.load(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert said in line
    assert "\n" not in line


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: no such file"):
        NanoRecipe.load(tmp_path / "none.toml")
