"""Requests of the domain read back from their words: which intent, which slots, which turn before."""

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from trivox.pipelines.nano.domain import FOLLOW_UPS, INTENTS, SLOTS, Intent

INTENT: Mapping[str, Intent] = {intent.name: intent for intent in INTENTS}


@dataclass(frozen=True)
class Asked:
    """One reading of a request. before: the intent that it follows up, "" for none; named: slot -> value."""

    intent: Intent
    before: str
    named: Mapping[str, str]


def intent_of(name: str, before: str = "") -> Intent:
    """The intent of a clip; follow-ups share their names, so `before` tells them apart."""
    return FOLLOW_UPS[before] if before else INTENT[name]


@lru_cache(maxsize=50_000)
def readings(text: str) -> tuple[Asked, ...]:
    """Everything that the words can ask for: "and in the kitchen" follows up both a lamp and music."""
    found = ((before, intent, form.fullmatch(text)) for before, intent, form in _forms())
    return tuple(Asked(i, before, m.groupdict()) for before, i, m in found if m)


def fields(template: str) -> frozenset[str]:
    """The slots of a template."""
    return frozenset(name for _, name, _, _ in string.Formatter().parse(template) if name)


def wanted(intent: Intent, slots: Mapping[str, str]) -> dict[str, str]:
    """What an answer has to name: topic slot -> value."""
    return {name: slots[name] for name in intent.topic}


def carried(intent: Intent, asked: Asked, slots: Mapping[str, str]) -> dict[str, str]:
    """The topic values that a follow-up leaves to the turn before."""
    return {name: value for name, value in wanted(intent, slots).items() if name not in asked.named}


@cache
def _forms() -> tuple[tuple[str, Intent, re.Pattern[str]], ...]:
    intents = [("", intent) for intent in INTENTS] + list(FOLLOW_UPS.items())
    return tuple((before, i, _form(ask)) for before, i in intents for ask in i.asks)


def _form(template: str) -> re.Pattern[str]:
    """Matches every request that the template can make."""
    parts = string.Formatter().parse(template.replace(" | ", " "))
    return re.compile("".join(re.escape(words) + _choice(name) for words, name, _, _ in parts))


def _choice(name: str | None) -> str:
    if not name:
        return ""
    options = "|".join(re.escape(value) for value in SLOTS[name.rstrip("2")])
    return f"(?P<{name}>{options})"
