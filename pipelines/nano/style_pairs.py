"""Does speech follow an instruction? Held-out texts spoken twice, under opposite instructions, and measured."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from trivox.pipelines.descriptions import DIMENSIONS
from trivox.platform.audio.prosody import Activity, Prosody, ProsodyFailure, measure, semitones
from trivox.platform.errors import UsageError, WorkError
from trivox.platform.records import Failure
from trivox.platform.statistics.intervals import Interval, wilson

Wave: TypeAlias = npt.NDArray[np.float32]
Speak: TypeAlias = Callable[[Sequence[str], Sequence[str], Sequence[int]], Sequence[Wave]]
"""texts with directives, instructions (words, or empty), seeds -> waves float32 [n], in order, in one voice."""

CUT = 0.4
"""Share of a text's characters before an inline directive, to the nearest word."""
TAIL = 0.35
"""Share of the speech, from its end, on which inline pitch and level are measured. Even a fast tail, 60% of the
characters at 1.45 times the pace, takes 51% of the time: all of it lies in the tail."""
GAPS = Activity(pause_s=0.08)
PAUSE = "pause"
RESOLUTION = {"rate": 0.01, "pitch": 0.1, "energy": 0.1, PAUSE: 0.05}
"""Least difference that is no tie: share of the rate, semitones, dB, seconds of the longest gap."""
UNITS = {"rate": "fraction", "pitch": "semitones", "energy": "dB", PAUSE: "s"}


class Outcome(StrEnum):
    RIGHT = "right"
    WRONG = "wrong"
    TIE = "tie"
    FAILED = "failed"


@dataclass(frozen=True)
class Contrast:
    """One thing to be told apart. less and more: what is asked for; inline: from within the text on."""

    dimension: str
    less: str
    more: str
    inline: bool

    @property
    def name(self) -> str:
        return f"inline {self.dimension}" if self.inline else self.dimension


CONTRASTS = (
    *(Contrast(name, *words, inline=False) for name, words in DIMENSIONS.items()),
    *(Contrast(name, *words, inline=True) for name, words in DIMENSIONS.items()),
    Contrast(PAUSE, "", PAUSE, inline=True),
)


@dataclass(frozen=True)
class PairOutcome:
    """difference: more minus less in the dimension's unit; None, with the failure, where a side has no measure."""

    contrast: str
    text: str
    outcome: Outcome
    difference: float | None
    failure: Failure | None = None


@dataclass(frozen=True)
class ContrastResult:
    """Pairs of one contrast. share: of all pairs, ties and failures counted as not right; interval: Wilson, 95%.

    median_difference: over the pairs that were measured, in unit; None without any.
    """

    contrast: str
    unit: str
    right: int
    wrong: int
    ties: int
    failed: int
    share: float
    interval: Interval
    median_difference: float | None


@dataclass(frozen=True)
class StyleReport:
    """Every pair, and each contrast's count in the order of CONTRASTS."""

    pairs: tuple[PairOutcome, ...]
    results: tuple[ContrastResult, ...]

    def to_json(self) -> dict[str, Any]:
        """Counts by contrast, and the pairs that failed."""
        failed = [asdict(pair) for pair in self.pairs if pair.failure]
        return {"contrasts": {one.contrast: asdict(one) for one in self.results}, "failed": failed}


def style_pairs(
    texts: Sequence[str],
    speak: Speak,
    rate: int,
    seeds: Sequence[int] | None = None,
    contrasts: Sequence[Contrast] = CONTRASTS,
) -> StyleReport:
    """Speak each text under both sides of each contrast with one seed, and count the right directions.

    rate: Hz of the waves. Raises UsageError for no texts or a text of one word, WorkError when speak returns
    another number of waves than asked for.
    """
    if not texts or (short := [text for text in texts if len(text.split()) < 2]):
        raise UsageError(
            f"{len(texts)} texts, too short {short if texts else ''}: give two words or more"
        )
    drawn = range(len(texts)) if seeds is None else seeds
    asked = [
        (*_request(text, contrast, side), seed)
        for contrast in contrasts
        for text, seed in zip(texts, drawn, strict=True)
        for side in (contrast.less, contrast.more)
    ]
    waves = speak(*(list(column) for column in zip(*asked, strict=True)))
    if len(waves) != len(asked):
        raise WorkError(f"{len(asked)} utterances were asked for and {len(waves)} came back")
    both = zip(waves[::2], waves[1::2], strict=True)
    named = ((contrast, text) for contrast in contrasts for text in texts)
    pairs = tuple(
        judge(contrast, text, less, more, rate)
        for (contrast, text), (less, more) in zip(named, both, strict=True)
    )
    return StyleReport(pairs, tuple(count(contrast, pairs) for contrast in contrasts))


