"""Scorers by name. Looking one up loads nothing; building loads the weights.

What is known without weights (family, direction, what an item must have) stands here too, so that a configuration
is checked before a worker starts.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from trivox.platform.errors import NotFound
from trivox.platform.records import Direction
from trivox.platform.scoring import Scorer
from trivox.reward_models import builders

AUDIO, TEXT, TRANSCRIPT = "audio", "text", "transcript"
VOICE, REFERENCE, HISTORY, STYLE, ENDING = "voice", "reference", "history", "style", "ending"
PERSONA = "persona"


@dataclass(frozen=True)
class Entry:
    """What is known of a scorer before it is built. needs: what an item must have, else it fails typed. gate: its
    value is 1 for pass and 0 for stop."""

    name: str
    family: str
    unit: str
    direction: Direction
    needs: tuple[str, ...]
    says: str
    make: Callable[[], Scorer]
    gate: bool = False


_UP, _DOWN, _WATCH = Direction.HIGHER, Direction.LOWER, Direction.NEITHER
_SPOKEN = (AUDIO, TEXT)


def _gate(name: str, needs: tuple[str, ...], says: str) -> Entry:
    return Entry(name, "signal", "pass", _UP, needs, says, lambda: builders.gate(name), gate=True)


def _texts(name: str, unit: str, says: str) -> Entry:
    return Entry(
        name, "transcript", unit, _DOWN, (TRANSCRIPT, TEXT), says,
        lambda: builders.transcript(name),
    )  # fmt: skip


def _watched(name: str, unit: str, says: str) -> Entry:
    needs = _SPOKEN if name == "speaking-rate" else (AUDIO,)
    return Entry(name, "prosody", unit, _WATCH, needs, says, lambda: builders.prosody(name))


_ENTRIES = (
    Entry("whisper-base-wer", "whisper", "error rate", _DOWN, _SPOKEN,
          "Error rate of Whisper base against the text that was to be said", builders.whisper_base),
    Entry("whisper-tiny-wer", "whisper", "error rate", _DOWN, _SPOKEN,
          "Error rate of Whisper tiny.en", builders.whisper_tiny),
    Entry("pocketsphinx-wer", "pocketsphinx", "error rate", _DOWN, _SPOKEN,
          "Error rate of PocketSphinx: keep it for evaluation", builders.pocketsphinx),
    Entry("vote-wer", "pocketsphinx+whisper", "error rate", _DOWN, _SPOKEN,
          "Error rate of what two of three recognisers agree to have heard", builders.vote_speech),
    Entry("vote-transcript", "pocketsphinx+whisper", "error rate", _DOWN, (AUDIO, TRANSCRIPT),
          "A transcript against what two of three recognisers heard: needs no true text",
          builders.vote_transcript),
    _texts("transcript-errors", "error rate", "WER, CER or mixed error rate of a transcript"),
    _texts("transcript-insertions", "fraction", "Units that a transcript adds to the truth"),
    _texts("transcript-repetition", "fraction", "Units of a transcript that repeat what stands before them"),
    Entry("reply-likeness", "minilm", "cosine", _UP, (TEXT, REFERENCE),
          "Likeness in meaning of a reply to the reference reply", builders.reply_likeness),
    Entry("reply-relevance", "minilm", "cosine", _UP, (TEXT, HISTORY),
          "Likeness in meaning of a reply to what was asked", builders.reply_relevance),
    Entry("in-character", "persona-rules", "fraction", _UP, (TEXT, PERSONA),
          "Share of the persona's rules (opening, address, closing, forbidden) that the reply keeps",
          builders.in_character),
    Entry("distillmos", "distillmos", "MOS", _UP, (AUDIO,),
          "Predicted naturalness", builders.distillmos),
    Entry("dnsmos", "dnsmos", "MOS", _UP, (AUDIO,),
          "Predicted quality by noise and distortion: keep it for evaluation", builders.dnsmos),
    Entry("speaker-similarity", "resemblyzer", "cosine", _UP, (AUDIO, VOICE),
          "Likeness of the voice to the one asked for", builders.speaker),
    Entry("style", "prosody+whisper", "fraction", _UP, (AUDIO, TEXT, STYLE),
          "Slower, higher, softer or a pause: how much of what was asked is there", builders.style),
    Entry("librosa-rate", "librosa", "characters/s", _WATCH, (AUDIO, TEXT),
          "Pace, with speech found by librosa: for evaluation where speaking-rate rewards",
          builders.librosa_rate),
    Entry("style-pyin", "pyin", "fraction", _UP, (AUDIO, TEXT, STYLE),
          "As style, of whole answers, pitch by another tracker: keep it for evaluation",
          builders.style_pyin),
    _watched("pitch-level", "Hz", "Median pitch"),
    _watched("pitch-spread", "semitones", "Range of the pitch: what flat speech loses"),
    _watched("level", "dB", "RMS of the speech"),
    _watched("speaking-rate", "characters/s", "Letters and digits per second without pauses"),
    _watched("pauses", "s", "Silence between words, in all"),
    _watched("longest-pause", "s", "The longest silence between words"),
    _gate("audible", (), "There is something to listen to"),
    _gate("duration", _SPOKEN, "A length plausible for the text"),
    _gate("silence", (AUDIO,), "Enough speech, and no long hole in it"),
    _gate("end", (ENDING,), "Generation came to its end by itself"),
    _gate("clipping", (AUDIO,), "The loudest samples are not flattened"),
    _gate("clicks", (AUDIO,), "No clicks"),
    _gate("echo", _SPOKEN, "No stretch of the speech is said again"),
)  # fmt: skip
_SCORERS = {entry.name: entry for entry in _ENTRIES}


def names() -> list[str]:
    """All scorers, in the order of the registry."""
    return list(_SCORERS)


def build(name: str) -> Scorer:
    """A ready scorer. Raises NotFound for an unknown name, MissingModel where weights are not installed."""
    return entry(name).make()


def families(wanted: Iterable[str]) -> dict[str, str]:
    """Family by scorer name, without loading any model. Raises NotFound."""
    return {name: entry(name).family for name in wanted}


def entry(name: str) -> Entry:
    """What is known of a scorer without loading it. Raises NotFound."""
    if name not in _SCORERS:
        raise NotFound(f"no scorer is named {name!r}: there are {', '.join(_SCORERS)}")
    return _SCORERS[name]
