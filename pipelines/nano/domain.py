"""The domain of trivox-nano: what people ask a home assistant, and what it answers, from a grammar."""

import hashlib
import random
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trivox.platform.records import Split

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
    "weather": "sunny cloudy rainy windy snowy foggy".split(),
}


@dataclass(frozen=True)
class Intent:
    """What a user wants. asks: templates of the request, "|" where it can be cut in two; answers: templates of
    the reply; topic: the slots whose values the reply has to name."""

    name: str
    asks: tuple[str, ...]
    answers: tuple[str, ...]
    topic: tuple[str, ...]


INTENTS: tuple[Intent, ...] = (
    Intent(
        "light",
        (
            "turn {switch} the {thing} | in the {room}",
            "please turn {switch} the {room} {thing}",
            "i want the {thing} in the {room} | switched {switch}",
        ),
        ("the {room} {thing} is {switch}",),
        ("room", "thing", "switch"),
    ),
    Intent(
        "timer",
        ("set a timer | for {number} {unit}", "wait {number} {unit} | and then ring the bell"),
        ("{number} {unit} from now",),
        ("number", "unit"),
    ),
    Intent(
        "weather",
        ("what is the weather in {city} | on {day}", "will it rain in {city} | {day}"),
        ("it will be {weather} in {city}",),
        ("city",),
    ),
    Intent(
        "call",
        ("call {name} {day} | {part}", "i want to talk to {name} | {day} {part}"),
        ("i will call {name} {part}",),
        ("name", "part"),
    ),
    Intent(
        "buy",
        ("remind me to buy {food} | and {food2}", "we need {food} and {food2} | from the market"),
        ("{food} and {food2} are on the list",),
        ("food", "food2"),
    ),
    Intent(
        "music",
        ("play some {mood} {music} music | in the {room}", "put on some {music} | in the {room}"),
        ("here is {music} in the {room}",),
        ("music", "room"),
    ),
    Intent(
        "distance",
        ("how far is it | from {city} to {city2}", "when do i get | from {city} to {city2}"),
        ("{city2} is {number} hours away",),
        ("city2",),
    ),
    Intent(
        "wake",
        ("wake me up at {number} {part} | on {day}", "i have to get up at {number} | on {day}"),
        ("i will wake you at {number} on {day}",),
        ("number", "day"),
    ),
    Intent(
        "message",
        (
            "send a message to {name} | about the {food}",
            "tell {name} that i am waiting | at the {place}",
        ),
        ("{name} has your message",),
        ("name",),
    ),
    Intent(
        "shopping",
        ("add {number} {food} | to my shopping list", "order {number} {food} | for {day}"),
        ("{number} {food} it is",),
        ("number", "food"),
    ),
    Intent(
        "search",
        ("where did {name} leave | the {object}", "have you seen the {object} | of {name}"),
        ("the {object} is at the {place}",),
        ("object",),
    ),
    Intent(
        "bring",
        ("take the {object} to the {place} | on {day}", "bring the {object} | to the {place}"),
        ("the {object} goes to the {place}",),
        ("object", "place"),
    ),
    Intent(
        "train",
        ("how long does the train | to {city} take", "when is the next train | to {city} on {day}"),
        ("the train to {city} takes {number} hours",),
        ("city",),
    ),
    Intent(
        "meet",
        (
            "meet {name} at the {place} | at {number} {part}",
            "i see {name} at {number} | at the {place}",
        ),
        ("{name} waits at the {place}",),
        ("name", "place"),
    ),
    Intent(
        "lock",
        (
            "please close the {thing} | and lock the {room} door",
            "did i lock | the {room} door",
        ),
        ("the {room} door is locked",),
        ("room",),
    ),
    Intent(
        "table",
        (
            "book a table for {number} people | {day} {part}",
            "we are {number} people | and want to eat {food} {day}",
        ),
        ("a table for {number} on {day}",),
        ("number", "day"),
    ),
    Intent(
        "song",
        (
            "the {mood} song that {name} likes | is about {city}",
            "sing me a {mood} song | about {city}",
        ),
        ("a {mood} song about {city}",),
        ("mood", "city"),
    ),
    Intent(
        "feel",
        ("i feel very {mood} | {day}", "my friend {name} | is so {mood} {day}"),
        ("why so {mood} {day}",),
        ("mood", "day"),
    ),
)

