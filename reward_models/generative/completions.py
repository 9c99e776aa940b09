"""The answer of a chat API, read strictly: a stranger wrote it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class _Top(BaseModel):
    token: str
    logprob: float


class _Token(_Top):
    top_logprobs: list[_Top] = Field(default_factory=list)


class _Logprobs(BaseModel):
    content: list[_Token] | None = None


class _Message(BaseModel):
    content: str | None


class _Choice(BaseModel):
    message: _Message
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int = Field(0, ge=0)
    completion_tokens: int = Field(0, ge=0)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")

    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


@dataclass(frozen=True)
class Completion:
    """top: token without the spaces around it -> probability at the first place that is not space alone; None
    where the server gave no log-probs. cut_off: ended by its length limit."""

    text: str
    top: Mapping[str, float] | None
    cut_off: bool
    prompt_tokens: int
    completion_tokens: int


def completion_of(content: bytes) -> Completion | str:
    """The first choice, or in words what is wrong with the answer."""
    try:
        answer = _Answer.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        return f"no chat completion ({place or 'JSON'}: {first['msg']})"
    choice, usage = answer.choices[0], answer.usage or _Usage()
    if choice.message.content is None:
        return "a chat completion without text"
    return Completion(
        choice.message.content,
        _top(choice),
        choice.finish_reason == "length",
        usage.prompt_tokens,
        usage.completion_tokens,
    )


def _top(choice: _Choice) -> dict[str, float] | None:
    tokens: list[Any] = (choice.logprobs.content or []) if choice.logprobs else []
    place = next((token for token in tokens if token.token.strip()), None)
    if place is None or not place.top_logprobs:
        return None
    found: dict[str, float] = {}
    for one in place.top_logprobs:
        if math.isfinite(one.logprob) and one.logprob <= 0:
            name = one.token.strip()
            found[name] = found.get(name, 0.0) + math.exp(one.logprob)
    return found
