"""What people write, as nano can say it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.policy.text import speakable, without_directives


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Turn ON the light, please!", "turn on the light please"),
        ("  two\t spaces\nand a line ", "two spaces and a line"),
        ("well-known — really…", "well known really"),
        ('say "yes" or “no”', "say yes or no"),
        ("It’s Anna‘s", "it's anna's"),
        (
            "Cafe\u0301",
            "café",
        ),  # accents are kept, composed: whether they can be said is not judged
        ("Turn (Slow) ON, (soft).", "turn (slow) on (soft)"),
        ("(slow, low)", "(slow low)"),
        ("🙂 你好", "🙂 你好"),
        ("?!...", ""),
        ("", ""),
    ],
)
def test_speakable(written: str, said: str) -> None:
    assert speakable(written) == said


@given(st.text(st.characters(codec="ascii")))
def test_speakable_of_ascii_changes_nothing_the_second_time(text: str) -> None:
    once = speakable(text)
    assert speakable(once) == once
    assert once == once.strip()
    assert "  " not in once


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("a (slow) b", "a b"),
        ("(slow) (very low) a(soft)b", "a b"),
        ("(pause)", ""),
        ("a ( b", "a ( b"),
        ("a ((slow)) b", "a ( ) b"),
        ("", ""),
    ],
)
def test_without_directives(text: str, spoken: str) -> None:
    assert without_directives(text) == spoken
