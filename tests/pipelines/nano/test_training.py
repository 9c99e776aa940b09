"""Both trainings and the export: a stopped run becomes the uninterrupted one, and the result loads."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trivox.pipelines.nano import train_codec as codec_module
from trivox.pipelines.nano import train_lm as lm_module
from trivox.pipelines.nano.corpus import SPLITS
from trivox.pipelines.nano.export import export
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.nano.train_codec import spectral_loss, train_codec
from trivox.pipelines.nano.train_lm import IGNORE, _Rows, phases, train_lm
from trivox.platform.errors import ConfigError, NotFound
from trivox.platform.hashing import sha256_file
from trivox.platform.records import Sampling
from trivox.policy.resident import ResidentPolicy
from trivox.policy.vocabulary import TokenMap


class Stopped(BaseException):
    """As Ctrl-C would."""


@pytest.fixture
def bare(prepared: Path, tmp_path: Path) -> Path:
    """The corpus alone, in a folder of its own."""
    for name in SPLITS:
        shutil.copytree(prepared / name, tmp_path / name)
    shutil.copy(prepared / "quantiser.pt", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "train", "part", "after"),
    [
        (codec_module, train_codec, "codec", [2]),
        (lm_module, train_lm, "lm", [2, *range(3), *range(3), *range(3)]),
    ],
)
def test_a_stopped_run_goes_on_to_the_same_weights(
    recipe: NanoRecipe,
    trained: Path,
    bare: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    train: Callable[[NanoRecipe, Path], Path],
    part: str,
    after: list[int],
) -> None:
    """Stopped in the third step, after the checkpoint of the second: two steps are not done again, and the
    language model's other phases follow."""
    original, begun = module._step, []

    def counting(*args: Any) -> float:
        begun.append(args[-1])
        if len(begun) == 3:
            raise Stopped
        return float(original(*args))

    monkeypatch.setattr(module, "_step", counting)
    with pytest.raises(Stopped):
        train(recipe, bare)
    assert not (bare / part).exists()
    torch.rand(5)
    train(recipe, bare)
    assert begun == [0, 1, 2, *after]
    weights = Path(part) / "model.safetensors"
    assert sha256_file(bare / weights) == sha256_file(trained / weights)


def test_resumed_on_a_model_of_another_shape(recipe: NanoRecipe, trained: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"lm-mixed\.checkpoint\.pt is the checkpoint of a model of"
    ):
        train_lm(recipe.model_copy(update={"lm_hidden": 64}), trained)


def test_another_seed_is_another_model(recipe: NanoRecipe, trained: Path, bare: Path) -> None:
    train_lm(recipe.model_copy(update={"seed": 1}), bare)
    weights = Path("lm") / "model.safetensors"
    assert sha256_file(bare / weights) != sha256_file(trained / weights)


@pytest.mark.parametrize("train", [train_codec, train_lm])
def test_nothing_prepared(
    recipe: NanoRecipe, tmp_path: Path, train: Callable[[NanoRecipe, Path], Path]
) -> None:
    with pytest.raises(NotFound, match="trivox nano prepare --out"):
        train(recipe, tmp_path)


def test_segments_longer_than_every_sentence(recipe: NanoRecipe, bare: Path) -> None:
    with pytest.raises(ConfigError, match="codec_segment_frames is 500 and the longest of 12"):
        train_codec(recipe.model_copy(update={"codec_segment_frames": 500}), bare)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_rows_teach_the_completion_only(recipe: NanoRecipe, trained: Path, share: float) -> None:
    """Labels cover what follows the prompt, its end token included; prompt and padding are ignored."""
    tokens = TokenMap.load(trained / "lm")
    changed = recipe.model_copy(update={"lm_tts_share": share})
    ids, mask, labels = _Rows(changed, trained, tokens).batch(0, phases(changed)[0])
    first, after = (tokens.tts, tokens.audio) if share else (tokens.asr, tokens.text)
    assert (ids[:, 0] == first).all()
    for row in range(len(ids)):
        end = int(mask[row].sum())
        begin = int((ids[row] == after).nonzero()[-1]) + 1
        assert (labels[row, :begin] == IGNORE).all()
        assert (labels[row, end:] == IGNORE).all()
        assert torch.equal(labels[row, begin:end], ids[row, begin:end])
        assert labels[row, end - 1] == tokens.eos


def test_code_noise_touches_prompts_only(recipe: NanoRecipe, trained: Path) -> None:
    """With all codes replaced the asr rows still teach the sentences, and tts rows the true codes."""
    tokens = TokenMap.load(trained / "lm")
    noisy = _Rows(recipe.model_copy(update={"lm_code_noise": 1.0}), trained, tokens)
    text, codes = noisy.sentences.texts[0], noisy.sentences.codes[0]
    before = codes.copy()
    prompt, completion = noisy._asr(text, codes, np.random.default_rng(0))
    assert prompt[2:-1] != tokens.audio_ids(codes, 1)
    assert tokens.read_text(completion) == text
    _, spoken = noisy._tts(text, codes, np.random.default_rng(0))
    np.testing.assert_array_equal(tokens.read_codes(spoken[:-1]), before)
    np.testing.assert_array_equal(codes, before)


def test_reading_draws_words_for_its_share(recipe: NanoRecipe, trained: Path) -> None:
    """With a share of 1 each row is a word sequence, with 0 a sentence."""
    tokens = TokenMap.load(trained / "lm")
    for share in (0.0, 1.0):
        changed = recipe.model_copy(update={"reading_words_share": share, "reading_tts_share": 1.0})
        rows = _Rows(changed, trained, tokens)
        ids, _, _ = rows.batch(0, phases(changed)[1])
        texts = {tokens.read_text(row[: row.index(tokens.audio)]) for row in ids.tolist()}
        assert texts <= set(rows.words.texts if share else rows.sentences.texts)


def test_spectral_loss() -> None:
    """Nothing between a signal and itself; more the further they are apart."""
    wave = torch.sin(torch.arange(4096) * 0.1)[None]
    assert spectral_loss(wave, wave) == 0
    assert 0 < spectral_loss(0.9 * wave, wave) < spectral_loss(0.5 * wave, wave)


def test_export_loads_and_answers(trained: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "README.md").write_text("the card")
    size = export(trained, checkpoint)
    files = [path for path in checkpoint.rglob("*") if path.is_file()]
    assert size == sum(path.stat().st_size for path in files if path.name != "README.md")
    assert (checkpoint / "README.md").read_text() == "the card"
    assert not [path for path in files if path.suffix == ".partial"]
    policy = ResidentPolicy(checkpoint)
    with policy.using(None) as speaker:
        (speech,) = speaker.speak(["turn on the light"], [0], Sampling(max_tokens=8))
        (heard,) = speaker.transcribe([np.zeros(16_000, np.float32)])
    assert len(speech.samples) == 640 * len(speech.codes)
    assert heard.generation.tokens


@pytest.mark.parametrize("part", ["lm", "codec"])
def test_export_of_what_is_not_trained(trained: Path, tmp_path: Path, part: str) -> None:
    other = "codec" if part == "lm" else "lm"
    half = tmp_path / "half"
    half.mkdir()
    os.symlink(trained / other, half / other)
    with pytest.raises(NotFound, match=f"{part} is not trained yet"):
        export(half, tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()
