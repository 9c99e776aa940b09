"""What a policy, an external system or a person produced for a prompt."""

from dataclasses import dataclass, field
from enum import StrEnum

from trivox.platform.records.prompts import Branch, Turn


class SegmentKind(StrEnum):
    TEXT = "text"
    AUDIO = "audio"
    REASONING = "reasoning"


class FinishReason(StrEnum):
    """Why generation ended: by the end token, by the length limit, by an interruption, or by a failure."""

    END = "end"
    LENGTH = "length"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True)
class Segment:
    """Tokens [start, end) of the rollout: what they are, who said them, and whether a loss may cover them."""

    kind: SegmentKind
    role: str
    start: int
    end: int
    in_loss: bool


@dataclass(frozen=True)
class Sampling:
    """How tokens were drawn. temperature 0 is greedy; top_k 0 and top_p 1 cut nothing."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    max_tokens: int = 512


@dataclass(frozen=True)
class DecodingStatistics:
    """Of multi-token decoding: proposed and accepted tokens by position, and margins that were rescored."""

    forward_passes: int
    proposed: tuple[int, ...] = ()
    accepted: tuple[int, ...] = ()
    rescored: int = 0


@dataclass(frozen=True)
class Rollout:
    """One sample. A realtime rollout is an episode: its turns hold text and audio of every speaker.

    producer: policy version id, or `external:name`, or `person:id`. tokens: completion ids [n] including
    the end token. codes: int32 [T][C] with codes_layout ("flat", "delayed", "interleaved").
    logprobs: of each token under the distribution it was sampled from (branch constraint and temperature
    included), natural log, [n]; logprobs_recomputed by the trainer. timings in seconds by name.
    """

    id: str
    project: str
    round: str | None
    branch: Branch
    prompt: str
    producer: str
    seed: int
    index: int
    sampling: Sampling
    engine: str
    dtype: str
    tokens: tuple[int, ...]
    segments: tuple[Segment, ...]
    logprobs: tuple[float, ...]
    finish_reason: FinishReason
    text: str | None = None
    audio: str | None = None
    codes: tuple[tuple[int, ...], ...] = ()
    codes_layout: str | None = None
    turns: tuple[Turn, ...] = ()
    logprobs_recomputed: tuple[float, ...] = ()
    decoding: DecodingStatistics | None = None
    timings: dict[str, float] = field(default_factory=dict)
    codec_hash: str | None = None
    tokenizer_hash: str | None = None
    template_hash: str | None = None
