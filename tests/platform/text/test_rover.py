"""Votes worked out by hand, and what holds for any systems."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.platform.errors import UsageError
from trivox.platform.text.rover import Arc, Consensus, Hypothesis, joined, rover, rover_texts

SENTENCE = st.lists(st.sampled_from("abcd"), max_size=6)


def vote(*sentences: str) -> Consensus:
    return rover(
        [Hypothesis(f"s{n}", tuple(sentence.split())) for n, sentence in enumerate(sentences)]
    )


def arcs(consensus: Consensus) -> list[dict[str | None, int]]:
    return [{arc.word: arc.votes for arc in slot.arcs} for slot in consensus.slots]


def test_majority_of_three() -> None:
    """turn|off|the|light: in slots 2 and 4 one system is outvoted by two."""
    found = vote("turn off the light", "turn of the light", "turn off the night")
    assert found.words() == ["turn", "off", "the", "light"]
    assert arcs(found) == [{"turn": 3}, {"off": 2, "of": 1}, {"the": 3}, {"light": 2, "night": 1}]
    assert found.disagreement() == 0 and found.ties == 0


def test_insertion_is_outvoted_by_null_arcs() -> None:
    found = vote("a b c", "a b c", "a x b c")
    assert found.words() == ["a", "b", "c"]
    assert arcs(found) == [{"a": 3}, {None: 2, "x": 1}, {"b": 3}, {"c": 3}]
    assert found.disagreement() == 0


def test_deletion_is_outvoted_by_words() -> None:
    found = vote("a c", "a b c", "a b c")
    assert found.words() == ["a", "b", "c"]
    assert arcs(found)[1] == {"b": 2, None: 1}


def test_three_different_words() -> None:
    """Slot 2 has no arc of two votes: 1 of 3 slots; the first system's word stands, and is left out at 2 votes."""
    found = vote("a x c", "a y c", "a z c")
    assert found.words() == ["a", "x", "c"] and found.words(min_votes=2) == ["a", "c"]
    assert found.slots[1].tied and found.ties == 1
    assert found.slots[1].arcs == (
        Arc("x", ("s0",), 1 / 3),
        Arc("y", ("s1",), 1 / 3),
        Arc("z", ("s2",), 1 / 3),
    )
    assert found.disagreement(2) == pytest.approx(1 / 3)


def test_agreed_silence_does_not_dilute_disagreement() -> None:
    """a|x y z|(q, none, none): the third slot is agreed to be nothing, so 1 of 2 is open, not 1 of 3."""
    found = vote("a x q", "a y", "a z")
    assert found.disagreement(2) == pytest.approx(1 / 2)
    assert found.words(2) == ["a"]


def test_a_tie_of_two_goes_to_the_first_named() -> None:
    assert vote("a b", "a c").words() == ["a", "b"]
    assert vote("a c", "a b").words() == ["a", "c"]
    assert vote("a", "a c").words() == ["a"], "a null arc of the first system wins its tie too"
    assert vote("a c", "a").words() == ["a", "c"]


def test_the_network_grows_by_more_than_words_beside_words() -> None:
    """The third system's "b" finds the second system's slot, which the first passes over."""
    found = vote("a d", "a b c d", "a b d")
    assert arcs(found) == [{"a": 3}, {"b": 2, None: 1}, {None: 2, "c": 1}, {"d": 3}]


def test_confidences() -> None:
    """alpha 0.5: b = .5*1/3 + .5*.9 = .617; c = .5*2/3 + .5*(.2+.3)/2 = .458; so the lone but sure b wins."""
    hypotheses = [
        Hypothesis("s0", ("a", "c"), (0.9, 0.2)),
        Hypothesis("s1", ("a", "b"), (0.8, 0.9)),
        Hypothesis("s2", ("a", "c"), (0.7, 0.3)),
    ]
    slot = rover(hypotheses, alpha=0.5).slots[1]
    assert [(arc.word, round(arc.score, 3)) for arc in slot.arcs] == [("b", 0.617), ("c", 0.458)]
    assert rover(hypotheses).words() == ["a", "c"]


def test_null_confidence() -> None:
    """alpha 0.5, one of two hears nothing: word .25+.5*.4=.45 against null .25+.5*nc: .6 beats it, .2 does not."""
    pair = [Hypothesis("s0", ("a",), (0.4,)), Hypothesis("s1", (), ())]
    assert rover(pair, 0.5, null_confidence=0.6).words() == []
    assert rover(pair, 0.5, null_confidence=0.2).words() == ["a"]


def test_texts_are_normalised_by_language() -> None:
    found = rover_texts({"one": "Turn it off!", "two": "turn it OFF."}, "en-US")
    assert found.words(2) == ["turn", "it", "off"]
    chinese = rover_texts(
        {"one": "我们去公园吧。", "two": "我们去公园", "three": "我门去公园吧"}, "zh"
    )
    assert joined(chinese.words(2), "zh") == "我们去公园吧"
    assert joined(["a", "b"], "en") == "a b"


def test_nobody_heard_anything() -> None:
    found = vote("", "", "")
    assert (found.slots, found.words(), found.disagreement()) == ((), [], 0)


def test_refusals() -> None:
    with pytest.raises(UsageError, match="1 systems: name at least 2"):
        vote("a")
    with pytest.raises(UsageError, match="system x is named twice"):
        rover([Hypothesis("x", ()), Hypothesis("x", ())])
    with pytest.raises(UsageError, match="system s0 gives no confidences and alpha is 0.5"):
        rover([Hypothesis("s0", ("a",)), Hypothesis("s1", ())], alpha=0.5)
    with pytest.raises(UsageError, match="alpha is 2"):
        rover([Hypothesis("s0", ("a",)), Hypothesis("s1", ())], alpha=2)
    with pytest.raises(UsageError, match="2 words and 1 confidences"):
        Hypothesis("s0", ("a", "b"), (0.5,))


@given(SENTENCE, st.integers(2, 4))
def test_a_system_that_votes_with_itself_says_the_same(sentence: list[str], count: int) -> None:
    found = vote(*[" ".join(sentence)] * count)
    assert found.words(count) == sentence
    assert found.disagreement(count) == 0 and found.ties == 0


@given(st.lists(SENTENCE, min_size=2, max_size=4))
def test_every_system_votes_once_in_every_slot(sentences: list[list[str]]) -> None:
    found = vote(*map(" ".join, sentences))
    for slot in found.slots:
        voters = [system for arc in slot.arcs for system in arc.systems]
        assert sorted(voters) == sorted(found.systems)
        assert any(arc.word is not None for arc in slot.arcs)
    for name, sentence in zip(found.systems, sentences, strict=True):
        said = [arc.word for slot in found.slots for arc in slot.arcs if name in arc.systems]
        assert [word for word in said if word is not None] == sentence


@given(st.lists(SENTENCE, min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_systems_decides_ties_and_nothing_else(
    sentences: list[list[str]], random
) -> None:  # type: ignore[no-untyped-def]
    named = [Hypothesis(f"s{n}", tuple(words)) for n, words in enumerate(sentences)]
    mixed = list(named)
    random.shuffle(mixed)
    one, other = rover(named), rover(mixed)
    for slot, same in zip(one.slots, other.slots, strict=True):
        votes = {arc.word: arc.votes for arc in slot.arcs}
        assert votes == {arc.word: arc.votes for arc in same.arcs}
        assert slot.tied == same.tied
        if not slot.tied:
            assert slot.chosen.word == same.chosen.word
