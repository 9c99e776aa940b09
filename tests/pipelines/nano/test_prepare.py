"""Quantiser and codes of a spoken corpus: aligned with its samples, and made once."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.pipelines.nano.tones import corpus_of, sung, training_clips
from trivox.pipelines.nano.corpus import Corpus
from trivox.pipelines.nano.prepare import (
    CODEBOOK_SIZE,
    CODES_FILE,
    QUANTISER_FILE,
    load_codes,
    prepare,
    require_prepared,
    save_codes,
)
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.platform.errors import ConfigError, NotFound


def test_a_corpus_survives_the_disk(tmp_path: Path) -> None:
    clips = training_clips()
    corpus_of(clips).save(tmp_path)
    corpus = Corpus.load(tmp_path)
    assert corpus.clips == clips and len(corpus) == len(clips)
    for index, clip in enumerate(clips):
        wave = corpus.waveform(index)
        assert wave.dtype == np.float32
        np.testing.assert_allclose(wave, sung(clip.text, clip.voice, index), atol=1 / 32768)
        assert len(wave) == 160 * len(corpus.pitch_of(index))


def test_a_corpus_that_was_not_finished(tmp_path: Path) -> None:
    """The clips are written last."""
    corpus_of(training_clips()[:2]).save(tmp_path)
    (tmp_path / "clips.jsonl").unlink()
    with pytest.raises(NotFound, match="run `trivox nano prepare` first"):
        Corpus.load(tmp_path)


def test_codes_are_aligned_with_the_speech(prepared: Path) -> None:
    """A frame is 640 samples, 4 estimates of pitch, one row of codes."""
    corpus, codes = Corpus.load(prepared / "train"), load_codes(prepared / "train" / CODES_FILE)
    assert len(corpus) == len(codes)
    for index, rows in enumerate(codes):
        assert rows.dtype == np.int32 and rows.shape[1] == 2
        assert len(corpus.waveform(index)) == 640 * len(rows)
        assert rows.min() >= 0 and rows.max() < CODEBOOK_SIZE


def test_the_same_tone_has_much_the_same_codes(prepared: Path) -> None:
    """The quantiser hears: frames of silence and frames of a tone share no first code."""
    corpus, codes = Corpus.load(prepared / "train"), load_codes(prepared / "train" / CODES_FILE)
    silent, voiced = set[int](), set[int]()
    for index, clip in enumerate(corpus.clips):
        for place, letter in enumerate(clip.text):
            inner = codes[index][2 * place, 0] if letter != " " else codes[index][2 * place + 1, 0]
            (silent if letter == " " else voiced).add(int(inner))
    assert len(voiced) > 50
    assert len(silent & voiced) < 0.05 * len(voiced)


def test_what_is_there_is_not_made_again(recipe: NanoRecipe, prepared: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in prepared.rglob("*") if path.is_file()}
    prepare(recipe, prepared)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_codes_that_are_missing_come_from_the_quantiser_that_is_there(
    recipe: NanoRecipe, prepared: Path, tmp_path: Path
) -> None:
    for name in ("train", "validation", "test"):
        shutil.copytree(prepared / name, tmp_path / name)
    shutil.copy(prepared / QUANTISER_FILE, tmp_path)
    (tmp_path / "train" / CODES_FILE).unlink()
    with pytest.raises(NotFound, match=f"trivox nano prepare --out {tmp_path}"):
        require_prepared(tmp_path)
    prepare(recipe, tmp_path)
    require_prepared(tmp_path)
    made, first = (load_codes(f / "train" / CODES_FILE) for f in (tmp_path, prepared))
    for one, other in zip(made, first, strict=True):
        np.testing.assert_array_equal(one, other)


def test_too_little_speech_for_the_quantiser(recipe: NanoRecipe, tmp_path: Path) -> None:
    """Of the voices that nano speaks in: the clips of bella do not count."""
    clips = [clip for clip in training_clips() if clip.voice == "bella"] * 9 + training_clips()[:1]
    assert sum(2 * len(clip.text) for clip in clips) > CODEBOOK_SIZE
    for name in ("train", "validation", "test"):
        corpus_of(clips).save(tmp_path / name)
    with pytest.raises(ConfigError, match="a codebook of 1024 entries needs as many"):
        prepare(recipe, tmp_path)


def test_codes_survive_the_disk(tmp_path: Path) -> None:
    codes = [np.arange(2 * n, dtype=np.int32).reshape(n, 2) for n in (3, 1, 4)]
    save_codes(tmp_path / "codes.npz", codes)
    for read, written in zip(load_codes(tmp_path / "codes.npz"), codes, strict=True):
        np.testing.assert_array_equal(read, written)
