"""Tasks whose replies are checked by rule: on topic, in persona, and both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from trivox.pipelines.nano.domain import Intent
from trivox.pipelines.realtime.grammar import wanted
from trivox.platform.personas.character import Verdict, in_character
from trivox.platform.records import Persona
from trivox.platform.text.words import spoken


class Asks(Protocol):
    """Anything that says what was asked: slots hold also what a follow-up leaves to the turn before."""

    @property
    def intent(self) -> Intent: ...
    @property
    def slots(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class Checked:
    """A reply against its request. missing: topic slot -> the value that the reply does not name."""

    missing: Mapping[str, str]
    verdict: Verdict

    @property
    def on_topic(self) -> bool:
        return not self.missing

    @property
    def in_persona(self) -> bool | None:
        """None: the persona has no habit that a rule can check."""
        return self.verdict.passed

    @property
    def both(self) -> bool | None:
        return None if self.in_persona is None else self.on_topic and self.in_persona


def missing(request: Asks, reply_text: str) -> dict[str, str]:
    """Topic slot -> value, of those that the words of the reply do not name."""
    said = spoken(reply_text)
    topic = wanted(request.intent, request.slots)
    return {name: value for name, value in topic.items() if spoken(value) not in said}


def on_topic(request: Asks, reply_text: str) -> bool:
    """Whether the reply names every topic value of the request, whole words, after the house's normaliser."""
    return not missing(request, reply_text)


def check(persona: Persona, request: Asks, reply_text: str) -> Checked:
    return Checked(missing(request, reply_text), in_character(persona, reply_text))
