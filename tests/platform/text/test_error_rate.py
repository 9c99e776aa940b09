"""Error counts by hand, and what must hold for every pair of texts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivox.platform.errors import UsageError
from trivox.platform.text.error_rate import error_counts, metric_for, pooled_rate
from trivox.platform.text.normalise import normaliser_for

TEXT = st.lists(
    st.sampled_from("turn the lamp on two 2 twenty 20 今 天 , .".split()), max_size=8
).map(" ".join)


def test_counts_by_hand() -> None:
    """the/a substituted, please inserted: 2 errors of 4 words."""
    counts = error_counts("turn the lamp on", "Turn a lamp on, please.", "en")
    assert (counts.substitutions, counts.deletions, counts.insertions) == (1, 0, 1)
    assert (counts.reference_length, counts.rate) == (4, 0.5)
    assert (counts.metric, counts.normaliser) == ("wer", "english@1")


def test_chinese_counts_characters() -> None:
    """今天天气很好 -> 今天天汽好: 气/汽 substituted, 很 deleted; 2 errors of 6 characters."""
    counts = error_counts("今天天气很好。", "今天天汽好", "zh")
    assert (counts.substitutions, counts.deletions, counts.insertions) == (1, 1, 0)
    assert (counts.metric, counts.reference_length) == ("cer", 6)
    assert counts.rate == pytest.approx(1 / 3)


def test_mixed_counts_characters_and_words() -> None:
    """打开 living room 的灯 -> 打开 bedroom 灯: living deleted, room/bedroom substituted, 的 deleted; 3 errors of
    6 units: 打 开 living room 的 灯."""
    counts = error_counts("打开living room的灯。", "打开 bedroom 灯", "mul")
    assert (counts.metric, counts.reference_length, counts.normaliser) == ("mer", 6, "mixed@1")
    assert counts.rate == 0.5


@pytest.mark.parametrize(
    ("language", "metric"),
    [("en", "wer"), ("zh-TW", "cer"), ("ja", "cer"), ("fr", "wer"), ("mul", "mer")],
)
def test_metric_follows_language(language: str, metric: str) -> None:
    assert metric_for(language) == metric


def test_pooled_weighs_by_length() -> None:
    """1 error of 1 word and 1 of 3 pool to 2/4, where the mean of the rates would be 2/3."""
    counts = [
        error_counts("yes", "no", "en"),
        error_counts("close the door", "close the floor", "en"),
    ]
    assert pooled_rate(counts) == 0.5


def test_pooling_refuses_mixed_metrics_and_nothing() -> None:
    mixed = [error_counts("yes", "no", "en"), error_counts("好", "不", "zh")]
    with pytest.raises(UsageError, match="cer, wer"):
        pooled_rate(mixed)
    with pytest.raises(UsageError, match="none"):
        pooled_rate([])


def test_empty_reference_is_no_free_pass() -> None:
    assert error_counts("", "", "en").rate == 0
    assert error_counts("...", "hello there", "en").rate == 2


@settings(max_examples=200, deadline=None)
@given(reference=TEXT, hypothesis=TEXT, language=st.sampled_from(["en", "zh", "de"]))
def test_rate_is_zero_only_for_equal_texts(reference: str, hypothesis: str, language: str) -> None:
    normalise = normaliser_for(language)
    counts = error_counts(reference, hypothesis, language)
    assert (counts.rate == 0) == (normalise(reference) == normalise(hypothesis))
    hits = counts.reference_length - counts.substitutions - counts.deletions
    heard = normalise(hypothesis)
    assert hits >= 0
    assert hits + counts.substitutions + counts.insertions == len(
        heard if counts.metric == "cer" else heard.split()
    )
    assert error_counts(reference, reference, language).rate == 0
