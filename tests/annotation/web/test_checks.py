"""The headphone check: its tones by level and phase, its attempts by person, once each."""

import numpy as np
import pytest

from trivox.annotation.web.checks import (
    GAP_S,
    NEEDED,
    RATE,
    ROUNDS,
    TONE_S,
    HeadphoneChecks,
    three_tones,
    volume_sound,
)
from trivox.platform.audio.loudness import loudness_lufs, true_peak_dbtp
from trivox.platform.errors import NotFound, UsageError

STEP = round((TONE_S + GAP_S) * RATE)
LENGTH = round(TONE_S * RATE)


def tones_of(sound: np.ndarray) -> list[np.ndarray]:
    return [sound[place * STEP : place * STEP + LENGTH] for place in range(3)]


@pytest.mark.parametrize(("quiet", "turned"), [(0, 1), (1, 2), (2, 0)])
def test_one_is_quieter_one_is_turned(quiet: int, turned: int) -> None:
    """6 dB down is a factor of 10^(-6/20) = 0.501 in amplitude; opposite phases sum to silence."""
    tones = tones_of(three_tones(quiet, turned))
    levels = [float(np.sqrt(np.mean(tone**2))) for tone in tones]
    usual = levels[turned]
    for place, level in enumerate(levels):
        assert level == pytest.approx(usual * (10 ** (-6 / 20) if place == quiet else 1.0))
    in_the_air = [float(np.abs(tone.sum(axis=1)).max()) for tone in tones]
    assert in_the_air[turned] == 0.0
    assert min(level for place, level in enumerate(in_the_air) if place != turned) > 0.1


def test_loudspeakers_mislead() -> None:
    """Who hears the sum of both channels takes the turned tone for the quietest, in every round."""
    for quiet in range(3):
        for turned in {0, 1, 2} - {quiet}:
            heard = [
                np.abs(tone.sum(axis=1)).max() for tone in tones_of(three_tones(quiet, turned))
            ]
            assert int(np.argmin(heard)) == turned


def test_tones_begin_and_end_in_silence() -> None:
    for tone in tones_of(three_tones(0, 1)):
        assert np.abs(tone[[0, -1]]).max() < 1e-6
    assert np.abs(three_tones(0, 1)).max() < 0.31


def test_the_volume_is_set_by_the_loudness_of_all_clips() -> None:
    loudness = loudness_lufs(volume_sound(), RATE)
    peak = true_peak_dbtp(volume_sound(), RATE)
    assert loudness == pytest.approx(-16.0, abs=0.1)
    assert peak is not None and peak < -1.5


def right_answers(checks: HeadphoneChecks, name: str) -> list[int]:
    """As ears with headphones on find them: each channel alone."""
    found = []
    for round_ in range(ROUNDS):
        tones = tones_of(checks.sound("ann", name, round_))
        found.append(int(np.argmin([np.abs(tone).max() for tone in tones])))
    return found


def test_five_of_six_pass_and_four_do_not() -> None:
    checks = HeadphoneChecks()
    for wrong in range(ROUNDS + 1):
        name = checks.begin("ann")
        answers = right_answers(checks, name)
        for place in range(wrong):
            answers[place] = (answers[place] + 1) % 3
        outcome = checks.finish("ann", name, answers)
        assert (outcome.right, outcome.passed) == (ROUNDS - wrong, ROUNDS - wrong >= NEEDED)


def test_each_place_is_the_quietest_twice() -> None:
    checks = HeadphoneChecks()
    answers = right_answers(checks, checks.begin("ann"))
    assert sorted(answers) == [0, 0, 1, 1, 2, 2]


def test_an_attempt_is_good_once_for_its_person() -> None:
    checks = HeadphoneChecks()
    name = checks.begin("ann")
    with pytest.raises(NotFound):
        checks.sound("bob", name, 0)
    with pytest.raises(NotFound):
        checks.finish("bob", name, [0] * ROUNDS)
    with pytest.raises(NotFound):
        checks.sound("ann", name, ROUNDS)
    with pytest.raises(UsageError):
        checks.finish("ann", name, [0])
    checks.finish("ann", name, [0] * ROUNDS)
    with pytest.raises(NotFound):
        checks.finish("ann", name, [0] * ROUNDS)


def test_old_attempts_are_forgotten() -> None:
    now = [0.0]
    checks = HeadphoneChecks(clock=lambda: now[0])
    old = checks.begin("ann")
    now[0] = 2000.0
    checks.begin("bob")
    with pytest.raises(NotFound):
        checks.sound("ann", old, 0)
