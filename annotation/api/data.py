"""Judgements in bulk: what was made elsewhere comes in."""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field

from trivox.annotation.api.common import ANSWERS, Served
from trivox.annotation.api.models import Given, Taken
from trivox.annotation.imports import import_rows, read_rows
from trivox.annotation.people.principal import Here
from trivox.platform.records import JudgeKind

router = APIRouter(tags=["data"], responses=ANSWERS)
LARGEST = 64 << 20


class ImportBody(Taken):
    """text: the file; its columns are task, judge, answer, created_at, shown_first, reasons, comment."""

    form: Literal["csv", "jsonl"]
    text: Annotated[str, Field(max_length=LARGEST)]
    judges: JudgeKind = JudgeKind.HUMAN


class Refused(Given):
    row: int
    reason: str
    remedy: str


class ImportReport(Given):
    """refused: rows that were not taken, from 1, why, and what to do about it; beyond: how many more there are."""

    taken: int
    repeated: int
    refused: list[Refused]
    beyond: int


@router.post("/api/v1/imports/judgements", operation_id="import_judgements", max_body_size=LARGEST)
def import_judgements(body: ImportBody, who: Here, workspace: Served) -> ImportReport:
    """Take judgements of tasks that are here; the same rows again take nothing."""
    told = import_rows(workspace, who.by, read_rows(body.text, body.form), body.judges)
    return ImportReport.model_validate(told)
