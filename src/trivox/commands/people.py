"""`trivox people`: accounts, invites, roles, API tokens, hours, the audit log."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_json,
    print_rows,
)
from trivox.commands.people_import import import_
from trivox.platform.records import Role

if TYPE_CHECKING:
    from trivox.platform.records import Person
    from trivox.platform.store import Workspace

app = typer.Typer(
    help="The people who label and lead: invites, accounts, roles, API tokens, hours, the audit log.",
    no_args_is_help=True,
)
token_app = typer.Typer(help="API tokens: keys for scripts.", no_args_is_help=True)
app.add_typer(token_app, name="token")
PersonArgument = Annotated[
    str, typer.Argument(help="Login, or id of the account.", metavar="PERSON")
]
RoleArgument = Annotated[Role, typer.Argument(help="Role in the project of the workspace.")]
_NOBODY = "nobody yet: trivox people invite NAME"
_DEFAULT_URL = "http://127.0.0.1:8080"


@app.command()
def invite(
    names: Annotated[
        list[str] | None, typer.Argument(help="Whom to invite.", metavar="NAME...")
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            help="CSV with a column name and, as wanted, email, languages (`en:native zh-CN:fluent`), skills, "
            "roles, pool, pay_rate, pay_currency; one row a person."
        ),
    ] = None,
    role: Annotated[
        list[Role] | None,
        typer.Option(help="As what; give it several times. Default: annotator."),
    ] = None,
    language: Annotated[
        list[str] | None, typer.Option(help="Such as en:native; give it several times.")
    ] = None,
    days: Annotated[int, typer.Option(help="How long the links are good for.", min=1)] = 14,
    url: Annotated[
        str, typer.Option(help="How the address of `trivox serve` begins for them.")
    ] = _DEFAULT_URL,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Invite people: each link makes one account, once, and is shown this once.

    The first admin of a project is invited here: trivox people invite "Ada" --role admin
    """
    from trivox.annotation.people import invites
    from trivox.annotation.people.audit import THE_SYSTEM
    from trivox.platform.errors import UsageError

    roles = tuple(role or [Role.ANNOTATOR])
    languages = invites.read_languages(" ".join(language or []))
    guests = [invites.Guest(name, roles=roles, languages=languages) for name in names or []]
    if csv is not None:
        guests += invites.read_csv(_text(csv), roles)
    if not guests:
        raise UsageError("nobody to invite: give names, or --csv")
    ws = open_workspace(workspace)
    made = invites.invite(ws, THE_SYSTEM, guests, timedelta(days=days))
    rows = [
        (one.name, one.email or "", " ".join(one.roles), f"{url.rstrip('/')}/invite/{token}")
        for one, token in made
    ]
    print_rows("invites", ("name", "email", "roles", "link"), rows, _NOBODY, json)


def _text(path: Path) -> str:
    from trivox.platform.errors import UsageError

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as UTF-8 text: {error}") from None


@app.command("list")
def list_(workspace: WorkspaceOption = DEFAULT_WORKSPACE, json: JsonOption = False) -> None:
    """List the accounts of the project."""
    from trivox.annotation.people.accounts import people_of
    from trivox.annotation.people.principal import roles_of

    ws = open_workspace(workspace)
    names = ("person", "name", "login", "roles", "languages", "pool", "active")
    rows = []
    for one in people_of(ws):
        roles = sorted(roles_of(ws, one.id).get(ws.project, ()))
        spoken = [f"{tag}:{level}" for tag, level in one.languages.items()]
        rows.append(
            (
                one.id,
                one.name,
                one.subject or "",
                " ".join(roles),
                " ".join(spoken),
                one.pool.value,
                one.active,
            )
        )
    print_rows("people", names, rows, _NOBODY, json)


def _person(ws: "Workspace", name: str) -> "Person":
    from trivox.annotation.people.accounts import canonical
    from trivox.platform.errors import NotFound
    from trivox.platform.records import LOCAL, Person

    for wanted in ({"issuer": LOCAL, "subject": canonical(name)}, {"id": name}):
        if found := ws.records.find(Person, **wanted):
            return found[0]
    raise NotFound(f"no account {name!r}: `trivox people list` has them")


@app.command()
def grant(
    person: PersonArgument, role: RoleArgument, workspace: WorkspaceOption = DEFAULT_WORKSPACE
) -> None:
    """Give a person a role in the project."""
    from trivox.annotation.people import accounts
    from trivox.annotation.people.audit import THE_SYSTEM

    ws = open_workspace(workspace)
    who = _person(ws, person)
    accounts.grant(ws, THE_SYSTEM, who.id, role)
    typer.echo(f"{who.name} is {role.value} in project {ws.project}")


