"""`trivox dashboard`: the pages where people watch rounds, listen, and decide."""

from typing import Annotated

import typer

from trivox.commands.common import DEFAULT_WORKSPACE, WorkspaceOption, open_workspace


def dashboard(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on; others than this machine's need TLS in front."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 is any free one.", min=0, max=65535)] = 8501,
    url: Annotated[
        str | None,
        typer.Option(
            help="How the address begins under which people reach it, such as https://look.example.org; with "
            "https, cookies are sent over TLS only. Default: this machine's."
        ),
    ] = None,
) -> None:
    """Open the dashboards of a workspace: overview, rounds, samples, rewards, annotation, lineage, cluster.

    People sign in with the accounts of `trivox serve` (trivox people invite NAME --role viewer). On this machine
    a link that works once lets you in without one, as a researcher. Rounds that are started here are only queued:
    `trivox worker` carries them out, whether or not a browser is open.
    """
    import secrets
    import socket

    from trivox.annotation.web.local import OneTimeLink
    from trivox.annotation.webapp import LOOPBACK
    from trivox.dashboards.gate import build_dashboard
    from trivox.dashboards.queries.source import Source
    from trivox.platform.errors import ConfigError
    from trivox.platform.progress import bar, say
    from trivox.platform.records import Role

    ws = open_workspace(workspace)
    with bar() as shown:
        task = shown.add_task("taking in what is new", total=None)
        Source(ws).look(lambda done, total: shown.update(task, completed=done, total=total))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((host, port))
            opened.listen()  # who comes early waits instead of being refused
        except OSError as error:
            raise ConfigError(
                f"port {port} of {host} cannot be used: {error}; give another"
            ) from None
        named = f"[{host}]" if ":" in host else host
        address = f"http://{named}:{opened.getsockname()[1]}"
        token = secrets.token_urlsafe(24)
        link = OneTimeLink(token, role=Role.RESEARCHER) if host in LOOPBACK else None
        app = build_dashboard(ws, url=url or address, link=link)
        say(f"{url or address} ; Ctrl-C ends it")
        if link is not None:
            say(f"without an account, once, from this machine: {address}/enter/{token}")
        _run(app, opened)


def _run(app: object, opened: object) -> None:
    import uvicorn

    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # any ASGI application
        log_config=None,
        access_log=False,  # addresses may hold the one-time link
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run(sockets=[opened])  # type: ignore[list-item]
