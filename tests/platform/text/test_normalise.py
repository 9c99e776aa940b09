"""What two texts are reduced to before they are compared."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trivox.platform.text.normalise import normaliser_for, numbers_spelled

LANGUAGES = ["en", "zh", "de", "hi", "mul"]
ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen".split()
)
ONES += "fifteen sixteen seventeen eighteen nineteen".split()
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()


def spelled(number: int) -> str:
    if number >= 100:
        rest = f" {spelled(number % 100)}" if number % 100 else ""
        return f"{ONES[number // 100]} hundred{rest}"
    if number < 20:
        return ONES[number]
    return TENS[number // 10] + (f" {ONES[number % 10]}" if number % 10 else "")


def test_number_words_equal_digits() -> None:
    normalise = normaliser_for("en")
    for number in range(1000):
        words, digits = f"set {spelled(number)} of them", f"Set {number} of them."
        assert normalise(words) == normalise(digits)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("add two two", "Add 2, 2."),
        ("add two two", "add two 2"),
        ("one one zero", "1 1 0"),
        ("wake me at eight thirty", "Wake me at 8:30."),
        ("minus five degrees", "-5 degrees"),
        ("Twenty-five dollars", "$25"),
        ("ten percent", "10%"),
        ("I'm in the colour room", "i am in the color room"),
        ("five", "５"),
    ],
)
def test_english_says_the_same(one: str, other: str) -> None:
    assert normaliser_for("en")(one) == normaliser_for("en")(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("fifteen", "50"), ("minus five", "five"), ("two", "to"), ("one hundred", "101"), ("5%", "5")],
)
def test_english_keeps_apart(one: str, other: str) -> None:
    assert normaliser_for("en")(one) != normaliser_for("en")(other)


def test_chinese_folds_width_and_drops_punctuation() -> None:
    normalise = normaliser_for("zh-CN")
    assert normalise("今天，天气 很好！ＡＢ１２") == "今天天气很好ab12"
    assert normalise.label == "characters@1"


@pytest.mark.parametrize(
    ("language", "label"),
    [("en", "english@1"), ("EN_gb", "english@1"), ("cmn-Hans", "characters@1"), ("de", "basic@1")],
)
def test_language_chooses_normaliser(language: str, label: str) -> None:
    assert normaliser_for(language).label == label


def test_marks_of_indic_scripts_are_kept() -> None:
    assert normaliser_for("hi")("हिन्दी।") == "हिन्दी"


WORDS = st.lists(
    st.sampled_from(
        [
            *ONES,
            *TENS,
            "and",
            "a",
            "half",
            "point",
            "minus",
            "double",
            "hundred",
            "thousand",
            "first",
            "o",
            "oh",
            "5",
            "20",
            "05",
            "7.5",
            "1,000",
            "$3",
            "%",
            "-",
            ".",
            "cent",
            "dollars",
            "ones",
            "st",
            "it's",
            "[um]",
            "(x",
        ]
    )
)


@settings(max_examples=300, deadline=None)
@given(
    text=st.one_of(st.text(max_size=40), WORDS.map(" ".join)), language=st.sampled_from(LANGUAGES)
)
@example(text="oh five minus ...", language="en")
@example(text="İ ﬃ ²", language="zh")
def test_idempotent(text: str, language: str) -> None:
    normalise = normaliser_for(language)
    once = normalise(text)
    assert normalise(once) == once
    assert once == " ".join(once.split())


@pytest.mark.parametrize(
    "text, language, expected",
    [
        ("Set a timer for 15 minutes.", "en-US", "Set a timer for fifteen minutes."),
        ("at 8:30", "en", "at eight thirty"),
        ("In 2024, 100 of them", "en", "In 2024, 100 of them"),
        ("um 8 Uhr", "de", "um 8 Uhr"),
    ],
)
def test_numbers_spelled(text: str, language: str, expected: str) -> None:
    assert numbers_spelled(text, language) == expected
    assert numbers_spelled(expected, language) == expected
