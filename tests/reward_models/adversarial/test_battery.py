"""The battery with scorers whose weakness is known: it finds it, names it, and is drawn anew by the seed."""

from collections.abc import Sequence

import numpy as np
import pytest

from trivox.platform.errors import NotFound
from trivox.platform.hashing import content_hash
from trivox.platform.records import Branch, Direction
from trivox.platform.scoring import FailureKind, Item, ScorerInfo, Value, failed
from trivox.reward_models.adversarial import damage
from trivox.reward_models.adversarial.battery import (
    adversarial_failures,
    battery_of_composition,
    battery_of_scorer,
    default_batteries,
    run_battery,
)
from trivox.reward_models.adversarial.clips import Spoken, voiced
from trivox.reward_models.adversarial.dose import DIMENSIONS, OWN, dose_response
from trivox.reward_models.adversarial.probes import attack, honest, probes
from trivox.reward_models.cache import item_content
from trivox.reward_models.composition import Composition
from trivox.reward_models.registry import build, entry, names

RATE = 16_000


@pytest.fixture
def clips(english: list[Item]) -> list[Spoken]:
    made = [
        Spoken(one.text or "", one.samples, one.text or "", "en", "hibari")
        for one in english
        if one.samples is not None
    ]
    return voiced(made)


class Loudness:
    """Likes whatever is loud: RMS, of a unit with margin 0.05."""

    info = ScorerInfo("loudness", "1", "0" * 64, "f", "level", "fraction", Direction.HIGHER)

    def score(self, items: Sequence[Item]) -> list[Value]:
        return [self._one(item) for item in items]

    def _one(self, item: Item) -> Value:
        if item.samples is None or not np.any(item.samples):
            return failed(FailureKind.SILENT_AUDIO, "silence")
        return Value(4 * float(np.sqrt(np.mean(item.samples**2))))


def test_a_scorer_that_likes_loudness_is_found_out(clips: list[Spoken]) -> None:
    found = battery_of_scorer(Loudness(), clips, 0, Branch.TTS)
    assert {"loud", "noise", "no-end", "wrong-words"} <= set(found.fooled_by)
    assert "quiet" not in found.fooled_by
    silence = next(one for one in found.probes if one.probe == "silence")
    assert (silence.passed, silence.refused, silence.mean_probe) == (0, 3, None)
    assert found.kind == "hibari" and found.clips == 3 and found.unscored == ()


def flat(value: float) -> object:
    return lambda items: [Value(value) for _ in items]


def test_a_reward_for_everything_fails_all_damage(clips: list[Spoken]) -> None:
    found = run_battery("flat", flat(1.0), clips, 0, Branch.REALTIME, 0.05)  # type: ignore[arg-type]
    hurting = [one.name for one in probes(Branch.REALTIME) if one.damage]
    assert list(found.fooled_by) == hurting
    assert all(one.passed == 3 for one in found.probes if one.damage)


def test_honest_clips_without_value_prove_nothing(clips: list[Spoken]) -> None:
    """A reward that stops everything gives no probe a chance, and is not thereby sound."""
    found = run_battery("none", flat(0.0), clips, 0, Branch.TTS, 0.05)  # type: ignore[arg-type]
    assert len(found.unscored) == 3 and found.failures == len(probes(Branch.TTS))
    assert adversarial_failures([found, found]) == 2 * found.failures


class Unmoved(Loudness):
    """0 logits for everything."""

    info = ScorerInfo("unmoved", "1", "0" * 64, "f", "total", "logits", Direction.HIGHER)

    def score(self, items: Sequence[Item]) -> list[Value]:
        return [Value(0.0) for _ in items]


def test_what_has_no_least_value_is_attacked_wherever_it_lies(clips: list[Spoken]) -> None:
    found = battery_of_scorer(Unmoved(), clips, 0, Branch.ASR)
    assert found.unscored == () and all(one.passed == 3 for one in found.probes if one.damage)


def test_the_seed_draws_anew_and_again_the_same(clips: list[Spoken]) -> None:
    for branch in Branch:
        target = honest(clips[0], clips[1], branch)
        differs = 0
        for probe in probes(branch):
            one, same, other = (attack(probe, target, seed) for seed in (1, 1, 2))
            assert _content(one) == _content(same)
            assert _content(one) != _content(target.item), probe.name
            differs += _content(one) != _content(other)
        assert differs >= 5


def _content(item: Item) -> str:
    return content_hash(item_content(item))


def test_the_default_reward_of_asr_withstands_the_battery(clips: list[Spoken]) -> None:
    for seed in range(20):
        found = battery_of_composition(Composition.of("asr"), clips, seed)
        assert found.fooled_by == () and found.unscored == ()


