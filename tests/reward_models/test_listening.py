"""What scorers that listen must do: hear quality, fail typed, depend on nothing but the clip."""

from collections.abc import Callable

import numpy as np
import pytest

from trivox.platform.scoring import Item, Scorer, Value
from trivox.reward_models.audio_checks import Samples

Build = Callable[[str], Scorer]
RECOGNISERS = ["whisper-base-wer", "whisper-tiny-wer", "pocketsphinx-wer"]
MEASURES = ["pitch-level", "pitch-spread", "level", "speaking-rate", "pauses", "longest-pause"]
LISTENERS = [*RECOGNISERS, "distillmos", "dnsmos", *MEASURES]


def item(samples: Samples | None, text: str | None = "hello", language: str = "en") -> Item:
    return Item("rollout", samples, None if samples is None else 16_000, text, language)


def values(found: list[Value]) -> list[float]:
    assert all(value.failure is None for value in found), found
    return [value.value for value in found if value.value is not None]


def kind(value: Value) -> str | None:
    assert value.value is None
    return value.failure.kind if value.failure else None


@pytest.mark.parametrize("name", RECOGNISERS)
def test_noise_costs_words(
    name: str, scorer: Build, english: list[Item], noisy: list[Item]
) -> None:
    clean = values(scorer(name).score(english))
    # PocketSphinx takes seconds over noise: one clip.
    heard = slice(None) if name.startswith("whisper") else slice(1, 2)
    assert sum(clean[heard]) < sum(values(scorer(name).score(noisy[heard])))
    if name.startswith("whisper"):
        assert clean == [0, 0, 0]


@pytest.mark.parametrize("name", ["distillmos", "dnsmos"])
def test_noise_costs_quality(
    name: str, scorer: Build, english: list[Item], noisy: list[Item]
) -> None:
    clean, worse = values(scorer(name).score(english[:1])), values(scorer(name).score(noisy[:1]))
    assert all(good > bad + 0.5 for good, bad in zip(clean, worse, strict=True))
    assert all(1 <= value <= 5 for value in clean + worse)


@pytest.mark.parametrize("name", LISTENERS)
def test_what_cannot_be_heard_fails_typed(name: str, scorer: Build, english: list[Item]) -> None:
    bad = [
        item(None),
        item(np.zeros(0, np.float32)),
        item(np.full(1, 0.5, np.float32)),
        item(np.zeros(16_000, np.float32)),
        item(np.full(16_000, np.nan, np.float32)),
    ]
    found = scorer(name).score([*bad, english[0]])
    wanted = ["no_audio", "empty_audio", "short_audio", "silent_audio", "broken_audio"]
    assert [kind(value) for value in found[:-1]] == wanted
    assert found[-1] == scorer(name).score(english[:1])[0]


@pytest.mark.parametrize("name", LISTENERS)
def test_neighbours_and_order_do_not_matter(
    name: str, scorer: Build, english: list[Item], noisy: list[Item]
) -> None:
    together = scorer(name).score([english[1], noisy[0]])
    backwards = scorer(name).score([noisy[0], english[1]])
    assert together == backwards[::-1]


@pytest.mark.parametrize("name", ["whisper-base-wer", "distillmos"])
def test_stereo_of_another_rate_is_taken(name: str, scorer: Build, english: list[Item]) -> None:
    mono = english[0].samples
    assert mono is not None
    stereo = np.repeat(np.stack([mono, mono], axis=1), 2, axis=0)
    wide = Item("rollout", stereo, 32_000, english[0].text, "en")
    [narrow], [found] = values(scorer(name).score(english[:1])), values(scorer(name).score([wide]))
    assert found == pytest.approx(narrow, abs=0.5)


def test_recognisers_need_a_text(scorer: Build, english: list[Item]) -> None:
    samples = english[0].samples
    found = scorer("whisper-base-wer").score([item(samples, None), item(samples, " ... ")])
    assert [kind(value) for value in found] == ["no_text", "no_text"]


def test_evidence_is_the_transcript(scorer: Build, english: list[Item]) -> None:
    samples = english[-1].samples
    [value] = scorer("whisper-base-wer").score([item(samples, "turn on the light in the bathroom")])
    assert value.value == pytest.approx(2 / 7)
    assert value.evidence == "Turn off the light in the bedroom."


def test_mandarin_goes_through_cer(scorer: Build, mandarin: Item) -> None:
    """我们去公园吧: six characters; a hit on most of them, and none on another sentence."""
    other = Item("rollout", mandarin.samples, mandarin.rate, "天气很好", "zh")
    right, wrong = values(scorer("whisper-base-wer").score([mandarin, other]))
    assert right <= 0.5
    assert wrong >= 1


@pytest.mark.parametrize("name", ["whisper-tiny-wer", "pocketsphinx-wer"])
def test_unknown_language_fails_typed(name: str, scorer: Build, mandarin: Item) -> None:
    assert kind(scorer(name).score([mandarin])[0]) == "unknown_language"
