"""`trivox nano prepare`: the teacher speaks the sentences; the quantiser is fitted and encodes them."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr
import torch

from trivox.pipelines.nano.corpus import (
    CODES_FILE,
    SENTENCE_SPLITS,
    SPLITS,
    WORDS,
    Corpus,
    is_complete,
    save_codes,
)
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.nano.sentences import sentences, word_sequences
from trivox.platform.errors import ConfigError, MissingModel
from trivox.platform.progress import progress
from trivox.policy.codec.features import (
    FEATURES,
    FRAME_RATE,
    SAMPLE_RATE,
    features,
    pad_to_frame,
    pitch_100hz,
)
from trivox.policy.codec.interface import CodecSpec
from trivox.policy.codec.rvq import ResidualVQ, fit_residual_vq

TEACHER_RATE = 24_000
QUANTISER_FILE = "quantiser.pt"
CODEBOOKS, CODEBOOK_SIZE = 2, 512
CODEC_SPEC = CodecSpec("nano", SAMPLE_RATE, FRAME_RATE, (CODEBOOK_SIZE,) * CODEBOOKS)


def prepare(recipe: NanoRecipe, folder: Path) -> None:
    """Write speech of all splits, the fitted quantiser and the codes under folder; skips what is there.

    Raises ConfigError when folder holds the corpus of another recipe, or speech for too few frames to fit
    the quantiser; MissingModel without the teacher.
    """
    for split in SPLITS:
        prepare_split(recipe, folder, split)
    if not (folder / QUANTISER_FILE).exists():
        _fit(recipe, folder)
    for split in SPLITS:
        if not (folder / split / CODES_FILE).exists():
            _encode(folder, split)


def prepare_split(recipe: NanoRecipe, folder: Path, split: str) -> None:
    """Speech of one split under folder, unless it is there; raises as `prepare` does."""
    _claim(recipe, folder)
    if not is_complete(folder / split):
        _speak(_texts(recipe, split), split).save(folder / split)


def _texts(recipe: NanoRecipe, split: str) -> list[str]:
    if split == WORDS:
        return word_sequences(recipe.word_sequences, recipe.seed)
    counts = (recipe.train_sentences, recipe.validation_sentences, recipe.test_sentences)
    position = SENTENCE_SPLITS.index(split)
    begin = sum(counts[:position])
    return sentences(sum(counts), recipe.seed)[begin : begin + counts[position]]


def _claim(recipe: NanoRecipe, folder: Path) -> None:
    """Note which corpus folder holds; raises ConfigError when it is another one."""
    names = {"seed", "train_sentences", "validation_sentences", "test_sentences", "word_sequences"}
    wanted, note = recipe.model_dump(include=names), folder / "corpus.json"
    if note.exists():
        found = json.loads(note.read_text())
        if found != wanted:
            raise ConfigError(
                f"{folder} holds the corpus of {found}, the recipe asks for {wanted}: give another folder"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(wanted))


def _speak(texts: list[str], split: str) -> Corpus:
    """Speech of the teacher, padded to whole frames."""
    teacher = _teacher()
    waves, pitches = [], []
    for text in progress(texts, f"speaking {split}"):
        spoken = np.asarray(teacher(text.capitalize() + "."), np.float32)
        wave = pad_to_frame(soxr.resample(spoken, TEACHER_RATE, SAMPLE_RATE).astype(np.float32))
        waves.append((np.clip(wave, -1, 32767 / 32768) * 32768).astype(np.int16))
        pitches.append(pitch_100hz(wave))
    starts = np.cumsum([0, *map(len, waves)])
    return Corpus(texts, np.concatenate(waves), np.concatenate(pitches), starts)


def _teacher() -> Callable[[str], npt.NDArray[np.float32]]:
    try:
        from hibari import Hibari
    except ImportError:
        raise MissingModel(
            "the teacher voice hibari-tts is not installed: run `make install`, which adds it"
        ) from None
    teacher: Callable[[str], npt.NDArray[np.float32]] = Hibari()
    return teacher


def _fit(recipe: NanoRecipe, folder: Path) -> None:
    """The quantiser, from the training sentences alone."""
    train = torch.from_numpy(np.concatenate(_all_features(folder, "train")))
    if len(train) < CODEBOOK_SIZE:
        raise ConfigError(
            f"{folder}: {recipe.train_sentences} train_sentences are {len(train)} frames of speech, and a "
            f"codebook of {CODEBOOK_SIZE} entries needs as many: give another folder and more sentences"
        )
    quantiser = fit_residual_vq(train, CODEBOOKS, CODEBOOK_SIZE, recipe.seed)
    partial = folder / f"{QUANTISER_FILE}.partial"
    torch.save(quantiser.state_dict(), partial)
    os.replace(partial, folder / QUANTISER_FILE)


def _encode(folder: Path, split: str) -> None:
    quantiser = ResidualVQ(CODEBOOKS, CODEBOOK_SIZE, FEATURES)
    quantiser.load_state_dict(torch.load(folder / QUANTISER_FILE))
    parts = [torch.from_numpy(part) for part in _all_features(folder, split)]
    save_codes(
        folder / split / CODES_FILE, [quantiser.encode(part).int().numpy() for part in parts]
    )


def _all_features(folder: Path, split: str) -> list[npt.NDArray[np.float32]]:
    corpus = Corpus.load(folder / split)
    numbers = progress(range(len(corpus)), f"features {split}")
    return [features(corpus.waveform(index), corpus.pitch_of(index)) for index in numbers]
