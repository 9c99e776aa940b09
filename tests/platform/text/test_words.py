"""Phrases in texts: whole words in a row, in whichever way numbers are written."""

import pytest

from trivox.platform.text.words import spoken


@pytest.mark.parametrize(
    ("text", "phrase", "there"),
    [
        ("fifty seconds from now", "fifty", True),
        ("50 seconds from now", "fifty", True),
        ("fifty seconds from now", "seconds", True),
        ("Twenty five minutes", "25", True),
        ("the living room lamp is on", "living room", True),
        ("the living lamp is on in the room", "living room", False),
        ("the lamp is on", "on", True),
        ("the lamp is only off", "on", False),
        ("twenty pizza it is", "two", False),
        ("um, well", "um", True),
        ("", "on", False),
        ("on", "", False),
    ],
)
def test_phrases(text: str, phrase: str, there: bool) -> None:
    assert (spoken(phrase) in spoken(text)) is there


def test_beginnings_and_ends() -> None:
    said = spoken("Of course, my dear: twelve hours.")
    assert said.begins_with(spoken("of course"))
    assert said.ends_with(spoken("12 hours"))
    assert not said.begins_with(spoken("course"))
    assert not said.ends_with(spoken("twelve"))
    assert not said.begins_with(spoken(""))
