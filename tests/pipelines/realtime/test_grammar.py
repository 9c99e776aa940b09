"""Requests read back: everything that the grammar can ask is read as what it was made from."""

import random

from hypothesis import given
from hypothesis import strategies as st

from trivox.pipelines.nano.domain import FOLLOW_UPS, INTENTS, Intent, ask
from trivox.pipelines.realtime.grammar import carried, fields, readings, wanted


@given(st.sampled_from([*INTENTS, *FOLLOW_UPS.values()]), st.integers(0, 10_000))
def test_every_request_is_read_as_its_intent(intent: Intent, seed: int) -> None:
    asked = ask(intent, random.Random(seed))
    read = [reading for reading in readings(asked.text) if reading.intent == intent]
    assert read
    assert all(asked.slots[name] == value for name, value in read[0].named.items())


def test_a_follow_up_has_a_reading_for_each_turn_that_it_may_follow() -> None:
    assert {reading.before for reading in readings("and in the kitchen")} == {"light", "music"}
    assert [dict(reading.named) for reading in readings("what about paris")] == [{"city": "paris"}]


def test_words_outside_of_the_domain_have_no_reading() -> None:
    assert readings("turn on") == ()
    assert readings("") == ()
    assert readings("please turn on the kitchen light and more") == ()


def test_what_a_follow_up_leaves_to_the_turn_before() -> None:
    (reading,) = [r for r in readings("and in the kitchen") if r.before == "light"]
    slots = {"room": "kitchen", "thing": "lamp", "switch": "on", "city": "rome"}
    assert wanted(reading.intent, slots) == {"room": "kitchen", "thing": "lamp", "switch": "on"}
    assert carried(reading.intent, reading, slots) == {"thing": "lamp", "switch": "on"}


def test_fields_of_a_template() -> None:
    assert fields("{food} and {food2} are on the list") == {"food", "food2"}
    assert fields("which name did i say") == frozenset()
