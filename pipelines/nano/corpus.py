"""The recipe's corpus on disk: clips, their speech as one array of samples, their pitch."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trivox.pipelines.nano.clips import Clip
from trivox.platform.errors import NotFound

CLIPS_FILE = "clips.jsonl"


@dataclass(frozen=True)
class Corpus:
    """Speech of one split.

    samples: int16, all clips one after the other at 16 kHz, memory-mapped; pitch: float32, 100 Hz;
    starts: int64 [n + 1], in samples, all multiples of 640.
    """

    clips: list[Clip]
    samples: npt.NDArray[np.int16]
    pitch: npt.NDArray[np.float32]
    starts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.clips)

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
        lines = (json.dumps(clip.to_json()) for clip in self.clips)
        (folder / CLIPS_FILE).write_text("\n".join(lines) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Corpus":
        """Raises NotFound when nothing, or only a part, was prepared in folder."""
        if not is_complete(folder):
            raise NotFound(f"{folder}: no prepared corpus: run `trivox nano prepare` first")
        lines = (folder / CLIPS_FILE).read_text().splitlines()
        return cls(
            [Clip.from_json(json.loads(line)) for line in lines],
            np.memmap(folder / "samples.i16", np.int16, "r"),
            np.load(folder / "pitch.npy", mmap_mode="r"),
            np.load(folder / "starts.npy"),
        )


def is_complete(folder: Path) -> bool:
    return (folder / CLIPS_FILE).exists()
