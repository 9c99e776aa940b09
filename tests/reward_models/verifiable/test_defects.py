"""Nothing to hear, clipping, clicks: on made signals, by hand, and on real speech."""

import numpy as np
import pytest

from trivox.platform.scoring import Item, Scorer
from trivox.reward_models.audio_checks import Samples
from trivox.reward_models.verifiable.defects import (
    AudibleGate,
    ClickBounds,
    ClickGate,
    ClippingGate,
    clicks,
    clipped_share,
)

RATE = 16_000


def item(samples: Samples | None) -> Item:
    return Item("rollout", samples, None if samples is None else RATE, "hello", "en")


def passed(gate: Scorer, samples: Samples | None) -> float | str:
    [found] = gate.score([item(samples)])
    return found.value if found.value is not None else found.failure.kind if found.failure else ""


def test_clipped_share_by_hand() -> None:
    """Ten samples, peak 1: a run of three near it counts, runs of two and of both signs do not."""
    wave = np.array([0, 1, 0.99, 1, 0, 1, 1, 0, 1, -1], np.float32)
    assert clipped_share(wave) == pytest.approx(0.3)
    assert clipped_share(np.zeros(5, np.float32)) == 0


def test_clicks_by_hand() -> None:
    """Three single jumps in one second of faint noise, two of them within 5 ms: two clicks."""
    wave = np.random.default_rng(0).normal(0, 0.001, RATE).astype(np.float32)
    assert clicks(wave, RATE, ClickBounds()) == 0
    wave[[4000, 4040, 9000]] += 0.5
    assert clicks(wave, RATE, ClickBounds()) == 2


def test_speech_passes_and_its_damage_does_not(english: list[Item]) -> None:
    rng = np.random.default_rng(1)
    for one in english:
        clean = one.samples
        assert clean is not None
        assert passed(ClippingGate(), clean) == passed(ClickGate(), clean) == 1.0
        peak = float(np.abs(clean).max())
        clipped = np.clip(clean, -peak / 2, peak / 2)
        assert passed(ClippingGate(), clipped) == passed(ClippingGate(), clipped * 0.1) == 0.0
        clicked = clean.copy()
        clicked[rng.integers(0, len(clean), 12)] += peak
        assert passed(ClickGate(), clicked) == 0.0


def test_nothing_to_hear_is_stopped_and_broken_sound_is_a_failure() -> None:
    gate = AudibleGate()
    nothing = [None, np.zeros(0, np.float32), np.ones(9, np.float32), np.zeros(RATE, np.float32)]
    assert [passed(gate, one) for one in nothing] == [0.0] * 4
    assert passed(gate, np.full(RATE, np.nan, np.float32)) == "broken_audio"
    assert passed(gate, np.sin(np.arange(RATE, dtype=np.float32))) == 1.0
