"""`trivox nano prepare`: the corpus is spoken; the quantiser of the codec is fitted and encodes it."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from trivox.pipelines.nano.corpus import Corpus
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.nano.speaking import speak_corpus
from trivox.platform.errors import ConfigError, NotFound
from trivox.platform.progress import progress
from trivox.platform.records import Split
from trivox.policy.codec.features import FEATURES, FRAME_RATE, SAMPLE_RATE, features
from trivox.policy.codec.interface import CodecSpec
from trivox.policy.codec.rvq import ResidualVQ, fit_residual_vq

QUANTISER_FILE = "quantiser.pt"
CODES_FILE = "codes.npz"
CODEBOOKS, CODEBOOK_SIZE = 2, 1024
CODEC_SPEC = CodecSpec("nano", SAMPLE_RATE, FRAME_RATE, (CODEBOOK_SIZE,) * CODEBOOKS)


def prepare(recipe: NanoRecipe, folder: Path) -> None:
    """Write speech of all splits, the fitted quantiser and the training codes under folder; skips what is there.

    Raises ConfigError when folder holds the corpus of another recipe, or speech for too few frames to fit
    the quantiser; MissingModel without a teacher.
    """
    speak_corpus(recipe, folder)
    train = folder / Split.TRAIN
    if (train / CODES_FILE).exists():
        return
    corpus = Corpus.load(train)
    numbers = progress(range(len(corpus)), "features")
    parts = [features(corpus.waveform(index), corpus.pitch_of(index)) for index in numbers]
    if not (folder / QUANTISER_FILE).exists():
        _fit(recipe, folder, _evenly(recipe, corpus, parts))
    quantiser = load_quantiser(folder)
    codes = [quantiser.encode(torch.from_numpy(part)).int().numpy() for part in parts]
    save_codes(train / CODES_FILE, codes)


def load_quantiser(folder: Path) -> ResidualVQ:
    quantiser = ResidualVQ(CODEBOOKS, CODEBOOK_SIZE, FEATURES)
    quantiser.load_state_dict(torch.load(folder / QUANTISER_FILE))
    return quantiser


def require_prepared(folder: Path) -> None:
    """Raises NotFound unless folder holds everything that training reads."""
    if not (folder / Split.TRAIN / CODES_FILE).exists():
        raise NotFound(
            f"{folder}: nothing to train on: run `trivox nano prepare --out {folder}` first"
        )


def save_codes(path: Path, codes: list[npt.NDArray[np.int32]]) -> None:
    """codes: one int32 [n_frames, Q] per clip."""
    lengths = np.array([len(part) for part in codes])
    partial = path.with_name(f".partial-{path.name}")
    np.savez(partial, lengths=lengths, codes=np.concatenate(codes).astype(np.int16))
    os.replace(partial, path)


def load_codes(path: Path) -> list[npt.NDArray[np.int32]]:
    stored = np.load(path)
    return np.split(stored["codes"].astype(np.int32), np.cumsum(stored["lengths"])[:-1])


def _evenly(
    recipe: NanoRecipe, corpus: Corpus, parts: list[npt.NDArray[np.float32]]
) -> npt.NDArray[np.float32]:
    """Features [N, F] of the voices that nano speaks in, as many frames of each, drawn from all its clips: where
    most clips are of one voice, the codebooks would be too."""
    rng = np.random.default_rng(recipe.seed)
    by_voice = [
        np.concatenate([p for p, c in zip(parts, corpus.clips, strict=True) if c.voice == voice])
        for voice in recipe.tts_voices
        if any(clip.voice == voice for clip in corpus.clips)
    ]
    count = min(map(len, by_voice))
    return np.concatenate([rng.permutation(frames)[:count] for frames in by_voice])


def _fit(recipe: NanoRecipe, folder: Path, spoken: npt.NDArray[np.float32]) -> None:
    """The quantiser, from the training speech of the voices that nano speaks in."""
    if len(spoken) < CODEBOOK_SIZE:
        raise ConfigError(
            f"{folder}: {sum(recipe.train_sentences.values())} train_sentences are {len(spoken)} frames of "
            f"speech, and a codebook of {CODEBOOK_SIZE} entries needs as many: give another folder and more"
        )
    quantiser = fit_residual_vq(torch.from_numpy(spoken), CODEBOOKS, CODEBOOK_SIZE, recipe.seed)
    partial = folder / f"{QUANTISER_FILE}.partial"
    torch.save(quantiser.state_dict(), partial)
    os.replace(partial, folder / QUANTISER_FILE)
