"""A simulated user of the domain, and an assistant that answers by the grammar alone."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from trivox.pipelines.nano.domain import (
    FOLLOW_UPS,
    INTENTS,
    SLOTS,
    Intent,
    Request,
    ask,
    persona_reply,
    split_of,
)
from trivox.pipelines.realtime.grammar import INTENT, Asked, readings
from trivox.pipelines.realtime.personas import pair
from trivox.pipelines.realtime.tasks import on_topic
from trivox.platform.errors import UsageError
from trivox.platform.personas.registry import reference
from trivox.platform.records import Failure, Persona, Split, Turn

Speak = Callable[[str], str | None]
"""Words to the id of audio that says them, looked up or synthesised; None: this turn is text."""


@dataclass(frozen=True)
class UserTurn:
    """What the user says. number: from 1. before: the intent that it follows up, "" for none.

    slots: the values that it names, with those of the turn before that it leaves out. repeats: the same words as
    in the turn before, whose reply was off topic.
    """

    number: int
    text: str
    intent: Intent
    before: str
    slots: dict[str, str]
    repeats: bool = False
    audio: str | None = None

    @property
    def turn(self) -> Turn:
        return Turn("user", self.text, self.audio)


@dataclass(frozen=True)
class Reply:
    """What the assistant said in words, its own or a transcript of its speech, or why there is no reply."""

    text: str | None
    audio: str | None = None
    failure: Failure | None = None

    def __post_init__(self) -> None:
        if (self.text is None) == (self.failure is None):
            raise UsageError(
                f"a reply has either text ({self.text!r}) or a failure ({self.failure}): give one of them"
            )


@dataclass
class User:
    """Speaks up to `turns` times, as the seed has it. Requests are of one split; follow-ups belong to every split.

    One turn after the first, drawn from the seed, follows up the one before. A reply that is off topic is met
    with the same request, once (if `insists`); a request that is repeated takes a turn.
    """

    persona: Persona
    seed: int
    turns: int = 3
    split: Split = Split.TEST
    speak: Speak | None = None
    insists: bool = True
    said: list[UserTurn] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.turns < 1:
            raise UsageError(f"{self.turns} turns: an episode has at least one")
        self._rng = random.Random(f"user {reference(self.persona)} {self.seed}")
        self._follows = self._rng.randint(2, self.turns) if self.turns > 1 else 0

    def next(self, reply: str | None = None) -> UserTurn | None:
        """The next turn, given the reply to the last one; None after the last."""
        if len(self.said) == self.turns:
            return None
        turn = self._react(self.said[-1], reply or "") if self.said else self._ask()
        audio = self.speak(turn.text) if self.speak and not turn.repeats else turn.audio
        self.said.append(replace(turn, audio=audio))
        return self.said[-1]

    def _react(self, last: UserTurn, reply: str) -> UserTurn:
        answered = on_topic(last, reply)
        if not answered and self.insists and not last.repeats:
            return replace(last, number=last.number + 1, repeats=True)
        follows = last.number + 1 == self._follows and not last.before
        if answered and follows and last.intent.name in FOLLOW_UPS:
            return self._follow_up(last)
        return self._ask()

    def _ask(self) -> UserTurn:
        followed = len(self.said) + 2 == self._follows
        intents = [INTENT[name] for name in FOLLOW_UPS] if followed else INTENTS
        while True:
            drawn = ask(self._rng.choice(intents), self._rng)
            if split_of(drawn.text) is self.split:
                return self._turn(drawn, "")

    def _follow_up(self, last: UserTurn) -> UserTurn:
        before = last.intent.name
        while True:
            drawn = ask(FOLLOW_UPS[before], self._rng, last.slots)
            if (
                drawn.intent.name == "recall" or drawn.slots != last.slots
            ):  # another room, not the same
                return self._turn(drawn, before)

    def _turn(self, drawn: Request, before: str) -> UserTurn:
        number = len(self.said) + 1
        return UserTurn(number, drawn.text, drawn.intent, before, dict(drawn.slots))


def scripted_reply(persona: Persona, turns: Sequence[Turn]) -> Reply:
    """What a perfect assistant says, from the words of the turns; what only the answer names is drawn from them.

    A stand-in for a model: it fails for words outside of the domain. Raises UsageError for a persona that nano
    does not know.
    """
    words = [turn.text or "" for turn in turns if turn.role == "user"]
    understood = _understood(words)
    if understood is None:
        return Reply(None, failure=Failure("not understood", f"no request: {words[-1:]}"))
    asked, named = understood
    rng = random.Random(" ".join(words))
    slots = {name: rng.choice(values) for name, values in SLOTS.items()} | named
    return Reply(persona_reply(*pair(persona), rng.choice(asked.intent.answers).format(**slots)))


def _understood(words: Sequence[str]) -> tuple[Asked, dict[str, str]] | None:
    """The last request, with the slots of the last one before it that can be followed up by it."""
    last = readings(words[-1]) if words else ()
    for asked in last:
        if not asked.before:
            return asked, dict(asked.named)
    for earlier in reversed(words[:-1]):
        for first in readings(earlier):
            if first.before:
                continue
            follows = [asked for asked in last if asked.before == first.intent.name]
            return (follows[0], {**first.named, **follows[0].named}) if follows else None
    return None
