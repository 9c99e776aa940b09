"""Error rates, insertions and loops of transcripts, by hand."""

import pytest

from trivox.platform.scoring import Item, Scorer
from trivox.reward_models.verifiable.transcripts import (
    repeated_units,
    transcript_errors,
    transcript_insertions,
    transcript_repetition,
)


def item(truth: str | None, transcript: str | None, language: str = "en") -> Item:
    return Item("rollout", None, None, truth, language, hypothesis=transcript)


def value(scorer: Scorer, truth: str, transcript: str, language: str = "en") -> float:
    [found] = scorer.score([item(truth, transcript, language)])
    assert found.value is not None, found.failure
    return found.value


def test_errors_by_hand() -> None:
    """the/a substituted and please added: 2 of 4. 了 added to 我们去公园: 1 of 5 characters."""
    scorer = transcript_errors()
    assert value(scorer, "turn the lamp on", "turn a lamp on please") == 0.5
    assert value(scorer, "我们去公园", "我们去公园了", "zh") == 0.2
    assert value(scorer, "turn the lamp on", "") == 1.0


def test_insertions_by_hand() -> None:
    """Two words more than the four there were; over silence, their number."""
    scorer = transcript_insertions()
    assert value(scorer, "turn the lamp on", "turn the lamp on thank you") == 0.5
    assert value(scorer, "turn the lamp on", "turn a lamp") == 0.0
    assert value(scorer, "", "thank you for watching") == 4.0


@pytest.mark.parametrize(
    ("words", "repeated"),
    [
        ("a b c d", 0),
        ("a a a a", 3),
        ("a b a b", 2),
        ("a b a b a", 3),
        ("a b c a b c a b c", 6),
        ("a b c a b", 0),
        ("", 0),
    ],
)
def test_repeated_units_by_hand(words: str, repeated: int) -> None:
    assert repeated_units(words.split()) == repeated


def test_repetition_beyond_the_truth_by_hand() -> None:
    """Of "no no no stop" two units repeat; the truth has one of them: 1 of 4."""
    scorer = transcript_repetition()
    assert value(scorer, "no no stop", "no no no stop") == 0.25
    assert value(scorer, "no no stop", "no no stop") == 0.0


def test_mixed_languages_count_characters_and_words() -> None:
    """打 开 living room 的 灯: living is missing, 1 of 6."""
    scored = transcript_errors().score([item("打开living room的灯", "打开 room 的灯", "mul")])[0]
    assert scored.value == pytest.approx(1 / 6)
    assert scored.evidence is not None and "mixed@1" in scored.evidence


@pytest.mark.parametrize("make", [transcript_errors, transcript_insertions, transcript_repetition])
def test_without_a_side_there_is_no_number(make: type) -> None:
    found = make().score([item("a", None), item(None, "a")])
    assert [one.failure.kind for one in found if one.failure] == ["no_transcript", "no_text"]
