"""The audit log: who did what to which object, when and from where. Entries form a chain of hashes."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from ulid import ULID

from trivox.platform.errors import CorruptObject
from trivox.platform.hashing import content_hash
from trivox.platform.records import AuditEntry
from trivox.platform.store import Workspace

SYSTEM, NOBODY = "system", "nobody"


@dataclass(frozen=True)
class By:
    """Who acts, and from which address; `system` is the command line of the machine itself."""

    actor: str
    address: str | None = None


THE_SYSTEM = By(SYSTEM)


def note(
    workspace: Workspace, by: By, action: str, kind: str, subject: str, **details: Any
) -> AuditEntry:
    """Append an entry about the subject, an id; inside a transaction it stands or falls with what it tells
    of. No secrets in details.
    """
    with workspace.records.exclusive("audit"):
        last = workspace.records.latest(AuditEntry)
        entry = AuditEntry(
            id=str(ULID()),
            number=last.number + 1 if last else 1,
            project=workspace.project,
            actor=by.actor,
            action=action,
            kind=kind,
            object=subject,
            created_at=datetime.now(UTC),
            previous=last.digest if last else "",
            digest="",
            address=by.address,
            details=details,
        )
        entry = AuditEntry(**asdict(entry) | {"digest": digest_of(entry)})
        workspace.records.add(entry)
    return entry


def digest_of(entry: AuditEntry) -> str:
    """sha256 over all fields but the digest itself."""
    fields = asdict(entry) | {"created_at": entry.created_at.astimezone(UTC).isoformat()}
    return content_hash({name: value for name, value in fields.items() if name != "digest"})


def verify(workspace: Workspace) -> int:
    """The number of entries of an unbroken chain; CorruptObject names the first that does not fit."""
    previous, number = "", 0
    for entry in workspace.records.find(AuditEntry):
        number += 1
        if (entry.number, entry.previous, entry.digest) != (number, previous, digest_of(entry)):
            raise CorruptObject(
                f"audit entry {entry.number} ({entry.id}) does not continue entry {number - 1}: the log was"
                " changed outside Trivox: compare with a backup"
            )
        previous = entry.digest
    return number
