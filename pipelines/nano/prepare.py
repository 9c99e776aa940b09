"""`trivox nano prepare`: the teacher speaks the sentences; the quantiser is fitted and encodes them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr
import torch

from trivox.pipelines.nano.corpus import SPLITS, Corpus, is_complete, save_codes
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.nano.sentences import sentences
from trivox.platform.errors import MissingModel
from trivox.platform.progress import progress
from trivox.policy.codec.features import SAMPLE_RATE, features, pad_to_frame, pitch_100hz
from trivox.policy.codec.rvq import fit_residual_vq

TEACHER_RATE = 24_000
QUANTISER_FILE = "quantiser.pt"
CODEBOOKS, CODEBOOK_SIZE = 2, 512


def prepare(recipe: NanoRecipe, folder: Path) -> None:
    """Write speech of all splits, the fitted quantiser and the codes under folder; skips what is there."""
    counts = (recipe.train_sentences, recipe.validation_sentences, recipe.test_sentences)
    texts = sentences(sum(counts), recipe.seed)
    ends = np.cumsum(counts)
    for split, begin, end in zip(SPLITS, [0, *ends[:-1]], ends, strict=True):
        if not is_complete(folder / split):
            _speak(texts[begin:end], split).save(folder / split)
    if not (folder / "train" / "codes.npz").exists():
        _quantise(recipe, folder)


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


def _quantise(recipe: NanoRecipe, folder: Path) -> None:
    corpora = {split: Corpus.load(folder / split) for split in SPLITS}
    frames = {
        split: [_features(corpus, i) for i in progress(range(len(corpus)), f"features {split}")]
        for split, corpus in corpora.items()
    }
    train = torch.from_numpy(np.concatenate(frames["train"]))
    quantiser = fit_residual_vq(train, CODEBOOKS, CODEBOOK_SIZE, recipe.seed)
    torch.save(quantiser.state_dict(), folder / QUANTISER_FILE)
    for split in reversed(SPLITS):
        codes = [quantiser.encode(torch.from_numpy(part)).int().numpy() for part in frames[split]]
        save_codes(folder / split / "codes.npz", codes)


def _features(corpus: Corpus, index: int) -> npt.NDArray[np.float32]:
    return features(corpus.waveform(index), corpus.pitch_of(index))
