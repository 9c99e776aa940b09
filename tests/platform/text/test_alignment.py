"""Alignments along slots, by the costs of NIST's rover, and units by language."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.platform.text.alignment import EditCounts, align_to_slots, edit_counts, units

WORDS = st.lists(st.sampled_from("abc"), max_size=7)


@pytest.mark.parametrize(
    "text, language, expected",
    [
        ("Turn OFF the light!", "en-GB", ["turn", "off", "the", "light"]),
        ("我们去公园吧。", "zh-CN", ["我", "们", "去", "公", "园", "吧"]),
        ("Das Haus.", "de", ["das", "haus"]),
        ("?!", "en", []),
    ],
)
def test_units(text: str, language: str, expected: list[str]) -> None:
    assert units(text, language) == expected


def test_edits_by_hand() -> None:
    assert edit_counts(["a", "b", "c"], ["a", "x", "c", "d"]) == EditCounts(1, 0, 1)
    assert edit_counts([], ["a"]) == EditCounts(0, 0, 1)
    assert edit_counts(["a", "b"], []).total == 2


@pytest.mark.parametrize(
    "slots, words, expected",
    [
        ([{"a"}, {"b"}], "ab", [(0, 0), (1, 1)]),
        ([{"a"}, {"b"}, {"c"}], "ac", [(0, 0), (1, None), (2, 1)]),
        ([{"a"}, {"c"}], "abc", [(0, 0), (None, 1), (1, 2)]),
        # 4 for the substitution, not 3 + 3 for a gap and a word between slots.
        ([{"a"}, {"b"}], "ax", [(0, 0), (1, 1)]),
        # A word over a gap costs 1: less than a gap of its own.
        ([{"a"}, {"b", None}, {"c"}], "axc", [(0, 0), (1, 1), (2, 2)]),
        # Passing over the gap costs next to nothing.
        ([{"a"}, {"b", None}, {"c"}], "ac", [(0, 0), (1, None), (2, 1)]),
        ([{"a"}, {"a", None}], "a", [(0, 0), (1, None)]),
        # The second "a" is in the second slot, whatever stands first in it.
        ([{"x"}, {"b", "a"}], "a", [(0, None), (1, 0)]),
        ([], "a", [(None, 0)]),
        ([{"a"}], "", [(0, None)]),
    ],
)
def test_by_hand(
    slots: list[set[str | None]], words: str, expected: list[tuple[int | None, int | None]]
) -> None:
    assert align_to_slots(slots, list(words)) == expected


@given(WORDS, WORDS)
def test_keeps_order_and_leaves_nothing_out(left: list[str], right: list[str]) -> None:
    pairs = align_to_slots([{word} for word in left], right)
    assert [i for i, _ in pairs if i is not None] == list(range(len(left)))
    assert [j for _, j in pairs if j is not None] == list(range(len(right)))
    assert (None, None) not in pairs


@given(WORDS, WORDS)
def test_never_dearer_than_the_fewest_edits(left: list[str], right: list[str]) -> None:
    """4 a substitution and 3 a gap: the alignment costs at most what the one of least edits costs."""
    pairs = align_to_slots([{word} for word in left], right)
    cost = sum(3 if i is None or j is None else 4 * (left[i] != right[j]) for i, j in pairs)
    least = edit_counts(left, right)
    assert cost <= 4 * least.substitutions + 3 * (least.deletions + least.insertions)
