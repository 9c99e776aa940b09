"""Word and character error rates after normalisation, as counts that can be pooled."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from trivox.platform.errors import UsageError
from trivox.platform.text.alignment import edit_counts, units
from trivox.platform.text.normalise import MIXED, by_character, normaliser_for, primary_language

Metric = Literal["wer", "cer", "mer"]


@dataclass(frozen=True)
class ErrorCounts:
    """Edits that turn the reference into the hypothesis, in words, characters or both by metric.

    normaliser: name@version of what both texts went through.
    """

    metric: Metric
    substitutions: int
    deletions: int
    insertions: int
    reference_length: int
    normaliser: str

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per unit of the reference; may exceed 1. An empty reference counts as one unit."""
        return self.errors / max(self.reference_length, 1)


def metric_for(language: str) -> Metric:
    """ "cer" for languages written without spaces (Chinese, Japanese, Thai, ...), "mer" (mixed error rate) for
    "mul", several languages in one text; else "wer"."""
    if primary_language(language) == MIXED:
        return "mer"
    return "cer" if by_character(language) else "wer"


def error_counts(reference: str, hypothesis: str, language: str) -> ErrorCounts:
    """Counts of the least edits between two texts of a language, both normalised."""
    wanted, heard = units(reference, language), units(hypothesis, language)
    edits = edit_counts(wanted, heard)
    return ErrorCounts(
        metric_for(language),
        edits.substitutions,
        edits.deletions,
        edits.insertions,
        len(wanted),
        normaliser_for(language).label,
    )


def pooled_rate(counts: Iterable[ErrorCounts]) -> float:
    """All errors over all reference units: long texts weigh more than short ones.

    Raises UsageError for no counts, or for word and character counts mixed.
    """
    every = list(counts)
    metrics = sorted({count.metric for count in every})
    if len(metrics) != 1:
        found = ", ".join(metrics) or "none"
        raise UsageError(
            f"an error rate is pooled over counts of one metric, not {found}: split them"
        )
    total = sum(count.reference_length for count in every)
    return sum(count.errors for count in every) / max(total, 1)
