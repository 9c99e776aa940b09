"""The corpus: what the teacher said, aligned with its codes, and whose folder it is."""

import sys
from pathlib import Path

import numpy as np
import pytest

from trivox.pipelines.nano.corpus import (
    SENTENCE_SPLITS,
    SPLITS,
    WORDS,
    Corpus,
    load_codes,
    save_codes,
)
from trivox.pipelines.nano.prepare import _fit, prepare
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.nano.sentences import sentences, word_sequences
from trivox.platform.errors import ConfigError, MissingModel


def test_splits_hold_the_sentences_in_order(recipe: NanoRecipe, prepared: Path) -> None:
    texts = [text for split in SENTENCE_SPLITS for text in Corpus.load(prepared / split).texts]
    assert texts == sentences(16, recipe.seed)
    assert Corpus.load(prepared / WORDS).texts == word_sequences(8, recipe.seed)


@pytest.mark.parametrize("split", SPLITS)
def test_speech_pitch_and_codes_are_aligned(prepared: Path, split: str) -> None:
    """A frame is 640 samples, 4 estimates of pitch, one row of codes."""
    corpus, codes = Corpus.load(prepared / split), load_codes(prepared / split / "codes.npz")
    assert len(corpus) == len(codes)
    for index, rows in enumerate(codes):
        wave, pitch = corpus.waveform(index), corpus.pitch_of(index)
        assert (wave.dtype, rows.dtype) == (np.float32, np.int32)
        assert len(wave) == 640 * len(rows) == 160 * len(pitch)
        assert 0.3 < len(wave) / 16_000 < 6.0
        assert 0.02 < np.abs(wave).max() <= 1
        assert 0.2 < (pitch > 0).mean() < 0.95
        assert rows.min() >= 0
        assert rows.max() < 512


def test_what_is_there_is_not_made_again(
    recipe: NanoRecipe, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hibari", None)
    before = {path: path.stat().st_mtime_ns for path in prepared.rglob("*") if path.is_file()}
    prepare(recipe, prepared)
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("change", [{"seed": 1}, {"train_sentences": 13}, {"word_sequences": 9}])
def test_another_recipe_in_the_same_folder(
    recipe: NanoRecipe, prepared: Path, change: dict[str, int]
) -> None:
    ((name, value),) = change.items()
    with pytest.raises(ConfigError, match=rf"'{name}': {value}.*give another folder"):
        prepare(recipe.model_copy(update=change), prepared)


def test_without_the_teacher(
    recipe: NanoRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hibari", None)
    with pytest.raises(MissingModel, match="hibari-tts is not installed"):
        prepare(recipe, tmp_path / "out")


def test_too_little_speech_for_the_quantiser(
    recipe: NanoRecipe, prepared: Path, tmp_path: Path
) -> None:
    """The two test sentences in the place of the training ones: some 120 frames for 512 entries."""
    for split in SPLITS:
        (tmp_path / split).symlink_to(prepared / "test")
    with pytest.raises(ConfigError, match="a codebook of 512 entries needs as many"):
        _fit(recipe, tmp_path)


def test_codes_survive_the_disk(tmp_path: Path) -> None:
    codes = [np.arange(2 * n, dtype=np.int32).reshape(n, 2) for n in (3, 1, 4)]
    save_codes(tmp_path / "codes.npz", codes)
    for read, written in zip(load_codes(tmp_path / "codes.npz"), codes, strict=True):
        np.testing.assert_array_equal(read, written)
