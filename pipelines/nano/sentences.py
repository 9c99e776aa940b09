"""The domain of trivox-nano v1: spoken commands to a home assistant, from a small grammar."""

import random
import re
import string
from collections.abc import Mapping, Sequence

from trivox.platform.errors import ConfigError

SLOTS: Mapping[str, Sequence[str]] = {
    "number": (
        "two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty"
    ).split(),
    "room": "kitchen|bedroom|bathroom|garage|hallway|office|garden|living room|cellar|attic".split(
        "|"
    ),
    "thing": "light lamp fan heater radio speaker oven camera window curtain".split(),
    "switch": "on off".split(),
    "name": "anna peter maria john sarah david emma tom lucy michael rachel oliver".split(),
    "city": "london paris berlin madrid rome tokyo boston chicago dublin vienna sydney lisbon".split(),
    "day": (
        "monday tuesday wednesday thursday friday saturday sunday tomorrow tonight today"
    ).split(),
    "food": "pizza pasta soup salad bread cheese coffee tea water rice butter fruit".split(),
    "mood": "happy sad tired excited calm angry bored quiet".split(),
    "part": "in the morning|in the afternoon|in the evening|at night".split("|"),
    "unit": "seconds minutes hours days".split(),
    "music": "jazz rock classical folk piano guitar dance country".split(),
    "object": "keys phone glasses book jacket umbrella wallet bag".split(),
    "place": "station airport office market library school hospital museum".split(),
}

TEMPLATES: Sequence[str] = (
    "turn {switch} the {thing} in the {room}",
    "set a timer for {number} {unit}",
    "what is the weather in {city} on {day}",
    "call {name} {day} {part}",
    "remind me to buy {food} and {food2}",
    "play some {mood} {music} music in the {room}",
    "how far is it from {city} to {city2}",
    "i feel very {mood} today",
    "send a message to {name} about the {food}",
    "wake me up at {number} {part} on {day}",
    "add {number} {food} to my shopping list",
    "is the {thing} in the {room} switched {switch}",
    "where did {name} leave the {object}",
    "take the {object} to the {place} on {day}",
    "how long does the train to {city} take",
    "meet {name} at the {place} at {number} {part}",
    "please close the {thing} and lock the {room} door",
    "tell {name} that i am waiting at the {place}",
    "book a table for {number} people {day} {part}",
    "the {mood} song that {name} likes is about {city}",
)


def sentences(count: int, seed: int) -> list[str]:
    """Distinct lower-case sentences of the domain, in a random order fixed by the seed.

    Raises ConfigError for more than the domain holds.
    """
    if count > (held := sum(map(_sentences_of, TEMPLATES))):
        raise ConfigError(
            f"{count} sentences: the domain of trivox-nano holds {held}: ask for no more than that"
        )
    rng = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        found.setdefault(_fill(rng.choice(TEMPLATES), rng))
    return list(found)


def word_sequences(count: int, seed: int, longest: int = 6) -> list[str]:
    """Distinct sequences of 1 to `longest` random words of the domain: nothing in one foretells the next.

    A model that learns from sentences alone can guess much of what comes from what templates say, and learns
    to read only slowly.
    """
    rng, found = random.Random(f"words {seed}"), dict[str, None]()
    words = _words()
    while len(found) < count:
        found.setdefault(" ".join(rng.choices(words, k=rng.randint(1, longest))))
    return list(found)


def _words() -> list[str]:
    """Every word of the domain, once, in alphabetical order."""
    fixed = " ".join(re.sub(r"{\w+}", " ", template) for template in TEMPLATES)
    slots = " ".join(" ".join(options) for options in SLOTS.values())
    return sorted(set(f"{fixed} {slots}".split()))


def _sentences_of(template: str) -> int:
    """How many sentences a template gives: a slot with a digit at its end has one value fewer to choose from."""
    found = 1
    for _, name, _, _ in string.Formatter().parse(template):
        if name:
            found *= len(SLOTS[name.rstrip("2")]) - name.endswith("2")
    return found


def _fill(template: str, rng: random.Random) -> str:
    """One sentence; a slot with a digit at its end draws a value that differs from the slot without."""
    values = {name: rng.choice(options) for name, options in SLOTS.items()}
    for name in ("food", "city"):
        values[f"{name}2"] = rng.choice([word for word in SLOTS[name] if word != values[name]])
    return template.format(**values)
