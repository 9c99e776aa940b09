"""Judged pairs, made by hand."""

from collections.abc import Sequence
from typing import Any

from trivox.platform.records import Branch, JudgeKind
from trivox.reward_models.report.judged import JudgedPair


def judged(
    name: str,
    votes: Sequence[int],
    difference: float | None = 1.0,
    prompt: str | None = None,
    **others: Any,
) -> JudgedPair:
    by = {f"r{number}": vote for number, vote in enumerate(votes)}
    given = {"branch": Branch.TTS, "source": "test", "judges": JudgeKind.SIMULATED} | others
    return JudgedPair(
        id=name, prompt=prompt or f"prompt-{name}", votes=by, difference=difference, **given
    )
