"""Clips of known manner to descriptions and directives."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.pipelines.descriptions.speech import NORMAL, RATE, Manner, clip
from trivox.pipelines.descriptions.annotate import (
    Described,
    DescriptionConfig,
    Descriptions,
    SpokenClip,
    annotate,
)
from trivox.pipelines.descriptions.inline import TimedWord, word_starts
from trivox.platform.audio.io import Samples, read_audio
from trivox.platform.errors import UsageError
from trivox.platform.text.directives import parse, write

TEXT = "turn that lamp over here soon"
SLOW, FAST = Manner(letter_s=0.13), Manner(letter_s=0.05)
HIGH, LOUD = Manner(hz=190.0), Manner(amplitude=0.25)
CONFIG = DescriptionConfig(least_cuts=4)
USUAL = [clip(f"usual {n}", TEXT) for n in range(8)]


def told(*clips: SpokenClip, config: DescriptionConfig = CONFIG) -> Descriptions:
    return annotate([*USUAL, *clips], config)


def last(found: Descriptions) -> Described:
    return found.described[-1]


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        (NORMAL, ""),
        (SLOW, "slow"),
        (FAST, "fast"),
        (HIGH, "high"),
        (Manner(hz=120.0), "low"),
        (LOUD, "loud"),
        (Manner(amplitude=0.04), "soft"),
        (Manner(0.13, 190.0, 0.25), "slow high loud"),
    ],
)
def test_global_words(manner: Manner, words: str) -> None:
    found = last(told(clip("one", TEXT, manner)))
    assert (found.instruction, found.directed.spans) == (words, ())


@pytest.mark.parametrize(
    ("tail", "marked"),
    [
        (SLOW, "turn that lamp (slow) over here soon"),
        (FAST, "turn that lamp (fast) over here soon"),
        (HIGH, "turn that lamp (high) over here soon"),
        (LOUD, "turn that lamp (loud) over here soon"),
        (Manner(0.13, 190.0), "turn that lamp (slow) (high) over here soon"),
    ],
)
def test_a_tail_that_differs_is_directed(tail: Manner, marked: str) -> None:
    found = last(told(clip("one", TEXT, [NORMAL] * 3 + [tail] * 3)))
    assert write(found.directed) == marked
    assert found.instruction == ""


def test_a_head_that_differs_and_a_tail_that_is_usual_is_no_directive() -> None:
    """Fast, then as usual: no directive says "as usual"; the words are those of the whole clip."""
    found = last(told(clip("one", TEXT, [HIGH] * 3 + [NORMAL] * 3)))
    assert found.directed.spans == ()


def test_what_holds_before_the_change_is_the_global_description() -> None:
    high_then_slow_too = [HIGH] * 3 + [Manner(0.13, 190.0)] * 3
    found = last(told(clip("one", TEXT, high_then_slow_too)))
    assert write(found.directed) == "turn that lamp (slow) over here soon"
    assert found.instruction == "high"


def test_pauses_stand_before_the_word_after_them() -> None:
    manners = [NORMAL, NORMAL, Manner(pause_s=0.35), NORMAL, NORMAL, Manner(pause_s=0.2)]
    found = last(told(clip("one", TEXT, manners)))
    assert write(found.directed) == "turn that (pause) lamp over here soon"
    assert found.prosody.pause_count == 2, "one of 0.4 s, one of 0.25 s, which is under 0.3 s"


def test_what_a_voice_always_does_is_no_directive() -> None:
    """Every clip falls by 4 semitones after its third word: so does the voice."""
    falling = [NORMAL] * 3 + [Manner(hz=119.0)] * 3
    clips = [clip(f"falling {n}", TEXT, falling, "bert") for n in range(8)]
    found = annotate(clips, CONFIG)
    assert {one.directed.spans for one in found.described} == {()}


def test_a_voice_is_compared_with_itself_alone() -> None:
    deep = [clip(f"deep {n}", TEXT, Manner(hz=100.0), "bert") for n in range(5)]
    found = told(*deep)
    assert {one.instruction for one in found.described} == {""}
    assert found.voices["anna"].pitch_hz == pytest.approx(150, rel=0.01)
    assert found.voices["bert"].pitch_hz == pytest.approx(100, rel=0.01)


def test_too_few_clips_of_a_voice() -> None:
    found = told(clip("one", TEXT, SLOW, "carl"))
    assert [one.failure.kind for one in found.dropped] == ["few_clips"]
    assert found.dropped[0].failure.message == "voice 'carl' has 1 clips, 5 are needed"


def test_without_word_times_there_are_words_and_no_directives() -> None:
    timeless = replace(clip("one", TEXT, [NORMAL] * 3 + [LOUD] * 3), words=None)
    assert last(told(timeless)).directed.spans == ()


def test_the_cross_check_drops_what_is_heard_otherwise() -> None:
    """One of six words wrong is 0.17, two are 0.33."""
    heard = iter([TEXT, TEXT.replace("lamp", "lump"), TEXT.replace("that lamp", "the lump")])

    def recognise(samples: Samples, language: str) -> str:
        assert language == "en-US" and len(samples) > RATE
        return next(heard)

    config = DescriptionConfig(least_clips=1)
    found = annotate([clip(name, TEXT) for name in "abc"], config, recognise)
    assert [one.error_rate for one in found.described] == [0.0, pytest.approx(1 / 6)]
    (dropped,) = found.dropped
    assert (dropped.clip.name, dropped.failure.kind) == ("c", "misheard")
    assert "wer 0.33 above 0.2" in dropped.failure.message


def test_clips_that_cannot_be_measured(tmp_path: Path) -> None:
    silent = replace(clip("silent", TEXT), read=lambda: (np.zeros(RATE, np.float32), RATE))
    missing = replace(clip("missing", TEXT), read=lambda: read_audio(tmp_path / "none.wav"))
    other = replace(clip("other", TEXT), words=(TimedWord("hello", 0.0, 1.0),))
    marked = clip("marked", "turn (that) lamp")
    found = told(silent, missing, other, marked)
    assert {one.clip.name: one.failure.kind for one in found.dropped} == {
        "silent": "no_speech",
        "missing": "unreadable",
        "other": "wrong_times",
        "marked": "parentheses",
    }
    assert len(found.described) == len(USUAL)


def test_names_are_unique() -> None:
    with pytest.raises(UsageError, match="two clips are named 'usual 0'"):
        told(USUAL[0])


def test_sentences() -> None:
    config = CONFIG.model_copy(update={"form": "sentences"})
    manner = [Manner(0.13, 190.0), *[Manner(0.13, 190.0)] * 4, Manner(0.13, 190.0, pause_s=0.5)]
    clips = (clip("one", TEXT, manner), clip("two", TEXT, NORMAL))
    one, two = told(*clips, config=config).described[-2:]
    again = told(*clips, config=config).described[-2:]
    assert (one.instruction, two.instruction) == tuple(d.instruction for d in again)
    assert any(word in one.instruction for word in ("slow", "taking"))
    assert "very high" in one.instruction, "4.1 semitones, twice 1.4 and more"
    assert "pause" in one.instruction or "once" in one.instruction
    assert "note" in two.instruction or "flat" in two.instruction, "a tone has no melody"
    for text in (one.instruction, two.instruction):
        assert text.endswith(".") and "{" not in text and "  " not in text


def test_word_starts_whatever_the_case_and_script() -> None:
    words = [TimedWord("on", 0, 1), TimedWord("ON", 1, 2), TimedWord("灯", 2, 3)]
    assert word_starts("Turn On, on 灯", words) == [5, 9, 12]
    with pytest.raises(UsageError, match="'on' at 1.00 s is not in the rest of the text ' 灯'"):
        word_starts("on 灯", [words[0], TimedWord("on", 1, 2)])


def test_spans_are_what_parse_reads() -> None:
    found = last(told(clip("one", TEXT, [NORMAL] * 3 + [SLOW] * 3)))
    assert parse(write(found.directed)) == found.directed
