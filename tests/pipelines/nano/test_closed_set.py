"""What is heard, in the words of the domain."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.pipelines.nano.domain import words, words_that_matter_first
from trivox.pipelines.nano.evaluation.closed_set import ClosedSet, distance
from trivox.pipelines.nano.teachers import phonemes


def as_written(text: str) -> str:
    return text


SMALL = ClosedSet(["two", "tea", "boat", "goat"], as_written)


@pytest.fixture(scope="module")
def domain() -> ClosedSet:
    return ClosedSet(words_that_matter_first(), phonemes)


@pytest.mark.parametrize(
    ("known", "heard", "far"),
    [("boat", "boat", 0), ("boat", "beat", 0.5), ("boat", "goat", 0.5), ("boat", "oat", 1)]
    + [("tea", "tta", 1.0), ("", "ab", 2), ("ab", "", 2)],
)
def test_the_distance_by_hand(known: str, heard: str, far: float) -> None:
    """A vowel for a vowel is one half, for a consonant one; a sound more or less is one."""
    assert distance(known, heard) == far


def test_read_by_hand() -> None:
    """ "botte" is boat with o for oa (1) and te left, which is tea less a sound (1)."""
    assert SMALL.read("boat two") == "boat two"
    assert SMALL.read("boattwo") == "boat two", "boundaries do not count"
    assert SMALL.read("bott tea") == "boat tea"
    assert SMALL.read("") == SMALL.read("  ") == ""


def test_of_words_that_sound_alike_the_first_is_read() -> None:
    sounds = {"to": "tu", "two": "tu"}
    alike = ClosedSet(["two", "to"], lambda text: "".join(sounds.get(w, w) for w in text.split()))
    assert alike.read("to") == "two"


@pytest.mark.parametrize(
    ("heard", "read"),
    [
        ("I'm Adam the garden door is locked.", "aye madam the garden door is locked"),
        ("No problem capped in 20 pizza it is.", "no problem captain twenty pizza it is"),
        ("Gladly old chap 6T it is.", "gladly old chap six tea it is"),
        ("Well, Dr. The seller door is locked.", "well doctor the cellar door is locked"),
    ],
)
def test_homophones_of_the_domain(domain: ClosedSet, heard: str, read: str) -> None:
    assert domain.read(heard) == read


def test_another_value_stays_another(domain: ClosedSet) -> None:
    """The listener does not know what was asked for: Monday is not heard as Sunday."""
    assert domain.read("a table for five on monday") == "a table four five on monday"
    assert domain.read("the train to rome") != domain.read("the train to tokyo")


def test_the_words_that_matter_are_all_words() -> None:
    assert sorted(words_that_matter_first()) == words()


@given(st.text("abet wog", max_size=12))
def test_anything_is_read_in_known_words(heard: str) -> None:
    assert set(SMALL.read(heard).split()) <= set(SMALL.words)
