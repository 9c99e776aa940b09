"""Directives in parentheses: to spans and back."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.platform.errors import BadDirective, ContradictoryStyle
from trivox.platform.text.directives import (
    STYLE,
    DirectedText,
    Directives,
    instruction_words,
    parse,
    write,
)

MOODS = Directives(("very sad", "glad", "sigh"), (("very sad", "glad"),), frozenset({"sigh"}))


@pytest.mark.parametrize(
    ("marked", "text", "spans"),
    [
        ("turn on the light", "turn on the light", ()),
        ("turn on (slow) the light", "turn on the light", ((8, 17, "slow"),)),
        ("(slow) turn on", "turn on", ((0, 7, "slow"),)),
        ("a (slow) b (fast) c", "a b c", ((2, 4, "slow"), (4, 5, "fast"))),
        ("a (slow) b (low) c", "a b c", ((2, 5, "slow"), (4, 5, "low"))),
        ("a (slow) b (slow) c", "a b c", ((2, 4, "slow"), (4, 5, "slow"))),
        ("a (slow) (low) b", "a b", ((2, 3, "slow"), (2, 3, "low"))),
        ("a(slow)(low)b", "ab", ((1, 2, "slow"), (1, 2, "low"))),
        ("a (pause) b", "a b", ((2, 2, "pause"),)),
        ("a b (pause)", "a b", ((3, 3, "pause"),)),
        ("(pause)", "", ((0, 0, "pause"),)),
        ("打开(slow)灯", "打开灯", ((2, 3, "slow"),)),
        ("a(slow) b", "a b", ((2, 3, "slow"),)),
        ("a (slow)b", "a b", ((2, 3, "slow"),)),
        ("a ( SLOW ) b", "a b", ((2, 3, "slow"),)),
        ("  a  b (slow) c ", "a  b c", ((5, 6, "slow"),)),
        ("", "", ()),
    ],
)
def test_text_and_spans(marked: str, text: str, spans: tuple[tuple[int, int, str], ...]) -> None:
    assert parse(marked) == DirectedText(text, spans)
    assert parse(write(DirectedText(text, spans))) == DirectedText(text, spans)


def test_written_as_people_write() -> None:
    for marked in ("turn on (slow) the light", "(slow) (low) a (fast) b (pause)", "打开(slow)灯"):
        assert write(parse(marked)) == marked


@pytest.mark.parametrize(
    ("marked", "position", "words"),
    [
        ("turn on (quick) the light", 8, "'quick' at character 9 is no directive"),
        ("turn () on", 5, "is empty"),
        ("turn (  ) on", 5, "is empty"),
        ("(slow (fast)) on", 6, "opens within a directive"),
        ("turn (slow the light", 5, "is not closed"),
        ("turn slow) the light", 9, "closes nothing"),
        ("turn (slow) (slow) on", 12, "stands twice"),
        ("turn on (slow)", 8, "has no text after it"),
        ("(slow)", 0, "has no text after it"),
    ],
)
def test_refused_with_its_place_and_what_is_known(marked: str, position: int, words: str) -> None:
    with pytest.raises(BadDirective) as caught:
        parse(marked)
    assert caught.value.position == position
    assert words in str(caught.value)
    assert "slow, fast, low, high, soft, loud, pause" in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.position) == (str(caught.value), position)


def test_opposites_at_one_place() -> None:
    with pytest.raises(
        ContradictoryStyle, match="character 8 asks for 'slow' and 'fast'"
    ) as caught:
        parse("(slow) (fast) turn on")
    assert (caught.value.one, caught.value.other) == ("slow", "fast")


def test_another_vocabulary() -> None:
    found = parse("well (very  sad) it rains (sigh) (glad) today", MOODS)
    assert found.text == "well it rains today"
    assert found.spans == ((5, 14, "very sad"), (14, 14, "sigh"), (14, 19, "glad"))
    with pytest.raises(BadDirective, match="known are very sad, glad, sigh"):
        parse("(slow) it rains", MOODS)


@pytest.mark.parametrize(
    "spans",
    [
        ((0, 3, "slow"),),
        ((2, 4, "slow"), (0, 4, "low")),
        ((1, 4, "slow"),),
        ((0, 4, "quick"),),
        ((5, 5, "pause"),),
        ((0, 4, "pause"),),
    ],
)
def test_spans_that_cannot_be_written(spans: tuple[tuple[int, int, str], ...]) -> None:
    with pytest.raises(BadDirective):
        write(DirectedText("a bc", spans))


def test_parentheses_in_plain_text_are_refused() -> None:
    with pytest.raises(BadDirective):
        write(DirectedText("a (b) c"))


@given(
    st.lists(st.sampled_from([*(f"({word})" for word in STYLE.words), " ", "a", "bé", "灯", "  "]))
)
def test_what_was_parsed_is_written_and_parsed_alike(parts: list[str]) -> None:
    try:
        directed = parse("".join(parts))
    except (BadDirective, ContradictoryStyle):
        return
    assert parse(write(directed)) == directed
    assert "(" not in directed.text
    for start, end, word in directed.spans:
        assert (start == end) == (word in STYLE.points)


@given(st.text())
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        directed = parse(text)
    except (BadDirective, ContradictoryStyle):
        assert set("()") & set(text)
        return
    assert not directed.spans or "(" in text


def test_instruction() -> None:
    assert instruction_words("Emma, slow high", names=("emma",)) == ("emma", "slow", "high")
    assert instruction_words("") == ()
    with pytest.raises(ContradictoryStyle, match="'slow' and 'fast' at once"):
        instruction_words("slow high fast")
    with pytest.raises(BadDirective, match="'pause' at character 6 is no instruction"):
        instruction_words("slow pause")
    with pytest.raises(BadDirective, match="'slow' at character 6 stands twice"):
        instruction_words("slow slow")
    with pytest.raises(BadDirective, match="known are anna, slow, fast"):
        instruction_words("emma", names=("anna",))
