"""Pairs under opposite instructions, spoken by a tone generator whose obedience is known."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from trivox.pipelines.nano.style_pairs import (
    CONTRASTS,
    Contrast,
    Outcome,
    StyleReport,
    judge,
    marked,
    style_pairs,
)
from trivox.platform.errors import UsageError, WorkError
from trivox.platform.text.directives import parse

RATE = 16_000
TEXTS = ["turn on the light in the kitchen", "call anna tomorrow in the morning"]
Wave = npt.NDArray[np.float32]
RATES = {"slow": 0.1, "fast": 0.05}
PITCHES = {"low": 170.0, "high": 236.0}
LEVELS = {"soft": 0.05, "loud": 0.2}


def tone(hz: float, seconds: float, amplitude: float) -> Wave:
    time = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def part(text: str, words: Sequence[str]) -> Wave:
    """A tone: 70 ms a letter, at 200 Hz, amplitude 0.1, but for what words ask."""
    said = dict.fromkeys(words)
    pace = next((RATES[word] for word in said if word in RATES), 0.07)
    pitch = next((PITCHES[word] for word in said if word in PITCHES), 200.0)
    level = next((LEVELS[word] for word in said if word in LEVELS), 0.1)
    gap = np.zeros(round(0.4 * RATE * ("pause" in said)), np.float32)
    return np.concatenate([gap, tone(pitch, pace * len(text), level)])


def obedient(texts: Sequence[str], instructions: Sequence[str], seeds: Sequence[int]) -> list[Wave]:
    waves = []
    for text, instruction in zip(texts, instructions, strict=True):
        directed = parse(text)
        cut = directed.spans[0][0] if directed.spans else 0
        inline = [word for *_, word in directed.spans]
        head = part(directed.text[:cut], instruction.split())
        waves.append(
            np.concatenate([head, part(directed.text[cut:], [*instruction.split(), *inline])])
        )
    return waves


def contrary(texts: Sequence[str], instructions: Sequence[str], seeds: Sequence[int]) -> list[Wave]:
    """Each pair the other way round."""
    waves = obedient(texts, instructions, seeds)
    return [waves[i ^ 1] for i in range(len(waves))]


def deaf(texts: Sequence[str], instructions: Sequence[str], seeds: Sequence[int]) -> list[Wave]:
    return [part(parse(text).text, ()) for text in texts]


def tallies(report: StyleReport) -> set[tuple[int, int, int, int]]:
    return {(one.right, one.wrong, one.ties, one.failed) for one in report.results}


def test_an_obedient_voice_is_right_in_every_pair() -> None:
    report = style_pairs(TEXTS, obedient, RATE)
    assert [one.contrast for one in report.results] == [
        *("rate", "pitch", "energy"),
        *("inline rate", "inline pitch", "inline energy", "inline pause"),
    ]
    assert tallies(report) == {(2, 0, 0, 0)}
    rate, pitch, energy, _, inline_pitch, inline_energy, pause = (
        one.median_difference for one in report.results
    )
    assert rate == pytest.approx(1.0, abs=0.05), "0.1 s over 0.05 s a letter: twice as fast"
    assert pitch == pytest.approx(5.68, abs=0.1), "12 * log2(236 / 170)"
    assert energy == pytest.approx(12.04, abs=0.05), "20 * log10(0.2 / 0.05)"
    assert inline_pitch == pytest.approx(5.68, abs=0.1)
    assert inline_energy == pytest.approx(12.04, abs=0.05)
    assert pause == pytest.approx(0.4, abs=0.02)


def test_a_contrary_voice_is_wrong_and_a_deaf_one_ties() -> None:
    wrong = style_pairs(TEXTS, contrary, RATE)
    assert tallies(wrong) == {(0, 2, 0, 0)}
    ties = style_pairs(TEXTS, deaf, RATE)
    assert tallies(ties) == {(0, 0, 2, 0)}
    assert {one.share for one in (*wrong.results, *ties.results)} == {0.0}


def test_failures_are_typed_and_not_right() -> None:
    """One of two right: Wilson's interval of 1/2 is [0.0945, 0.9055]."""

    def half_mute(t: Sequence[str], i: Sequence[str], s: Sequence[int]) -> list[Wave]:
        waves = obedient(t, i, s)
        return [np.zeros_like(wave) if k % 4 == 2 else wave for k, wave in enumerate(waves)]

    report = style_pairs(TEXTS, half_mute, RATE)
    assert tallies(report) == {(1, 0, 0, 1)}
    for one in report.results:
        assert one.share == 0.5
        assert (one.interval.low, one.interval.high) == pytest.approx((0.0945, 0.9055), abs=1e-4)
    failed = [pair for pair in report.pairs if pair.outcome is Outcome.FAILED]
    assert {pair.difference for pair in failed} == {None}
    assert {pair.failure.kind for pair in failed if pair.failure} == {"silent_audio"}
    assert len(report.to_json()["failed"]) == 7
    assert report.to_json()["contrasts"]["inline pause"]["failed"] == 1


def test_an_empty_wave_is_a_failure() -> None:
    pair = judge(CONTRASTS[0], TEXTS[0], np.zeros(0, np.float32), tone(200, 1, 0.1), RATE)
    assert pair.outcome is Outcome.FAILED
    assert pair.failure is not None and pair.failure.message.startswith("less: ")


def test_what_is_asked() -> None:
    asked: list[tuple[str, str, int]] = []

    def listening(t: Sequence[str], i: Sequence[str], s: Sequence[int]) -> list[Wave]:
        asked.extend(zip(t, i, s, strict=True))
        return obedient(t, i, s)

    pitch = Contrast("pitch", "low", "high", inline=False)
    style_pairs(TEXTS[:1], listening, RATE, [7], [pitch, CONTRASTS[-1]])
    assert asked == [
        (TEXTS[0], "low", 7),
        (TEXTS[0], "high", 7),
        (TEXTS[0], "", 7),
        ("turn on the (pause) light in the kitchen", "", 7),
    ]


def test_where_a_directive_goes() -> None:
    """Of "ab cd" only one place is between words; 40% of 16 characters is 6.4, nearest to "aaaa bb" (7)."""
    assert marked("ab cd", "slow") == "ab (slow) cd"
    assert marked("aaaa bb cccc ddd", "slow") == "aaaa bb (slow) cccc ddd"
    assert marked("a bbbbbbbbbbbbbbbbbb", "slow") == "a (slow) bbbbbbbbbbbbbbbbbb"


def test_refused() -> None:
    with pytest.raises(UsageError, match="two words"):
        style_pairs([], obedient, RATE)
    with pytest.raises(UsageError, match="hello"):
        style_pairs(["hello"], obedient, RATE)
    with pytest.raises(WorkError, match="14 utterances were asked for and 13 came back"):
        style_pairs(TEXTS[:1], lambda t, i, s: obedient(t, i, s)[1:], RATE)
