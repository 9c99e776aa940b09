"""Prompts of judges: files of their own, named `name@version`, whose hash goes with every judgement."""

import re
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Self

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trivox.platform.config import load_toml
from trivox.platform.errors import NotFound
from trivox.platform.hashing import content_hash
from trivox.platform.records import Persona, Rubric
from trivox.reward_models.generative.questions import View
from trivox.reward_models.generative.verdicts import Outcome

_FOLDER = files("trivox.reward_models.generative") / "templates"
_JINJA = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
)
_MARK = re.compile(r"<(?=[|/])|(?<=[|])>")
_FENCE = re.compile(r"\[\[|\]\]")


class Template(BaseModel):
    """How a question is put and how its answer is read.

    system and question are Jinja2 texts: system sees `rubric` and `instruction` alone, so that its tokens are the
    same for many questions and are computed once; question sees `history`, `persona`, `a`, `b` and `fence`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"[a-z0-9][a-z0-9-]*")
    """What the template is called."""
    version: int = Field(ge=1)
    """A changed text is a new version."""
    system: str
    """What the judge is to do; the rubric goes here."""
    question: str
    """One pair of replies."""
    cue: str = "Verdict:"
    """After it the verdict stands: what the answer of a judge that answers at once begins with."""
    reasoning: str = ""
    """Added to the question where the judge reasons first; empty: this template answers at once."""
    labels: dict[str, Outcome] = Field(min_length=2)
    """Label, one token of every model's, -> what it says."""
    margins: tuple[float, float, float] | None = None
    """For labels without strength: least log-odds for slightly better, better, much better."""

    @field_validator("margins")
    @classmethod
    def _rising(
        cls, margins: tuple[float, float, float] | None
    ) -> tuple[float, float, float] | None:
        if margins is not None and not 0 <= margins[0] <= margins[1] <= margins[2]:
            raise ValueError(f"margins are {margins}: give three that rise from 0 or more")
        return margins

    @model_validator(mode="after")
    def _fair(self) -> Self:
        """Whatever can be said of the first can be said of the second."""
        said = [outcome.value for outcome in self.labels.values()]
        swapped = [
            s.replace("first", "?").replace("second", "first").replace("?", "second") for s in said
        ]
        if sorted(said) != sorted(swapped) or len(set(said)) < len(said):
            raise ValueError(f"the labels say {said}: give each outcome once and on both sides")
        return self

    @property
    def reference(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @cached_property
    def sha256(self) -> str:
        """Of everything in it."""
        return content_hash(self.model_dump(mode="json"))

    def system_text(self, rubric: Rubric | None, instruction: str | None) -> str:
        """Criteria in descending weight, as text that cannot end a fence."""
        criteria = rubric.criteria if rubric else {}
        listed = [
            (fenced(name), weight, fenced(text))
            for name, (weight, text) in sorted(criteria.items(), key=lambda one: -one[1][0])
        ]
        shown = _JINJA.from_string(self.system)
        return shown.render(rubric=listed, instruction=fenced(instruction or "")).strip()

    def question_text(self, view: View, reasons: bool) -> str:
        """One view as text. Everything that a person or a policy wrote stands between fences whose name is a hash
        of the contents, which no reply can know before it is written."""
        question = view.question
        rendered = _JINJA.from_string(self.question).render(
            history=[(line.role, fenced(line.text)) for line in question.history],
            persona=persona_text(question.persona),
            a=fenced(view.shown[0].text or ""),
            b=fenced(view.shown[1].text or ""),
            fence=question.content[:8],
        )
        return "\n".join(
            part for part in (rendered.strip(), self.reasoning if reasons else "") if part
        )


def persona_text(persona: Persona | None) -> str:
    """What a judge needs to know of a character, in a line."""
    if persona is None:
        return ""
    traits = "; ".join(f"{name}: {value}" for name, value in sorted(persona.traits.items()))
    return fenced(f"{persona.description} ({traits})" if traits else persona.description)


def fenced(text: str) -> str:
    """A text that can neither end a fence nor be read as a mark of a chat: `[[`, `]]`, `<|`, `|>`, `</` are broken
    up by a space."""
    apart = _FENCE.sub(lambda found: " ".join(found[0]), text)
    return _MARK.sub(lambda found: f"{found[0]} " if found[0] == "<" else f" {found[0]}", apart)


def packaged() -> list[str]:
    """The templates that come with Trivox."""
    names = [entry.name for entry in _FOLDER.iterdir() if entry.name.endswith(".toml")]
    return sorted(name.removesuffix(".toml") for name in names)


def load_template(asked: str) -> Template:
    """By `name@version` of a packaged one, or a TOML file. Raises NotFound, ConfigError."""
    if asked.endswith(".toml"):
        return load_toml(Path(asked), Template)
    if asked not in packaged():
        raise NotFound(
            f"no template {asked!r}: there are {', '.join(packaged())}, or give a .toml file"
        )
    return load_toml(Path(str(_FOLDER / f"{asked}.toml")), Template)
