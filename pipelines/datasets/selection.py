"""The records that a dataset is made of, in batches, each after those that it names."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from trivox.pipelines.datasets.filters import Filters
from trivox.pipelines.datasets.members import Members
from trivox.pipelines.datasets.reading import BATCH, by_id, stream
from trivox.platform.errors import NotFound
from trivox.platform.hashing import derived_id
from trivox.platform.records import (
    Audio,
    Campaign,
    Judgement,
    Persona,
    PreferenceSet,
    Prompt,
    PromptItem,
    PromptSet,
    Rollout,
    Rubric,
    Score,
    Speaker,
    Task,
    Voided,
)
from trivox.platform.store import Workspace

KINDS: dict[str, type[Any]] = {
    "speakers": Speaker,
    "audio": Audio,
    "personas": Persona,
    "rubrics": Rubric,
    "prompts": Prompt,
    "prompt_sets": PromptSet,
    "campaigns": Campaign,
    "rollouts": Rollout,
    "scores": Score,
    "tasks": Task,
    "judgements": Judgement,
    "voided": Voided,
    "preference_sets": PreferenceSet,
}
"""Part of a dataset -> kind of its records, in an order in which each may be added after those before."""
_CANDIDATE, _CAMPAIGN, _PERSONA, _RUBRIC, _SPEAKER = (
    "?prompt",
    "?campaign",
    "?persona",
    "?rubric",
    "?speaker",
)

Batch = tuple[str, list[Any]]
"""Part, and some of its records."""
Refuse = Callable[[Sequence[str]], dict[str, str]]


def _refuse_nothing(audios: Sequence[str]) -> dict[str, str]:
    return {}


def sounds_of(one: Prompt | Rollout) -> list[str]:
    """The audio that a prompt or rollout names."""
    own = [one.audio, *(turn.audio for turn in one.turns)]
    more = [one.reference_audio, one.voice_audio] if isinstance(one, Prompt) else []
    return [id for id in (*own, *more) if id]


@dataclass
class Selection:
    """What filters take of a workspace; `batches` may be walked once.

    refuse: audio ids -> those that may not be used, with the reason: what names them is left out. voices,
    judges: ids of whose data has passed. left_out: reason -> how many records.
    """

    ws: Workspace
    filters: Filters
    members: Members
    size: int = BATCH
    refuse: Refuse = _refuse_nothing
    left_out: Counter[str] = field(default_factory=Counter)
    voices: set[str] = field(default_factory=set)
    judges: set[str] = field(default_factory=set)
    _whole: dict[str, tuple[PromptItem, ...]] = field(default_factory=dict)

    def batches(self) -> Iterator[Batch]:
        """Prompts are chosen first; all else follows from them. Raises NotFound for a set that is not there."""
        for part, records in self._batches():
            if part == "speakers":
                self.voices |= {one.id for one in records}
            elif part == "judgements":
                self.judges |= {one.judge for one in records}
            yield part, records

    def _batches(self) -> Iterator[Batch]:
        sets = self._prompt_sets()
        yield from self._prompts()
        cut = map(self._cut_set, sets)
        yield from (("prompt_sets", [one]) for one in cut if one.items)
        yield from self._kept(Rollout, "rollouts", self._rollouts)
        yield from self._kept(Score, "scores", self._scores)
        yield from self._tasks()
        yield from self._judgements()
        yield from self._preferences()
        yield from self._audio()
        yield from self._named(Persona, "personas", _PERSONA)
        yield from self._named(Rubric, "rubrics", _RUBRIC)

    def _in(self, part: str, id: str) -> bool:
        return self.members.has(part, id)

    def _mark(self, part: str, ids: Sequence[str | None]) -> None:
        self.members.add(part, [(one, "") for one in ids if one])

    def _prompt_sets(self) -> list[PromptSet]:
        """The chosen sets, cut to the chosen splits; marks the prompts that may belong."""
        chosen = self._named_sets()
        self._whole = {one.id: one.items for one in chosen}
        cut = []
        for one in chosen:
            splits = self.filters.splits
            items = tuple(item for item in one.items if not splits or item.split in splits)
            self._mark(_CANDIDATE, [item.prompt for item in items])
            cut.append(replace(one, items=items))
        if not self.filters.prompt_sets and not self.filters.splits:
            for tasks in stream(self.ws, Task, self.size, project=self.ws.project):
                self._mark(_CANDIDATE, [one.prompt for one in tasks])
            for rollouts in self.ws.tables.batches(Rollout, self.size):
                self._mark(_CANDIDATE, [one.prompt for one in rollouts])
        return cut

    def _named_sets(self) -> list[PromptSet]:
        every = self.ws.records.find(PromptSet, project=self.ws.project)
        if not self.filters.prompt_sets:
            return every
        return [_prompt_set(every, name, self.ws) for name in self.filters.prompt_sets]

    def _cut_set(self, one: PromptSet) -> PromptSet:
        """The set with the items whose prompts are chosen; another id where some were left out."""
        there = self.members.known("prompts", [item.prompt for item in one.items])
        kept = tuple(item for item in one.items if item.prompt in there)
        if len(kept) == len(self._whole[one.id]):
            return one
        named = derived_id("ps", "cut", one.id, [(item.prompt, item.split) for item in kept])
        return replace(one, id=named, items=kept)

    def _allowed(self, found: list[Any]) -> list[Any]:
        """Those that name no refused audio; the others are counted by reason."""
        named = {one.id: sounds_of(one) for one in found}
        refused = self.refuse(sorted({id for ids in named.values() for id in ids}))
        kept = []
        for one in found:
            reasons = [refused[id] for id in named[one.id] if id in refused]
            if reasons:
                self.left_out[reasons[0]] += 1
            else:
                kept.append(one)
        self._mark("?audio", [id for one in kept for id in named[one.id]])
        return kept

    def _prompts(self) -> Iterator[Batch]:
        for rows in self.members.rows(_CANDIDATE, self.size):
            found = by_id(self.ws, Prompt, [id for id, _ in rows]).values()
            kept = [one for one in found if self.filters.takes_prompt(one)]
            self.left_out["prompts of another branch or language"] += len(found) - len(kept)
            kept = self._allowed(kept)
            self._mark("prompts", [one.id for one in kept])
            self._mark(_PERSONA, [one.persona for one in kept])
            self._mark(_RUBRIC, [one.rubric for one in kept])
            if kept:
                yield "prompts", kept

    def _kept(
        self, kind: type[Any], part: str, takes: Callable[[list[Any]], list[Any]]
    ) -> Iterator[Batch]:
        for found in self.ws.tables.batches(kind, self.size):
            kept = takes(found)
            self._mark(part, [one.id for one in kept])
            if kept:
                yield part, kept

    def _rollouts(self, found: list[Rollout]) -> list[Rollout]:
        prompts = self.members.known("prompts", [one.prompt for one in found])
        seen = self.members.known("rollouts", [one.id for one in found])
        kept = [o for o in found if self.filters.takes_round(o.round) and o.prompt in prompts]
        return self._allowed([one for one in kept if one.id not in seen])

    def _scores(self, found: list[Score]) -> list[Score]:
        rollouts = self.members.known("rollouts", [one.rollout for one in found])
        return [one for one in found if one.rollout in rollouts]

    def _tasks(self) -> Iterator[Batch]:
        """Tasks whose items are rollouts of the selection."""
        found: list[Task] = []
        for tasks in stream(self.ws, Task, self.size, project=self.ws.project):
            prompts = self.members.known("prompts", [one.prompt for one in tasks])
            items = self.members.known("rollouts", [id for one in tasks for id in one.items])
            found = [
                one
                for one in tasks
                if one.prompt in prompts and all(id in items for id in one.items)
            ]
            self.left_out["tasks about other prompts or rollouts"] += len(tasks) - len(found)
            self._mark("tasks", [one.id for one in found])
            self._mark(_CAMPAIGN, [one.campaign for one in found])
            if found:
                yield "tasks", found
        for rows in self.members.rows(_CAMPAIGN, self.size):
            yield "campaigns", list(by_id(self.ws, Campaign, [id for id, _ in rows]).values())

    def _judgements(self) -> Iterator[Batch]:
        for found in stream(self.ws, Judgement, self.size, project=self.ws.project):
            tasks = self.members.known("tasks", [one.task for one in found])
            kept = [o for o in found if o.task in tasks and self.filters.takes_judgement(o)]
            self.left_out["judgements by other judges, of other tasks or times"] += len(
                found
            ) - len(kept)
            self._mark("judgements", [one.id for one in kept])
            if kept:
                yield "judgements", kept
        for struck in stream(self.ws, Voided, self.size, project=self.ws.project):
            there = self.members.known("judgements", [one.judgement for one in struck])
            if kept_too := [one for one in struck if one.judgement in there]:
                yield "voided", kept_too

    def _preferences(self) -> Iterator[Batch]:
        for sets in stream(self.ws, PreferenceSet, 1, project=self.ws.project):
            one = sets[0]
            wanted = self.filters.preference_sets
            if (wanted and one.id not in wanted) or not self.filters.takes_round(one.round):
                continue
            if cut := self._cut(one):
                yield "preference_sets", [cut]

    def _cut(self, one: PreferenceSet) -> PreferenceSet | None:
        """The set with the preferences between chosen rollouts; another id where some were left out."""
        ids = [id for pair in one.preferences for id in (pair.chosen, pair.rejected)]
        there = self.members.known("rollouts", ids)
        kept = tuple(p for p in one.preferences if p.chosen in there and p.rejected in there)
        left = len(one.preferences) - len(kept)
        self.left_out["preferences between other rollouts"] += left
        if not left or not kept:
            return one if kept or not one.preferences else None
        named = derived_id("ps", "cut", one.id, [pair.id for pair in kept])
        return replace(one, id=named, preferences=kept)

    def _audio(self) -> Iterator[Batch]:
        """All audio that is named, and what it was derived from."""
        todo = "?audio"
        while self.members.count(todo):
            above = todo + "^"
            for rows in self.members.rows(todo, self.size):
                new = [id for id, _ in rows if not self._in("audio", id)]
                found = list(by_id(self.ws, Audio, new).values())
                self._mark("audio", [one.id for one in found])
                self._mark(above, [one.derived_from for one in found])
                self._mark(_SPEAKER, [one.speaker for one in found])
                if found:
                    yield "audio", found
            todo = above
        for rows in self.members.rows(_SPEAKER, self.size):
            yield "speakers", list(by_id(self.ws, Speaker, [id for id, _ in rows]).values())

    def _named(self, kind: type[Any], part: str, marked: str) -> Iterator[Batch]:
        """Personas or rubrics that prompts name."""
        every = self.ws.records.find(kind, project=self.ws.project)
        if kept := [one for one in every if self._in(marked, f"{one.name}@{one.version}")]:
            yield part, kept


def _prompt_set(every: Sequence[PromptSet], name: str, ws: Workspace) -> PromptSet:
    found = [one for one in every if name in (one.name, one.reference, one.id)]
    if not found:
        raise NotFound(f"no prompt set {name!r} in {ws.root}: see `trivox data list`")
    return max(found, key=lambda one: one.version)
