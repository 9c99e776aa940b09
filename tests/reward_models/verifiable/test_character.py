"""Rules of a persona as a scorer: a share by hand, failures typed, and the reward of realtime that asks it."""

from dataclasses import replace

import pytest

from trivox.platform.records import Persona
from trivox.platform.scoring import Item
from trivox.reward_models.composition import load
from trivox.reward_models.registry import build

BUTLER = Persona(
    "pe", "p", "butler", 1, "a butler",
    {"opening": "certainly", "address": "sir", "forbidden": "dude; no way"},
)  # fmt: skip


def reply(text: str | None, persona: Persona | None = BUTLER) -> Item:
    return Item("r", None, None, text, "en", persona=persona)


@pytest.mark.parametrize(
    ("text", "value"),
    [("Certainly, sir, the lamp is on.", 1.0), ("Certainly, the lamp is on.", 0.75),
     ("the lamp is on, dude", 0.25), ("No way, dude!", 0.0)],
)  # fmt: skip
def test_the_share_of_four_rules(text: str, value: float) -> None:
    [found] = build("in-character").score([reply(text)])
    assert found.value == value
    assert (found.evidence == "all 4 rules kept") == (value == 1)


def test_what_cannot_be_checked_fails_typed() -> None:
    plain = replace(BUTLER, traits={"temper": "calm"})
    items = [reply("yes", None), reply("yes", plain), reply(None), reply(" ")]
    found = build("in-character").score(items)
    kinds = [one.failure.kind for one in found if one.failure]
    assert kinds == ["no_persona", "no_persona", "no_text", "no_text"]


def test_the_reward_of_realtime_weighs_it() -> None:
    part = next(one for one in load("realtime").component if one.scorer == "in-character")
    assert part.weight == 2.0 and part.missing == ("no_persona",)
