"""Personas and rubrics: versions never change, a new one has the old as parent, every parent is there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from trivox.platform.errors import NotFound, UsageError
from trivox.platform.personas import registry
from trivox.platform.personas.registry import persona_of, reference, rubric_of
from trivox.platform.records import Persona, Rubric
from trivox.platform.store import Workspace

AYE = {"opening": "aye", "address": "captain"}
CRITERIA = {"on topic": (0.5, "names what was asked"), "in character": (0.5, "says its phrases")}


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.create(tmp_path / "ws") as made:
        yield made


def test_a_new_version_has_the_old_one_as_parent(ws: Workspace) -> None:
    first = registry.revise_persona(ws, "anna", "a sailor", AYE)
    second = registry.revise_persona(ws, "anna", "an old sailor", AYE)
    assert (reference(first), first.parents) == ("anna@1", ())
    assert (reference(second), second.parents) == ("anna@2", ("anna@1",))
    assert registry.revise_persona(ws, "anna", "an old sailor", AYE) == second
    assert registry.resolve(ws, Persona, "anna") == second
    assert registry.resolve(ws, Persona, "anna@1") == first
    assert registry.current(ws, Persona) == [second]
    assert registry.every(ws, Persona) == [first, second]


def test_a_version_never_changes(ws: Workspace) -> None:
    first = registry.revise_persona(ws, "anna", "a sailor", AYE)
    assert registry.add(ws, persona_of("default", "anna", "a sailor", AYE)) == first
    with pytest.raises(UsageError, match=r"persona anna@1 is registered .* give it version 2"):
        registry.add(ws, persona_of("default", "anna", "a cook", AYE))


def test_lineage_and_whom_a_trait_is_from(ws: Workspace) -> None:
    registry.revise_persona(ws, "anna", "a sailor", AYE)
    registry.revise_persona(ws, "john", "a butler", {"opening": "gladly", "address": "sir"})
    mixed = persona_of(
        "default",
        "mix",
        "both",
        {"opening": "aye", "address": "sir", "mood": "calm"},
        parents=("anna@1", "john@1"),
    )
    registry.add(ws, mixed)
    again = registry.revise_persona(ws, "mix", "both, but loud", mixed.traits)
    assert [*map(reference, registry.lineage(ws, again))] == ["mix@2", "mix@1", "anna@1", "john@1"]
    assert registry.provenance(ws, mixed) == {
        "opening": "anna@1",
        "address": "john@1",
        "mood": None,
    }


def test_what_is_not_there(ws: Workspace) -> None:
    with pytest.raises(NotFound, match="no persona 'anna' in .*; registered: none yet"):
        registry.resolve(ws, Persona, "anna")
    registry.revise_persona(ws, "anna", "a sailor", AYE)
    with pytest.raises(NotFound, match="the newest of that name is anna@1"):
        registry.resolve(ws, Persona, "anna@2")
    with pytest.raises(NotFound, match="no rubric 'anna'"):
        registry.resolve(ws, Rubric, "anna")
    with pytest.raises(NotFound, match="no persona 'eve'"):
        registry.add(ws, persona_of("default", "mix", "both", AYE, parents=("anna@1", "eve@1")))
    assert len(registry.every(ws, Persona)) == 1


def test_rubrics_have_versions_too(ws: Workspace) -> None:
    first = registry.revise_rubric(ws, "talk", CRITERIA)
    second = registry.revise_rubric(ws, "talk", CRITERIA, {"en": ("wer", "english@1")})
    assert (first.metrics, second.parents) == ({}, ("talk@1",))
    assert registry.revise_rubric(ws, "talk", CRITERIA, {"en": ("wer", "english@1")}) == second
    assert [*map(reference, registry.lineage(ws, second))] == ["talk@2", "talk@1"]


@pytest.mark.parametrize(
    ("criteria", "said"),
    [
        ({"a": (0.5, ""), "b": (0.4, "")}, "the weights sum to 0.9: they have to sum to 1"),
        ({}, "the weights sum to 0: they have to sum to 1"),
        ({"a": (1.5, ""), "b": (-0.5, "")}, "weight of b is -0.5: give more than 0"),
        ({"a": (float("nan"), "")}, "weight of a is nan: give more than 0"),
    ],
)
def test_weights_are_checked(criteria: dict[str, tuple[float, str]], said: str) -> None:
    with pytest.raises(UsageError, match=f"rubric talk: {said}"):
        rubric_of("default", "talk", criteria)


def test_thirds_sum_to_one() -> None:
    thirds = {name: (1 / 3, "") for name in "abc"}
    assert rubric_of("default", "talk", thirds).criteria == thirds


def test_metrics_are_of_their_language() -> None:
    rubric_of("default", "talk", CRITERIA, {"zh": ("cer", "characters@1")})
    with pytest.raises(UsageError, match="normaliser of zh is 'english@1': .* 'characters@1'"):
        rubric_of("default", "talk", CRITERIA, {"zh": ("cer", "english@1")})
    with pytest.raises(UsageError, match="metric of en is 'bleu': give one of wer, cer"):
        rubric_of("default", "talk", CRITERIA, {"en": ("bleu", "english@1")})


@pytest.mark.parametrize(
    ("name", "description", "traits", "said"),
    [
        ("anna@1", "x", {}, "persona 'anna@1': name it with"),
        ("", "x", {}, "persona '': name it with"),
        ("anna", " ", {}, "description is empty"),
        ("anna", "x", {"opening": ""}, "trait 'opening' is ''"),
    ],
)
def test_personas_are_checked(
    name: str, description: str, traits: dict[str, str], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        persona_of("default", name, description, traits)
