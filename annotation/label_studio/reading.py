"""An annotation as it came, checked against what was asked: an answer, or a typed refusal.

Label Studio checks nothing of what it is sent: unknown choices, ratings of 99, answers in another's name and
annotations without an answer are all stored there. So everything is checked here.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from trivox.annotation.label_studio.client import sdk
from trivox.annotation.label_studio.layout import ANSWER, COMMENT, REASONS, SKIP
from trivox.annotation.work.answers import LONGEST_TEXT
from trivox.annotation.work.shapes import Given, SkipReason
from trivox.platform.errors import UsageError
from trivox.platform.hashing import content_hash
from trivox.platform.records import AnswerKind, Refusal, Tie

LARGEST = 64 << 10
"""Bytes of an annotation's JSON that are kept."""
UI_VERSION = "label-studio@1"


class Refused(UsageError):
    """An annotation that is no judgement; refusal says which rule it breaks, the text how."""

    def __init__(self, refusal: Refusal, detail: str) -> None:
        super().__init__(refusal, detail)
        self.refusal, self.detail = refusal, detail

    def __str__(self) -> str:
        return f"{self.refusal.value}: {self.detail}"


class Annotation(BaseModel):
    """What of an annotation is looked at. author: the account that it names; hand: the one that wrote it last."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    number: int = Field(alias="id", ge=1, lt=2**63)
    author: int | None = Field(alias="completed_by", default=None)
    hand: int | None = Field(alias="updated_by", default=None)
    result: Any = None
    skipped: bool = Field(alias="was_cancelled", default=False)
    created_at: AwareDatetime
    updated_at: AwareDatetime
    seconds: float | None = Field(alias="lead_time", default=None, ge=0, allow_inf_nan=False)
    prediction: Any = Field(alias="parent_prediction", default=None)
    imported: Any = Field(alias="import_id", default=None)


@dataclass(frozen=True)
class Sheet:
    """An annotation that could be read. content: as it came, {} when too large; digest: of what counts in it."""

    annotation: Annotation
    content: dict[str, Any]
    digest: str
    size: int


def sheet_of(raw: dict[str, Any]) -> Sheet | None:
    """None for what has not even the form of an annotation."""
    plain = dict(raw)
    for name in ("completed_by", "updated_by"):  # an account in full, or its number
        if isinstance(plain.get(name), dict):
            plain[name] = plain[name].get("id")
    try:
        found = Annotation.model_validate(plain)
        text = json.dumps(raw, default=str, allow_nan=False)
    except (ValidationError, ValueError, RecursionError):
        return None
    counts = [found.author, found.hand, found.skipped, found.result, found.prediction]
    content = json.loads(text) if len(text) <= LARGEST else {}
    return Sheet(found, content, content_hash(counts), len(text))


def check_origin(sheet: Sheet) -> int:
    """The account that wrote it. Raises Refused for one that another wrote, or that no person gave."""
    one = sheet.annotation
    if sheet.size > LARGEST:
        raise Refused(Refusal.TOO_LARGE, f"it has {sheet.size} bytes: at most {LARGEST}")
    if one.author is None or one.hand not in (None, one.author):
        raise Refused(
            Refusal.OTHER_HAND,
            f"it names account {one.author} and was written by account {one.hand}",
        )
    if one.prediction is not None or one.imported is not None:
        raise Refused(Refusal.PREFILLED, "it was made from a prediction or an import, not by ear")
    return one.author


def given_of(sheet: Sheet, config: str) -> Given:
    """The answer in the order shown. Raises Refused for what does not fit the configuration."""
    one = sheet.annotation
    if one.skipped:
        return _skip(SkipReason.OTHER, ())
    values = _values(one.result, config)
    chosen = values.get(ANSWER, [])
    if len(chosen) != 1:
        raise Refused(Refusal.BAD_ANSWER, f"{len(chosen)} answers are chosen: exactly one")
    reasons, comment = tuple(values.get(REASONS, ())), "\n".join(values.get(COMMENT, ())).strip()
    return _given(chosen[0], reasons, comment[:LONGEST_TEXT] or None)


def _values(result: Any, config: str) -> dict[str, list[str]]:
    """Control -> what it holds. Raises Refused for what LabelInterface refuses, and for a control held twice."""
    errors = _interface_errors(result, config)
    if errors:
        raise Refused(Refusal.INVALID, "; ".join(errors)[:500])
    values: dict[str, list[str]] = {}
    for region in result:
        name, value = region["from_name"], region["value"]
        held = value.get("text" if region["type"] == "textarea" else "choices")
        texts = [held] if isinstance(held, str) else held
        if name in values or not isinstance(texts, list):
            raise Refused(Refusal.INVALID, f"control {name!r} is given twice, or holds no list")
        if not all(isinstance(text, str) for text in texts) or len(set(texts)) != len(texts):
            raise Refused(Refusal.INVALID, f"control {name!r} holds the same twice, or no words")
        values[name] = texts
    return values


def _interface_errors(result: Any, config: str) -> list[str]:
    interface = _interface(config)
    try:
        if interface.validate_annotation({"result": result}):
            return []
        told = interface.validate_prediction({"result": result}, return_errors=True)
        return [str(one) for one in told] or ["it does not fit the labelling configuration"]
    except Exception as error:  # whatever hostile content makes of the validator, it is not valid
        return [f"LabelInterface cannot read it: {type(error).__name__}"]


@lru_cache(maxsize=64)
def _interface(config: str) -> Any:
    sdk()
    from label_studio_sdk.label_interface.interface import LabelInterface

    return LabelInterface(config)


def _given(word: str, reasons: tuple[str, ...], comment: str | None) -> Given:
    if word.startswith(SKIP):
        return _skip(SkipReason(word.removeprefix(SKIP)), reasons, comment)
    if word in set(Tie):
        return Given(
            AnswerKind.TIE, tie=Tie(word), reasons=reasons, comment=comment, ui_version=UI_VERSION
        )
    return Given(
        AnswerKind.COMPARISON,
        comparison=int(word),
        reasons=reasons,
        comment=comment,
        ui_version=UI_VERSION,
    )


def _skip(reason: SkipReason, ticked: tuple[str, ...], comment: str | None = None) -> Given:
    """reasons begin with that of the skip, as a skip in Trivox's own pages has it."""
    return Given(
        AnswerKind.ABSTENTION,
        reasons=(reason.value, *ticked),
        comment=comment,
        ui_version=UI_VERSION,
    )


def answered_at(sheet: Sheet) -> datetime:
    return sheet.annotation.updated_at
