"""The recipe's corpus on disk: sentences, their speech as one array of samples, and their codes."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trivox.platform.errors import NotFound

SENTENCE_SPLITS = ("train", "validation", "test")
WORDS = "words"
SPLITS = (*SENTENCE_SPLITS, WORDS)
CODES_FILE = "codes.npz"


@dataclass(frozen=True)
class Corpus:
    """Speech of one split.

    samples: int16, all sentences one after the other at 16 kHz, memory-mapped; pitch: float32, 100 Hz;
    starts: int64 [n + 1], in samples, all multiples of 640.
    """

    texts: list[str]
    samples: npt.NDArray[np.int16]
    pitch: npt.NDArray[np.float32]
    starts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)

    def waveform(self, index: int) -> npt.NDArray[np.float32]:
        """float32 [n], full scale 1.0."""
        part = self.samples[self.starts[index] : self.starts[index + 1]]
        return part.astype(np.float32) / np.float32(32768)

    def pitch_of(self, index: int) -> npt.NDArray[np.float32]:
        """Hz per 10 ms, 0 where unvoiced."""
        return self.pitch[self.starts[index] // 160 : self.starts[index + 1] // 160]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.samples.tofile(folder / "samples.i16")
        np.save(folder / "pitch.npy", self.pitch)
        np.save(folder / "starts.npy", self.starts)
        # Written last: its presence says that the split is complete.
        (folder / "texts.json").write_text(json.dumps(self.texts))

    @classmethod
    def load(cls, folder: Path) -> "Corpus":
        return cls(
            json.loads((folder / "texts.json").read_text()),
            np.memmap(folder / "samples.i16", np.int16, "r"),
            np.load(folder / "pitch.npy", mmap_mode="r"),
            np.load(folder / "starts.npy"),
        )


def is_complete(folder: Path) -> bool:
    return (folder / "texts.json").exists()


def require_prepared(folder: Path) -> None:
    """Raises NotFound unless folder holds everything that training reads."""
    if not (folder / "train" / CODES_FILE).exists():
        raise NotFound(
            f"{folder}: nothing to train on: run `trivox nano prepare --out {folder}` first"
        )


def save_codes(path: Path, codes: list[npt.NDArray[np.int32]]) -> None:
    """codes: one int32 [n_frames, Q] per sentence."""
    lengths = np.array([len(part) for part in codes])
    partial = path.with_name(f".partial-{path.name}")
    np.savez(partial, lengths=lengths, codes=np.concatenate(codes).astype(np.int16))
    os.replace(partial, path)


def load_codes(path: Path) -> list[npt.NDArray[np.int32]]:
    stored = np.load(path)
    return np.split(stored["codes"].astype(np.int32), np.cumsum(stored["lengths"])[:-1])
