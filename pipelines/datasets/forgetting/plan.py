"""What is to be forgotten: found once, kept in a file until all of it is gone, so that it can be gone on with.

The file holds ids only, no name.
"""

import json
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from trivox.pipelines.datasets.forgetting import traces
from trivox.pipelines.datasets.forgetting.models import models_of
from trivox.pipelines.datasets.members import Members
from trivox.pipelines.datasets.reading import BATCH, stream
from trivox.pipelines.datasets.selection import sounds_of
from trivox.platform.errors import CorruptObject, NotFound, UsageError
from trivox.platform.hashing import derived_id
from trivox.platform.records import (
    Audio,
    Judgement,
    Person,
    PreferenceSet,
    Prompt,
    PromptSet,
    Rollout,
    Score,
    Speaker,
    Task,
)
from trivox.platform.store import Workspace
from trivox.platform.store.files import write_atomically

FOLDER = "forget"
PARTS = (
    "audio", "prompts", "rollouts", "scores", "tasks", "judgements", "preferences", *traces.PARTS,
)  # fmt: skip


class Subject(StrEnum):
    SPEAKER = "speaker"
    ANNOTATOR = "annotator"


class Plan(BaseModel):
    """ids: part -> what is to be removed; changed: prompt sets and preference sets that lose rows; models:
    trained on any of it, and all that were made from those; rounds: that used it; unfinished: runs stopped in the
    middle of training on it, whose checkpoints go."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    project: str
    kind: Subject
    subject: str
    ids: dict[str, tuple[str, ...]]
    prompt_sets: tuple[str, ...]
    preference_sets: tuple[str, ...]
    rounds: tuple[str, ...]
    models: tuple[str, ...]
    unfinished: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        held = {part: len(ids) for part, ids in self.ids.items()}
        return held | {
            "prompt_sets": len(self.prompt_sets),
            "preference_sets": len(self.preference_sets),
            "unfinished_runs": len(self.unfinished),
        }

    def members(self) -> Members:
        """The ids by part, to be asked in batches; the caller closes it."""
        made = Members()
        for part, ids in self.ids.items():
            made.add(part, [(id, "") for id in ids])
        return made


def path_of(ws: Workspace, plan_id: str) -> Path:
    return ws.root / FOLDER / f"{plan_id}.json"


def keep(ws: Workspace, plan: Plan) -> None:
    write_atomically(path_of(ws, plan.id), plan.model_dump_json().encode())


def unfinished(ws: Workspace) -> list[Plan]:
    """Plans that were begun and not carried to their end. Raises CorruptObject."""
    found = []
    for path in sorted((ws.root / FOLDER).glob("*.json")):
        try:
            found.append(Plan.model_validate(json.loads(path.read_text(encoding="utf-8"))))
        except (ValueError, ValidationError) as error:
            reason = str(error).splitlines()[0]
            raise CorruptObject(
                f"{path}: no plan of a deletion ({reason}): bring it back from a backup"
            ) from None
    return [one for one in found if one.project == ws.project]


def plan_for(ws: Workspace, kind: Subject, name: str) -> Plan:
    """What a deletion would reach; nothing is changed. name: of a speaker, or an annotator's name, id, or the
    label that imported judgements bear. Raises NotFound, UsageError for a name that several have."""
    subject, labels = _subject(ws, kind, name)
    with Members() as reached:
        _reach(ws, reached, kind, subject, labels)
        ids = {part: tuple(_all(reached, part)) for part in PARTS}
        prompt_sets = _sets(ws, reached)
        preference_sets = tuple(_all(reached, "preference_sets"))
        rounds, runs = set(_all(reached, "rounds")), set(_all(reached, "runs"))
    return Plan(
        id=derived_id("fg", ws.project, kind.value, subject),
        project=ws.project,
        kind=kind,
        subject=subject,
        ids=ids,
        prompt_sets=tuple(one.id for one in prompt_sets),
        preference_sets=preference_sets,
        rounds=tuple(sorted(rounds)),
        models=models_of(ws, prompt_sets, preference_sets, rounds, runs),
        unfinished=traces.unfinished_runs(ws, prompt_sets, preference_sets, rounds),
    )


def _subject(ws: Workspace, kind: Subject, name: str) -> tuple[str, set[str]]:
    """Id, and the labels under which judgements name the person."""
    if kind is Subject.SPEAKER:
        voices = ws.records.find(Speaker, project=ws.project)
        return _one([o.id for o in voices if name in (o.id, o.name)], kind, name, ws), set()
    people = [one.id for one in ws.records.find(Person) if name in (one.id, one.name)]
    if people:
        person = _one(people, kind, name, ws)
        return person, {person}
    if ws.records.find(Judgement, project=ws.project, judge=name):
        return name, {name}
    raise NotFound(f"no annotator {name!r} in {ws.root}: see `trivox people list`")


def _one(found: list[str], kind: Subject, name: str, ws: Workspace) -> str:
    if not found:
        raise NotFound(f"no {kind.value} {name!r} in {ws.root}: give the name or the id")
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} have the name {name!r}: give the id, one of {', '.join(found)}"
        )
    return found[0]


def _all(reached: Members, part: str) -> Iterator[str]:
    for rows in reached.rows(part, BATCH):
        yield from (id for id, _ in rows)


def _mark(reached: Members, part: str, ids: Iterable[str | None]) -> int:
    return reached.add(part, [(id, "") for id in ids if id])


def _reach(ws: Workspace, reached: Members, kind: Subject, subject: str, labels: set[str]) -> None:
    """Until nothing more is found: sounds, what was derived from them, prompts that name them, rollouts on
    those, the sounds of those, questions about them, answers, and preferences made of the answers."""
    if kind is Subject.SPEAKER:
        for sounds in stream(ws, Audio):
            _mark(reached, "audio", [one.id for one in sounds if one.speaker == subject])
    grown = 1
    while grown:
        grown = _sounds(ws, reached) + _prompts(ws, reached) + _rollouts(ws, reached, subject)
    for scores in ws.tables.batches(Score, BATCH):
        about = reached.known("rollouts", [one.rollout for one in scores])
        _mark(reached, "scores", [one.id for one in scores if one.rollout in about])
    _judged(ws, reached, labels)
    _preferred(ws, reached)
    traces.mark_samples(ws, reached)
    traces.mark_faults(ws, reached)
    traces.mark_label_studio(ws, reached, subject if kind is Subject.ANNOTATOR else None)


def _sounds(ws: Workspace, reached: Members) -> int:
    grown = 0
    for sounds in stream(ws, Audio):
        above = reached.known("audio", [one.derived_from for one in sounds if one.derived_from])
        grown += _mark(reached, "audio", [o.id for o in sounds if o.derived_from in above])
    return grown


def _prompts(ws: Workspace, reached: Members) -> int:
    grown = 0
    for prompts in stream(ws, Prompt):
        named = reached.known("audio", [id for one in prompts for id in sounds_of(one)])
        found = [one for one in prompts if not named.keys().isdisjoint(sounds_of(one))]
        grown += _mark(reached, "prompts", [one.id for one in found])
    return grown


def _rollouts(ws: Workspace, reached: Members, subject: str) -> int:
    """Of those prompts, with those sounds, or by that person; what they sound like is reached too."""
    grown = 0
    for rollouts in ws.tables.batches(Rollout, BATCH):
        named = reached.known("audio", [id for one in rollouts for id in sounds_of(one)])
        asked = reached.known("prompts", [one.prompt for one in rollouts])
        found = [
            one
            for one in rollouts
            if one.prompt in asked
            or one.producer == f"person:{subject}"
            or not named.keys().isdisjoint(sounds_of(one))
        ]
        grown += _mark(reached, "rollouts", [one.id for one in found])
        _mark(reached, "audio", [id for one in found for id in sounds_of(one)])
        _mark(reached, "rounds", [one.round for one in found])
    return grown


def _judged(ws: Workspace, reached: Members, labels: set[str]) -> None:
    for tasks in stream(ws, Task, project=ws.project):
        items = reached.known("rollouts", [id for one in tasks for id in one.items])
        asked = reached.known("prompts", [one.prompt for one in tasks])
        found = [t for t in tasks if t.prompt in asked or not items.keys().isdisjoint(t.items)]
        _mark(reached, "tasks", [one.id for one in found])
    for said in stream(ws, Judgement, project=ws.project):
        about = reached.known("tasks", [one.task for one in said])
        _mark(reached, "judgements", [o.id for o in said if o.task in about or o.judge in labels])


def _preferred(ws: Workspace, reached: Members) -> None:
    """Preferences between those rollouts, or that those judgements support: those would say what a person said."""
    for sets in stream(ws, PreferenceSet, 1, project=ws.project):
        one = sets[0]
        pairs = one.preferences
        said = reached.known("judgements", [id for pair in pairs for id in pair.judgements])
        items = reached.known("rollouts", [i for p in pairs for i in (p.chosen, p.rejected)])
        found = [
            pair.id
            for pair in pairs
            if not said.keys().isdisjoint(pair.judgements)
            or not items.keys().isdisjoint((pair.chosen, pair.rejected))
        ]
        if _mark(reached, "preferences", found) or found:
            _mark(reached, "preference_sets", [one.id])
            _mark(reached, "rounds", [one.round])


def _sets(ws: Workspace, reached: Members) -> list[PromptSet]:
    found = []
    for one in ws.records.find(PromptSet, project=ws.project):
        if reached.known("prompts", [item.prompt for item in one.items]):
            found.append(one)
    return found
