"""From a workspace's comparisons to what a reward is trained on and reported on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from trivox.annotation.aggregation.outcomes import Method, Verdict, verdicts
from trivox.annotation.aggregation.preferences import MIN_CONFIDENCE, votes_on
from trivox.annotation.aggregation.votes import by_task, vote_of
from trivox.pipelines.consent import require_consent
from trivox.platform.errors import NotFound, UsageError
from trivox.platform.personas.registry import resolve
from trivox.platform.records import (
    Consent,
    JudgeKind,
    Judgement,
    Persona,
    Preference,
    PreferenceSet,
    Prompt,
    Rollout,
    Task,
    TaskKind,
    Voided,
)
from trivox.platform.scoring import Item, Value
from trivox.platform.store import Workspace
from trivox.policy.backbone import Backbone
from trivox.policy.rows import Row
from trivox.policy.trainers.dpo import TokenPair
from trivox.reward_models.bradley_terry.pairs import RewardPair
from trivox.reward_models.bradley_terry.reading import branch_of, row_of
from trivox.reward_models.items import item_of
from trivox.reward_models.report.scored import JudgedItems


@dataclass
class Material:
    """Items of a workspace's rollouts, read when they are asked for and kept. Rollouts are of one round, or of
    all."""

    ws: Workspace
    round: str | None = None
    _rollouts: dict[str, Rollout] = field(default_factory=dict)
    _items: dict[str, Item] = field(default_factory=dict)

    def has(self, rollout: str) -> bool:
        if not self._rollouts:
            self._rollouts = {one.id: one for one in self.ws.tables.read(Rollout, round=self.round)}
        return rollout in self._rollouts

    def item(self, rollout: str) -> Item:
        """Raises NotFound for a rollout that is not stored."""
        if not self.has(rollout):
            raise NotFound(f"no rollout {rollout!r} in {self.ws.root}: import it again")
        if rollout not in self._items:
            made = self._rollouts[rollout]
            prompt = self.prompt(made.prompt)
            persona = resolve(self.ws, Persona, prompt.persona) if prompt.persona else None
            self._items[rollout] = item_of(prompt, made, self.ws.audio, persona=persona)
        return self._items[rollout]

    def prompt(self, prompt: str) -> Prompt:
        return self.ws.records.get(Prompt, prompt)

    def candidates(self) -> list[str]:
        """All rollouts."""
        self.has("")
        return list(self._rollouts)


def judged_items(
    ws: Workspace, material: Material, kind: JudgeKind, round: str | None = None
) -> list[JudgedItems]:
    """The comparisons that judges of one kind answered, with every vote that counts. Raises NotFound for none."""
    tasks = _tasks(ws, round)
    counted = by_task(tasks, _judgements(ws, kind), _voided(ws))
    found = []
    for task in tasks:
        votes = {
            one.judge: vote.strength
            for one in counted[task.id]
            if (vote := vote_of(task, one)) is not None
        }
        if votes and all(map(material.has, task.items)):
            found.append(_judged(task, votes, kind, material))
    if not found:
        where = f"round {round}" if round else str(ws.root)
        raise NotFound(
            f"{where} has no comparison judged by {kind.value} judges: label some, or name another kind (--judges)"
        )
    return found


def _judged(
    task: Task, votes: Mapping[str, int], kind: JudgeKind, material: Material
) -> JudgedItems:
    first, second = (material.item(one) for one in task.items)
    branch = material.prompt(task.prompt).branch
    source = task.round or task.campaign
    return JudgedItems(task.id, task.prompt, branch, source, kind, votes, (first, second))


def _tasks(ws: Workspace, round: str | None) -> list[Task]:
    named = {} if round is None else {"round": round}
    every = ws.records.find(Task, project=ws.project, kind=TaskKind.COMPARE, **named)
    return [task for task in every if len(task.items) == 2]


def _judgements(ws: Workspace, kind: JudgeKind) -> list[Judgement]:
    return ws.records.find(Judgement, project=ws.project, judge_kind=kind)


def _voided(ws: Workspace) -> set[str]:
    return {one.judgement for one in ws.records.find(Voided, project=ws.project)}


@dataclass(frozen=True)
class PreferenceData:
    """pairs to learn from; judges: kinds of the judges behind them; left_out: reason -> how many."""

    pairs: list[RewardPair]
    judges: tuple[JudgeKind, ...]
    left_out: dict[str, int]


def reward_pairs(
    ws: Workspace, backbone: Backbone, sets: Sequence[PreferenceSet], ties: bool = True
) -> PreferenceData:
    """The preferences of the sets in tokens, and the ties that the sets left out, where their round's judgements
    have them. What cannot be read is counted by cause. Raises UsageError for no sets or for simulated judges
    among people, RefusedByConsent for a voice that may not be trained on."""
    if not sets:
        raise UsageError("no preference set to learn from: name one with --set")
    maker = _Maker(Material(ws), backbone)
    for one in sets:
        for preference in one.preferences:
            maker.prefer(preference)
        if ties and one.round is not None:
            for task, confidence in _tied(ws, one):
                maker.tie(task, confidence)
    kinds = {kind for one in sets for pair in one.preferences for kind in pair.judges}
    if JudgeKind.SIMULATED in kinds and len(kinds) > 1:
        raise UsageError(
            f"the sets were judged by {', '.join(sorted(kinds))}: learn from people or the simulated, not both"
        )
    return PreferenceData(maker.pairs, tuple(sorted(kinds)), maker.left_out)


def _tied(ws: Workspace, one: PreferenceSet) -> Iterable[tuple[Task, float]]:
    """Comparisons of the set's round that its own method calls a tie, surely enough."""
    method = Method(one.method.partition("@")[0])
    tasks = _tasks(ws, one.round)
    kinds = {kind for pair in one.preferences for kind in pair.judges}
    every = [judgement for kind in sorted(kinds) for judgement in _judgements(ws, kind)]
    counted = by_task(tasks, every, _voided(ws))
    found = verdicts(method, tasks, {task.id: votes_on(task, counted[task.id]) for task in tasks})
    for task in tasks:
        verdict = found[task.id]
        if (
            isinstance(verdict, Verdict)
            and verdict.side == 0
            and verdict.confidence >= MIN_CONFIDENCE
        ):
            yield task, verdict.confidence


