"""Whose voice: the same one is nearer than the same clip with its pitch and formants moved."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import soxr

from trivox.platform.scoring import Clip, Item, Scorer
from trivox.reward_models.acoustic.speaker import trimmed
from trivox.reward_models.audio_checks import Samples

RATE = 16_000


def beside(item: Item, voice: Samples) -> Item:
    return replace(item, voice=Clip(voice, RATE))


def other(samples: Samples) -> Samples:
    """A smaller speaker: pitch and formants up by a third."""
    return np.asarray(soxr.resample(samples, RATE * 1.33, RATE), np.float32)


def test_one_voice_is_like_itself_and_unlike_another(
    scorer: Callable[[str], Scorer], english: list[Item]
) -> None:
    one, two, three = (item.samples for item in english)
    assert one is not None and two is not None and three is not None
    asked = [beside(english[0], two), beside(english[0], three), beside(english[0], other(two))]
    found = [one.value for one in scorer("speaker-similarity").score(asked)]
    assert found[0] is not None and found[1] is not None and found[2] is not None
    assert min(found[:2]) > found[2] + 0.1
    itself = scorer("speaker-similarity").score([beside(english[0], one)])[0]
    assert itself.value == pytest.approx(1.0, abs=1e-5)


def test_loudness_does_not_change_the_voice(
    scorer: Callable[[str], Scorer], english: list[Item]
) -> None:
    voice = english[1].samples
    assert voice is not None
    plain, quiet = scorer("speaker-similarity").score(
        [beside(english[0], voice), beside(english[0], voice * np.float32(0.1))]
    )
    assert plain.value is not None and quiet.value == pytest.approx(plain.value, abs=1e-3)


def test_pauses_are_cut_out() -> None:
    """0.5 s of tone, 1 s of nothing, 0.5 s of tone: of the silence 50 ms stay on each side."""
    tone = np.sin(np.arange(RATE // 2, dtype=np.float32) * 0.1)
    both = np.concatenate([tone, np.zeros(RATE, np.float32), tone])
    assert len(trimmed(both)) / RATE == pytest.approx(1.1, abs=0.021)


def test_no_voice_or_too_little_of_it_fails_typed(
    scorer: Callable[[str], Scorer], english: list[Item]
) -> None:
    short = np.sin(np.arange(RATE // 4, dtype=np.float32))
    items = [english[0], beside(english[0], short), beside(english[0], np.zeros(RATE, np.float32))]
    found = [one.failure.kind for one in scorer("speaker-similarity").score(items) if one.failure]
    assert found == ["no_voice", "short_audio", "silent_audio"]
