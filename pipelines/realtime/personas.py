"""The personas and the rubric that come with Trivox, and what a persona is to the realtime branch."""

from pathlib import Path

from trivox.pipelines.realtime.dialogues import persona_text
from trivox.platform.errors import UsageError
from trivox.platform.personas import exchange
from trivox.platform.personas.registry import reference
from trivox.platform.records import Persona, Rubric
from trivox.platform.store import Workspace

PACKAGED = Path(__file__).with_name("personas.toml")
NANO_TRAITS = ("opening", "address", "voice")
"""What nano knows of a persona: how replies begin, what they call the user, which voice speaks them."""


def packaged_personas(project: str = "default") -> list[Persona]:
    """The twelve characters of nano."""
    found = exchange.records(exchange.read(PACKAGED), project)
    return [record for record in found if isinstance(record, Persona)]


def packaged_rubric(project: str = "default") -> Rubric:
    """What realtime replies are weighed by."""
    found = exchange.records(exchange.read(PACKAGED), project)
    return next(record for record in found if isinstance(record, Rubric))


def install(ws: Workspace) -> list[Persona | Rubric]:
    """Registers the packaged personas and the rubric in a workspace; what is there stays."""
    return exchange.take(ws, exchange.read(PACKAGED))


def character(persona: Persona) -> str:
    """What stands after `<|persona|>`: nano's own words, or the description where the traits are others.

    Of an expanded persona's name ("anna-john-2") the first word is said.
    """
    opening, address = persona.traits.get("opening"), persona.traits.get("address")
    if opening is None or address is None:
        return persona.description
    return persona_text(persona.name.split("-")[0], opening, address)


def pair(persona: Persona) -> tuple[str, str]:
    """(opening, address); raises UsageError for a persona that has not both."""
    missing = [trait for trait in NANO_TRAITS[:2] if trait not in persona.traits]
    if missing:
        raise UsageError(
            f"persona {reference(persona)} has no trait {missing[0]!r}: nano knows a persona by "
            f"{NANO_TRAITS[0]} and {NANO_TRAITS[1]}"
        )
    return persona.traits["opening"], persona.traits["address"]
