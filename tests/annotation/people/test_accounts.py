"""Accounts: made by invites, entered by login and password, limited, ended."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.annotation.people.guests import PASSWORD, account
from trivox.annotation.people import accounts, invites, sessions, throttle
from trivox.annotation.people.audit import THE_SYSTEM, By
from trivox.annotation.people.passwords import WeakPassword, hashed, verified
from trivox.annotation.people.principal import roles_of
from trivox.platform.errors import NotFound, UsageError
from trivox.platform.records import AuditEntry, Credential, Invite, Person, Role, SignIn
from trivox.platform.store import Workspace

HERE = "10.0.0.1"


def test_invite_makes_one_account_with_its_roles(workspace: Workspace) -> None:
    guest = invites.Guest("Ada", "ada@example.org", {"en": "native"}, ("music",), (Role.EXPERT,))
    [(invite, token)] = invites.invite(workspace, THE_SYSTEM, [guest])
    person, secret = accounts.accept(workspace, token, " Ada ", PASSWORD, address=HERE)
    assert (person.name, person.subject, person.skills) == ("Ada", "ada", ("music",))
    assert roles_of(workspace, person.id) == {workspace.project: frozenset({Role.EXPERT})}
    assert sessions.find(workspace, secret) is not None
    assert workspace.records.get(Invite, invite.id).used_by == person.id
    with pytest.raises(NotFound, match="unknown, used or has ended"):
        accounts.accept(workspace, token, "other", PASSWORD, address=HERE)


def test_ended_and_revoked_invites_say_the_same_as_unknown_ones(workspace: Workspace) -> None:
    guests = [invites.Guest("A"), invites.Guest("B")]
    (first, ended), (second, revoked) = invites.invite(workspace, THE_SYSTEM, guests)
    workspace.records.replace(replace(first, expires_at=datetime.now(UTC)))
    invites.revoke(workspace, THE_SYSTEM, second.id)
    told = set()
    for token in (ended, revoked, "never given out"):
        with pytest.raises(NotFound) as refused:
            accounts.accept(workspace, token, "a", PASSWORD, address=HERE)
        told.add(str(refused.value))
    assert len(told) == 1
    assert workspace.records.find(Person) == []


def test_right_password_lets_in_and_wrong_ones_say_nothing(workspace: Workspace) -> None:
    ada = account(workspace, "ada")
    gone = account(workspace, "gone")
    accounts.update(workspace, THE_SYSTEM, gone.id, active=False)
    session = sessions.find(workspace, accounts.sign_in(workspace, "ADA", PASSWORD, HERE))
    assert session is not None and session.person == ada.id
    told = set()
    for login, password in (("ada", "wrong"), ("nobody", PASSWORD), ("gone", PASSWORD)):
        with pytest.raises(accounts.NotLetIn) as refused:
            accounts.sign_in(workspace, login, password, HERE)
        told.add(str(refused.value))
    assert told == {"login and password do not belong together"}


def test_five_failures_close_the_door_for_that_address_alone(workspace: Workspace) -> None:
    account(workspace, "ada")
    for _ in range(5):
        with pytest.raises(accounts.NotLetIn):
            accounts.sign_in(workspace, "ada", "wrong", HERE)
    with pytest.raises(throttle.TooMany) as refused:
        accounts.sign_in(workspace, "ada", PASSWORD, HERE)
    assert 800 < refused.value.seconds <= 900
    assert accounts.sign_in(workspace, "ada", PASSWORD, "10.0.0.2")


def test_unknown_logins_are_limited_alike(workspace: Workspace) -> None:
    for _ in range(5):
        with pytest.raises(accounts.NotLetIn):
            accounts.sign_in(workspace, "nobody", "wrong", HERE)
    with pytest.raises(throttle.TooMany):
        accounts.sign_in(workspace, "nobody", "wrong", HERE)


def test_success_is_not_counted(workspace: Workspace) -> None:
    account(workspace, "ada")
    for _ in range(12):
        accounts.sign_in(workspace, "ada", PASSWORD, HERE)
    assert all(one.failures == 0 for one in workspace.records.find(throttle.Throttle)[-3:])


def test_sessions_end_when_idle_when_old_and_when_signed_out(workspace: Workspace) -> None:
    ada = account(workspace, "ada")
    now = datetime.now(UTC)

    def kept(**changes: object) -> bool:
        secret = sessions.begin(workspace, ada.id, HERE)
        [held] = workspace.records.find(SignIn, id=sessions.digest(secret))
        workspace.records.replace(replace(held, **changes))  # type: ignore[arg-type]
        return sessions.find(workspace, secret) is not None

    assert kept()
    assert not kept(seen_at=now - sessions.IDLE)
    assert not kept(ends_at=now - timedelta(seconds=1))
    assert not kept(ended_at=now)


def test_cookie_holds_no_stored_id(workspace: Workspace) -> None:
    ada = account(workspace, "ada")
    secret = sessions.begin(workspace, ada.id, HERE)
    assert secret not in str(workspace.records.find(SignIn))
    assert sessions.find(workspace, sessions.digest(secret)) is None


def test_new_password_ends_other_sessions(workspace: Workspace) -> None:
    ada = account(workspace, "ada")
    here, elsewhere = (sessions.begin(workspace, ada.id, HERE) for _ in range(2))
    by = By(ada.id, HERE)
    with pytest.raises(accounts.NotLetIn):
        accounts.change_password(workspace, by, None, "wrong", "another long one")
    session = sessions.digest(here)
    accounts.change_password(workspace, by, session, PASSWORD, "another long one")
    assert sessions.find(workspace, here) and not sessions.find(workspace, elsewhere)
    assert accounts.sign_in(workspace, "ada", "another long one", HERE)
    with pytest.raises(accounts.NotLetIn):
        accounts.sign_in(workspace, "ada", PASSWORD, HERE)


def test_inactive_people_are_signed_out(workspace: Workspace) -> None:
    ada = account(workspace, "ada")
    secret = sessions.begin(workspace, ada.id, HERE)
    accounts.update(workspace, THE_SYSTEM, ada.id, active=False)
    assert sessions.find(workspace, secret) is None


def test_roles_are_granted_once_and_revoked(workspace: Workspace) -> None:
    ada, bob = account(workspace, "ada", Role.ADMIN), account(workspace, "bob")
    accounts.grant(workspace, THE_SYSTEM, bob.id, Role.LEAD)
    accounts.grant(workspace, THE_SYSTEM, bob.id, Role.LEAD)
    accounts.revoke(workspace, THE_SYSTEM, bob.id, Role.LEAD)
    assert roles_of(workspace, bob.id)[workspace.project] == {Role.ANNOTATOR}
    with pytest.raises(NotFound):
        accounts.revoke(workspace, THE_SYSTEM, bob.id, Role.LEAD)
    with pytest.raises(UsageError, match="last admin"):
        accounts.revoke(workspace, THE_SYSTEM, ada.id, Role.ADMIN)


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaa", "adalovelace1", "x" * 201])
def test_weak_passwords_are_refused(password: str) -> None:
    with pytest.raises(WeakPassword):
        hashed(password, "ADALOVELACE1")


def test_passwords_are_argon2id_and_nobody_has_the_decoy() -> None:
    kept = hashed(PASSWORD)
    assert kept.startswith("$argon2id$")
    assert verified(kept, PASSWORD) and not verified(kept, "wrong")
    assert not verified(None, PASSWORD) and not verified("broken", PASSWORD)


def test_no_secret_is_logged(workspace: Workspace) -> None:
    ada = account(workspace, "ada")
    secret = accounts.sign_in(workspace, "ada", PASSWORD, HERE)
    with pytest.raises(accounts.NotLetIn):
        accounts.sign_in(workspace, "my password as a login", "wrong", HERE)
    log = str(workspace.records.find(AuditEntry))
    [kept] = workspace.records.find(Credential, id=ada.id)
    for word in (PASSWORD, secret, kept.password_hash, "my password", "wrong"):
        assert word not in log
    assert "sign-in refused" in log and HERE in log


def test_guests_of_a_csv(workspace: Workspace) -> None:
    text = (
        "\ufeffname,email,languages,skills,roles,pay_rate,pay_currency\n"
        "Li Wei,li@example.org,zh-CN:native en,music dialect,annotator expert,21.5,EUR\nBo,,,,,,\n"
    )
    first, second = invites.read_csv(text)
    assert first.languages == {"zh-CN": "native", "en": "fluent"}
    assert first.roles == (Role.ANNOTATOR, Role.EXPERT) and first.skills == ("music", "dialect")
    assert (first.pay_rate, first.pay_currency) == (21.5, "EUR")
    assert second == invites.Guest("Bo")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mail\na@b\n", "the columns are"),
        ("name,roles\nA,annotator\nB,king\n", "line 3: 'king'"),
        ("name,languages\nA,en:best\n", "line 2: 'en:best'"),
        ("name,email\nA\n", "line 2: it has 1 fields, the first line 2"),
        ("name\n \n", "line 2: no name"),
        ("", "no CSV"),
        ("name\n" + "x" * 200_000, "no CSV: field larger"),
    ],
)
def test_wrong_rows_are_named(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        invites.read_csv(text)
