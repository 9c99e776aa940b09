"""The packaged characters: twelve that training knows, and no two alike."""

from pathlib import Path

from trivox.pipelines.nano.clips import personas as trained_pairs
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.realtime.personas import (
    NANO_TRAITS,
    character,
    install,
    packaged_personas,
    packaged_rubric,
    pair,
)
from trivox.platform.personas.character import in_character
from trivox.platform.personas.duplicates import near_duplicates
from trivox.platform.personas.expand import expand
from trivox.platform.personas.registry import persona_of
from trivox.platform.store import Workspace


def test_twelve_that_training_knows() -> None:
    packaged = packaged_personas()
    pairs = [pair(persona) for persona in packaged]
    assert len({*pairs}) == len(packaged) == 12
    assert {*pairs} <= {*trained_pairs(held_out=False)}
    assert {persona.traits["voice"] for persona in packaged} == {*NanoRecipe().tts_voices}
    assert {opening for opening, _ in pairs} == {opening for opening, _ in trained_pairs(False)}
    assert near_duplicates(packaged, 0.6) == []


def test_the_rubric_weighs_what_is_checked() -> None:
    rubric = packaged_rubric()
    assert {*rubric.criteria} == {"on topic", "in character", "remembers"}
    assert rubric.metrics == {"en": ("wer", "english@1")}


def test_installed_once(tmp_path: Path) -> None:
    with Workspace.create(tmp_path / "ws") as ws:
        assert len(install(ws)) == 13
        assert install(ws) == [*packaged_personas(), packaged_rubric()]


def test_what_the_model_is_told() -> None:
    anna = packaged_personas()[0]
    assert character(anna) == "anna says aye and calls me captain"
    assert character(persona_of("default", "bob", "a cook", {"opening": "aye"})) == "a cook"
    assert in_character(anna, "aye captain the lamp is on").passed


def test_expanded_ones_are_personas_of_nano() -> None:
    new = [one.persona for one in expand(packaged_personas(), 20, seed=1).made]
    assert len(new) == 20
    assert all({*persona.traits} == {*NANO_TRAITS} for persona in new)
    first = new[0]
    opening, address = pair(first)
    assert character(first) == f"{first.name.split('-')[0]} says {opening} and calls me {address}"