def judge(contrast: Contrast, text: str, less: Wave, more: Wave, rate: int) -> PairOutcome:
    """Whether `more` lies above `less`, as it should."""
    values: list[float] = []
    for side, wave in (("less", less), ("more", more)):
        value = _value(contrast, text, wave, rate)
        if isinstance(value, Failure):
            failure = Failure(value.kind, f"{side}: {value.message}")
            return PairOutcome(contrast.name, text, Outcome.FAILED, None, failure)
        values.append(value)
    difference = _difference(contrast.dimension, *values)
    if abs(difference) < RESOLUTION[contrast.dimension]:
        return PairOutcome(contrast.name, text, Outcome.TIE, difference)
    outcome = Outcome.RIGHT if difference > 0 else Outcome.WRONG
    return PairOutcome(contrast.name, text, outcome, difference)


def count(contrast: Contrast, pairs: Sequence[PairOutcome]) -> ContrastResult:
    """Raises UsageError where no pair is of the contrast."""
    mine = [pair for pair in pairs if pair.contrast == contrast.name]
    if not mine:
        raise UsageError(f"no pair of {contrast.name!r} among {len(pairs)}: judge some first")
    tally = {kind: sum(pair.outcome is kind for pair in mine) for kind in Outcome}
    right = tally[Outcome.RIGHT]
    measured = [pair.difference for pair in mine if pair.difference is not None]
    return ContrastResult(
        contrast.name,
        UNITS[contrast.dimension],
        right=right,
        wrong=tally[Outcome.WRONG],
        ties=tally[Outcome.TIE],
        failed=tally[Outcome.FAILED],
        share=right / len(mine),
        interval=wilson(right, len(mine)),
        median_difference=float(np.median(measured)) if measured else None,
    )


def _request(text: str, contrast: Contrast, side: str) -> tuple[str, str]:
    """Text and instruction of one side."""
    if not contrast.inline:
        return text, side
    return (marked(text, side) if side else text), ""


def marked(text: str, directive: str) -> str:
    """The directive between the words nearest to CUT of the text: never before the first nor after the last."""
    words = text.split()
    reach = [len(" ".join(words[:n])) / len(text) for n in range(1, len(words))]
    cut = 1 + int(np.argmin([abs(share - CUT) for share in reach]))
    return " ".join([*words[:cut], f"({directive})", *words[cut:]])


def _value(contrast: Contrast, text: str, wave: Wave, rate: int) -> float | Failure:
    """The measure that the contrast is about, or why there is none."""
    found = measure(wave, rate, text, activity=GAPS, loudness=False)
    if contrast.inline and contrast.dimension in ("pitch", "energy") and found.speech_s:
        found = measure(_tail(wave, rate, found), rate, activity=GAPS, loudness=False)
    if contrast.dimension == PAUSE:
        silent = found.failures.get("level_db")
        return silent or found.longest_pause_s or 0.0
    name = {"rate": "articulation_rate", "pitch": "pitch_hz", "energy": "level_db"}
    value: float | None = getattr(found, name[contrast.dimension])
    unknown = Failure(ProsodyFailure.SILENT_AUDIO, "nothing to measure")
    return found.failures.get(name[contrast.dimension], unknown) if value is None else value


def _tail(wave: Wave, rate: int, found: Prosody) -> Wave:
    begin, end = found.span
    return wave[round((end - TAIL * (end - begin)) * rate) : round(end * rate)]


def _difference(dimension: str, less: float, more: float) -> float:
    if dimension == "rate":
        return more / less - 1
    return semitones(more, less) if dimension == "pitch" else more - less
