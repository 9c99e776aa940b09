"""Transcripts (asr) against the true text: errors, words that nobody said, loops. No model is asked.

`Item.hypothesis` is the transcript, `Item.text` the truth. The normaliser follows the language; its name and
version stand in the evidence.
"""

from collections.abc import Callable, Sequence

from trivox.platform.hashing import content_hash
from trivox.platform.records import Direction
from trivox.platform.scoring import FailureKind, Item, ScorerInfo, Value, failed
from trivox.platform.text.alignment import units
from trivox.platform.text.error_rate import ErrorCounts, error_counts
from trivox.reward_models.audio_checks import guarded

FAMILY = "transcript"
LONGEST_LOOP = 12
"""Units of the longest phrase whose repetition is looked for."""


class _Transcript:
    """Scores two texts; what it measures is a function of (truth, transcript, language)."""

    def __init__(
        self, name: str, component: str, unit: str, measure: Callable[[str, str, str], Value]
    ) -> None:
        self._measure = measure
        self.info = ScorerInfo(
            name=name,
            version="1",
            weights_hash=content_hash({"scorer": name, "longest_loop": LONGEST_LOOP}),
            family=FAMILY,
            component=component,
            unit=unit,
            direction=Direction.LOWER,
        )

    def score(self, items: Sequence[Item]) -> list[Value]:
        return [guarded(self._score_one, item) for item in items]

    def _score_one(self, item: Item) -> Value:
        if item.hypothesis is None:
            return failed(
                FailureKind.NO_TRANSCRIPT, f"rollout {item.rollout} holds no transcript to compare"
            )
        if item.text is None:
            return failed(FailureKind.NO_TEXT, f"rollout {item.rollout} has no true text")
        return self._measure(item.text, item.hypothesis, item.language)


def transcript_errors() -> _Transcript:
    """WER, CER or mixed error rate by language, a fraction of the true text's length; may exceed 1. A truth of
    silence counts as one unit."""
    return _Transcript("transcript-errors", "accuracy", "error rate", _errors)


def transcript_insertions() -> _Transcript:
    """Units added to the truth, as a fraction of its length: what was hallucinated. Over silence, their count."""
    return _Transcript("transcript-insertions", "insertions", "fraction", _insertions)


def transcript_repetition() -> _Transcript:
    """Share of the transcript's units that only repeat what stands right before them, beyond those of the
    truth."""
    return _Transcript("transcript-repetition", "repetition", "fraction", _repetition)


def repeated_units(words: Sequence[str], longest: int = LONGEST_LOOP) -> int:
    """Units that end a phrase of 1..longest units which stands right before itself: "a b a b" has 2."""
    covered = [False] * len(words)
    for size in range(1, min(longest, len(words) // 2) + 1):
        for begin in range(size, len(words) - size + 1):
            if words[begin : begin + size] == words[begin - size : begin]:
                covered[begin : begin + size] = [True] * size
    return sum(covered)


def _errors(truth: str, transcript: str, language: str) -> Value:
    counts = error_counts(truth, transcript, language)
    return Value(counts.rate, evidence=_told(counts))


def _insertions(truth: str, transcript: str, language: str) -> Value:
    counts = error_counts(truth, transcript, language)
    return Value(counts.insertions / max(counts.reference_length, 1), evidence=_told(counts))


def _repetition(truth: str, transcript: str, language: str) -> Value:
    heard = units(transcript, language)
    extra = repeated_units(heard) - repeated_units(units(truth, language))
    return Value(max(extra, 0) / max(len(heard), 1), evidence=f"{max(extra, 0)} of {len(heard)}")


def _told(counts: ErrorCounts) -> str:
    return (
        f"{counts.metric}: {counts.substitutions} substituted, {counts.deletions} deleted, "
        f"{counts.insertions} inserted of {counts.reference_length} ({counts.normaliser})"
    )