@dataclass
class _Maker:
    material: Material
    backbone: Backbone
    pairs: list[RewardPair] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def prefer(self, one: Preference) -> None:
        self._add(one.id, one.prompt, (one.chosen, one.rejected), one.margin, one.confidence, False)

    def tie(self, task: Task, confidence: float) -> None:
        self._add(task.id, task.prompt, (task.items[0], task.items[1]), 0.0, confidence, True)

    def _add(
        self, id: str, prompt: str, both: tuple[str, str], margin: float, weight: float, tie: bool
    ) -> None:
        rows = [self._row(one) for one in both]
        for row in rows:
            if isinstance(row, str):
                self.left_out[row] = self.left_out.get(row, 0) + 1
                return
        chosen, rejected = (row for row in rows if isinstance(row, Row))
        if chosen.prompt != rejected.prompt or chosen.completion == rejected.completion:
            reason = "same tokens" if chosen.prompt == rejected.prompt else "prompts differ"
            self.left_out[reason] = self.left_out.get(reason, 0) + 1
            return
        tokens = TokenPair(
            chosen.prompt, chosen.completion, rejected.completion, margin, weight, chosen.audio
        )
        branch = branch_of(self.material.item(both[0]))
        self.pairs.append(RewardPair(id, prompt, branch, tokens, tie))

    def _row(self, rollout: str) -> Row | str:
        """The row, or the kind of the failure."""
        if not self.material.has(rollout):
            return "rollout not stored"
        item = self.material.item(rollout)
        prompt = self.material.prompt(item.prompt or "")
        for audio in (prompt.audio, prompt.voice_audio):
            if audio is not None:
                require_consent(self.material.ws, audio, Consent.TRAIN)
        row = row_of(self.backbone, item)
        if isinstance(row, Value):
            return row.failure.kind if row.failure else "unknown"
        return row
