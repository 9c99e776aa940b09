"""Where within a clip the manner changes: directives in its text, from the times of its words.

Speech falls in pitch and level towards its end by itself, so both sides of a cut are compared with what the voice
usually does at such a place, and a change has to exceed what is usual there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trivox.platform.audio.prosody import Activity, Float, Prosody, measure
from trivox.platform.audio.style_words import (
    DIMENSIONS,
    Thresholds,
    VoiceStatistics,
    limits,
    on_scale,
)
from trivox.platform.errors import UsageError

PAUSE = "pause"
PLACES = (0.35, 0.5, 0.65)
"""Shares of the words before a cut that part its places: what is usual is learned for each of the four."""
_MAD = 1.4826  # of the standard deviation of a normal distribution
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TimedWord:
    """A word as recognised or aligned, with its begin and end in seconds."""

    word: str
    begin_s: float
    end_s: float


@dataclass(frozen=True, eq=False)
class Cuts:
    """The places between words at which a clip may be cut in two.

    at: the character of the text where the tail begins; share: of the words that lie before; sides: float64
    [n, 2, 3], head and tail by rate, pitch and energy on the scale of `words.on_scale`, NaN where not measured.
    """

    at: tuple[int, ...]
    share: Array
    sides: Array

    @property
    def place(self) -> npt.NDArray[np.intp]:
        """Which of the four places each cut is at: [n]."""
        return np.searchsorted(PLACES, self.share, side="right")

    @property
    def balance(self) -> Array:
        """1 for a cut in the middle, less towards the ends, where a short side differs by chance: [n]."""
        balance: Array = 2 * np.sqrt(self.share * (1 - self.share))
        return balance


@dataclass(frozen=True, eq=False)
class Usual:
    """What a voice does at each place. sides: float64 [4, 2, 3], median beside the voice's own; spread: [4, 3],
    robust standard deviation of the change from head to tail. NaN where too few cuts were seen."""

    sides: Array
    spread: Array


@dataclass(frozen=True)
class Change:
    """at: the character from which words hold; head: words that hold before."""

    at: int
    words: tuple[str, ...]
    head: tuple[str, ...]


def word_starts(text: str, words: Sequence[TimedWord]) -> list[int]:
    """The character of text at which each word begins, in order.

    Raises UsageError for a word that the rest of the text does not hold.
    """
    folded, at, starts = text.lower(), 0, list[int]()
    for timed in words:
        found = folded.find(timed.word.lower(), at)
        if found < 0:
            raise UsageError(
                f"word {timed.word!r} at {timed.begin_s:.2f} s is not in the rest of the text {text[at:]!r}: "
                "give the times of this text's words"
            )
        starts.append(found)
        at = found + len(timed.word)
    return starts


def find_cuts(
    samples: Float,
    rate: int,
    text: str,
    words: Sequence[TimedWord],
    pitch: Float,
    thresholds: Thresholds,
    activity: Activity,
) -> Cuts:
    """Every cut that leaves thresholds.part_words words and thresholds.part_s seconds on each side.

    samples float32 [n] at rate Hz; pitch: Hz per 10 ms. Raises UsageError as word_starts does.
    """
    starts, least = word_starts(text, words), thresholds.part_words
    at, share, sides = list[int](), list[float](), list[list[list[float]]]()
    for index in range(least, len(words) - least + 1):
        both = (text[: starts[index]], words[:index]), (text[starts[index] :], words[index:])
        if min(side[-1].end_s - side[0].begin_s for _, side in both) < thresholds.part_s:
            continue
        parts = (_part(samples, rate, said, side, pitch, activity) for said, side in both)
        at.append(starts[index])
        share.append(index / len(words))
        sides.append([on_scale(p.articulation_rate, p.pitch_hz, p.level_db) for p in parts])
    return Cuts(tuple(at), np.array(share), np.array(sides).reshape(-1, 2, 3))


def usual(clips: Sequence[Cuts], statistics: VoiceStatistics, least: int) -> Usual:
    """What one voice does at each place; NaN for places with fewer than `least` cuts."""
    own = _own(statistics)
    place = np.concatenate([np.zeros(0, int), *(cuts.place for cuts in clips)])
    sides = np.concatenate([np.zeros((0, 2, 3)), *(cuts.sides for cuts in clips)]) - own
    middle, spread = np.full((4, 2, 3), np.nan), np.full((4, 3), np.nan)
    for index in range(len(middle)):
        here = sides[place == index]
        if len(here) < least:
            continue
        middle[index] = _median(here)
        change = np.diff(here - middle[index], axis=1)[:, 0]
        spread[index] = _MAD * _median(np.abs(change - _median(change)))
    return Usual(middle, spread)


def find_change(
    cuts: Cuts, statistics: VoiceStatistics, usual: Usual, thresholds: Thresholds
) -> Change | None:
    """The cut with the clearest change, if its tail earns a word that its head does not; else None."""
    if not cuts.at:
        return None
    sides = cuts.sides - _own(statistics) - usual.sides[cuts.place]
    change, (low, high) = np.diff(sides, axis=1)[:, 0], limits(thresholds)
    noise = thresholds.certainty * usual.spread[cuts.place]
    clear = np.where(change < 0, change / np.minimum(low, -noise), change / np.maximum(high, noise))
    strength = np.nan_to_num(clear).max(axis=1) * cuts.balance
    best = int(strength.argmax())
    head, tail = (_words(side, low, high) for side in sides[best])
    changed = _words(np.where(clear[best] > 1, change[best], np.nan), low, high)
    words = tuple(word for word in tail if word in changed and word not in head)
    return Change(cuts.at[best], words, head) if words else None


def find_pauses(
    text: str, words: Sequence[TimedWord], prosody: Prosody, least_s: float
) -> tuple[int, ...]:
    """The characters of text where a word follows a pause of least_s or longer."""
    starts, found = word_starts(text, words), list[int]()
    for begin, end in prosody.pauses:
        if end - begin < least_s - 1e-9:
            continue
        # By its middle: an aligner may see a word begin before its level rises.
        after = (s for s, w in zip(starts, words, strict=True) if (w.begin_s + w.end_s) / 2 > end)
        found += [start for start in after][:1]
    return tuple(dict.fromkeys(found))


def _part(
    samples: Float,
    rate: int,
    text: str,
    words: Sequence[TimedWord],
    pitch: Float,
    activity: Activity,
) -> Prosody:
    begin, end = words[0].begin_s, words[-1].end_s
    piece = samples[round(begin * rate) : round(end * rate)]
    track = pitch[round(begin * 100) : round(end * 100)]
    return measure(piece, rate, text, pitch=track, activity=activity, loudness=False)


def _words(values: Array, low: Array, high: Array) -> tuple[str, ...]:
    pairs = zip(DIMENSIONS.values(), values, low, high, strict=True)
    found = (
        (below if value < least else above)
        for (below, above), value, least, most in pairs
        if value < least or value > most
    )
    return tuple(found)


def _own(statistics: VoiceStatistics) -> Array:
    return np.array(on_scale(statistics.rate, statistics.pitch_hz, statistics.level_db))


def _median(values: Array) -> Array:
    """Over the first axis, without NaN; NaN where nothing is left."""
    kept = np.where(np.isnan(values).all(axis=0), 0.0, values)
    median: Array = np.nanmedian(kept, axis=0)
    return np.where(np.isnan(values).all(axis=0), np.nan, median)
