"""Tasks that cannot be put before anyone: left out with a typed reason that leads see, and asked again by them."""

from dataclasses import replace
from datetime import UTC, datetime

import sqlalchemy as sa
from ulid import ULID

from trivox.annotation.people.audit import By
from trivox.annotation.people.audit import note as log
from trivox.annotation.work.shapes import Unplayable
from trivox.annotation.work.states import recount
from trivox.platform.errors import NotFound
from trivox.platform.records import Task, TaskFault, TaskState
from trivox.platform.store import Workspace
from trivox.platform.store.schema import table_of


def leave_out(workspace: Workspace, found: Unplayable, now: datetime) -> TaskFault:
    """Note what is wrong and ask nobody the task any more. Call inside the transaction that deals out tasks."""
    task = workspace.records.get(Task, found.task)
    known = workspace.records.find(TaskFault, task=task.id, cleared_at=None)
    made = TaskFault(
        id=str(ULID()),
        project=task.project,
        campaign=task.campaign,
        task=task.id,
        kind=found.kind,
        item=found.item,
        message=found.message,
        created_at=now,
    )
    if not known:
        workspace.records.add(made)
    _close(workspace, task.id, closed=True)
    return known[0] if known else made


def _close(workspace: Workspace, task: str, *, closed: bool) -> None:
    states = table_of(TaskState)
    change = sa.update(states).where(states.c.id == task).values(closed=closed)
    with workspace.records.statements(write=True) as connection:
        connection.execute(change)


def faulty(workspace: Workspace, campaign: str) -> set[str]:
    """Tasks of the campaign that are left out now."""
    faults = table_of(TaskFault)
    query = sa.select(faults.c.task).where(
        faults.c.campaign == campaign, faults.c.cleared_at.is_(None)
    )
    with workspace.records.statements(write=False) as connection:
        return set(connection.execute(query).scalars())


def faults_of(workspace: Workspace, campaign: str) -> list[TaskFault]:
    """What is left out now, the oldest first."""
    return workspace.records.find(TaskFault, campaign=campaign, cleared_at=None)


def ask_again(workspace: Workspace, by: By, fault: str) -> TaskFault:
    """The files are back: people are asked the task again. Raises NotFound for a fault that does not hold."""
    with workspace.records.exclusive("audit"):
        found = workspace.records.find(
            TaskFault, id=fault, project=workspace.project, cleared_at=None
        )
        if not found:
            raise NotFound(f"no task is left out for fault {fault!r}")
        cleared = replace(found[0], cleared_at=datetime.now(UTC), cleared_by=by.actor)
        workspace.records.replace(cleared)
        _close(workspace, cleared.task, closed=False)
        recount(workspace, [cleared.task])
        log(workspace, by, "ask task again", "Task", cleared.task, fault=fault)
    return cleared
