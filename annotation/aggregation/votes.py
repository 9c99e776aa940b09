"""Which judgements count, and what each says of a comparison."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from trivox.platform.errors import UsageError
from trivox.platform.records import AnswerKind, JudgeKind, Judgement, Purpose, Task, TaskKind

COUNTED = (Purpose.JUDGE, Purpose.ADJUDICATE)
"""Purposes whose answers become preferences; checks of the judge do not."""

UNHEARD = ("label-studio@", "import@")
"""How the ui_version of judgements begins that come without a proof of listening."""


def unheard(judgement: Judgement) -> bool:
    """Whether nothing shows that a person played the clips: it came from Label Studio or an import."""
    human = judgement.judge_kind is JudgeKind.HUMAN
    return human and (judgement.ui_version or "").startswith(UNHEARD)


class Vote(NamedTuple):
    """strength: 1..3 for the first item, -3..-1 for the second, 0 for a tie."""

    judgement: Judgement
    strength: int

    @property
    def side(self) -> int:
        return (self.strength > 0) - (self.strength < 0)


def standing(judgements: Iterable[Judgement], voided: Collection[str] = ()) -> list[Judgement]:
    """Judgements that count, by id: superseded by none, not voided, no check of the judge, each key once."""
    every = {one.id: one for one in judgements}
    replaced = {one.supersedes for one in every.values()} | set(voided)
    keys: dict[str, Judgement] = {}
    for one in sorted(every.values(), key=lambda judgement: judgement.id):
        if one.id not in replaced and one.purpose in COUNTED:
            keys.setdefault(one.idempotency_key, one)
    return list(keys.values())


def by_task(
    tasks: Sequence[Task], judgements: Iterable[Judgement], voided: Collection[str] = ()
) -> dict[str, list[Judgement]]:
    """Judgements that count by task, every task among the keys; where an expert decided, the expert's alone.

    Raises UsageError for tasks that are no comparisons of two.
    """
    votes: dict[str, list[Judgement]] = {}
    for task in tasks:
        if task.kind != TaskKind.COMPARE or len(task.items) != 2:
            raise UsageError(
                f"task {task.id}: {task.kind.value} of {len(task.items)} items; preferences come from "
                "comparisons of 2"
            )
        votes[task.id] = []
    for one in standing(judgements, voided):
        if one.task in votes:
            votes[one.task].append(one)
    return {task: _decided(group) for task, group in votes.items()}


def _decided(group: list[Judgement]) -> list[Judgement]:
    expert = [
        one
        for one in group
        if one.purpose is Purpose.ADJUDICATE and one.answer.kind != AnswerKind.ABSTENTION
    ]
    return expert[-1:] or [one for one in group if one.purpose is Purpose.JUDGE]


def vote_of(task: Task, judgement: Judgement) -> Vote | None:
    """None for an abstention. Raises UsageError for an answer that is no comparison."""
    answer = judgement.answer
    if answer.kind == AnswerKind.ABSTENTION:
        return None
    if answer.kind == AnswerKind.TIE:
        return Vote(judgement, 0)
    if answer.comparison is None:
        raise UsageError(
            f"judgement {judgement.id}: a {answer.kind.value} does not answer comparison {task.id}"
        )
    return Vote(judgement, answer.comparison)


def refuse_mixture(round: str | None, votes: dict[str, list[Judgement]]) -> None:
    """Raises UsageError for simulated judges among others."""
    counts = Counter(one.judge_kind for group in votes.values() for one in group)
    simulated = counts.pop(JudgeKind.SIMULATED, 0)
    if simulated and counts:
        others = ", ".join(f"{count} {kind.value}" for kind, count in sorted(counts.items()))
        raise UsageError(
            f"round {round}: {simulated} simulated judgements among {others}: aggregate one kind, "
            "or ask for the mixture (mix_simulated)"
        )
