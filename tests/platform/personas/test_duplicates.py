"""Near-duplicates: similarities by hand, and no pair lost by the filter."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.platform.errors import UsageError
from trivox.platform.personas import duplicates
from trivox.platform.personas.duplicates import (
    Duplicate,
    jaccard,
    near_duplicates,
    shingles,
    similar_to,
)
from trivox.platform.personas.registry import persona_of, rubric_of
from trivox.platform.records import Persona


def persona(name: str, description: str, version: int = 1, **traits: str) -> Persona:
    return persona_of("default", name, description, traits, version)


def test_shingles() -> None:
    assert shingles("x", "One two, three four!") == {
        ("x", "one two three"),
        ("x", "two three four"),
    }
    assert shingles("x", "One") == {("x", "one")}
    assert shingles("x", " .") == frozenset()


def test_jaccard_by_hand() -> None:
    """abc bcd cde and abc bcd cdf: 2 shared of 4."""
    assert jaccard(shingles("x", "a b c d e"), shingles("x", "a b c d f")) == 0.5
    assert jaccard(frozenset(), frozenset()) == 0.0


def test_pairs_are_named_with_their_similarity() -> None:
    """Nine words make seven shingles, of which six are shared among eight: 0.75."""
    one = persona("anna", "a sailor who has seen all the seven seas")
    other = persona("john", "a sailor who has seen all the seven lakes")
    third = persona("mary", "a nurse")
    assert near_duplicates([one, other, third], 0.75) == [Duplicate("anna@1", "john@1", 0.75)]
    assert near_duplicates([one, other, third], 0.76) == []
    assert similar_to(other, [one, third], 0.75) == [Duplicate("john@1", "anna@1", 0.75)]


def test_traits_count_as_much_as_descriptions() -> None:
    one = persona("anna", "a sailor", opening="aye", address="captain", voice="emma")
    other = persona("john", "someone else", opening="aye", address="captain", voice="emma")
    third = persona("mary", "a third one", opening="aye", address="captain", voice="heart")
    assert near_duplicates([one, other, third]) == [Duplicate("anna@1", "john@1", 1.0)]
    assert near_duplicates([one, third], 0.5) == [Duplicate("anna@1", "mary@1", 0.5)]


def test_versions_of_one_name_are_no_duplicates() -> None:
    assert near_duplicates([persona("anna", "a b"), persona("anna", "a b", 2)]) == []


def test_rubrics_by_their_criteria() -> None:
    one = rubric_of("default", "one", {"natural": (1.0, "sounds natural")})
    other = rubric_of("default", "other", {"natural": (1.0, "Sounds natural.")})
    assert near_duplicates([one, other]) == [Duplicate("one@1", "other@1", 1.0)]


def test_a_similarity_of_your_own() -> None:
    pair = [persona("anna", "a sailor"), persona("john", "a seaman")]
    assert near_duplicates(pair, similarity=lambda one, other: 0.9) == [
        Duplicate("anna@1", "john@1", 0.9)
    ]


@given(
    st.lists(st.text("ab ", min_size=1).filter(str.strip), max_size=12),
    st.sampled_from([0.1, 0.3, 0.5, 0.8, 1.0]),
)
def test_the_filter_loses_no_pair(texts: list[str], threshold: float) -> None:
    records = [persona(f"p{i:02d}", text) for i, text in enumerate(texts)]
    sets = {f"{r.name}@1": duplicates.shingles("description", r.description) for r in records}
    pairs = combinations(sorted(sets), 2)
    wanted = {(a, b) for a, b in pairs if jaccard(sets[a], sets[b]) >= threshold}
    assert {(d.one, d.other) for d in near_duplicates(records, threshold)} == wanted


@pytest.mark.parametrize("threshold", [0.0, 1.1, -1.0])
def test_thresholds(threshold: float) -> None:
    with pytest.raises(UsageError, match="outside"):
        near_duplicates([], threshold)
