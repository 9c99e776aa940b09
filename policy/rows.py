"""Rows of tokens and audio, and the batches that the model trains on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trivox.platform.errors import BrokenAudio, ConfigError

IGNORED = -100
"""The label of a position that no loss covers, as torch's cross-entropy has it."""


@dataclass(frozen=True)
class Row:
    """A prompt, what follows it, and which of the completion's tokens a loss covers.

    audio: float32 [T, F] encoder features of each clip whose placeholders the prompt holds, in order.
    Raises ConfigError for a loss of another length than the completion, BrokenAudio for a clip without frames.
    """

    prompt: list[int]
    completion: list[int]
    loss: list[bool]
    audio: tuple[npt.NDArray[np.float32], ...] = ()

    def __post_init__(self) -> None:
        if len(self.loss) != len(self.completion):
            raise ConfigError(
                f"a row has {len(self.completion)} completion tokens and a loss mask of {len(self.loss)}: "
                "give one entry for each token"
            )
        check_features(self.audio)

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


def check_features(clips: Sequence[npt.NDArray[np.float32]]) -> None:
    """Raises BrokenAudio for a clip that is not [T, F] with at least one frame, or not finite."""
    for index, clip in enumerate(clips):
        if clip.ndim != 2 or 0 in clip.shape:
            raise BrokenAudio(
                f"clip {index} has features of shape {clip.shape}: give [frames, bins], at least 1 frame"
            )
        if not np.isfinite(clip).all():
            raise BrokenAudio(f"clip {index} has features that are not finite: make them anew")


def collate(
    rows: Sequence[Row],
    pad: int,
    side: Literal["left", "right"] = "right",
    limit: int | None = None,
) -> dict[str, Tensor]:
    """Rows -> int64 [B, L] input_ids, attention_mask, position_ids, labels (-100 where no loss is), and with any
    audio input_features float32 [A, T, F] and feature_mask [A, T].

    Raises ConfigError for no rows and for a row that is longer than limit, the model's context.
    """
    if not rows:
        raise ConfigError("a batch has 0 rows: give at least 1")
    for index, row in enumerate(rows):
        if limit is not None and len(row) > limit:
            raise ConfigError(
                f"row {index} has {len(row)} tokens and the model's context {limit}: shorten or drop it"
            )
    width = max(map(len, rows))
    mask = _padded([[1] * len(row) for row in rows], 0, width, side)
    batch = {
        "input_ids": _padded([row.prompt + row.completion for row in rows], pad, width, side),
        "attention_mask": mask,
        "position_ids": positions_of(mask),
        "labels": _padded([_labels(row) for row in rows], IGNORED, width, side),
    }
    return batch | pad_features([clip for row in rows for clip in row.audio])


def pad_features(clips: Sequence[npt.NDArray[np.float32]]) -> dict[str, Tensor]:
    """Clips [T, F] -> input_features [A, T, F], 0 after a clip's end, and feature_mask [A, T]; {} for no clips."""
    if not clips:
        return {}
    if len(bins := {clip.shape[1] for clip in clips}) > 1:
        raise ConfigError(f"clips of one batch have {sorted(bins)} bins: use one feature extractor")
    features = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(np.ascontiguousarray(clip, np.float32)) for clip in clips], True
    )
    lengths = torch.tensor([len(clip) for clip in clips])
    mask = (torch.arange(features.shape[1]) < lengths[:, None]).long()
    return {"input_features": features, "feature_mask": mask}


def positions_of(mask: Tensor) -> Tensor:
    """int64 [B, L], 1 for real tokens -> how many real tokens come before each, so that padding shifts nothing."""
    return (mask.cumsum(1) - 1).clamp(min=0)


def _labels(row: Row) -> list[int]:
    covered = zip(row.completion, row.loss, strict=True)
    return [IGNORED] * len(row.prompt) + [token if on else IGNORED for token, on in covered]


def _padded(
    lists: Sequence[list[int]], fill: int, width: int, side: Literal["left", "right"]
) -> Tensor:
    gaps = [[fill] * (width - len(one)) for one in lists]
    if side == "left":
        return torch.tensor([gap + one for gap, one in zip(gaps, lists, strict=True)])
    return torch.tensor([one + gap for gap, one in zip(gaps, lists, strict=True)])
