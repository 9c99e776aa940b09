"""Speech that comes twice is stopped, speech that comes once is not."""

from dataclasses import replace

import numpy as np

from trivox.platform.scoring import Item
from trivox.reward_models.verifiable.echo import EchoGate, alikeness


def said_twice(item: Item, noise: float = 0.002) -> Item:
    """Again after 50 ms, softer and with noise."""
    assert item.samples is not None
    again = item.samples * 0.8 + np.random.default_rng(0).normal(0, noise, len(item.samples))
    both = np.concatenate([item.samples, np.zeros(800), again])
    return replace(item, samples=both.astype(np.float32))


def test_what_comes_twice_is_stopped(english: list[Item]) -> None:
    gate = EchoGate()
    assert [one.value for one in gate.score(english)] == [1.0] * 3
    assert [one.value for one in gate.score([said_twice(one) for one in english])] == [0.0] * 3


def test_a_text_that_repeats_itself_is_not_judged(english: list[Item]) -> None:
    again = replace(said_twice(english[0]), text="call john call john")
    assert EchoGate().score([again])[0].value == 1.0


def test_alikeness_by_hand() -> None:
    """Noise and the same noise again correlate fully; a clip shorter than two pieces has nothing to compare."""
    noise = np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32)
    assert alikeness(np.concatenate([noise, noise]), 0.5) > 0.99
    assert alikeness(noise[:8_000], 0.5) == -1.0


def test_nothing_to_hear_fails_typed() -> None:
    [found] = EchoGate().score([Item("r", None, None, "a", "en")])
    assert found.failure is not None and found.failure.kind == "no_audio"
