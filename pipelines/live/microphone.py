"""A conversation by microphone and loudspeaker, through the optional package sounddevice."""

import queue
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from trivox.pipelines.live.events import LiveEvent, ReplyAudio, Truncated, UserStarted
from trivox.pipelines.live.session import LiveSession
from trivox.platform.errors import MissingModel, WorkError

Wave = npt.NDArray[np.float32]
RATE = 16_000
BLOCK = 512


def sound() -> ModuleType:
    """sounddevice; raises MissingModel, saying how to install it, and WorkError where there is no microphone."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise MissingModel(
            f"no microphone can be used ({error}): install `pip install 'trivox[microphone]'` and PortAudio, or "
            "give WAV files"
        ) from None
    try:
        sounddevice.query_devices(kind="input")
        sounddevice.query_devices(kind="output")
    except (sounddevice.PortAudioError, ValueError) as error:
        raise WorkError(
            f"no microphone or no loudspeaker is there ({error}): plug one in, or give WAV files"
        ) from None
    found: ModuleType = sounddevice
    return found


class Player:
    """Plays the replies; what an interruption left is dropped."""

    def __init__(self, rate: int) -> None:
        self.rate, self._waiting = rate, np.zeros(0, np.float32)
        self._new: queue.SimpleQueue[Wave | None] = queue.SimpleQueue()

    def add(self, samples: Wave) -> None:
        self._new.put(samples)

    def stop(self) -> None:
        self._new.put(None)

    def fill(self, out: Any, frames: int, *_: object) -> None:
        """sounddevice's callback: out [frames, 1] gets what is due, and silence after it."""
        while not self._new.empty():
            new = self._new.get()
            self._waiting = (
                np.zeros(0, np.float32) if new is None else np.concatenate([self._waiting, new])
            )
        now, self._waiting = self._waiting[:frames], self._waiting[frames:]
        out[:] = 0
        out[: len(now), 0] = now


def talk(
    device: ModuleType,
    rate: int,
    session_of: Callable[[Callable[[LiveEvent], None]], LiveSession],
) -> Iterator[LiveEvent]:
    """Events of a session over the devices, until the caller stops asking. rate: Hz of the replies. A reply that
    reaches the microphone interrupts itself: wear headphones."""
    events: queue.Queue[LiveEvent] = queue.Queue()
    heard: queue.Queue[Wave] = queue.Queue(maxsize=256)
    player, session = Player(rate), session_of(events.put)

    def listen(data: Any, *_: object) -> None:
        if not heard.full():
            heard.put_nowait(data[:, 0].copy())

    inputs = {"samplerate": RATE, "channels": 1, "dtype": "float32", "blocksize": BLOCK}
    outputs = {"samplerate": rate, "channels": 1, "dtype": "float32"}
    with (
        device.InputStream(callback=listen, **inputs),
        device.OutputStream(callback=player.fill, **outputs),
    ):
        try:
            while True:
                session.hear(heard.get(), RATE)
                while not events.empty():
                    event = events.get()
                    _play(player, session, event, rate)
                    yield event
        finally:
            session.close()


def _play(player: Player, session: LiveSession, event: LiveEvent, rate: int) -> None:
    if isinstance(event, ReplyAudio):
        if session.ahead_s(event.item) is not None:
            session.sent(event.item, len(event.samples) / rate)
            player.add(event.samples)
    elif isinstance(event, Truncated | UserStarted):
        player.stop()
