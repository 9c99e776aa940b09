"""What the teachers are to speak: every clip of the corpus with its voice and manner, planned from the seed."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from trivox.pipelines.nano.domain import (
    ADDRESSES,
    FOLLOW_UPS,
    INTENTS,
    OPENINGS,
    Request,
    ask,
    persona_reply,
    request,
    split_of,
    words,
)
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.nano.teachers import HIBARI_VOICE, Manner
from trivox.platform.records import Split

SPEEDS = (0.72, 1.0, 1.4)
PITCHES = (0.85, 1.0, 1.18)
GAINS_DB = (-9.0, 0.0, 7.0)
DIRECTIVES: dict[str, Manner] = {
    "slow": Manner(speed=0.7),
    "fast": Manner(speed=1.45),
    "low": Manner(pitch=0.85),
    "high": Manner(pitch=1.18),
    "soft": Manner(gain_db=-9.0),
    "loud": Manner(gain_db=7.0),
    "pause": Manner(),
}
"""An inline directive holds from where it stands to the end of the text; a pause stands for itself."""
HELD_OUT_PERSONAS = 16
"""Of the 64 pairs of opening and address: those that no training reply has."""

FOLLOW_UP_SHARE = 0.12
"""Of the requests drawn for training; some more of those kept, as a request may be of another split."""


@dataclass(frozen=True)
class Clip:
    """One clip to be spoken. cut: characters of text before the part that `directive` holds for.

    A reply also says whom it answers: the request's text, its intent and slots, the turn before where it
    follows one up, and the persona (opening, address)."""

    kind: str
    text: str
    voice: str
    manner: Manner = field(default_factory=Manner)
    cut: int = 0
    directive: str = ""
    request: str = ""
    intent: str = ""
    before: str = ""
    slots: dict[str, str] = field(default_factory=dict)
    persona: tuple[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Clip":
        persona = tuple(raw.pop("persona")) if raw.get("persona") else raw.pop("persona", None)
        return cls(manner=Manner(**raw.pop("manner")), persona=persona, **raw)


def personas(held_out: bool) -> list[tuple[str, str]]:
    """Pairs of opening and address, those of training or those held out; every trait is in training."""
    pairs = [(o, a) for o in OPENINGS for a in ADDRESSES]
    random.Random("personas").shuffle(pairs)
    return pairs[-HELD_OUT_PERSONAS:] if held_out else pairs[:-HELD_OUT_PERSONAS]


def plan(recipe: NanoRecipe, split: Split) -> list[Clip]:
    """The clips of a split, in an order fixed by the seed."""
    rng = random.Random(f"{recipe.seed} {split}")
    if split is Split.TRAIN:
        return [*_training(recipe, rng)]
    seen = recipe.validation_sentences if split is Split.VALIDATION else recipe.test_sentences
    clips = [_sentence(rng, split, voice) for voice in recipe.tts_voices for _ in range(seen)]
    if split is Split.TEST:
        clips += [
            _sentence(rng, split, voice) for voice in recipe.unseen_voices for _ in range(seen)
        ]
    return clips


def _training(recipe: NanoRecipe, rng: random.Random) -> Iterator[Clip]:
    yield from _sentences(recipe, rng, recipe.train_sentences)
    yield from _replies(rng, recipe.train_replies)
    known = words()
    for _ in range(recipe.word_sequences):
        text = " ".join(rng.choices(known, k=rng.randint(2, 7)))
        yield Clip("words", text, HIBARI_VOICE, _manner(rng) if rng.random() < 0.3 else Manner())
    for voice, count in recipe.later_sentences.items():
        later = random.Random(f"{recipe.seed} later sentences {voice}")
        yield from _sentences(recipe, later, {voice: count})
    for voice, count in recipe.later_replies.items():
        yield from _replies(random.Random(f"{recipe.seed} later replies {voice}"), {voice: count})


def _sentences(recipe: NanoRecipe, rng: random.Random, counts: Mapping[str, int]) -> Iterator[Clip]:
    for voice in Counter(counts).elements():
        styled = voice in recipe.tts_voices
        yield _styled(rng, voice) if styled else _sentence(rng, Split.TRAIN, voice)


def _replies(rng: random.Random, counts: Mapping[str, int]) -> Iterator[Clip]:
    for voice in Counter(counts).elements():
        yield _reply(rng, voice)


def _request_of(rng: random.Random, split: Split, follow_ups: float = FOLLOW_UP_SHARE) -> Request:
    while True:
        follow = rng.random() < follow_ups
        drawn = ask(rng.choice(list(FOLLOW_UPS.values())), rng) if follow else request(rng)
        if follow or split_of(drawn.text) is split:
            return drawn


def _sentence(rng: random.Random, split: Split, voice: str) -> Clip:
    # Follow-ups are few and short: training has all of them, so that none can be held out.
    drawn = _request_of(rng, split, FOLLOW_UP_SHARE if split is Split.TRAIN else 0.0)
    return Clip("sentence", drawn.text, voice, intent=drawn.intent.name, slots=dict(drawn.slots))


def _styled(rng: random.Random, voice: str) -> Clip:
    """A request as it comes, in a manner of its own, or with a directive at its cut."""
    drawn = _request_of(rng, Split.TRAIN)
    common: dict[str, Any] = {"intent": drawn.intent.name, "slots": dict(drawn.slots)}
    kind = rng.random()
    if kind < 0.25 and drawn.cut:
        directive = rng.choice(list(DIRECTIVES))
        return Clip("inline", drawn.text, voice, cut=drawn.cut, directive=directive, **common)
    manner = _manner(rng) if kind < 0.65 else Manner()
    return Clip("sentence", drawn.text, voice, manner, **common)


def _manner(rng: random.Random) -> Manner:
    return Manner(rng.choice(SPEEDS), rng.choice(PITCHES), rng.choice(GAINS_DB))


def _reply(rng: random.Random, voice: str) -> Clip:
    persona = rng.choice(personas(held_out=False))
    before = ""
    if rng.random() < 0.25:
        before = rng.choice(list(FOLLOW_UPS))
        first = ask(next(i for i in INTENTS if i.name == before), rng)
        drawn = ask(FOLLOW_UPS[before], rng, first.slots)
    else:
        drawn = _request_of(rng, Split.TRAIN, follow_ups=0.0)
    text = persona_reply(*persona, drawn.answer(rng))
    return Clip(
        "reply",
        text,
        voice,
        request=drawn.text,
        intent=drawn.intent.name,
        before=before,
        slots=dict(drawn.slots),
        persona=persona,
    )
