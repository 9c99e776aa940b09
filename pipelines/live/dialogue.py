"""The dialogue of a session: its turns with what was heard of them, and the part that fits a model's context."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from trivox.platform.audio.io import resample
from trivox.platform.errors import NotFound
from trivox.platform.records import Sampling
from trivox.policy.branches.constraint import Constraint
from trivox.policy.branches.realtime import Said
from trivox.policy.engine import Request
from trivox.policy.hearing.vad import VAD_RATE
from trivox.policy.speaker import Dialogue, Speaker
from trivox.policy.streaming import SpeechStream

Wave = npt.NDArray[np.float32]
MOST_TURNS = 32
"""Turns that a session keeps; of older ones nothing is left."""


@dataclass
class LiveTurn:
    """start_s, end_s: in the audio that was listened to. samples: float32 [n] at VAD_RATE of a user who spoke;
    text: what the user typed, or the words of the assistant that were heard; stream: the assistant's words with
    their places.

    heard_s: of an assistant's turn that was broken off, how much was played; interrupted_by: the turn that did it,
    None where it was the client.
    """

    item: str
    role: str
    start_s: float
    end_s: float
    text: str | None = None
    samples: Wave | None = None
    stream: SpeechStream | None = field(default=None, repr=False)
    heard_s: float | None = None
    interrupted_by: str | None = None


class History:
    """The last turns, the oldest first."""

    def __init__(self) -> None:
        self.turns: list[LiveTurn] = []

    @property
    def last(self) -> str | None:
        return self.turns[-1].item if self.turns else None

    def add(self, turn: LiveTurn) -> None:
        self.turns = [*self.turns, turn][-MOST_TURNS:]

    def find(self, item: str) -> LiveTurn:
        """Raises NotFound."""
        for turn in self.turns:
            if turn.item == item:
                return turn
        raise NotFound(f"no item {item!r} in the last {MOST_TURNS} turns of this session")

    def truncate(self, item: str, heard_s: float) -> LiveTurn:
        """Leave of an assistant's turn what was heard. Raises NotFound for one that is not there or not spoken by
        the assistant."""
        turn = self.find(item)
        if turn.stream is None:
            raise NotFound(
                f"item {item!r} is the user's: only the assistant's audio can be truncated"
            )
        turn.heard_s = min(heard_s, turn.stream.seconds)
        turn.text = turn.stream.said_until(turn.heard_s)
        turn.end_s = turn.start_s + turn.heard_s
        return turn


def request_of(
    speaker: Speaker,
    turns: list[LiveTurn],
    persona: str,
    instruction: str,
    constraint: Constraint,
    seed: int,
    sampling: Sampling,
) -> tuple[Request, int]:
    """The request for a reply to as many of the last turns as leave room for it, and how many those are.

    Raises BrokenAudio for a last turn that is too long, UnspeakableText.
    """
    limit = speaker.backbone.position_limit
    room = limit - min(sampling.max_tokens, limit // 2)
    first = 0
    while True:
        some = tuple(_said(speaker, turn) for turn in turns[first:] if _counts(turn))
        asked = Dialogue(persona, some, instruction)
        request = speaker.reply_request(asked, constraint, seed, sampling)
        if len(request.prompt) <= room or first >= len(turns) - 1:
            return request, len(turns) - first
        first += 1


def _counts(turn: LiveTurn) -> bool:
    """A reply without words, or of which none was heard, leaves nothing in the prompt."""
    return (
        turn.samples is not None if turn.role == "user" and turn.text is None else bool(turn.text)
    )


def _said(speaker: Speaker, turn: LiveTurn) -> Wave | Said:
    if turn.text is not None:
        return Said(turn.role, turn.text)
    assert turn.samples is not None  # `_counts` holds that
    return resample(turn.samples, VAD_RATE, speaker.hearing_rate)
