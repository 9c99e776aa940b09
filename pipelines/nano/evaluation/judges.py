"""The independent judges of nano's speech, and the small shared steps of its evaluations."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from trivox.platform.progress import progress
from trivox.platform.scoring import Item
from trivox.platform.text.error_rate import error_counts, pooled_rate
from trivox.reward_models.registry import build
from trivox.reward_models.verifiable.recognisers import Recogniser

Wave = npt.NDArray[np.float32]
LANGUAGE = "en-US"
RATE = 16_000
BATCH = 16
In = TypeVar("In")
Out = TypeVar("Out")


def in_batches(
    items: Sequence[In], label: str, run: Callable[[Sequence[In]], list[Out]]
) -> list[Out]:
    begins = range(0, len(items), BATCH)
    return [out for begin in progress(begins, label) for out in run(items[begin : begin + BATCH])]


def recognise(judge: Recogniser, waves: Sequence[Wave], label: str) -> list[str]:
    """What the judge hears in each; nothing in a wave without samples."""
    return [
        judge.transcribe(wave, LANGUAGE) if len(wave) else "" for wave in progress(waves, label)
    ]


def error_rate(texts: Sequence[str], heard: Sequence[str]) -> float:
    """Word errors over words, pooled."""
    counts = [error_counts(text, said, LANGUAGE) for text, said in zip(texts, heard, strict=True)]
    return pooled_rate(counts)


def mean_mos(waves: Sequence[Wave]) -> float | None:
    """Mean DistillMOS of the clips that it can score; None when it can score none."""
    scorer = build("distillmos")
    items = [Item(str(i), wave, RATE, None, LANGUAGE) for i, wave in enumerate(waves)]
    values = [value.value for value in scorer.score(items) if value.value is not None]
    return sum(values) / len(values) if values else None
