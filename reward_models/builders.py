"""How each scorer of the registry is made: heavy imports happen here, when one is built. Raise MissingModel."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from trivox.platform.scoring import Scorer

if TYPE_CHECKING:
    from trivox.reward_models.verifiable.recognisers import PocketSphinx, Recogniser, Whisper
    from trivox.reward_models.verifiable.replies import Sentences


@cache
def _whisper(size: str) -> "Whisper":
    """One Whisper of a size for all scorers of a process, and of its last transcripts."""
    from trivox.reward_models.verifiable import recognisers

    return recognisers.whisper_base() if size == "base" else recognisers.whisper_tiny()


@cache
def _pocketsphinx() -> "PocketSphinx":
    from trivox.reward_models.verifiable.recognisers import PocketSphinx

    return PocketSphinx()


def whisper_base() -> Scorer:
    from trivox.reward_models.verifiable.intelligibility import Intelligibility

    return Intelligibility("whisper-base-wer", _whisper("base"))


def whisper_tiny() -> Scorer:
    from trivox.reward_models.verifiable.intelligibility import Intelligibility

    return Intelligibility("whisper-tiny-wer", _whisper("tiny"))


def pocketsphinx() -> Scorer:
    from trivox.reward_models.verifiable.intelligibility import Intelligibility

    return Intelligibility("pocketsphinx-wer", _pocketsphinx())


def vote_speech() -> Scorer:
    return _vote("vote-wer", "speech")


def vote_transcript() -> Scorer:
    return _vote("vote-transcript", "transcript")


def _vote(name: str, of: str) -> Scorer:
    from trivox.reward_models.verifiable.verdict import Verdict

    voters: list[Recogniser] = [_whisper("base"), _whisper("tiny"), _pocketsphinx()]
    return Verdict(name, of, {one.name: one for one in voters})


def transcript(name: str) -> Scorer:
    from trivox.reward_models.verifiable import transcripts

    made: dict[str, Callable[[], Scorer]] = {
        "transcript-errors": transcripts.transcript_errors,
        "transcript-insertions": transcripts.transcript_insertions,
        "transcript-repetition": transcripts.transcript_repetition,
    }
    return made[name]()


def gate(name: str) -> Scorer:
    from trivox.reward_models.verifiable import defects, echo, gates

    made: dict[str, Callable[[], Scorer]] = {
        "audible": defects.AudibleGate,
        "duration": gates.DurationGate,
        "silence": gates.SilenceGate,
        "end": gates.EndGate,
        "clipping": defects.ClippingGate,
        "clicks": defects.ClickGate,
        "echo": echo.EchoGate,
    }
    return made[name]()


@cache
def _sentences() -> "Sentences":
    from trivox.reward_models.verifiable.replies import Sentences

    return Sentences()


def reply_likeness() -> Scorer:
    from trivox.reward_models.verifiable.replies import ReplyLikeness

    return ReplyLikeness("reply-likeness", "reference", _sentences())


def reply_relevance() -> Scorer:
    from trivox.reward_models.verifiable.replies import ReplyLikeness

    return ReplyLikeness("reply-relevance", "history", _sentences())


def in_character() -> Scorer:
    from trivox.reward_models.verifiable.character import InCharacter

    return InCharacter()


def distillmos() -> Scorer:
    from trivox.reward_models.acoustic.mos import DistillMOS

    return DistillMOS()


def dnsmos() -> Scorer:
    from trivox.reward_models.acoustic.mos import DNSMOS

    return DNSMOS()


def speaker() -> Scorer:
    from trivox.reward_models.acoustic.speaker import SpeakerSimilarity

    return SpeakerSimilarity()


def prosody(name: str) -> Scorer:
    from trivox.reward_models.acoustic.measures import ProsodyMeasure

    return ProsodyMeasure(name)


def librosa_rate() -> Scorer:
    from trivox.reward_models.acoustic.pace import LibrosaPace

    return LibrosaPace()


def style() -> Scorer:
    from trivox.reward_models.acoustic.style import StyleCompliance

    aligner = _whisper("base")
    return StyleCompliance(aligner.align, aligner.weights_hash)


def style_pyin() -> Scorer:
    from trivox.reward_models.acoustic.style import StyleCompliance, pyin_pitch

    return StyleCompliance(None, "pyin", name="style-pyin", families=("pyin",), pitch=pyin_pitch)
