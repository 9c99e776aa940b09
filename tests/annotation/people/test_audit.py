"""The log: a chain that shows what was changed, in a table that lets nothing be changed."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from trivox.annotation.people.audit import THE_SYSTEM, By, note, verify
from trivox.platform.errors import CorruptObject, UsageError
from trivox.platform.records import AuditEntry
from trivox.platform.store import Workspace


def test_entries_are_numbered_and_bound_to_each_other(workspace: Workspace) -> None:
    first = note(workspace, By("ada", "10.0.0.1"), "invite", "Invite", "i1", roles=["lead"])
    second = note(workspace, THE_SYSTEM, "revoke role", "Person", "p1")
    assert (first.number, first.previous) == (1, "")
    assert (second.number, second.previous) == (2, first.digest)
    assert verify(workspace) == 2


def test_threads_make_one_chain(workspace: Workspace) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda at: note(workspace, THE_SYSTEM, "a", "K", str(at)), range(40)))
    assert verify(workspace) == 40


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_entry SET actor = 'x'", "DELETE FROM audit_entry"]
)
def test_the_table_refuses_changes(workspace: Workspace, statement: str) -> None:
    entry = note(workspace, THE_SYSTEM, "a", "K", "1")
    with (
        pytest.raises(sa.exc.IntegrityError, match="append-only"),
        workspace._engine.begin() as connection,
    ):
        connection.execute(sa.text(statement))
    with pytest.raises(UsageError, match="append-only"):
        workspace.records.replace(entry)


@pytest.mark.parametrize("field", ["actor", "action", "object", "address"])
def test_a_change_behind_the_triggers_is_seen(workspace: Workspace, field: str) -> None:
    for at in range(3):
        note(workspace, By("ada", "here"), "a", "K", str(at))
    with workspace._engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER audit_entry_no_update"))
        connection.execute(sa.text(f"UPDATE audit_entry SET {field} = 'x' WHERE number = 2"))
    with pytest.raises(CorruptObject, match="audit entry 2"):
        verify(workspace)


def test_a_removed_entry_is_seen(workspace: Workspace) -> None:
    for at in range(3):
        note(workspace, THE_SYSTEM, "a", "K", str(at))
    with workspace._engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER audit_entry_no_delete"))
        connection.execute(sa.text("DELETE FROM audit_entry WHERE number = 2"))
    with pytest.raises(CorruptObject, match="audit entry 3"):
        verify(workspace)


def test_what_fails_leaves_no_entry(workspace: Workspace) -> None:
    with pytest.raises(ZeroDivisionError), workspace.records.transaction():
        note(workspace, THE_SYSTEM, "a", "K", "1")
        raise ZeroDivisionError
    assert workspace.records.find(AuditEntry) == [] and verify(workspace) == 0
