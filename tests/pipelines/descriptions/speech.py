"""Clips whose pace, pitch and level are known: each word a tone, 50 ms of silence between words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trivox.pipelines.descriptions.annotate import SpokenClip
from trivox.pipelines.descriptions.inline import TimedWord

RATE = 16_000
GAP_S = 0.05


@dataclass(frozen=True)
class Manner:
    """letter_s: seconds a letter; pause_s: silence before the word beyond the gap."""

    letter_s: float = 0.08
    hz: float = 150.0
    amplitude: float = 0.1
    pause_s: float = 0.0


NORMAL = Manner()


def spoken(
    text: str, manners: Sequence[Manner]
) -> tuple[npt.NDArray[np.float32], tuple[TimedWord, ...]]:
    """The wave, and the times of its words; manners: one for each word."""
    pieces, words, at = list[npt.NDArray[np.float64]](), list[TimedWord](), 0.0
    for word, manner in zip(text.split(), manners, strict=True):
        silent = (GAP_S if words else 0.0) + manner.pause_s
        length = manner.letter_s * len(word)
        time = np.arange(round(length * RATE)) / RATE
        pieces += [
            np.zeros(round(silent * RATE)),
            manner.amplitude * np.sin(2 * np.pi * manner.hz * time),
        ]
        words.append(TimedWord(word, at + silent, at + silent + length))
        at += silent + length
    return np.concatenate(pieces).astype(np.float32), tuple(words)


def clip(
    name: str, text: str, manners: Sequence[Manner] | Manner = NORMAL, voice: str = "anna"
) -> SpokenClip:
    each = [manners] * len(text.split()) if isinstance(manners, Manner) else manners
    wave, words = spoken(text, each)
    return SpokenClip(name, text, voice, lambda: (wave, RATE), words)
