"""Syllables by rule, against counts made by hand."""

import pytest

from trivox.platform.text.syllables import SpeechUnit, count_units, word_syllables

BY_HAND = {
    1: "the light a turn on ring wake please store fifteen's".split()[:9],
    2: "kitchen open table timer butter bedroom garage hallway monday michael paris".split(),
    3: "tomorrow umbrella piano radio".split()[:2],
}


@pytest.mark.parametrize(
    ("count", "word"), [(count, word) for count, words in BY_HAND.items() for word in words]
)
def test_words(count: int, word: str) -> None:
    assert word_syllables(word) == count


def test_silent_endings() -> None:
    counts = {
        "make": 1,
        "makes": 1,
        "little": 2,
        "wanted": 2,
        "called": 1,
        "switched": 1,
        "boxes": 2,
    }
    assert {word: word_syllables(word) for word in counts} == counts


def test_a_sentence() -> None:
    """turn(1) on(1) the(1) light(1) in(1) the(1) kit-chen(2)."""
    assert count_units("Turn on the light in the kitchen.", SpeechUnit.SYLLABLES) == 8


def test_characters_are_letters_and_digits() -> None:
    assert count_units("我们 去，公园 2!", SpeechUnit.CHARACTERS) == 6


def test_nothing_to_count() -> None:
    assert count_units("... '", SpeechUnit.SYLLABLES) == 0
    assert count_units("...", SpeechUnit.CHARACTERS) == 0
