"""Comparisons of two recordings with what each person said, as the rows of SpeechJudge-Data (arXiv 2511.07931)."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trivox.pipelines.datasets.selection import Selection
from trivox.pipelines.exports.columns import from_line, to_line
from trivox.pipelines.exports.forms import Columns, Kit
from trivox.platform.records import (
    AnswerKind,
    JudgeKind,
    Judgement,
    Prompt,
    Purpose,
    Rollout,
    Task,
    TaskKind,
    Tie,
)

TIES = {
    Tie.BOTH_GOOD: "Tie (both very good)",
    Tie.BOTH_BAD: "Tie (both not good)",
    Tie.CANNOT_TELL: "Tie (missing reason)",
}


@dataclass
class _Shelf:
    """Prompts, rollouts and answers on disk until their question comes."""

    selection: Selection

    def keep(self, part: str, records: list[Any]) -> None:
        self.selection.members.add(part, [(one.id, to_line(one).decode()) for one in records])

    def answers(self, records: list[Judgement]) -> None:
        rows = [(f"{one.task} {one.id}", to_line(one).decode()) for one in records]
        self.selection.members.add("|answer", rows)

    def get(self, part: str, kind: type[Any], id: str) -> Any:
        line = self.selection.members.known(part, [id]).get(id)
        return from_line(kind, line.encode()) if line else None

    def of_task(self, task: str) -> list[Judgement]:
        rows = self.selection.members.under("|answer", f"{task} ")
        return [from_line(Judgement, line.encode()) for _, line in rows]


def judged_rows(
    selection: Selection, kit: Kit, left_out: Counter[str]
) -> Iterator[tuple[str, list[Columns]]]:
    """("train", row) of each comparison of recordings that a person answered. Only people: simulated judges and
    models are left out and counted; so are struck-out and superseded answers, and controls."""
    shelf = _Shelf(selection)
    for part, records in selection.batches():
        if part in ("prompts", "rollouts", "tasks"):
            shelf.keep(f"|{part}", records)
        elif part == "judgements":
            people = [one for one in records if one.judge_kind is JudgeKind.HUMAN]
            left_out["answers by other judges than people"] += len(records) - len(people)
            shelf.answers(people)
        elif part == "voided":
            selection.members.add("|voided", [(one.judgement, "") for one in records])
    for rows in selection.members.rows("|tasks", selection.size):
        for _, line in rows:
            row = _row(shelf, from_line(Task, line.encode()), kit)
            if isinstance(row, str):
                left_out[row] += 1
            else:
                yield "train", [row]


def _row(shelf: _Shelf, task: Task, kit: Kit) -> Columns | str:
    if task.kind is not TaskKind.COMPARE or len(task.items) != 2:
        return "questions that are no comparison of two"
    prompt: Prompt = shelf.get("|prompts", Prompt, task.prompt)
    both: list[Rollout] = [shelf.get("|rollouts", Rollout, id) for id in task.items]
    if any(one is None or one.audio is None for one in both):
        return "comparisons without recordings"
    said = _said(shelf, task)
    if not said:
        return "comparisons that no person answered"
    sounds = [str(one.audio) for one in both]
    a, b = ({"bytes": kit.sound(id), "path": kit.path(id)} for id in sounds)
    words = [annotation(one) for one in said]
    row: Columns = {
        "index": task.id,
        "subset": "regular",
        "language_setting": language_setting(prompt.languages),
        "target_text": prompt.text or prompt.reference_text or "",
        "audioA": a,
        "audioB": b,
        "rater": [one.judge for one in said],
        "naturalness_annotation": words,
        "naturalness_label": label(words),
    }
    held = [json.loads(to_line(one)) for one in (prompt, *both)]
    records = {"prompt": held[0], "items": held[1:], "task": json.loads(to_line(task))}
    return row | {"trivox": json.dumps(records, ensure_ascii=False)}


def _said(shelf: _Shelf, task: Task) -> list[Judgement]:
    found = shelf.of_task(task.id)
    old = {one.supersedes for one in found}
    struck = shelf.selection.members.known("|voided", [one.id for one in found])
    return [
        one
        for one in found
        if one.id not in old
        and one.id not in struck
        and one.purpose in (Purpose.JUDGE, Purpose.ADJUDICATE)
        and one.answer.kind in (AnswerKind.COMPARISON, AnswerKind.TIE)
    ]


def annotation(one: Judgement) -> str:
    """`A+2`: the first is better by 2; `B+1`; or the kind of tie. Their scale ends at 2: 3 is written as it is."""
    if one.answer.tie is not None:
        return TIES[one.answer.tie]
    strength = one.answer.comparison or 0
    return f"{'A' if strength > 0 else 'B'}+{abs(strength)}"


def label(words: list[str]) -> str:
    """A, B or Tie: whatever most said; Tie where as many said each."""
    sides = Counter(word[0] if word[0] in "AB" else "Tie" for word in words)
    (first, most), *others = sides.most_common()
    return "Tie" if any(count == most for _, count in others) else first


def language_setting(languages: tuple[str, ...]) -> str:
    """`en2en`: of the voice and of the text, as two letters; `mixed` for several."""
    tags = {one.partition("-")[0].lower() for one in languages}
    one = tags.pop() if len(tags) == 1 else "mixed"
    return f"{one}2{one}"
