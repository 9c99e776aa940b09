"""From judgements to preferences."""

from trivox.annotation.aggregation.outcomes import (
    ABSTAINED,
    SPLIT,
    TIED,
    UNJUDGED,
    Method,
    Verdict,
)
from trivox.annotation.aggregation.preferences import (
    MIN_CONFIDENCE,
    MIN_MARGIN,
    NARROW,
    UNSURE,
    aggregate,
)
from trivox.annotation.aggregation.preview import Agreed, Yield, agreement_classes, preview
from trivox.annotation.aggregation.votes import standing

__all__ = [
    "ABSTAINED",
    "MIN_CONFIDENCE",
    "MIN_MARGIN",
    "NARROW",
    "SPLIT",
    "TIED",
    "UNJUDGED",
    "UNSURE",
    "Agreed",
    "Method",
    "Verdict",
    "Yield",
    "agreement_classes",
    "aggregate",
    "preview",
    "standing",
]
