"""What a live session tells of itself, in order. Times in seconds: `at_s` of the audio that was listened to."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from trivox.platform.errors import TrivoxError
from trivox.platform.records import FinishReason

Wave = npt.NDArray[np.float32]


@dataclass(frozen=True)
class UserStarted:
    item: str
    at_s: float


@dataclass(frozen=True)
class UserStopped:
    item: str
    at_s: float


@dataclass(frozen=True)
class UserTurn:
    """The turn is part of the dialogue now. text: of a typed one; samples: float32 [n] at VAD_RATE of a spoken
    one. before: the item that it follows."""

    item: str
    before: str | None
    text: str | None = None
    samples: Wave | None = None


@dataclass(frozen=True)
class ReplyStarted:
    reply: str
    item: str
    before: str | None


@dataclass(frozen=True)
class ReplyText:
    """Words that go on those before."""

    reply: str
    item: str
    text: str


@dataclass(frozen=True)
class ReplyAudio:
    """samples: float32 [n] at the codec's rate."""

    reply: str
    item: str
    samples: Wave


@dataclass(frozen=True)
class ReplyDone:
    """reason: END, LENGTH; INTERRUPTED by the user or the client; FAILED with the error. text: all words.

    timings in seconds from the moment the reply was asked for, which is when the end of the user's speech was
    detected: `first_token`, which the prefill ends with; `first_word_or_sound`, after hidden reasoning;
    `first_audio`; `done`. `stop`: of an interrupted one, from the interruption until nothing more was drawn.
    """

    reply: str
    item: str
    reason: FinishReason
    text: str
    tokens: int
    cause: str = ""
    error: TrivoxError | None = None
    timings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Truncated:
    """Of a reply only heard_s seconds were heard; text: the words in them, which is what the dialogue goes on
    with."""

    item: str
    heard_s: float
    text: str


LiveEvent = (
    UserStarted
    | UserStopped
    | UserTurn
    | ReplyStarted
    | ReplyText
    | ReplyAudio
    | ReplyDone
    | Truncated
)
