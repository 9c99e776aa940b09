"""The grammar: what it may say, that answers name their topic, and that a split is a matter of the text alone."""

import random
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.pipelines.nano.domain import (
    ADDRESSES,
    FOLLOW_UPS,
    INTENTS,
    OPENINGS,
    SLOTS,
    Intent,
    ask,
    persona_reply,
    request,
    split_of,
    words,
)
from trivox.pipelines.nano.train_encoder import LETTERS
from trivox.platform.records import Split

SEEDS = st.integers(0, 10**6)
EVERY = [*INTENTS, *FOLLOW_UPS.values()]


def names_of(template: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(template) if name]


@pytest.mark.parametrize("intent", EVERY, ids=lambda intent: intent.name)
def test_every_request_of_an_intent_can_be_answered(intent: Intent) -> None:
    """Each answer names all of the topic."""
    for seed in range(20):
        rng = random.Random(seed)
        asked = ask(intent, rng)
        answer = asked.answer(rng)
        assert all(asked.slots[slot] in answer for slot in intent.topic)
        assert set(asked.text + answer) <= set(LETTERS)
        assert {*asked.text.split(), *answer.split()} <= set(words())
        assert asked.intent is intent


def test_intents_have_names_of_their_own_and_topics_that_they_answer() -> None:
    assert len({intent.name for intent in INTENTS}) == len(INTENTS)
    assert FOLLOW_UPS.keys() <= {intent.name for intent in INTENTS}
    for intent in EVERY:
        for answer in intent.answers:
            assert set(intent.topic) <= set(names_of(answer))


@given(SEEDS)
def test_a_request_can_be_cut_before_its_second_part(seed: int) -> None:
    asked = request(random.Random(seed))
    if asked.cut:
        assert asked.text[asked.cut - 1] == " " and asked.text[asked.cut] != " "
    assert "  " not in asked.text and asked.text == asked.text.strip()


def test_where_a_request_is_cut() -> None:
    """ "turn on the lamp | in the office": 17 characters and a space. One template has no second part."""
    lights = [ask(INTENTS[0], random.Random(seed)) for seed in range(30)]
    turned = next(asked for asked in lights if asked.text.startswith("turn"))
    assert turned.text[turned.cut :] == f"in the {turned.slots['room']}"
    assert {asked.cut for asked in lights if asked.text.startswith("please")} == {0}


@given(SEEDS)
def test_two_of_a_kind_differ(seed: int) -> None:
    slots = request(random.Random(seed)).slots
    assert slots["food"] != slots["food2"] and slots["city"] != slots["city2"]
    assert slots.keys() == SLOTS.keys() | {"food2", "city2"}
    assert all(value in SLOTS[name.rstrip("2")] for name, value in slots.items())


def test_a_follow_up_keeps_what_is_not_said_again() -> None:
    """Of a light, room, thing and switch were said; "and in the ROOM" changes the room alone."""
    for seed in range(20):
        rng = random.Random(seed)
        first = ask(INTENTS[0], rng)
        second = ask(FOLLOW_UPS["light"], rng, first.slots)
        assert second.cut == 0
        assert second.text.endswith(second.slots["room"])
        kept = {name: value for name, value in second.slots.items() if name != "room"}
        assert kept == {name: value for name, value in first.slots.items() if name != "room"}


def test_what_was_said_is_recalled() -> None:
    meet = next(intent for intent in INTENTS if intent.name == "meet")
    first = ask(meet, random.Random(0))
    second = ask(FOLLOW_UPS["meet"], random.Random(1), first.slots)
    assert second.slots == first.slots
    assert second.answer(random.Random(0)) == f"you said {first.slots['name']}"


def test_a_persona_says_its_opening_and_address_first() -> None:
    assert persona_reply("aye", "captain", "it is on") == "aye captain it is on"
    assert len(set(OPENINGS)) == len(set(ADDRESSES)) == 8


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("set a timer for ten minutes", Split.TEST),
        ("turn on the light in the kitchen", Split.VALIDATION),
        ("call anna tomorrow in the morning", Split.TRAIN),
    ],
)
def test_split_is_fixed_by_the_text(text: str, split: Split) -> None:
    """The first byte of sha256 is e6, 230; 3d, 61; 89, 137: modulo 10 it is 0, 1, 7."""
    assert split_of(text) is split


def test_a_tenth_of_the_texts_is_for_test_and_validation_each() -> None:
    texts = {request(random.Random(seed)).text for seed in range(3000)}
    share = Counter(split_of(text) for text in texts)
    assert share[Split.TEST] / len(texts) == pytest.approx(0.1, abs=0.02)
    assert share[Split.VALIDATION] / len(texts) == pytest.approx(0.1, abs=0.02)


def test_intents_are_drawn_alike() -> None:
    rng = random.Random(0)
    drawn = Counter(request(rng).intent.name for _ in range(3600))
    assert drawn.keys() == {intent.name for intent in INTENTS}
    assert min(drawn.values()) > 140 and max(drawn.values()) < 260, "200 are expected of each"


def test_words_are_in_order_and_once() -> None:
    found = words()
    assert found == sorted(set(found))
    assert {"lamp", "captain", "aye", "turn", "from"} <= set(found)
    assert all(set(word) <= set(LETTERS) - {" "} for word in found)
