"""One reply while it is drawn: its stream, its marks in time, and what is to be kept of it."""

import time
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from trivox.pipelines.live.hub import Ticket
from trivox.pipelines.live.playback import Playback
from trivox.platform.records import FinishReason
from trivox.policy.engine import Drawn
from trivox.policy.streaming import Piece, SpeechStream

Wave = npt.NDArray[np.float32]


@dataclass(eq=False)
class Reply:
    """turns: how many turns of the dialogue it answers. asked: when it was asked for, on time.perf_counter."""

    id: str
    item: str
    stream: SpeechStream
    playback: Playback
    seed: int
    turns: int
    start_s: float
    asked: float = field(default_factory=time.perf_counter)
    ticket: Ticket | None = None
    reason: FinishReason | None = None
    logprobs: list[float] = field(default_factory=list)
    samples: list[Wave] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)

    def take(self, drawn: Drawn) -> Piece:
        """What a token brings; with the last one all that is left."""
        self.mark("first_token")
        self.logprobs.append(drawn.logprob)
        piece = self.stream.push(drawn.token)
        if drawn.finish_reason is not None:
            piece = Piece(np.concatenate([piece.samples, self.stream.flush()]), piece.text)
        if piece.text or len(piece.samples):
            self.mark("first_word_or_sound")
        if len(piece.samples):
            self.mark("first_audio")
            self.samples.append(piece.samples)
        return piece

    def mark(self, name: str) -> None:
        """Note when something happened first."""
        self.timings.setdefault(name, time.perf_counter() - self.asked)

    @property
    def audio(self) -> Wave:
        """All that was decoded so far."""
        return np.concatenate([np.zeros(0, np.float32), *self.samples])
