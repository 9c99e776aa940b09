"""Several recognisers vote: with hand-written ones, whose words are known."""

import json

import numpy as np
import pytest

from trivox.platform.scoring import Item, Value
from trivox.reward_models.audio_checks import Samples
from trivox.reward_models.verifiable.recognisers import UnknownLanguage
from trivox.reward_models.verifiable.verdict import Verdict

SOUND = np.sin(np.arange(16_000, dtype=np.float32))


class Ear:
    """Hears what it is told to; knows English."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.family, self.weights_hash, self._text = name, f"family-{name}", name, text

    def transcribe(self, samples: Samples, language: str) -> str:
        if language != "en":
            raise UnknownLanguage(f"{self.name} does not know {language!r}")
        return self._text


def verdict(of: str, heard: str, item: Item) -> Value:
    """heard: what each ear hears, separated by "/"."""
    ears = {f"e{index}": Ear(f"e{index}", text) for index, text in enumerate(heard.split("/"))}
    return Verdict("vote", of, ears).score([item])[0]


def spoken(text: str | None, hypothesis: str | None = None, language: str = "en") -> Item:
    return Item("r", SOUND, 16_000, text, language, hypothesis=hypothesis)


def test_speech_is_held_against_the_agreed_words() -> None:
    """Two hear "lamp", one "lap": agreed turn the lamp on; said turn the light on: 1 of 4 wrong. All slots have
    two votes, so nothing is uncertain."""
    found = verdict(
        "speech", "turn the lamp on/turn the lap on/turn the lamp on", spoken("turn the light on")
    )
    assert (found.value, found.uncertainty) == (0.25, 0.0)
    assert json.loads(found.evidence or "")["votes"] == [
        ["turn", 3],
        ["the", 3],
        ["lamp", 2],
        ["on", 3],
    ]


def test_a_transcript_is_held_against_them_too() -> None:
    """Agreed: turn the lamp on. The transcript lacks "the": 1 of 4; no true text is needed."""
    found = verdict("transcript", "turn the lamp on/turn the lamp on", spoken(None, "turn lamp on"))
    assert found.value == 0.25


def test_uncertainty_is_the_share_without_two_votes() -> None:
    """a b agreed, third place x, y and z: one of three places is open."""
    found = verdict("speech", "a b x/a b y/a b z", spoken("a b x"))
    assert found.value == pytest.approx(1 / 3) == found.uncertainty


def test_ears_that_hear_different_things_give_no_number() -> None:
    found = verdict("speech", "one two/three four/five six", spoken("one two"))
    assert found.failure is not None and found.failure.kind == "no_consensus"


def test_what_cannot_be_compared_fails_typed() -> None:
    one = "hello/hello"
    kinds = [
        verdict("speech", one, spoken(None)),
        verdict("transcript", one, spoken("a")),
        verdict("speech", one, spoken("hallo", language="de")),
        verdict("speech", one, Item("r", None, None, "a", "en")),
    ]
    assert [found.failure.kind for found in kinds if found.failure] == [
        "no_text", "no_transcript", "unknown_language", "no_audio",
    ]  # fmt: skip


def test_its_family_is_all_of_theirs() -> None:
    assert Verdict("vote", "speech", {"b": Ear("b", ""), "a": Ear("a", "")}).info.family == (
        "family-a+family-b"
    )
