"""Are headphones on? Three tones, one of them quieter, one with its channels in opposite phase.

Loudspeakers let opposite phases cancel in the air, so that the wrong tone seems the quietest: Woods, Siegel,
Traer and McDermott, Headphone screening to facilitate web-based auditory experiments, Attention, Perception &
Psychophysics 79, 2017. Six rounds, five right answers, as there.
"""

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trivox.platform.audio.loudness import loudness_lufs
from trivox.platform.errors import NotFound, UsageError

ROUNDS, NEEDED = 6, 5
RATE = 16_000
TONE_HZ, TONE_S, GAP_S, RAMP_S = 200.0, 1.0, 0.5, 0.1
QUIETER_DB = -6.0
LEVEL_LUFS = -16.0
_KEPT_S = 1800.0
_MOST = 10_000

Samples = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Attempt:
    """One run of the check. quiet, turned: for each round the places, 0..2, of the quieter tone and of the one in
    opposite phase; never the same place."""

    person: str
    quiet: tuple[int, ...]
    turned: tuple[int, ...]
    begun: float


@dataclass(frozen=True)
class Outcome:
    right: int
    asked: int = ROUNDS
    needed: int = NEEDED

    @property
    def passed(self) -> bool:
        return self.right >= self.needed


class HeadphoneChecks:
    """The checks under way, each good for one set of answers. Threads may share one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, Attempt] = {}

    def begin(self, person: str) -> str:
        """The name of a new attempt; each place is the quieter one twice, in random order."""
        quiet = [place for place in range(3) for _ in range(ROUNDS // 3)]
        secrets.SystemRandom().shuffle(quiet)
        turned = tuple((place + 1 + secrets.randbelow(2)) % 3 for place in quiet)
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._forget()
            self._open[name] = Attempt(person, tuple(quiet), turned, self._clock())
        return name

    def _forget(self) -> None:
        oldest = self._clock() - _KEPT_S
        kept = [(name, one) for name, one in self._open.items() if one.begun > oldest]
        self._open = dict(kept[-_MOST:])

    def sound(self, person: str, name: str, round: int) -> Samples:
        """The three tones of a round, counted from 0; raises NotFound."""
        attempt = self._find(person, name)
        if not 0 <= round < ROUNDS:
            raise NotFound(f"round {round} of the headphone check: there are 0 to {ROUNDS - 1}")
        return three_tones(attempt.quiet[round], attempt.turned[round])

    def finish(self, person: str, name: str, answers: Sequence[int]) -> Outcome:
        """Close the attempt. answers: for each round the place of the tone that seemed the quietest.

        Raises NotFound for an attempt that is over or another's, UsageError for too few answers.
        """
        if len(answers) != ROUNDS:
            raise UsageError(f"the headphone check has {len(answers)} answers: {ROUNDS} are asked")
        attempt = self._find(person, name)
        with self._lock:
            if self._open.pop(name, None) is None:
                raise NotFound(f"headphone check {name!r} is over: begin another")
        return Outcome(sum(a == b for a, b in zip(answers, attempt.quiet, strict=True)))

    def _find(self, person: str, name: str) -> Attempt:
        with self._lock:
            attempt = self._open.get(name)
        if attempt is None or attempt.person != person:
            raise NotFound(f"headphone check {name!r} is over or not yours: begin another")
        return attempt


def three_tones(quiet: int, turned: int) -> Samples:
    """[n, 2]: tones one after the other; that at `quiet` 6 dB down, that at `turned` with one channel inverted."""
    gap = np.zeros((round(GAP_S * RATE), 2))
    parts: list[Samples] = []
    for place in range(3):
        gain = 10 ** (QUIETER_DB / 20) if place == quiet else 1.0
        sides = (1.0, -1.0) if place == turned else (1.0, 1.0)
        parts += [gain * np.outer(_tone(TONE_HZ, TONE_S), sides), gap]
    return np.concatenate(parts[:-1])


def volume_sound() -> Samples:
    """[n]: a short run of soft tones at the loudness of all clips, by which the volume is set."""
    run = np.concatenate([_tone(hertz, 0.6) for hertz in (220, 277.18, 329.63, 440, 329.63, 220)])
    measured = loudness_lufs(run, RATE)
    assert measured is not None, "the run is longer than a gating block and not silent"
    return run * 10 ** ((LEVEL_LUFS - measured) / 20)


def _tone(hertz: float, seconds: float) -> Samples:
    time = np.arange(round(seconds * RATE)) / RATE
    edge = np.minimum(1.0, np.minimum(time, time[::-1]) / RAMP_S)
    made: Samples = 0.3 * np.sin(2 * np.pi * hertz * time) * np.sin(np.pi / 2 * edge) ** 2
    return made
