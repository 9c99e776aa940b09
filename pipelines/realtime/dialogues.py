"""Training dialogues of one to three user turns, built from the clips of the corpus."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from trivox.pipelines.nano.clips import Clip
from trivox.pipelines.nano.domain import FOLLOW_UPS, SLOTS, persona_reply
from trivox.pipelines.realtime.grammar import (
    INTENT,
    Asked,
    carried,
    intent_of,
    readings,
    wanted,
)

REQUEST_KINDS = ("sentence", "inline")
"""Clips that a user may say: an inline directive changes how the words sound, not which they are."""
USER_TURNS = (1, 1, 2, 3, 3)
"""Drawn from uniformly: how many turns the user has; a follow-up has at least two."""
FOLLOWED = 0.3
"""How often the first of three turns is followed up by the second."""


@dataclass(frozen=True)
class Dialogue:
    """What one reply clip answers.

    persona: (name, opening, address). turns: (role, text or the index of a clip), the last one the user's.
    reply: index of the clip that answers. before: the intent that the last turn follows up, or "". heard: the
    words of the last turn.
    """

    persona: tuple[str, str, str]
    turns: tuple[tuple[str, str | int], ...]
    reply: int
    intent: str
    before: str
    heard: str

    @property
    def user_turns(self) -> int:
        return sum(role == "user" for role, _ in self.turns)


@dataclass(frozen=True)
class Built:
    """Dialogues, and for how many replies a clip asks or none does: by intent, "before+intent" for follow-ups."""

    dialogues: tuple[Dialogue, ...]
    matched: Mapping[str, int]
    dropped: Mapping[str, int]


def persona_text(name: str, opening: str, address: str) -> str:
    """A persona of nano in words: what stands after `<|persona|>`."""
    return f"{name} says {opening} and calls me {address}"


def build(clips: Sequence[Clip], seed: int, typed: float = 0.0) -> Built:
    """One dialogue for each reply clip that some clip asks for; another seed asks and goes before otherwise.

    typed: the share of user turns that are text in place of a clip. The voice of a dialogue's user is drawn
    uniformly among those that ask for the reply, and kept where it can be.
    """
    rng, asking = random.Random(f"dialogues {seed}"), Requests(clips)
    dialogues, matched, dropped = [], Counter[str](), Counter[str]()
    for reply, clip in enumerate(clips):
        if clip.kind != "reply":
            continue
        key = f"{clip.before}+{clip.intent}" if clip.before else clip.intent
        said = _last_turns(asking, clip, rng)
        (matched if said else dropped)[key] += 1
        if said:
            dialogues.append(_dialogue(asking, reply, said, rng, typed))
    return Built(tuple(dialogues), dict(matched), dict(dropped))


@dataclass
class Requests:
    """The request clips, by what they can be read as."""

    clips: Sequence[Clip]
    read: dict[tuple[str, str], list[tuple[int, Asked]]] = field(init=False)
    """(before, intent) -> index of a clip and how it is read."""
    _found: dict[tuple[str, ...], list[tuple[int, Asked]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.read = defaultdict(list)
        for index, clip in enumerate(self.clips):
            for asked in readings(clip.text) if clip.kind in REQUEST_KINDS else ():
                self.read[asked.before, asked.intent.name].append((index, asked))

    def naming(
        self, before: str, intent: str, values: Mapping[str, str], every: bool
    ) -> list[tuple[int, Asked]]:
        """Clips that contradict none of the values; every: and name all of them."""
        key = (before, intent, str(every), *(f"{k}={v}" for k, v in sorted(values.items())))
        if key not in self._found:
            missing = "" if every else None
            self._found[key] = [
                (index, asked)
                for index, asked in self.read[before, intent]
                if all(asked.named.get(k, missing) in (v, None) for k, v in values.items())
            ]
        return self._found[key]

    def pick(
        self, found: Iterable[tuple[int, Asked]], rng: random.Random, voice: str | None = None
    ) -> tuple[int, Asked]:
        """One of them, in this voice where there is one, else in a voice drawn uniformly."""
        by_voice = defaultdict(list)
        for index, asked in found:
            by_voice[self.clips[index].voice].append((index, asked))
        known = voice if voice and voice in by_voice else rng.choice(sorted(by_voice))
        return rng.choice(by_voice[known])


def _last_turns(
    asking: Requests, reply: Clip, rng: random.Random
) -> list[tuple[int, Asked]] | None:
    """The turns that the reply needs, at most two: the request, and the one that it follows up."""
    intent = intent_of(reply.intent, reply.before)
    needed = wanted(intent, reply.slots)
    found = asking.naming(reply.before, intent.name, needed, every=not reply.before)
    if not found:
        return None
    if not reply.before:
        return [asking.pick(found, rng)]
    index, asked = asking.pick(found, rng)
    first = asking.naming("", reply.before, carried(intent, asked, reply.slots), every=True)
    return [asking.pick(first, rng, asking.clips[index].voice), (index, asked)] if first else None


def _dialogue(
    asking: Requests, reply: int, said: list[tuple[int, Asked]], rng: random.Random, typed: float
) -> Dialogue:
    clip = asking.clips[reply]
    assert clip.persona is not None
    last = said[-1][0]
    earlier = _history(asking, said, max(rng.choice(USER_TURNS), len(said)), rng)
    persona = (rng.choice(SLOTS["name"]), *clip.persona)
    turns = _turns(asking, [*earlier, *said], clip.persona, rng, typed)
    return Dialogue(persona, turns, reply, clip.intent, clip.before, asking.clips[last].text)


def _history(
    asking: Requests, said: list[tuple[int, Asked]], turns: int, rng: random.Random
) -> list[tuple[int, Asked]]:
    """What the user said before: other requests of the same voice, the first perhaps followed up."""
    voice = asking.clips[said[0][0]].voice
    history: list[tuple[int, Asked]] = []
    while len(history) < turns - len(said):
        if history and history[-1][1].intent.name in FOLLOW_UPS and rng.random() < FOLLOWED:
            before = history[-1][1].intent.name
            found = asking.read[before, FOLLOW_UPS[before].name]
        else:
            found = asking.read["", rng.choice(sorted(INTENT))]
        if found:
            history.append(asking.pick(found, rng, voice))
    return history


def _turns(
    asking: Requests,
    said: list[tuple[int, Asked]],
    persona: tuple[str, str],
    rng: random.Random,
    typed: float,
) -> tuple[tuple[str, str | int], ...]:
    """What the user says, with the persona's reply in words to all but the last."""
    turns: list[tuple[str, str | int]] = []
    slots: Mapping[str, str] = {}
    for index, asked in said:
        clip = asking.clips[index]
        slots = {**(slots if asked.before else clip.slots), **asked.named}
        answer = rng.choice(asked.intent.answers).format(**slots)
        turns.append(("user", clip.text if rng.random() < typed else index))
        turns.append(("assistant", persona_reply(*persona, answer)))
    return tuple(turns[:-1])
