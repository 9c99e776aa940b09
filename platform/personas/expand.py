"""New personas out of the traits of others: each trait from one parent, no near-duplicate of what there is."""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trivox.platform.errors import UsageError
from trivox.platform.personas import THRESHOLD
from trivox.platform.personas.duplicates import similar_to
from trivox.platform.personas.registry import persona_of, reference
from trivox.platform.records import Persona

TRAITS = ("personality", "verbal habits", "emotional boundaries", "interaction archetype")
"""What a persona is described by in general; any other names may be used, those of nano are rules."""
_DRAWS = 200
"""Draws without a new persona after which no more are tried."""


@dataclass(frozen=True)
class Recombined:
    """A new persona; sources: trait -> the parent that it is from."""

    persona: Persona
    sources: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        named = {"persona": reference(self.persona), "traits": self.persona.traits}
        return {**named, "sources": dict(self.sources)}


@dataclass(frozen=True)
class Expansion:
    """What was made of what was wanted, and why other draws were refused: counted by "near-duplicate", "same"."""

    made: tuple[Recombined, ...]
    wanted: int
    refused: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        made = [new.to_json() for new in self.made]
        counts = {"wanted": self.wanted, "made": len(made), "refused": dict(self.refused)}
        return {"personas": made, **counts}


def expand(
    parents: Sequence[Persona],
    count: int,
    seed: int,
    existing: Sequence[Persona] = (),
    threshold: float = THRESHOLD,
) -> Expansion:
    """Up to count personas, each of traits of at least two parents that have the same kinds of traits.

    Fewer are made when many draws in a row bring nothing new. existing: whom the new ones may not nearly repeat,
    and whose names are taken; parents count as existing. Raises UsageError for parents that cannot be recombined.
    """
    groups = _groups(parents)
    rng = random.Random(f"expand {seed}")
    known = list({reference(persona): persona for persona in (*parents, *existing)}.values())
    made: list[Recombined] = []
    refused, vain = Counter[str](), 0
    while len(made) < count and vain < _DRAWS:
        new = _draw(rng.choice(groups), rng, known)
        reason = _refusal(new, known, threshold)
        if reason is None:
            made.append(new)
            known.append(new.persona)
        vain = 0 if reason is None else vain + 1
        refused.update([reason] if reason else [])
    return Expansion(tuple(made), count, dict(refused))


def _groups(parents: Sequence[Persona]) -> list[list[Persona]]:
    """Personas that can be recombined with each other: the same kinds of traits, at least two of each."""
    by_traits: dict[frozenset[str], list[Persona]] = defaultdict(list)
    for persona in parents:
        by_traits[frozenset(persona.traits)].append(persona)
    groups = [group for traits, group in by_traits.items() if len(traits) > 1 and len(group) > 1]
    if not groups:
        raise UsageError(
            f"{len(parents)} personas, of which no two have the same kinds of traits, at least two: "
            f"give personas with the same traits ({', '.join(TRAITS)}, say)"
        )
    return groups


def _draw(group: Sequence[Persona], rng: random.Random, known: Sequence[Persona]) -> Recombined:
    sources = {trait: rng.choice(group) for trait in group[0].traits}
    over = list({reference(persona): persona for persona in sources.values()}.values())
    traits = {trait: persona.traits[trait] for trait, persona in sources.items()}
    name = _name(over, {persona.name for persona in known})
    description = "; ".join(f"{trait}: {value}" for trait, value in traits.items())
    references = [reference(persona) for persona in over]
    persona = persona_of(over[0].project, name, description, traits, parents=references)
    return Recombined(persona, {trait: reference(of) for trait, of in sources.items()})


def _name(over: Sequence[Persona], taken: set[str]) -> str:
    """The first names of at most two parents, and the first number that is free."""
    first = "-".join(persona.name.split("-")[0] for persona in over[:2])
    return next(name for n in range(1, len(taken) + 2) if (name := f"{first}-{n}") not in taken)


def _refusal(new: Recombined, known: Sequence[Persona], threshold: float) -> str | None:
    if len(new.persona.parents) < 2:
        return "same"
    return "near-duplicate" if similar_to(new.persona, known, threshold) else None
