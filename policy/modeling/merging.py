"""Which embeddings of audio go where: clips of a batch, row after row, in the place of their placeholders."""

import torch
from torch import Tensor, nn

from trivox.platform.errors import ConfigError
from trivox.policy.modeling.encoders import real_frames


def clips_of_rows(placeholders: list[int], embeddings: list[int]) -> list[int]:
    """How many clips each row holds: placeholders of each row, embeddings of each clip, both in order.

    Raises ConfigError for a row whose placeholders do not end where a clip ends, and for clips left over.
    """
    clips, taken = [], 0
    for row, wanted in enumerate(placeholders):
        first, found = taken, 0
        while found < wanted and taken < len(embeddings):
            found += embeddings[taken]
            taken += 1
        if found != wanted:
            raise ConfigError(
                f"row {row} has {wanted} audio placeholders and its clips make {found} embeddings "
                f"({' + '.join(map(str, embeddings[first:taken])) or 'no clip is left'}): write one "
                "placeholder for each embedding"
            )
        clips.append(taken - first)
    if taken < len(embeddings):
        raise ConfigError(
            f"the rows have {sum(placeholders)} audio placeholders and the {len(embeddings)} clips make "
            f"{sum(embeddings)} embeddings: write one placeholder for each embedding"
        )
    return clips


def clip_lengths(features: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return torch.full((len(features),), features.shape[1], device=features.device)
    return mask.to(features.device).sum(1)


def stack_frames(frames: Tensor, counts: list[int], stack: int) -> Tensor:
    """[A, T, C] -> [A, ceil(T / stack), stack * C]; what lies after a clip's own frames becomes 0."""
    real = real_frames(torch.tensor(counts, device=frames.device), frames.shape[1])
    frames = frames * real[..., None].to(frames)
    frames = nn.functional.pad(frames, (0, 0, 0, -frames.shape[1] % stack))
    return frames.reshape(len(frames), -1, stack * frames.shape[2])
