"""Preferences with all that they are about, a batch at a time."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from trivox.pipelines.datasets.members import Members
from trivox.pipelines.datasets.reading import by_id
from trivox.pipelines.datasets.selection import Selection, sounds_of
from trivox.pipelines.exports.columns import from_line, to_line
from trivox.platform.records import (
    Audio,
    Preference,
    PreferenceSet,
    Prompt,
    PromptItem,
    PromptSet,
    Rollout,
    Speaker,
    Split,
)


@dataclass(frozen=True)
class SetHead:
    """What a preference set says of all its preferences."""

    id: str
    round: str | None
    method: str
    dropped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """One preference. place: of its prompt in a prompt set, None where it is in none."""

    head: SetHead
    preference: Preference
    prompt: Prompt
    chosen: Rollout
    rejected: Rollout
    place: PromptItem | None = None
    audio: tuple[Audio, ...] = ()
    speakers: tuple[Speaker, ...] = ()

    @property
    def split(self) -> Split:
        return self.place.split if self.place else Split.TRAIN

    def sound(self, id: str | None) -> Audio | None:
        return next((one for one in self.audio if one.id == id), None)

    def speaker(self, audio: str | None) -> Speaker | None:
        sound = self.sound(audio)
        named = sound.speaker if sound else None
        return next((one for one in self.speakers if one.id == named), None)


def pairs_of(selection: Selection) -> Iterator[list[Pair]]:
    """The preferences between chosen rollouts, at most selection.size at a time."""
    shelf = selection.members
    for part, records in selection.batches():
        match part:
            case "prompts" | "rollouts":
                _shelve(shelf, part, records)
            case "prompt_sets":
                _place(shelf, records)
            case "preference_sets":
                for one in records:
                    yield from _of_set(selection, one)
            case _:
                pass


def prompts_of(selection: Selection) -> Iterator[list[tuple[Prompt, PromptItem | None]]]:
    """The chosen prompts with their places."""
    shelf = selection.members
    for part, records in selection.batches():
        if part == "prompts":
            _shelve(shelf, part, records)
        elif part == "prompt_sets":
            _place(shelf, records)
    for rows in shelf.rows("|prompts", selection.size):
        places = shelf.known("|place", [id for id, _ in rows])
        yield [(from_line(Prompt, line.encode()), _item(places.get(id))) for id, line in rows]


def _shelve(shelf: Members, part: str, records: list[Any]) -> None:
    shelf.add(f"|{part}", [(one.id, to_line(one).decode()) for one in records])


def _place(shelf: Members, sets: list[PromptSet]) -> None:
    """The first set that holds a prompt says its place."""
    for one in sets:
        shelf.add("|place", [(item.prompt, to_line(item).decode()) for item in one.items])


def _item(line: str | None) -> PromptItem | None:
    return from_line(PromptItem, line.encode()) if line else None


def _of_set(selection: Selection, one: PreferenceSet) -> Iterator[list[Pair]]:
    head = SetHead(one.id, one.round, one.method, one.dropped)
    for start in range(0, len(one.preferences), selection.size):
        yield _read(selection, head, one.preferences[start : start + selection.size])


def _read(selection: Selection, head: SetHead, some: tuple[Preference, ...]) -> list[Pair]:
    shelf = selection.members
    wanted = [id for one in some for id in (one.chosen, one.rejected)]
    rollouts = {
        id: from_line(Rollout, line.encode())
        for id, line in shelf.known("|rollouts", wanted).items()
    }
    prompts = {
        id: from_line(Prompt, line.encode())
        for id, line in shelf.known("|prompts", [one.prompt for one in some]).items()
    }
    places = shelf.known("|place", list(prompts))
    pairs = [
        Pair(
            head,
            one,
            prompts[one.prompt],
            rollouts[one.chosen],
            rollouts[one.rejected],
            _item(places.get(one.prompt)),
        )
        for one in some
        if one.prompt in prompts
    ]
    return _with_sounds(selection, pairs)


def _with_sounds(selection: Selection, pairs: list[Pair]) -> list[Pair]:
    named = {
        pair.preference.id: list(
            dict.fromkeys(
                [*sounds_of(pair.prompt), *sounds_of(pair.chosen), *sounds_of(pair.rejected)]
            )
        )
        for pair in pairs
    }
    sounds = by_id(selection.ws, Audio, [id for ids in named.values() for id in ids])
    speakers = by_id(selection.ws, Speaker, [s.speaker for s in sounds.values() if s.speaker])
    made = []
    for pair in pairs:
        heard = tuple(sounds[id] for id in named[pair.preference.id] if id in sounds)
        voices = dict.fromkeys(one.speaker for one in heard if one.speaker)
        known = tuple(speakers[id] for id in voices if id in speakers)
        made.append(replace(pair, audio=heard, speakers=known))
    return made


def held_records(pair: Pair) -> str:
    """All of a pair's records in one JSON text, from which `records_held` makes it again."""
    place = json.loads(to_line(pair.place)) if pair.place else None
    held = {
        "head": json.loads(to_line(pair.head)),
        "preference": json.loads(to_line(pair.preference)),
        "prompt": json.loads(to_line(pair.prompt)),
        "chosen": json.loads(to_line(pair.chosen)),
        "rejected": json.loads(to_line(pair.rejected)),
        "place": place,
        "audio": [json.loads(to_line(one)) for one in pair.audio],
        "speakers": [json.loads(to_line(one)) for one in pair.speakers],
    }
    return json.dumps(held, ensure_ascii=False, sort_keys=True)


def records_held(text: str) -> Pair:
    """Raises ValueError (pydantic's too) for what is none."""
    return from_line(Pair, text.encode())  # type: ignore[no-any-return]