@app.command()
def revoke(
    person: PersonArgument, role: RoleArgument, workspace: WorkspaceOption = DEFAULT_WORKSPACE
) -> None:
    """Take a role back; the account stays."""
    from trivox.annotation.people import accounts
    from trivox.annotation.people.audit import THE_SYSTEM

    ws = open_workspace(workspace)
    who = _person(ws, person)
    accounts.revoke(ws, THE_SYSTEM, who.id, role)
    typer.echo(f"{who.name} is no longer {role.value} in project {ws.project}")


@app.command()
def deactivate(
    person: PersonArgument,
    again: Annotated[bool, typer.Option("--undo", help="Let the person in again.")] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Shut a person out: sessions end at once, tokens are refused; what they judged stays."""
    from trivox.annotation.people import accounts
    from trivox.annotation.people.audit import THE_SYSTEM

    ws = open_workspace(workspace)
    who = accounts.update(ws, THE_SYSTEM, _person(ws, person).id, active=again)
    typer.echo(f"{who.name} is {'let in again' if again else 'shut out'}")


@app.command()
def hours(
    since: Annotated[
        datetime | None, typer.Option(help="First day (UTC).", formats=["%Y-%m-%d"])
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(help="Last day (UTC).", formats=["%Y-%m-%d"])
    ] = None,
    out: Annotated[Path | None, typer.Option(help="CSV file to write.")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Hours and pay by day, campaign and person, on stdout or as CSV."""
    from trivox.annotation.leads import hours as work

    ws = open_workspace(workspace)
    days = [moment.date() if moment else None for moment in (since, until)]
    found = work.hours(ws, since=days[0], until=days[1])
    if out is not None:
        out.write_text(work.to_csv(found), encoding="utf-8")
    rows = [
        (
            one.day.isoformat(),
            one.campaign,
            one.person,
            one.name,
            one.answers,
            one.training,
            one.hours,
            one.rate,
            one.currency,
            one.pay,
        )
        for one in found
    ]
    print_rows("hours", work.HEAD, rows, "no work yet", json)


@app.command()
def audit(
    newest: Annotated[int, typer.Option(help="How many of the newest entries.", min=1)] = 50,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Check that the audit log is whole, and show its newest entries: who did what to which object."""
    from trivox.annotation.people.audit import verify
    from trivox.platform.records import AuditEntry

    ws = open_workspace(workspace)
    verify(ws)
    names = ("number", "at", "actor", "action", "kind", "object", "address", "details")
    rows = [
        (
            one.number,
            one.created_at.isoformat(timespec="seconds"),
            one.actor,
            one.action,
            one.kind,
            one.object,
            one.address or "",
            one.details,
        )
        for one in ws.records.find(AuditEntry)[-newest:]
    ]
    print_rows("entries", names, rows, "nothing was done yet", json)


app.command("import")(import_)


@token_app.command("make")
def make_token(
    person: PersonArgument,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[
        list[str],
        typer.Option(
            help="What it may do, `area:read` or `area:write` of account, work, campaigns, people, data, speech; "
            "give it several times."
        ),
    ],
    days: Annotated[int, typer.Option(help="Until it ends.", min=1)] = 90,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Make an API token for a person; it never may do more than they, and is shown this once."""
    from trivox.annotation.people import tokens
    from trivox.annotation.people.audit import THE_SYSTEM

    ws = open_workspace(workspace)
    made, secret = tokens.make(ws, THE_SYSTEM, _person(ws, person).id, name, tuple(scope), days)
    if json:
        print_json({"id": made.id, "token": secret, "expires_at": made.expires_at})
        return
    typer.echo(secret)


@token_app.command("list")
def list_tokens(workspace: WorkspaceOption = DEFAULT_WORKSPACE, json: JsonOption = False) -> None:
    """List the tokens that are good now."""
    from trivox.annotation.people.accounts import people_of
    from trivox.annotation.people.tokens import live_of

    ws = open_workspace(workspace)
    names = ("token", "person", "name", "scopes", "expires", "last_used")
    rows = [
        (
            one.id,
            who.name,
            one.name,
            " ".join(one.scopes),
            one.expires_at or "",
            one.used_at or "",
        )
        for who in people_of(ws)
        for one in live_of(ws, who.id)
    ]
    print_rows("tokens", names, rows, "no token: trivox people token make --help", json)


@token_app.command("revoke")
def revoke_token(
    token: Annotated[str, typer.Argument(help="Its id, from `trivox people token list`.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """End a token at once."""
    from trivox.annotation.people import tokens
    from trivox.annotation.people.audit import THE_SYSTEM

    tokens.revoke(open_workspace(workspace), THE_SYSTEM, token)
    typer.echo(f"token {token} is revoked")
