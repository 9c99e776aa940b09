"""Questions to judges, versioned as `name@version`: what is asked, how it is answered, and the reasons offered."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from trivox.platform.errors import NotFound
from trivox.platform.records import TaskKind

Texts = dict[str, str]
"""Language ("en", "zh") -> text; English is always there."""
ENGLISH = "en"
_FILE = Path(__file__).with_name("questions.toml")


class Dimension(BaseModel):
    """One scale from 1 to 5 of a rating; low and high name its ends."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1)]
    title: Texts
    low: Texts
    high: Texts


class Question(BaseModel):
    """kind: how it is answered. scope: "episode" (the whole) or "turn" (the last reply).

    level_matched: clips are brought to one loudness by gain alone. rationale: whether a comment in words is
    asked for. ties: whether equality is an answer. reasons: tag -> text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
    version: Annotated[int, Field(ge=1)]
    kind: TaskKind
    scope: Literal["episode", "turn"] = "episode"
    title: Texts
    help: Texts = {}
    level_matched: bool = True
    ties: bool = True
    rationale: Literal["none", "optional", "required"] = "optional"
    dimensions: tuple[Dimension, ...] = ()
    reasons: dict[str, Texts] = {}

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"


def question(reference: str) -> Question:
    """The question `name@version`; NotFound lists those there are."""
    known = questions()
    if reference not in known:
        raise NotFound(f"no question {reference!r}: there are {', '.join(sorted(known))}")
    return known[reference]


@cache
def questions() -> dict[str, Question]:
    """Every question there is, by reference."""
    rows = tomllib.loads(_FILE.read_text(encoding="utf-8"))["question"]
    return {one.reference: one for one in TypeAdapter(list[Question]).validate_python(rows)}


def in_language(texts: Texts, language: str) -> str | None:
    """The text of `zh-CN`, or else of `zh`, or else in English; None where there is none of these."""
    for tag in (language, language.split("-")[0], ENGLISH):
        if tag in texts:
            return texts[tag]
    return None
