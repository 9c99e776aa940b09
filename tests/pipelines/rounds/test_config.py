"""What people write in TOML: one line for each mistake, one home for each default."""

import ast
import inspect
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from trivox.commands.rounds import read_config
from trivox.pipelines.rounds.config import RoundConfig, demo_config
from trivox.platform.config import load_toml
from trivox.platform.errors import ConfigError, TrivoxError
from trivox.platform.records import Branch


def written(tmp_path: Path, toml: str) -> Path:
    path = tmp_path / "round.toml"
    path.write_text(toml, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[train]\nlora_rank = 0", ("a round updates one branch by an adapter", "--full")),
        ("rolout = 1", ("rolout", "known keys:", "rollout", "evaluate")),
        ("[rollout]\nprompst = 4", ("rollout.prompst", "known keys:", "prompts", "candidates")),
        ("[label]\njudges = 'robots'", ("label.judges", "'human'", "'simulated'")),
        ("[rollout]\ncandidates = 1", ("rollout.candidates", "2")),
        ("[train]\nbetas = 1", ("train.betas", "known keys:", "beta", "lora_rank")),
        ("[rollout]\nprompts = 'many'", ("rollout.prompts", "integer")),
        ("branch = 'asr'", ("'asr'", "use algorithm 'grpo'", "'tts'")),
        ("[score]\nrewards = ['whisper']", ("'whisper'", "whisper-base-wer")),
        ("[score]\nrewards = []\n[label]\njudges = 'simulated'", ("at least one scorer",)),
        ("[score]\ncomposition = 'mine.toml'", ("'mine.toml'", "asr, realtime, tts", "a table")),
        ("[score]\ncomposition = 'asr'", ("'asr'", "round of 'tts'")),
        (
            "[score]\ncomposition = 'tts'\n[evaluate]\nevaluators = ['pocketsphinx-wer', 'style']",
            ("'style'",),
        ),
        (
            "branch = 'asr'\nalgorithm = 'grpo'\n[score]\ncomposition = 'asr'",
            ("update.reward.composition",),
        ),
        (
            "branch = 'asr'\nalgorithm = 'ppo'\n[score]\npipelined = true",
            ("score.pipelined is of dpo rounds", "update.ppo.staleness"),
        ),
        ("rollout = [", ("not valid TOML",)),
        ("[evaluate]\nmonitor = 'pocketsphinx-wer'", ("evaluate.monitor", "an evaluator too")),
        ("[evaluate]\nmonitor = 'me'", ("'me'", "whisper-base-wer")),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, toml: str, says: tuple[str, ...]) -> None:
    path = written(tmp_path, toml)
    with pytest.raises(TrivoxError) as caught:
        load_toml(path, RoundConfig)
    message = str(caught.value)
    assert isinstance(caught.value, ConfigError)
    assert "\n" not in message and message.startswith(str(path))
    for words in says:
        assert words in message, message


def test_a_composition_by_name_is_kept_whole(tmp_path: Path) -> None:
    config = load_toml(written(tmp_path, "[score]\ncomposition = 'tts'"), RoundConfig)
    assert config.score.composition is not None and config.score.composition.name == "tts"
    assert RoundConfig.model_validate(config.model_dump(mode="json")) == config
    assert {"style", "echo", "distillmos", "end"} <= {*config.score.scorers}


def test_a_composition_by_batch_is_refused(tmp_path: Path) -> None:
    table = (
        "[score.composition]\nname = 'mine'\nbranch = 'tts'\ncombine = 'mean'\n"
        "[[score.composition.component]]\nscorer = 'distillmos'\nclip = [0, 1]\nnormalise = {by = 'group'}"
    )
    with pytest.raises(ConfigError, match="normalises over a batch"):
        load_toml(written(tmp_path, table), RoundConfig)


def test_the_known_keys_are_those_of_the_section(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_toml(written(tmp_path, "[compare]\npairs = 2"), RoundConfig)
    assert str(caught.value).endswith("known keys: pairs_per_prompt, overlap")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_toml(tmp_path / "none.toml", RoundConfig)


def test_options_override_the_file_and_none_overrides_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, "seed = 3\n[rollout]\nprompts = 7\ncandidates = 5\n")
    overrides: dict[str, Any] = {
        "branch": Branch.TTS,
        "seed": None,
        "rollout.prompts": 9,
        "rollout.candidates": None,
        "label.judges": "simulated",
    }
    read: RoundConfig = read_config(path, overrides)
    assert (read.seed, read.rollout.prompts, read.rollout.candidates) == (3, 9, 5)
    assert read.label.judges == "simulated"
    assert read.evaluate == RoundConfig().evaluate


def test_without_file_and_options_there_are_the_defaults() -> None:
    assert read_config(None, {"seed": None}) == RoundConfig()


def test_an_impossible_option_is_one_line() -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(None, {"label.judges": "robots"})
    assert "label.judges" in str(caught.value) and "\n" not in str(caught.value)


def test_a_zero_is_an_override() -> None:
    assert read_config(None, {"seed": 0}).seed == 0
    with pytest.raises(ConfigError, match=r"rollout\.prompts"):
        read_config(None, {"rollout.prompts": 0})


def test_overlapping_families_make_a_proxy_win_rate() -> None:
    overlapping = RoundConfig.model_validate(
        {
            "label": {"judges": "simulated"},
            "evaluate": {"evaluators": ["whisper-tiny-wer", "dnsmos"]},
        }
    )
    reason = overlapping.proxy_reason()
    assert reason is not None
    for words in ("'whisper'", "'whisper-base-wer'", "'whisper-tiny-wer'"):
        assert words in reason
    # People judge: whatever the scorers are, they did not label.
    people = overlapping.model_copy(update={"label": RoundConfig().label})
    assert people.proxy_reason() is None


def test_the_demo_is_no_proxy_and_says_that_judges_are_simulated() -> None:
    demo = demo_config(2)
    assert demo.label.judges == "simulated" and demo.seed == 2 and demo.proxy_reason() is None


def test_what_is_stored_gives_the_configuration_again() -> None:
    assert RoundConfig.model_validate(RoundConfig().model_dump(mode="json")) == RoundConfig()


def sections() -> list[type[BaseModel]]:
    found = [field.annotation for field in RoundConfig.model_fields.values()]
    kinds = [kind for kind in found if inspect.isclass(kind) and issubclass(kind, BaseModel)]
    return [RoundConfig, *kinds]


def test_the_empty_file_is_a_round_and_every_key_says_what_it_is() -> None:
    for section in sections():
        fields = section.model_fields
        assert [name for name, field in fields.items() if field.is_required()] == []
        leaves = {name for name, field in fields.items() if field.annotation not in sections()}
        assert leaves - described(section) == set(), section.__name__


def described(section: type[BaseModel]) -> set[str]:
    """Names of the fields with a docstring below them."""
    (definition,) = ast.parse(inspect.getsource(section)).body
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id
        for field, below in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
    }