FOLLOW_UPS: Mapping[str, Intent] = {
    # After a request of the named intent: what is not said again comes from the turn before.
    "light": Intent(
        "again",
        ("and in the {room}", "the same in the {room}"),
        ("the {room} {thing} is {switch}",),
        ("room", "thing", "switch"),
    ),
    "music": Intent(
        "again",
        ("and in the {room}", "the same in the {room}"),
        ("here is {music} in the {room}",),
        ("music", "room"),
    ),
    "weather": Intent(
        "again",
        ("and in {city}", "what about {city}"),
        ("it will be {weather} in {city}",),
        ("city",),
    ),
    "call": Intent(
        "again",
        ("and {name}", "the same for {name}"),
        ("i will call {name} {part}",),
        ("name", "part"),
    ),
    "wake": Intent(
        "recall",
        ("when did i say", "what time was it"),
        ("you said {number} on {day}",),
        ("number", "day"),
    ),
    "bring": Intent(
        "recall", ("where was it", "which place did i say"), ("you said the {place}",), ("place",)
    ),
    "meet": Intent(
        "recall", ("who was it", "which name did i say"), ("you said {name}",), ("name",)
    ),
}

OPENINGS = ("aye", "sure", "of course", "well", "no problem", "very well", "gladly", "all right")
ADDRESSES = ("captain", "my friend", "boss", "my dear", "madam", "sir", "doctor", "old chap")


@dataclass(frozen=True)
class Request:
    """One request of a user: slots are the values that it names, and those that only the answer names."""

    intent: Intent
    text: str
    cut: int
    """Where the text can be cut in two: characters before the second part, 0 for nowhere."""
    slots: Mapping[str, str]

    def answer(self, rng: random.Random) -> str:
        return rng.choice(self.intent.answers).format(**self.slots)


def request(rng: random.Random) -> Request:
    """A request of an intent drawn uniformly, so that no intent is rare because it has few slots."""
    return ask(rng.choice(INTENTS), rng)


def ask(intent: Intent, rng: random.Random, before: Mapping[str, str] | None = None) -> Request:
    """A request of one intent; `before` holds the slots of the turn that it follows up."""
    template = rng.choice(intent.asks)
    named = {name for _, name, _, _ in string.Formatter().parse(template) if name}
    values = _values(rng)
    slots = values if before is None else {**before, **{n: values[n] for n in named}}
    first, _, second = template.partition(" | ")
    head = first.format(**slots)
    text = f"{head} {second.format(**slots)}" if second else head
    return Request(intent, text, len(head) + 1 if second else 0, slots)


def persona_reply(opening: str, address: str, answer: str) -> str:
    """How a persona says an answer."""
    return f"{opening} {address} {answer}"


def split_of(text: str) -> Split:
    """The split of a text by its hash: 1 in 10 for test and for validation each, whatever else is drawn."""
    bucket = hashlib.sha256(text.encode()).digest()[0] % 10
    return {0: Split.TEST, 1: Split.VALIDATION}.get(bucket, Split.TRAIN)


def words() -> list[str]:
    """Every word of the domain, once, in alphabetical order."""
    return sorted(_words())


def words_that_matter_first() -> list[str]:
    """Every word of the domain, once: those of slots, then of personas, then the rest."""
    slots = " ".join(" ".join(options) for options in SLOTS.values()).split()
    personas = f"{' '.join(OPENINGS)} {' '.join(ADDRESSES)}".split()
    return list(dict.fromkeys([*slots, *personas, *words()]))


def _words() -> set[str]:
    templates = [t for i in (*INTENTS, *FOLLOW_UPS.values()) for t in (*i.asks, *i.answers)]
    fixed = " ".join(
        literal for t in templates for literal, _, _, _ in string.Formatter().parse(t)
    ).replace("|", " ")
    slots = " ".join(" ".join(options) for options in SLOTS.values())
    return {*f"{fixed} {slots} {' '.join(OPENINGS)} {' '.join(ADDRESSES)}".split()}


def _values(rng: random.Random) -> dict[str, str]:
    """A value for every slot; one with a digit at its end differs from the slot without."""
    values = {name: rng.choice(options) for name, options in SLOTS.items()}
    for name in ("food", "city"):
        values[f"{name}2"] = rng.choice([word for word in SLOTS[name] if word != values[name]])
    return values
