"""Transcripts from the engine thread."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
import numpy.typing as npt

from trivox.pipelines.live.hub import Hub, Ticket, Version
from trivox.platform.audio.io import resample
from trivox.platform.records import DecodingStatistics, FinishReason
from trivox.policy.branches.asr import asr_constraint
from trivox.policy.engine import Drawn, Generation
from trivox.policy.hearing.vad import VAD_RATE
from trivox.policy.speaker import ASR_SAMPLING, Transcript

Wave = npt.NDArray[np.float32]


class HubHearer:
    """The Hearer of `trivox.policy.hearing.long` over the hub: blocks the thread that asks, not the engine."""

    def __init__(self, hub: Hub, version: Version) -> None:
        self.hub, self.version = hub, version

    @property
    def longest_s(self) -> float:
        return self.version.speaker.longest_s

    @property
    def hearing_rate(self) -> int:
        return self.version.speaker.hearing_rate

    def transcribe(self, waves: Sequence[Wave]) -> list[Transcript]:
        """Raises BrokenAudio, Busy; WorkError where the engine failed."""
        pending: list[tuple[Ticket, Future[Transcript]]] = []
        try:
            for wave in waves:
                pending.append(self.ask(wave))
            return [found.result() for _, found in pending]
        finally:
            for ticket, found in pending:
                if not found.done():
                    self.hub.cancel(ticket)

    def ask(self, wave: Wave) -> "tuple[Ticket, Future[Transcript]]":
        """float32 [n] at hearing_rate to its transcript, some time."""
        speaker = self.version.speaker
        request = speaker.asr_request(wave, asr_constraint(speaker.tokens), ASR_SAMPLING)
        collected = _Collected(self.version)
        return self.hub.draw(self.version, request, collected.take), collected.found


class _Collected:
    def __init__(self, version: Version) -> None:
        self.version = version
        self.ids, self.logprobs = list[int](), list[float]()
        self.found: Future[Transcript] = Future()

    def take(self, drawn: Drawn) -> None:
        if drawn.error is not None:
            self.found.set_exception(drawn.error)
            return
        self.ids.append(drawn.token)
        self.logprobs.append(drawn.logprob)
        if drawn.finish_reason is not None:
            self.found.set_result(self._transcript(drawn.finish_reason))

    def _transcript(self, reason: FinishReason) -> Transcript:
        generation = Generation(self.ids, self.logprobs, reason, DecodingStatistics(len(self.ids)))
        return Transcript(self.version.speaker.tokens.read_text(self.ids), generation)


async def transcript_of(hub: Hub, version: Version, samples: Wave) -> str:
    """The text of float32 [n] at VAD_RATE; leaving early frees the slot."""
    hearer = HubHearer(hub, version)
    wave = resample(samples, VAD_RATE, hearer.hearing_rate)
    ticket, found = await asyncio.to_thread(hearer.ask, wave)
    try:
        return (await asyncio.wrap_future(found)).text
    except asyncio.CancelledError:
        hub.cancel(ticket)
        raise
