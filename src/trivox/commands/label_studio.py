"""`trivox label-studio`: Label Studio as one more way in."""

import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trivox.commands.campaigns import CampaignArgument
from trivox.commands.campaigns import _find as find_campaign
from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_json,
    print_rows,
)
from trivox.commands.people import PersonArgument
from trivox.commands.people import _person as find_person

if TYPE_CHECKING:
    from trivox.annotation.label_studio.client import LabelStudioClient
    from trivox.platform.store import Workspace

app = typer.Typer(
    help="Label Studio as one more way in: campaigns are pushed there, judgements come back.",
    no_args_is_help=True,
)
TOKEN_VARIABLE = "TRIVOX_LABEL_STUDIO_TOKEN"
SHOWN = 20
EmailArgument = Annotated[
    str, typer.Argument(help="Email address of the account in Label Studio.", metavar="EMAIL")
]
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--trivox-url",
        help="How Label Studio and its users' browsers reach `trivox serve`. Default: http://127.0.0.1:8080.",
    ),
]


@app.command()
def serve(
    install: Annotated[
        bool,
        typer.Option(
            "--install", help="First make the server's own virtual environment; about 1 GB."
        ),
    ] = False,
    port: Annotated[int, typer.Option(help="Port on this machine.", min=1, max=65535)] = 8081,
    trivox_url: UrlOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Run a Label Studio server for the workspace, on this machine alone; Ctrl-C ends it.

    Its data, log and passwords lie in the folder label-studio of the workspace, for you alone. Nobody signs up
    without the link of `trivox label-studio invite`. TRIVOX_LABEL_STUDIO_VENV names another environment.
    """
    from trivox.annotation.label_studio import environment, server
    from trivox.annotation.label_studio.connection import FILE, folder_of
    from trivox.platform.progress import say

    ws = open_workspace(workspace)
    folder = folder_of(ws)
    if install:
        environment.install(environment.place_of(folder))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or the server would outlive us
    say("starting; the first start makes a database and takes a minute or two")
    with server.serving(ws, port, trivox_url) as running:
        say(
            f"{running.connection.url} ; Ctrl-C ends it; first account and password: {folder / FILE}"
        )
        raise typer.Exit(1 if running.wait() else 0)


@app.command()
def install(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    into: Annotated[
        str | None,
        typer.Option(
            help="Folder of the environment. Default: label-studio/venv in the workspace."
        ),
    ] = None,
) -> None:
    """Make the server's own virtual environment, with pinned packages; what is there already is left."""
    from pathlib import Path

    from trivox.annotation.label_studio import environment
    from trivox.annotation.label_studio.connection import folder_of

    place = Path(into) if into else environment.place_of(folder_of(open_workspace(workspace)))
    environment.install(place.resolve())
    typer.echo(f"label-studio {environment.installed_version(place.resolve())} is in {place}")


@app.command()
def connect(
    url: Annotated[
        str, typer.Argument(help="Address of a Label Studio: https, or this machine's.")
    ],
    trivox_url: UrlOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Work with a Label Studio that runs already.

    An access token of an account there is read from TRIVOX_LABEL_STUDIO_TOKEN, or asked for; it is kept in the
    workspace, readable for you alone.
    """
    from trivox.annotation.label_studio.client import LabelStudioClient
    from trivox.annotation.label_studio.connection import TRIVOX_URL, Connection
    from trivox.annotation.label_studio.connection import connect as remember

    ws = open_workspace(workspace)
    token = os.environ.get(TOKEN_VARIABLE) or typer.prompt("token", hide_input=True)
    made = Connection.new(url, token, trivox_url or TRIVOX_URL)
    with LabelStudioClient(made) as client:
        version = client.version()  # what does not answer is not remembered
    kept = remember(ws, made.url, made.token, made.trivox_url)
    typer.echo(f"{kept.url} is Label Studio {version}; next: trivox label-studio push CAMPAIGN")


@app.command()
def invite(workspace: WorkspaceOption = DEFAULT_WORKSPACE) -> None:
    """Print the link by which people sign up in Label Studio; then say who each is: link."""
    with _client(open_workspace(workspace)) as client:
        typer.echo(client.invitation())


@app.command()
def people(workspace: WorkspaceOption = DEFAULT_WORKSPACE, json: JsonOption = False) -> None:
    """List the accounts of Label Studio, and who each is in Trivox."""
    from trivox.annotation.label_studio.people import accounts

    ws = open_workspace(workspace)
    rows = []
    with _client(ws) as client:
        found = accounts(ws, client)
    for one in found:
        who = (one.person.id, one.person.name) if one.person else ("", "")
        rows.append((one.user.number, one.user.email, *who))
    print_rows("accounts", ("account", "email", "person", "name"), rows, "no account there", json)


@app.command()
def link(
    email: EmailArgument, person: PersonArgument, workspace: WorkspaceOption = DEFAULT_WORKSPACE
) -> None:
    """Say who an account of Label Studio is in Trivox; only answers of such accounts count.

    Answers that were refused because nobody knew the account are taken by the next pull.
    """
    from trivox.annotation.label_studio import people as service
    from trivox.annotation.people.audit import THE_SYSTEM

    ws = open_workspace(workspace)
    who = find_person(ws, person)
    with _client(ws) as client:
        service.link(ws, THE_SYSTEM, client.connection.url, client.user(email), who)
    typer.echo(f"{email} is {who.name}")


@app.command()
def unlink(email: EmailArgument, workspace: WorkspaceOption = DEFAULT_WORKSPACE) -> None:
    """End what was said about an account: its answers from now on count no more; those taken stay."""
    from trivox.annotation.label_studio import people as service
    from trivox.annotation.label_studio.connection import the_connection
    from trivox.annotation.people.audit import THE_SYSTEM

    ws = open_workspace(workspace)
    service.unlink(ws, THE_SYSTEM, the_connection(ws).url, email)
    typer.echo(f"{email} is nobody here any more")


@app.command()
def push(
    name: CampaignArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Bring a campaign's open comparisons there; again, it adds what is new and puts back what was changed.

    Blind: random names, sides drawn by lot and kept here. `trivox serve` has to run for the sounds to play.
    """
    from trivox.annotation.label_studio.push import push as bring
    from trivox.annotation.people.audit import THE_SYSTEM

    ws = open_workspace(workspace)
    with _client(ws) as client:
        told = bring(ws, THE_SYSTEM, client, find_campaign(ws, name))
    if json:
        print_json(told.__dict__)
        return
    typer.echo(f"{told.added} comparisons are new there, {told.there} were there")
    for project in told.projects:
        typer.echo(f"  {client.connection.url}/projects/{project}")
    for reason, count in told.left_out.items():
        typer.echo(f"  {count} left out: {reason}")
    _some([f"{task}: {why}" for task, why in told.refused.items()])


@app.command()
def pull(
    name: Annotated[
        str | None,
        typer.Argument(help="One campaign: id, its beginning, or name.", metavar="CAMPAIGN"),
    ] = None,
    void_gone: Annotated[
        bool,
        typer.Option(
            "--void-gone",
            help="Strike out judgements whose annotation was deleted there; anybody there can delete.",
        ),
    ] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Bring judgements from there, each once, whatever webhooks brought; what is refused is listed with why."""
    from trivox.annotation.label_studio.pull import pull as bring
    from trivox.annotation.people.audit import THE_SYSTEM

    ws = open_workspace(workspace)
    campaign = None if name is None else find_campaign(ws, name)
    with _client(ws) as client:
        told = bring(ws, THE_SYSTEM, client, campaign, void_gone=void_gone)
    refused = [
        {
            "annotation": one.remote,
            "account": one.author,
            "task": one.task,
            "reason": str(one.refusal),
            "detail": one.detail,
        }
        for one in told.refused
    ]
    figures: dict[str, Any] = told.__dict__ | {"refused": refused}
    if json:
        print_json(figures)
        return
    typer.echo(
        f"{told.taken} taken ({told.changed} of them edits), {told.unchanged} as before, {told.gone} deleted, "
        f"{told.struck} struck out, {told.unknown} not ours, {len(refused)} refused"
    )
    for number in told.missing_projects:
        typer.echo(f"  project {number} was deleted there: trivox label-studio push makes it anew")
    _some([f"annotation {one['annotation']}: {one['reason']}: {one['detail']}" for one in refused])


def _client(ws: "Workspace") -> "LabelStudioClient":
    from trivox.annotation.label_studio.client import LabelStudioClient
    from trivox.annotation.label_studio.connection import the_connection

    return LabelStudioClient(the_connection(ws))


def _some(lines: list[str]) -> None:
    for line in lines[:SHOWN]:
        typer.echo(f"  {line}")
    if len(lines) > SHOWN:
        typer.echo(f"  and {len(lines) - SHOWN} more: see them all with --json")
