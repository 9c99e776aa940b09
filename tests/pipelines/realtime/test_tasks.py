"""Rule-checked tasks: every value that a request turns on is named, and the persona keeps its habits."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.pipelines.nano.domain import INTENTS, Intent, Request, ask, persona_reply
from trivox.pipelines.realtime.grammar import INTENT
from trivox.pipelines.realtime.tasks import check, missing, on_topic
from trivox.platform.personas.registry import persona_of

ANNA = persona_of("default", "anna", "a sailor", {"opening": "aye", "address": "captain"})


def request(intent: str, **slots: str) -> Request:
    return Request(INTENT[intent], "", 0, slots)


LIGHT = request("light", room="living room", thing="lamp", switch="on")


@pytest.mark.parametrize(
    ("reply", "left_out"),
    [
        ("aye captain the living room lamp is on", set()),
        ("The lamp in the Living Room? On!", set()),
        ("the living room lamp is only off", {"switch"}),
        ("the room lamp is on", {"room"}),
        ("", {"room", "thing", "switch"}),
    ],
)
def test_missing(reply: str, left_out: set[str]) -> None:
    assert missing(LIGHT, reply).keys() == left_out
    assert on_topic(LIGHT, reply) is (not left_out)


def test_numbers_however_they_are_written() -> None:
    timer = request("timer", number="fifty", unit="seconds")
    assert on_topic(timer, "fifty seconds from now")
    assert on_topic(timer, "50 seconds from now")
    assert not on_topic(timer, "fifteen seconds from now")


def test_what_only_the_answer_names_is_free() -> None:
    weather = request("weather", city="rome", day="monday", weather="sunny")
    assert on_topic(weather, "it will be foggy in rome")


@given(st.sampled_from(INTENTS), st.integers(0, 10_000))
def test_every_answer_of_the_grammar_is_on_topic(intent: Intent, seed: int) -> None:
    rng = random.Random(seed)
    asked = ask(intent, rng)
    checked = check(ANNA, asked, persona_reply("aye", "captain", asked.answer(rng)))
    assert checked.both is True


def test_both() -> None:
    assert check(ANNA, LIGHT, "sure captain the living room lamp is on").both is False
    assert check(ANNA, LIGHT, "aye captain").both is False
    plain = persona_of("default", "bob", "anybody", {})
    checked = check(plain, LIGHT, "the living room lamp is on")
    assert (checked.on_topic, checked.in_persona, checked.both) == (True, None, None)
