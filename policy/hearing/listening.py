"""Voice activity as samples arrive, and the turns that it cuts them into."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from trivox.platform.errors import BrokenAudio, ConfigError
from trivox.policy.hearing.vad import VAD_RATE

FRAME = 512
"""Samples at VAD_RATE that are judged at once: 32 ms."""
FRAME_S = FRAME / VAD_RATE
_BEFORE = 64
"""Samples of the frame before that the network sees again."""
_HYSTERESIS = 0.15
"""Speech goes on until its probability is this much below the threshold that it began with."""

Samples = npt.NDArray[np.float32]


class VoiceActivity:
    """The probability of speech in each frame of one recording; Silero's network, its state kept between calls."""

    def __init__(self) -> None:
        self._state = np.zeros((2, 1, 128), np.float32)
        self._before = np.zeros(_BEFORE, np.float32)

    def __call__(self, frame: Samples) -> float:
        """frame: float32 [FRAME], the next one in order."""
        inputs = {
            "input": np.concatenate([self._before, frame])[None],
            "state": self._state,
            "sr": np.array(VAD_RATE, np.int64),
        }
        probability, self._state = _session().run(None, inputs)
        self._before = frame[-_BEFORE:]
        return float(probability[0, 0])


@dataclass(frozen=True)
class Endpointing:
    """When speech begins and when a turn is over.

    threshold: probability of speech. silence_s: of quiet that end a turn. shortest_s: speech that is shorter does
    not begin one. padding_s: kept before and after the speech. longest_s: a turn is cut there, padding included.
    """

    threshold: float = 0.5
    silence_s: float = 0.5
    shortest_s: float = 0.1
    padding_s: float = 0.3
    longest_s: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ConfigError(f"a threshold of {self.threshold:g}: give a probability within 0..1")
        for name in ("silence_s", "shortest_s", "padding_s"):
            if not 0 <= (value := getattr(self, name)) <= 10:
                raise ConfigError(f"{name} is {value:g}: give 0 to 10 seconds")
        if self.longest_s < self.silence_s + self.padding_s + 1:
            raise ConfigError(
                f"turns of at most {self.longest_s:g} s leave no second of speech beside {self.silence_s:g} s of "
                f"silence and {self.padding_s:g} s of padding: allow longer ones"
            )


@dataclass(frozen=True)
class SpeechStarted:
    """at_s: where the speech began, in seconds of all that was listened to; known_s: how far that was heard when
    it was certain."""

    at_s: float
    known_s: float


@dataclass(frozen=True)
class TurnEnded:
    """samples: float32 [n] at VAD_RATE, from start_s to end_s with the padding. known_s: as in SpeechStarted.

    cut: it reached the longest a turn may be, and its speaker may not have finished.
    """

    samples: Samples
    start_s: float
    end_s: float
    known_s: float
    cut: bool = False


class Listener:
    """Turns in a stream of samples at VAD_RATE. Holds at most the longest turn.

    heard_s: where the clock begins, for a listener that takes over from another.
    """

    def __init__(self, endpointing: Endpointing, heard_s: float = 0.0) -> None:
        self.endpointing = endpointing
        self._activity, self._rest = VoiceActivity(), np.zeros(0, np.float32)
        # Frames kept: those of the turn, or of the padding before one; their end on the clock of all frames.
        self._kept: list[Samples] = []
        self._frames = round(heard_s / FRAME_S)
        self._speech = self._quiet = 0
        self._in_turn = False

    @property
    def heard_s(self) -> float:
        """Seconds that were judged."""
        return self._frames * FRAME_S

    @property
    def in_turn(self) -> bool:
        """Whether somebody speaks, as far as is known."""
        return self._in_turn

    def push(self, samples: Samples) -> list[SpeechStarted | TurnEnded]:
        """What float32 [n] made certain."""
        found = [self._frame(frame) for frame in self._framed(samples)]
        return [event for event in found if event is not None]

    def gather(self, samples: Samples) -> None:
        """Keep float32 [n] for `end`, whoever speaks. Raises BrokenAudio once that is longer than a turn may be;
        then it is forgotten."""
        for frame in self._framed(samples):
            self._kept.append(frame)
            self._frames += 1
        if len(self._kept) * FRAME_S > self.endpointing.longest_s:
            self.clear()
            raise BrokenAudio(
                f"more than {self.endpointing.longest_s:g} s of audio in one turn: commit it earlier"
            )

    def end(self) -> TurnEnded | None:
        """End the turn now, whoever speaks; what was kept is its audio. None where nothing was kept."""
        if not self._kept and not len(self._rest):
            return None
        self._kept.append(self._rest)
        return self._ended(0, cut=False)

    def clear(self) -> None:
        """Forget what was kept; the clock goes on."""
        self._kept, self._rest = [], np.zeros(0, np.float32)
        self._speech = self._quiet = 0
        self._in_turn = False

    def _framed(self, samples: Samples) -> list[Samples]:
        """Whole frames of what came before and float32 [n]; the rest waits for more."""
        joined = np.concatenate([self._rest, samples])
        whole = len(joined) - len(joined) % FRAME
        self._rest = joined[whole:]
        return [joined[at : at + FRAME] for at in range(0, whole, FRAME)]

    def _frame(self, frame: Samples) -> SpeechStarted | TurnEnded | None:
        probability = self._activity(frame)
        self._kept.append(frame)
        self._frames += 1
        if self._in_turn:
            return self._within(probability)
        return self._before(probability)

    def _before(self, probability: float) -> SpeechStarted | None:
        rules = self.endpointing
        speaks = probability >= (rules.threshold - (_HYSTERESIS if self._speech else 0))
        self._speech = self._speech + 1 if speaks else 0
        self._kept = self._kept[-(self._speech + _frames(rules.padding_s)) :]
        if not self._speech or self._speech < _frames(rules.shortest_s):
            return None
        self._in_turn, self._quiet = True, 0
        return SpeechStarted(self.heard_s - self._speech * FRAME_S, self.heard_s)

    def _within(self, probability: float) -> TurnEnded | None:
        rules = self.endpointing
        floor = rules.threshold - _HYSTERESIS
        self._quiet = 0 if probability >= floor else self._quiet + 1
        if self._quiet >= max(1, _frames(rules.silence_s)):
            return self._ended(max(0, self._quiet - _frames(rules.padding_s)), cut=False)
        if (len(self._kept) + 1) * FRAME_S > rules.longest_s:
            return self._ended(0, cut=True)
        return None

    def _ended(self, trailing: int, cut: bool) -> TurnEnded:
        """trailing: frames at the end that belong to no turn."""
        kept, known = self._kept[: len(self._kept) - trailing], self.heard_s
        samples, end = np.concatenate(kept), known - trailing * FRAME_S
        turn = TurnEnded(samples, end - len(samples) / VAD_RATE, end, known, cut)
        self.clear()
        return turn


def _frames(seconds: float) -> int:
    return math.ceil(round(seconds / FRAME_S, 6))


@lru_cache(maxsize=1)
def _session() -> Any:
    """The network for one frame at a time, on one thread; it has no state of its own, so threads may share it."""
    from silero_vad import load_silero_vad

    return load_silero_vad(onnx=True).session
