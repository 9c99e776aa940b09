"""The steps of a deletion, each of which may be done again."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from trivox.annotation.work.states import recount
from trivox.pipelines.datasets.forgetting.plan import Plan, Subject
from trivox.pipelines.datasets.forgetting.traces import UNFINISHED
from trivox.pipelines.datasets.members import Members
from trivox.pipelines.datasets.reading import by_id, stream
from trivox.pipelines.datasets.registry import mark_exports
from trivox.pipelines.datasets.versions import mark_forgotten
from trivox.pipelines.imports.quarantine import FOLDER as QUARANTINE
from trivox.pipelines.imports.quarantine import ROWS
from trivox.platform.records import (
    Acknowledged,
    ApiToken,
    Audio,
    Control,
    Credential,
    Evaluation,
    Inquiry,
    Invite,
    Judgement,
    LabelStudioAnnotation,
    LabelStudioPerson,
    LabelStudioTask,
    Person,
    PolicySample,
    PreferenceSet,
    Prompt,
    PromptSet,
    Qualification,
    Rollout,
    Score,
    SignIn,
    Speaker,
    Task,
    TaskFault,
    TaskLease,
    TaskState,
    Voided,
    WorkPause,
)
from trivox.platform.store import Workspace
from trivox.platform.store.artefacts import FOLDER
from trivox.platform.store.files import write_atomically
from trivox.platform.store.rows import codec_of
from trivox.platform.store.schema import table_of

GONE = "forgotten"


def shards(ws: Workspace, plan: Plan, gone: Members) -> None:
    """Rollouts, their scores, and what policies said to the prompts in training: every Parquet file that holds one
    is written anew without it."""
    ws.tables.remove(Score, "id", lambda ids: gone.known("scores", ids))
    ws.tables.remove(Rollout, "id", lambda ids: gone.known("rollouts", ids))
    ws.tables.remove(PolicySample, "prompt", lambda ids: gone.known("prompts", ids))


def runs(ws: Workspace, plan: Plan, gone: Members) -> None:
    """Checkpoints of runs that were stopped in the middle: they hold samples that were drawn ahead. The same run
    begins anew, without the rows."""
    for one in plan.unfinished:
        shutil.rmtree(ws.root / FOLDER / f"{one}{UNFINISHED}", ignore_errors=True)


def rows(ws: Workspace, plan: Plan, gone: Members) -> None:
    """Records that name what is gone, before those that they name; sets and evaluations lose their rows."""
    about_tasks = ((TaskState, "id"), (Control, "task"), (TaskLease, "task"))
    removals: list[tuple[type[Any], str, str]] = [
        (Voided, "judgement", "judgements"),
        *((kind, column, "tasks") for kind, column in about_tasks),
        (LabelStudioAnnotation, "id", "annotations"),
        (LabelStudioTask, "id", "pushed"),
        (LabelStudioPerson, "id", "accounts"),
        (TaskFault, "id", "faults"),
        (Judgement, "id", "judgements"),
        (Task, "id", "tasks"),
        (Prompt, "id", "prompts"),
        (Audio, "id", "audio"),
    ]
    with ws.records.transaction():
        touched = _tasks_of(ws, plan)
        for one in (by_id(ws, PromptSet, plan.prompt_sets)).values():
            _update(
                ws,
                replace(
                    one, items=tuple(i for i in one.items if not gone.has("prompts", i.prompt))
                ),
            )
        for found in by_id(ws, PreferenceSet, plan.preference_sets).values():
            _without(ws, found, gone)
        _evaluations(ws, plan)
        if plan.kind is Subject.ANNOTATOR:
            _of_person(ws, plan.subject)
        for kind, column, part in removals:
            _delete(ws, kind, column, plan.ids.get(part, ()))
        left = set(touched) - set(plan.ids["tasks"])
        if left:
            recount(ws, left)


def _tasks_of(ws: Workspace, plan: Plan) -> list[str]:
    return [one.task for one in by_id(ws, Judgement, plan.ids["judgements"]).values()]


def _without(ws: Workspace, one: PreferenceSet, gone: Members) -> None:
    kept = tuple(pair for pair in one.preferences if not gone.has("preferences", pair.id))
    left = len(one.preferences) - len(kept)
    if left:
        dropped = one.dropped | {GONE: one.dropped.get(GONE, 0) + left}
        _update(ws, replace(one, preferences=kept, dropped=dropped))


def _evaluations(ws: Workspace, plan: Plan) -> None:
    """What evaluations tell of single items; their figures, over many, stay."""
    names = [f'"{id}"' for part in ("prompts", "rollouts", "audio") for id in plan.ids[part]]
    if not names:
        return
    for some in stream(ws, Evaluation, 20, project=ws.project):
        for one in some:
            held = [(item, json.dumps(item, default=str)) for item in one.per_item]
            kept = tuple(item for item, text in held if not any(name in text for name in names))
            if len(kept) < len(one.per_item):
                _update(ws, replace(one, per_item=kept))


def _of_person(ws: Workspace, person: str) -> None:
    """Everything that is only theirs. Roles and their own actions in the audit log stay under an id without a
    name."""
    kinds: list[tuple[type[Any], str]] = [
        (TaskLease, "person"),
        (Qualification, "person"),
        (WorkPause, "person"),
        (Acknowledged, "person"),
        (Inquiry, "person"),
        (SignIn, "person"),
        (ApiToken, "person"),
        (Credential, "id"),
        (Invite, "used_by"),
    ]
    for kind, column in kinds:
        _delete(ws, kind, column, [person])


def _delete(ws: Workspace, kind: type[Any], column: str, ids: Sequence[str]) -> None:
    table = table_of(kind)
    with ws.records.statements(write=True) as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA secure_delete = ON")
        for start in range(0, len(ids), 500):
            some = list(ids[start : start + 500])
            connection.execute(sa.delete(table).where(table.c[column].in_(some)))


def _update(ws: Workspace, record: Any) -> None:
    """Also of kinds that are otherwise never changed: the law is above the log."""
    table = table_of(type(record))
    with ws.records.statements(write=True) as connection:
        values = codec_of(type(record)).row(record)
        connection.execute(sa.update(table).where(table.c.id == record.id).values(**values))


def marks(ws: Workspace, plan: Plan, gone: Members) -> None:
    """Versions lose the rows and say so, exports are marked, quarantined rows of the person are taken out."""
    mark_forgotten(ws, plan.id, gone)
    mark_exports(ws, plan.id, plan.kind.value, plan.subject)
    words = _words(ws, plan)
    for path in sorted((ws.root / QUARANTINE).glob(f"*/{ROWS}")):
        _clean(path, words)


def _words(ws: Workspace, plan: Plan) -> list[str]:
    """By which rows of the person are known: the name as it was written in an import, and the id."""
    if plan.kind is Subject.SPEAKER:
        names = [one.name for one in ws.records.find(Speaker, id=plan.subject)]
    else:
        names = [one.name for one in ws.records.find(Person, id=plan.subject)]
    short = [name.rpartition(":")[2] for name in (plan.subject, *names) if name != GONE]
    return list(dict.fromkeys([plan.subject, *short]))


def _clean(path: Path, words: list[str]) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    quoted = [json.dumps(word, ensure_ascii=False) for word in words]
    gone = [line for line in lines if any(word in line for word in quoted)]
    if not gone:
        return
    kept = [line for line in lines if line not in gone]
    for line in gone:
        for name in _files_of(json.loads(line)):
            (path.parent / Path(name).name).unlink(missing_ok=True)
    write_atomically(path, "".join(f"{line}\n" for line in kept).encode())


def _files_of(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["file"]] if isinstance(value.get("file"), str) else []
        return own + [name for item in value.values() for name in _files_of(item)]
    return [name for item in value for name in _files_of(item)] if isinstance(value, list) else []


def sounds(ws: Workspace, plan: Plan, gone: Members) -> None:
    """The recordings and their copies on this machine."""
    for id in plan.ids["audio"]:
        ws.audio.remove(id)


def name(ws: Workspace, plan: Plan, gone: Members, now: datetime) -> None:
    """The subject's record stays without a name: a speaker as revoked, so that nothing of theirs is imported
    again."""
    if plan.kind is Subject.SPEAKER:
        for voice in ws.records.find(Speaker, id=plan.subject):
            ended = voice.revoked_at or now
            bare = replace(
                voice, name=GONE, consents=(), revoked_at=ended, licence=None, generator=None
            )
            ws.records.replace(bare)
        return
    for person in ws.records.find(Person, id=plan.subject):
        ws.records.replace(Person(person.id, GONE, person.pool, person.created_at, active=False))


def compact(ws: Workspace) -> None:
    """So that the database file holds no trace of deleted rows."""
    with ws.records.unlocked() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            connection.exec_driver_sql("VACUUM FULL")


Step = Callable[[Workspace, Plan, Members], None]
STEPS: tuple[tuple[str, Step], ...] = (
    ("shards", shards),
    ("runs", runs),
    ("rows", rows),
    ("marks", marks),
    ("sounds", sounds),
)
"""In this order: what names something goes before it, and the name last."""
