"""Gates on made signals: length, silence, ending."""

import numpy as np
import pytest

from trivox.platform.records import FinishReason
from trivox.platform.scoring import Item
from trivox.reward_models.audio_checks import Samples
from trivox.reward_models.verifiable.gates import (
    DurationBounds,
    DurationGate,
    EndGate,
    SilenceBounds,
    SilenceGate,
    activity,
)

RATE = 8000


def tone(seconds: float) -> Samples:
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * 200 * time)).astype(np.float32)


def hush(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), np.float32)


def item(samples: Samples | None, text: str | None = "0123456789", **more: FinishReason) -> Item:
    return Item("rollout", samples, RATE, text, "de", **more)


def test_duration_bounds_by_hand() -> None:
    """Ten letters: 10 x 0.03 to 10 x 0.2 + 1; two Chinese characters: 2 x 0.08 to 2 x 0.6 + 1."""
    assert DurationBounds().seconds("abcdefghij", "de") == pytest.approx((0.3, 3.0))
    assert DurationBounds().seconds("你好。", "zh") == pytest.approx((0.16, 2.2))


@pytest.mark.parametrize(
    ("seconds", "verdict"), [(0.29, 0.0), (0.31, 1.0), (2.99, 1.0), (3.01, 0.0), (1 / RATE, 0.0)]
)
def test_duration_gate(seconds: float, verdict: float) -> None:
    [value] = DurationGate().score([item(tone(seconds))])
    assert value.value == verdict
    assert value.evidence is not None and "expected 0.30 to 3.00 s" in value.evidence


def test_activity_by_hand() -> None:
    """0.4 s tone, 0.6 s nothing, 0.2 s tone, 1 s nothing: 0.6 s active, 0.6 s the pause between."""
    signal = np.concatenate([tone(0.4), hush(0.6), tone(0.2), hush(1)])
    assert activity(signal, RATE, SilenceBounds()) == pytest.approx((0.6, 0.6))


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ([hush(2)], 0.0),
        ([tone(0.1), hush(2)], 0.0),
        ([tone(0.5), hush(0.9), tone(0.5)], 1.0),
        ([tone(0.5), hush(1.1), tone(0.5)], 0.0),
        ([hush(3), tone(0.5), hush(3)], 1.0),
    ],
)
def test_silence_gate(parts: list[Samples], verdict: float) -> None:
    [value] = SilenceGate().score([item(np.concatenate(parts))])
    assert value.value == verdict


def test_end_gate() -> None:
    reasons = [FinishReason.END, FinishReason.LENGTH, FinishReason.FAILED]
    found = EndGate().score([item(None, finish_reason=reason) for reason in reasons])
    assert [value.value for value in found] == [1.0, 0.0, 0.0]


def test_what_cannot_be_measured_fails_typed() -> None:
    empty, broken = np.zeros(0, np.float32), np.full(9, np.inf, np.float32)
    for gate in (DurationGate(), SilenceGate()):
        found = gate.score([item(None), item(empty), item(broken)])
        kinds = [value.failure.kind for value in found if value.failure]
        assert kinds == ["no_audio", "empty_audio", "broken_audio"]
    untold = [DurationGate().score([item(tone(1), None)])[0], EndGate().score([item(tone(1))])[0]]
    assert [one.failure.kind for one in untold if one.failure] == ["no_text", "no_finish_reason"]


def test_hash_follows_the_bounds() -> None:
    assert DurationGate().info.weights_hash == DurationGate(DurationBounds()).info.weights_hash
    assert DurationGate().info != DurationGate(DurationBounds(slack_s=2)).info
