"""Descriptions of style derived from measured prosody, without a person or a language model."""

from trivox.platform.audio.style_words import (
    DIMENSIONS,
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
from trivox.platform.text.directives import OPPOSITES

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
