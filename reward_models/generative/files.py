"""Questions in a JSON lines file, and the packaged ones; judged, with what labels there are."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trivox.platform.errors import BadImport, NotFound
from trivox.platform.records import Persona
from trivox.platform.statistics.intervals import wilson
from trivox.platform.statistics.judging import FlipRate, flip_rate
from trivox.reward_models.generative.judge import GenerativeJudge, Opinion
from trivox.reward_models.generative.questions import Line, Question, Reply

PACKAGED = Path(str(files("trivox.reward_models.generative") / "pairs.jsonl"))
"""Twenty pairs written for this project: an answer, and one that is off the topic, wrong or rude. Easy on
purpose."""
_SIDE = {"first": 1, "second": -1, "tie": 0, None: None}


class _Turn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: Literal["user", "assistant"]
    text: str = Field(min_length=1)


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: str | None = None
    request: str | None = None
    history: list[_Turn] = Field(default_factory=list)
    persona: str | None = None
    first: str = Field(min_length=1)
    second: str = Field(min_length=1)
    better: Literal["first", "second", "tie"] | None = None


@dataclass(frozen=True)
class Labelled:
    """side: 1 first, -1 second, 0 tie; None: not labelled."""

    question: Question
    side: int | None


def read_questions(path: Path) -> list[Labelled]:
    """One question a line; raises NotFound, and BadImport with the line and the key that is wrong."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise BadImport(f"{path}: not UTF-8: save it as UTF-8") from None
    found = [_row(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise BadImport(f"{path}: no question: write one JSON object a line with first and second")
    return found


@dataclass(frozen=True)
class Judged:
    """before: flips between the two orders; after: between a question and its swap, both debiased. accuracy: of
    the sides of decisive answers over labelled questions with a better reply, abstentions counted as wrong."""

    opinions: list[Opinion]
    before: FlipRate
    after: FlipRate
    right: int
    labelled: int

    def to_json(self) -> dict[str, Any]:
        interval = wilson(self.right, self.labelled)
        return {
            "judged": len(self.opinions),
            "failures": sum(one.failure is not None for one in self.opinions),
            "abstentions": sum(
                one.answer is not None and one.answer.abstention is not None
                for one in self.opinions
            ),
            "flip_rate_before": self.before.rate,
            "flip_rate_after": self.after.rate,
            "accuracy": self.right / self.labelled if self.labelled else None,
            "accuracy_interval": [interval.low, interval.high] if self.labelled else None,
            "opinions": [_plain(one) for one in self.opinions],
        }


def judge_questions(judge: GenerativeJudge, asked: Sequence[Labelled]) -> Judged:
    """Each question and its swap: the second asks a served judge again, which is how its own noise shows."""
    questions = [one.question for one in asked]
    opinions = judge.judge(questions)
    swapped = judge.judge([one.swapped for one in questions])
    sides = [side_of(one) for one in opinions]
    decided = [(s, one.side) for s, one in zip(sides, asked, strict=True) if one.side]
    return Judged(
        opinions,
        flip_rate([one.order_sides for one in opinions]),
        flip_rate([_both(s, side_of(other)) for s, other in zip(sides, swapped, strict=True)]),
        sum(said == label for said, label in decided),
        len(decided),
    )


def side_of(opinion: Opinion) -> int | None:
    """1, -1, 0 for a tie; None for an abstention or a failure."""
    if opinion.answer is None or opinion.answer.abstention is not None:
        return None
    found = opinion.answer.comparison or 0
    return (found > 0) - (found < 0)


def _both(side: int | None, swapped: int | None) -> tuple[int, int] | None:
    return None if side is None or swapped is None else (side, -swapped)


def _row(path: Path, number: int, line: str) -> Labelled:
    try:
        row = _Row.model_validate(json.loads(line))
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadImport(f"{path}, line {number}: not JSON: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise BadImport(f"{path}, line {number}: {place}: {first['msg']}") from None
    name = row.id or f"{path.stem}-{number}"
    history = [Line(turn.role, turn.text) for turn in row.history]
    if row.request:
        history.append(Line("user", row.request))
    persona = None if row.persona is None else Persona("", "", "asked", 1, row.persona)
    replies = Reply(f"{name}:first", row.first), Reply(f"{name}:second", row.second)
    return Labelled(Question(name, *replies, tuple(history), persona), _SIDE[row.better])


def _plain(one: Opinion) -> dict[str, Any]:
    answer = one.answer
    return {
        "question": one.question,
        "comparison": answer.comparison if answer else None,
        "tie": answer.tie.value if answer and answer.tie else None,
        "abstention": answer.abstention if answer else None,
        "failure": {"kind": one.failure.kind, "message": one.failure.message}
        if one.failure
        else None,
        "strength": one.strength,
        "uncertainty": one.uncertainty,
        "disagreement": one.disagreement,
        "by_order": one.order_sides,
        "raw": [getattr(seen.reading, "raw", None) for seen in one.seen],
    }
