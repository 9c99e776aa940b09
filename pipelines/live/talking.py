"""A conversation from recordings: the user's turns from files, the replies collected, on one clock of audio."""

import queue
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trivox.pipelines.live.events import LiveEvent, ReplyAudio, ReplyDone, Truncated, UserStarted
from trivox.pipelines.live.hub import Hub, Version
from trivox.pipelines.live.session import Keeper, LiveSession, LiveSettings
from trivox.platform.audio.io import read_audio, resample, to_mono
from trivox.platform.errors import UsageError
from trivox.platform.records import FinishReason

Wave = npt.NDArray[np.float32]
STEP_S = 0.02
LONGEST_WAIT_S = 600.0


@dataclass
class Exchange:
    """One turn of the user and its reply. At: seconds from the conversation's start. samples: float32 [n] at the
    codec's rate, all that was drawn; heard_s: of it, where the next turn broke in."""

    file: Path
    user_at: float
    user: Wave
    rate: int
    reply_at: float = 0.0
    samples: Wave = field(default_factory=lambda: np.zeros(0, np.float32))
    text: str = ""
    reason: FinishReason = FinishReason.END
    timings: dict[str, float] = field(default_factory=dict)
    heard_s: float | None = None


class FileTalk:
    """Plays recordings to a session and silence while it answers."""

    def __init__(
        self,
        hub: Hub,
        version: Version,
        settings: LiveSettings,
        id: str,
        keeper: Keeper | None = None,
        interrupt_s: float | None = None,
    ) -> None:
        """interrupt_s: each turn but the first begins when so much of the reply before it was played."""
        self._events: queue.Queue[LiveEvent] = queue.Queue()
        self.version, self.interrupt_s = version, interrupt_s
        self.session = LiveSession(
            hub, version, settings, self._events.put, id, self._clock, keeper
        )
        self.rate = version.resident.backbone.codec.spec.sample_rate

    def _clock(self) -> float:
        return self.session.listened_s

    def exchanges(self, files: Sequence[Path]) -> Iterator[Exchange]:
        """Raises BrokenAudio; UsageError for a file without speech; WorkError for a reply that failed."""
        pending: Exchange | None = None
        for file in files:
            samples, rate = read_audio(file)
            now = Exchange(file, self._clock(), to_mono(samples), rate)
            self._play(now.user, rate)
            if pending is not None:
                self._heard(pending)
                yield pending
            self._answer(now)
            played = len(now.samples) / self.rate
            last = file is files[-1]
            self._play(_silence(played if last else min(played, self.interrupt_s or played)))
            pending = now
        if pending is not None:
            yield pending
        self.session.close()

    def _play(self, wave: Wave, rate: int = 16_000) -> None:
        step = round(STEP_S * rate)
        for at in range(0, len(wave), step):
            self.session.hear(wave[at : at + step], rate)

    def _heard(self, exchange: Exchange) -> None:
        """Note whether the turn that was just played broke in."""
        for event in self._drained():
            if isinstance(event, Truncated):
                exchange.heard_s = event.heard_s

    def _answer(self, exchange: Exchange) -> None:
        """Silence until the turn is over, then the reply."""
        quiet = self.session.settings.endpointing.silence_s + 0.2
        self._play(_silence(quiet))
        if not self.session.replying and not any(
            isinstance(event, ReplyDone) for event in self._events.queue
        ):
            raise UsageError(
                f"{exchange.file}: no speech was found in it: give a recording of a turn"
            )
        exchange.reply_at = self._clock()
        parts: list[Wave] = []
        while True:
            event = self._events.get(timeout=LONGEST_WAIT_S)
            if isinstance(event, ReplyAudio):
                self.session.sent(event.item, len(event.samples) / self.rate)
                parts.append(event.samples)
            elif isinstance(event, ReplyDone):
                if event.reason is not FinishReason.INTERRUPTED:
                    break
                parts = []  # a pause in the file was the end of a turn, and what follows broke in
        if event.error is not None:
            raise event.error
        exchange.samples = np.concatenate([exchange.samples, *parts])
        exchange.text, exchange.reason = event.text, event.reason
        exchange.timings = event.timings

    def _drained(self) -> list[LiveEvent]:
        """Events before the next reply."""
        found: list[LiveEvent] = []
        while not self._events.empty() and isinstance(
            self._events.queue[0], Truncated | UserStarted
        ):
            found.append(self._events.get())
        return found


def merged(exchanges: Sequence[Exchange], rate: int) -> Wave:
    """The conversation as float32 [n, 2] at rate: the user on the left, the assistant, as far as it was heard, on
    the right."""
    parts = []
    for one in exchanges:
        heard = one.samples if one.heard_s is None else one.samples[: round(one.heard_s * rate)]
        parts.append((0, one.user_at, resample(one.user, one.rate, rate)))
        parts.append((1, one.reply_at, heard))
    length = max((round(at * rate) + len(wave) for _, at, wave in parts), default=0)
    mixed = np.zeros((length, 2), np.float32)
    for channel, at, wave in parts:
        first = round(at * rate)
        mixed[first : first + len(wave), channel] += wave
    return mixed


def _silence(seconds: float) -> Wave:
    return np.zeros(round(seconds * 16_000), np.float32)
