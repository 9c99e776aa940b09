"""Several recognisers on one recording: each piece of speech is heard by all, and they vote (ROVER)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trivox.platform.audio.io import Samples
from trivox.platform.errors import UsageError
from trivox.platform.hashing import content_hash
from trivox.platform.text.rover import Consensus, rover_texts
from trivox.policy.hearing.long import Hearer, checked, pieces, spans_in, transcribe_long
from trivox.reward_models.verifiable.recognisers import (
    PocketSphinx,
    Recogniser,
    whisper_base,
    whisper_tiny,
)

LONGEST_S = 20.0
"""Of one piece: within what Whisper hears at once."""
RECOGNISERS: Mapping[str, Callable[[], Recogniser]] = {
    "whisper-base": whisper_base,
    "whisper-tiny": whisper_tiny,
    "pocketsphinx": PocketSphinx,
}
"""By the name that people give; what is none of them is a policy version."""
DEFAULT_SYSTEMS = tuple(RECOGNISERS)
HEARD_RATE = 16_000


class PolicyRecogniser:
    """The asr branch of a policy version as a recogniser; weights_hash: of what decides its transcripts."""

    family = "trivox"

    def __init__(self, name: str, weights_hash: str, speaker: Hearer) -> None:
        self.name, self.weights_hash, self._speaker = name, weights_hash, speaker

    def transcribe(self, samples: Samples, language: str) -> str:
        return transcribe_long(self._speaker, samples, HEARD_RATE).text


@dataclass(frozen=True)
class VotedPiece:
    """A piece of a recording, in seconds from its start; heard: each system's own text."""

    start_s: float
    end_s: float
    heard: dict[str, str]
    consensus: Consensus


def named_systems(
    names: Sequence[str], policy: Callable[[str], Recogniser]
) -> dict[str, Recogniser]:
    """The recognisers by the names given, in that order, which decides ties; policy: makes one of any other name.

    Raises UsageError for fewer than two and for one named twice, MissingModel, and what policy raises.
    """
    if len(names) < 2 or len(set(names)) < len(names):
        listed = ", ".join(names) or "none"
        raise UsageError(
            f"systems {listed}: name at least 2 different ones, of {', '.join(RECOGNISERS)} and policies"
        )
    return {name: RECOGNISERS[name]() if name in RECOGNISERS else policy(name) for name in names}


def identities(systems: Mapping[str, Recogniser]) -> list[dict[str, str]]:
    """Name, family and weights of each system, as records keep them."""
    return [
        {"name": name, "family": one.family, "weights": one.weights_hash}
        for name, one in systems.items()
    ]


def voting_hash(systems: Mapping[str, Recogniser]) -> str:
    return content_hash(identities(systems))


def voted_pieces(
    samples: Samples,
    rate: int,
    systems: Mapping[str, Recogniser],
    language: str,
    longest_s: float = LONGEST_S,
) -> Iterator[VotedPiece]:
    """The pieces of speech of float32 [n] or [n, channels] at rate Hz, one after the other; none where nobody
    speaks.

    Raises BrokenAudio as transcribe_long does, and UnknownLanguage for a system that does not know the language.
    """
    wave = checked(samples, rate)
    spans = spans_in(wave, rate, longest_s)
    for span, piece in zip(spans, pieces(wave, rate, spans, HEARD_RATE), strict=True):
        heard = {name: one.transcribe(piece, language) for name, one in systems.items()}
        yield VotedPiece(span.start_s, span.end_s, heard, rover_texts(heard, language))
