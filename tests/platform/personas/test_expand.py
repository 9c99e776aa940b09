"""Personas recombined: every trait from a parent, nothing twice, the seed decides."""

import pytest

from trivox.platform.errors import UsageError
from trivox.platform.personas.duplicates import near_duplicates
from trivox.platform.personas.expand import TRAITS, expand
from trivox.platform.personas.registry import persona_of, reference
from trivox.platform.records import Persona

NANO = [
    persona_of("default", name, f"{name} of the house", dict(opening=o, address=a, voice=v))
    for name, o, a, v in (
        ("anna", "aye", "captain", "emma"),
        ("john", "gladly", "sir", "michael"),
        ("lucy", "well", "my dear", "heart"),
    )
]
GENERAL = [
    persona_of("default", name, f"{name} at large", {t: f"{name} {t}" for t in TRAITS})
    for name in ("rose", "max")
]


def test_every_trait_is_from_its_parent() -> None:
    made = expand(NANO, 10, seed=1).made
    by_name = {reference(persona): persona for persona in NANO}
    assert len(made) == 10
    for new in made:
        assert {*new.sources.values()} == {*new.persona.parents}
        assert len(new.persona.parents) >= 2
        for trait, parent in new.sources.items():
            assert new.persona.traits[trait] == by_name[parent].traits[trait]


def test_nothing_is_made_twice() -> None:
    """3 openings, 3 addresses, 3 voices: 27, of which 3 are the parents."""
    expansion = expand(NANO, 100, seed=1)
    new = [one.persona for one in expansion.made]
    assert len(new) == 24
    assert expansion.wanted == 100
    assert expansion.refused["near-duplicate"] > 0
    assert expansion.refused["same"] > 0
    assert near_duplicates([*NANO, *new]) == []
    assert len({persona.name for persona in new}) == 24


def test_existing_ones_are_not_repeated() -> None:
    first = [one.persona for one in expand(NANO, 12, seed=1).made]
    more = [one.persona for one in expand(NANO, 100, seed=2, existing=first).made]
    assert len(more) == 12
    assert not {p.name for p in first} & {p.name for p in more}
    assert not {tuple(p.traits.values()) for p in first} & {tuple(p.traits.values()) for p in more}


def test_a_lower_threshold_refuses_more() -> None:
    """At 0.5 whoever shares two of three traits (2 of 4) is a duplicate."""
    new = [one.persona for one in expand(NANO, 100, seed=1, threshold=0.5).made]
    for i, one in enumerate([*NANO, *new]):
        for other in [*NANO, *new][:i]:
            assert sum(one.traits[t] == other.traits[t] for t in one.traits) < 2


def test_the_seed_decides() -> None:
    assert expand(NANO, 5, seed=1) == expand(NANO, 5, seed=1)
    assert expand(NANO, 5, seed=1) != expand(NANO, 5, seed=2)


def test_only_personas_of_the_same_traits_are_mixed() -> None:
    """Two with four traits: 16 mixes less the 2 parents, and 24 of nano."""
    made = expand([*NANO, *GENERAL], 100, seed=1).made
    assert len(made) == 14 + 24
    kinds = {frozenset(one.persona.traits) for one in made}
    assert kinds == {frozenset(TRAITS), frozenset(("opening", "address", "voice"))}


@pytest.mark.parametrize("parents", [[], NANO[:1], [NANO[0], GENERAL[0]]])
def test_parents_that_cannot_be_mixed(parents: list[Persona]) -> None:
    with pytest.raises(UsageError, match=f"{len(parents)} personas, of which no two have the same"):
        expand(parents, 1, seed=1)