@pytest.mark.slow
def test_the_default_rewards_withstand_the_battery(clips: list[Spoken]) -> None:
    reports = default_batteries(clips, 0)
    assert {one.subject: one.fooled_by for one in reports} == {
        "composition:asr": (), "composition:realtime": (), "composition:tts": (),
    }  # fmt: skip
    assert adversarial_failures(reports) == 0


def test_dose_and_response_by_hand(clips: list[Spoken]) -> None:
    """Loudness hears noise as better: none of three pairs is ordered, 0 of 3 has the interval 0..0.5615."""
    found = dose_response(Loudness(), clips, 0, ["noise"])
    assert [one.ordered for one in found] == [0, 0, 0]
    assert [one.reached for one in found] == [True, False, True]
    assert found[1].interval.high == pytest.approx(0.5615, abs=1e-4)
    assert found[0].mean_clean is not None and found[2].mean_damaged is not None
    assert found[2].mean_damaged > found[0].mean_clean
    with pytest.raises(NotFound, match="no damage 'rain'"):
        dose_response(Loudness(), clips, 0, ["rain"])


@pytest.mark.parametrize(
    "name", ["transcript-errors", "transcript-insertions", "transcript-repetition", "clicks"]
)
def test_scorers_of_transcripts_and_clicks_order_their_own_damage(
    name: str, clips: list[Spoken]
) -> None:
    found = dose_response(build(name), clips, 0)
    assert [one.middle for one in found] == [False, True, False]
    assert all(one.ordered == 3 and one.failed == 0 for one in found[1:])


def test_every_scorer_with_a_better_side_has_its_own_damage() -> None:
    """But gates and rules that the battery covers, and likeness of texts that nobody damages by doses."""
    without = {"audible", "duration", "silence", "end", "echo", "in-character"}
    without |= {"reply-likeness", "reply-relevance"}
    preferring = {one for one in names() if entry(one).direction is not Direction.NEITHER}
    assert preferring - set(OWN) == without
    assert {one for own in OWN.values() for one in own} == set(DIMENSIONS)


@pytest.mark.parametrize(
    ("word", "amount", "seconds", "louder"),
    [("slow", 1.0, 1 / 0.85, 1.0), ("fast", 2.0, 1 / 1.18**2, 1.0), ("soft", 1.0, 1.0, 0.5957),
     ("loud", 1.0, 1.0, 1.4962), ("soft", 0.0, 1.0, 1.0), ("high", 1.0, 1.0, 1.0)],
)  # fmt: skip
def test_a_style_by_hand(word: str, amount: float, seconds: float, louder: float) -> None:
    """0.85 of the pace lasts 1/0.85 as long; -4.5 dB is 0.5957, +3.5 dB 1.4962 of the level."""
    tone = (0.1 * np.sin(np.arange(RATE) / 8)).astype(np.float32)
    made = damage.restyled(tone, word, amount)
    assert len(made) == pytest.approx(seconds * RATE, abs=1)
    inside = made[2000:-2000]
    assert np.std(inside) == pytest.approx(louder * np.std(tone), rel=0.1)


def test_damage_by_hand(clips: list[Spoken]) -> None:
    rng = np.random.default_rng(0)
    clean = clips[0].samples
    noise = damage.with_noise(clean * 0.3, 10, rng) - clean * 0.3
    assert 10 * np.log10(np.mean((clean * 0.3) ** 2) / np.mean(noise**2)) == pytest.approx(
        10, abs=0.01
    )
    tone = np.sin(2 * np.pi * 5000 * np.arange(RATE) / RATE).astype(np.float32)
    assert np.abs(damage.band_limited(tone, 2000)[1000:-1000]).max() < 1e-3
    text = damage.other_words("turn on the light now", 0.4, ["the", "lamp", "off"], rng)
    changed = [
        one != other
        for one, other in zip(text.split(), "turn on the light now".split(), strict=True)
    ]
    assert sum(changed) == 2
    assert len(damage.other_voice(clean, 5)) == len(clean)


def test_a_stretched_tone_keeps_its_pitch() -> None:
    tone = np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE).astype(np.float32)
    longer = damage.stretched(tone, 2 * RATE)[2000:-2000]
    peak = np.abs(np.fft.rfft(longer * np.hanning(len(longer)))).argmax() * RATE / len(longer)
    assert peak == pytest.approx(200, abs=2) and np.std(longer) == pytest.approx(
        np.std(tone), rel=0.1
    )
