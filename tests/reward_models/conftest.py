"""Clips of tests/data/speech, and each scorer built once."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile

from trivox.platform.scoring import Item, Scorer
from trivox.reward_models.audio_checks import Samples
from trivox.reward_models.registry import build

SPEECH = Path(__file__).resolve().parents[1] / "data" / "speech"
RATE = 16_000


def item(samples: Samples | None, text: str | None = "hello", language: str = "en") -> Item:
    return Item("rollout", samples, None if samples is None else RATE, text, language)


def clip(name: str) -> Samples:
    samples, rate = soundfile.read(SPEECH / f"{name}.flac", dtype="float32")
    assert rate == RATE
    return np.asarray(samples, dtype=np.float32)


def with_noise(samples: Samples, decibels: float) -> Samples:
    """samples with white noise at a signal-to-noise ratio."""
    noise = np.random.default_rng(7).normal(size=len(samples)).astype(np.float32)
    gain = np.sqrt(np.mean(samples**2) / np.mean(noise**2)) * 10 ** (-decibels / 20)
    return np.asarray(samples + gain * noise, dtype=np.float32)


@pytest.fixture(scope="session")
def scorer() -> Callable[[str], Scorer]:
    return cache(build)


@pytest.fixture(scope="session")
def english() -> list[Item]:
    """Three clean sentences, 2.3 s each."""
    names = sorted(path.stem for path in SPEECH.glob("*_*.flac") if "gongyuan" not in path.stem)
    return [item(clip(name), name.replace("_", " ")) for name in names]


@pytest.fixture(scope="session")
def noisy(english: list[Item]) -> list[Item]:
    """The same sentences, noise as loud as the speech. Whisper tiny hears two of them all the same."""
    clean = [one.samples for one in english if one.samples is not None]
    return [
        item(with_noise(samples, 0), one.text) for samples, one in zip(clean, english, strict=True)
    ]


@pytest.fixture(scope="session")
def mandarin() -> Item:
    return item(clip("women_qu_gongyuan_ba"), "我们去公园吧。", "zh-CN")
