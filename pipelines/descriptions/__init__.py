"""Descriptions of style derived from measured prosody, without a person or a language model."""

from trivox.pipelines.descriptions.words import (
    DIMENSIONS,
    OPPOSITES,
    STYLE_WORDS,
    THRESHOLDS,
    Deviation,
    Thresholds,
    VoiceStatistics,
    describe,
    deviation,
    voice_statistics,
    words_of,
)

__all__ = [
    "DIMENSIONS",
    "OPPOSITES",
    "STYLE_WORDS",
    "THRESHOLDS",
    "Deviation",
    "Thresholds",
    "VoiceStatistics",
    "describe",
    "deviation",
    "voice_statistics",
    "words_of",
]
