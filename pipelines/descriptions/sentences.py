"""Measured prosody as an English sentence, for models that read whole instructions."""

import random

import numpy as np

from trivox.platform.audio.prosody import Prosody
from trivox.platform.audio.style_words import (
    DIMENSIONS,
    Thresholds,
    VoiceStatistics,
    limits,
    on_scale,
)
from trivox.platform.hashing import derived_seed

VERY = 2.0
"""Times the threshold from which a word is strengthened."""
LIVELY, FLAT = 12.0, 4.0
"""Semitones from the 5th to the 95th percentile of the pitch above or below which melody is named."""

_PHRASES = {
    "slow": ("slowly", "at a slow pace", "taking {very} long over each word"),
    "fast": ("fast", "at a quick pace", "in a hurry"),
    "low": ("in a {very} low voice", "{very} low in pitch"),
    "high": ("in a {very} high voice", "{very} high in pitch"),
    "soft": ("softly", "quietly", "with a {very} soft voice"),
    "loud": ("loudly", "with a {very} loud voice"),
    "lively": ("with a lively melody", "with much rise and fall"),
    "flat": ("with a flat melody", "on nearly one note"),
    "pause": ("with a pause", "stopping once on the way"),
    "pauses": ("with {count} pauses", "stopping {count} times"),
}
_NORMAL = ("as this voice usually speaks", "in an ordinary way")
_FRAMES = ("Say it {}.", "Speak {}.", "Read this {}.")


def sentence(
    prosody: Prosody,
    statistics: VoiceStatistics,
    words: tuple[str, ...],
    thresholds: Thresholds,
    *seed: str | int,
) -> str:
    """One sentence that says the words, how strong they are, melody and pauses; seed: what chooses the wording.

    words: of `describe`; without any and with nothing to remark the sentence says that all is usual.
    """
    choose = random.Random(derived_seed("sentence", *seed))
    strong = _strong(prosody, statistics, thresholds)
    phrases = [_phrase(choose, word, word in strong) for word in words]
    spread = prosody.pitch_spread
    if spread is not None and not FLAT <= spread <= LIVELY:
        phrases.append(choose.choice(_PHRASES["lively" if spread > LIVELY else "flat"]))
    count = sum(end - begin >= thresholds.pause_s - 1e-9 for begin, end in prosody.pauses)
    if count:
        wording = choose.choice(_PHRASES["pause" if count == 1 else "pauses"])
        phrases.append(wording.format(count=count))
    return choose.choice(_FRAMES).format(_listed(phrases or [choose.choice(_NORMAL)]))


def _strong(
    prosody: Prosody, statistics: VoiceStatistics, thresholds: Thresholds
) -> frozenset[str]:
    """Words whose threshold is exceeded VERY times."""
    own = np.array(on_scale(statistics.rate, statistics.pitch_hz, statistics.level_db))
    found = np.array(on_scale(prosody.articulation_rate, prosody.pitch_hz, prosody.level_db)) - own
    low, high = limits(thresholds)
    below, above = zip(*DIMENSIONS.values(), strict=True)
    less = (word for word, is_less in zip(below, found < VERY * low, strict=True) if is_less)
    more = (word for word, is_more in zip(above, found > VERY * high, strict=True) if is_more)
    return frozenset((*less, *more))


def _phrase(choose: random.Random, word: str, strong: bool) -> str:
    wording = choose.choice(_PHRASES[word])
    if "{very}" in wording:
        return " ".join(wording.format(very="very" if strong else "").split())
    return f"very {wording}" if strong and " " not in wording else wording


def _listed(phrases: list[str]) -> str:
    if len(phrases) == 1:
        return phrases[0]
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"
