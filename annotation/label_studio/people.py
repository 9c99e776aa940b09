"""Which person of Trivox an account of Label Studio is: somebody says so, an account's own words never do."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ulid import ULID

from trivox.annotation.label_studio.client import LabelStudioClient, RemoteUser
from trivox.annotation.people.audit import By, note
from trivox.annotation.people.principal import roles_of
from trivox.annotation.work import controls
from trivox.annotation.work.gates import GATES, languages_for
from trivox.annotation.work.shapes import Why
from trivox.platform.errors import NotFound, UsageError
from trivox.platform.records import Campaign, LabelStudioPerson, Person, Role, Task
from trivox.platform.store import Workspace

JUDGES = frozenset({Role.ANNOTATOR, Role.EXPERT})
STOPS = frozenset(
    {Why.DECLINED, Why.POOL, Why.SKILL, Why.LANGUAGE, Why.DEVICE, Why.PAUSED, Why.TRAINING_FAILED}
)
"""What also keeps an answer out. Breaks and caps do not: there, nothing could hold people to them."""


@dataclass(frozen=True)
class Account:
    """An account there, and who it is here; None for nobody."""

    user: RemoteUser
    person: Person | None


def accounts(workspace: Workspace, client: LabelStudioClient) -> list[Account]:
    """Every account there."""
    server = client.connection.url
    return [Account(one, person_of(workspace, server, one.number)) for one in client.users()]


def person_of(workspace: Workspace, server: str, user: int) -> Person | None:
    """The person that an account was said to be."""
    found = workspace.records.find(
        LabelStudioPerson, server=server, remote=user, project=workspace.project, ended_at=None
    )
    return workspace.records.get(Person, found[0].person) if found else None


def link(
    workspace: Workspace, by: By, server: str, user: RemoteUser, person: Person
) -> LabelStudioPerson:
    """Say who an account is. Raises UsageError when it is somebody else, or the person is no judge here."""
    if not roles_of(workspace, person.id).get(workspace.project, frozenset()) & JUDGES:
        raise UsageError(
            f"{person.name} is neither annotator nor expert here: `trivox people grant` first"
        )
    with workspace.records.exclusive("audit"):
        held = person_of(workspace, server, user.number)
        if held is not None and held.id != person.id:
            raise UsageError(f"{user.email} is {held.name}: `trivox label-studio unlink` first")
        made = LabelStudioPerson(
            id=str(ULID()),
            project=workspace.project,
            server=server,
            remote=user.number,
            email=user.email,
            person=person.id,
            linked_by=by.actor,
            linked_at=datetime.now(UTC),
        )
        if held is None:
            workspace.records.add(made)
            note(
                workspace, by, "link label studio", "Person", person.id,
                server=server, account=user.number,
            )  # fmt: skip
    return made


def unlink(workspace: Workspace, by: By, server: str, email: str) -> None:
    """End what was said; judgements that came by it stay. Raises NotFound."""
    with workspace.records.exclusive("audit"):
        found = [
            one
            for one in workspace.records.find(LabelStudioPerson, server=server, ended_at=None)
            if one.email.casefold() == email.casefold() and one.project == workspace.project
        ]
        if not found:
            raise NotFound(f"{email!r} is nobody here: `trivox label-studio people` has them")
        for one in found:
            workspace.records.replace(replace(one, ended_at=datetime.now(UTC)))
            note(
                workspace, by, "unlink label studio", "Person", one.person,
                server=server, account=one.remote,
            )  # fmt: skip


def obstacle(
    workspace: Workspace, person: Person, campaign: Campaign, task: Task, now: datetime
) -> str | None:
    """Why this person's answer does not count here; None when it does."""
    roles = roles_of(workspace, person.id).get(workspace.project, frozenset())
    if not person.active or not roles & JUDGES:
        return f"{person.name} is no active annotator or expert of this project"
    for gate in GATES:
        found = gate(workspace, person, campaign, now)
        if found is not None and found.reason in STOPS:
            return found.message
    if task.language not in languages_for(person, campaign):
        return f"{person.name}'s account does not list {task.language}"
    if not controls.qualified(workspace, person, campaign):
        return f"{person.name} has not passed the training of this campaign in Trivox"
    return None
