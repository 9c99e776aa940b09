"""Whether a reply is in character: the verbal habits of a persona, checked by rule.

Four traits are rules: `opening` (how replies begin), `closing` (how they end), `address` (what the user is called,
somewhere in the reply) and `forbidden` (phrases never said, between semicolons).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from trivox.platform.personas.registry import reference
from trivox.platform.records import Persona
from trivox.platform.text.words import Words, spoken


class Rule(StrEnum):
    OPENING = "opening"
    ADDRESS = "address"
    CLOSING = "closing"
    FORBIDDEN = "forbidden"


@dataclass(frozen=True)
class Result:
    """One rule on one reply: what it asks for, and whether the reply has it (for forbidden: has it not)."""

    rule: Rule
    phrase: str
    passed: bool


@dataclass(frozen=True)
class Verdict:
    """Every rule of a persona on one reply."""

    persona: str
    results: tuple[Result, ...]

    @property
    def passed(self) -> bool | None:
        """Whether every rule held; None: the persona has no trait that is a rule, so nothing was checked."""
        return all(result.passed for result in self.results) if self.results else None

    @property
    def failures(self) -> tuple[Result, ...]:
        return tuple(result for result in self.results if not result.passed)

    def to_json(self) -> dict[str, Any]:
        rules = [
            {"rule": r.rule.value, "phrase": r.phrase, "passed": r.passed} for r in self.results
        ]
        return {"persona": self.persona, "passed": self.passed, "rules": rules}


def in_character(persona: Persona, reply_text: str, language: str = "en") -> Verdict:
    """Checks the words of a reply, after the normaliser of the language (BCP-47)."""
    said = spoken(reply_text, language)
    results = [
        Result(rule, phrase, _HOLDS[rule](said, spoken(phrase, language)))
        for rule in Rule
        for phrase in _phrases(persona.traits, rule)
    ]
    return Verdict(reference(persona), tuple(results))


def verdicts(replies: Sequence[tuple[Persona, str]], language: str = "en") -> list[Verdict]:
    """in_character for each (persona, reply), in their order."""
    return [in_character(persona, text, language) for persona, text in replies]


def counted(given: Sequence[Verdict]) -> dict[str, int]:
    """How many replies passed, did not, and were not checked for want of a rule."""
    outcomes = {"in_character": True, "out_of_character": False, "without_rules": None}
    passed = [verdict.passed for verdict in given]
    return {name: passed.count(outcome) for name, outcome in outcomes.items()}


def _phrases(traits: Mapping[str, str], rule: Rule) -> list[str]:
    value = traits.get(rule.value, "")
    phrases = value.split(";") if rule is Rule.FORBIDDEN else [value]
    return [phrase.strip() for phrase in phrases if phrase.strip()]


_HOLDS: Mapping[Rule, Callable[[Words, Words], bool]] = {
    Rule.OPENING: lambda said, phrase: said.begins_with(phrase),
    Rule.ADDRESS: lambda said, phrase: phrase in said,
    Rule.CLOSING: lambda said, phrase: said.ends_with(phrase),
    Rule.FORBIDDEN: lambda said, phrase: phrase not in said,
}
