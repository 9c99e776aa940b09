"""`trivox serve`: the web surfaces of a workspace."""

import os
from typing import Annotated

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    LogOption,
    PolicyOption,
    WorkspaceOption,
    open_workspace,
)
from trivox.platform.observability.logs import LogForm, written

TOKEN_VARIABLE = "TRIVOX_TOKEN"


def serve(
    host: Annotated[
        str,
        typer.Option(help="Address to listen on; others than this machine's need TLS in front."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 is any free one.", min=0, max=65535)] = 8080,
    policy: PolicyOption = "nano",
    persona: Annotated[str, typer.Option(help="Who answers where a client names nobody.")] = "anna",
    sessions: Annotated[
        int, typer.Option(help="Conversations at once; more are told to come later.", min=1)
    ] = 32,
    slots: Annotated[int, typer.Option(help="Requests that are drawn together.", min=1)] = 16,
    origin: Annotated[
        list[str] | None,
        typer.Option(help="Origin of a page on another site that may connect; may be repeated."),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep", help="Keep live replies as rollouts; you have the consent of those who speak."
        ),
    ] = False,
    url: Annotated[
        str | None,
        typer.Option(
            help="How the address begins under which people reach this server, such as https://label.example.org; "
            "with https, cookies are sent over TLS only. Default: this machine's."
        ),
    ] = None,
    speech: Annotated[
        bool, typer.Option(help="Serve the live speech routes too; without, no model is loaded.")
    ] = True,
    log: LogOption = LogForm.AUTO,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Serve a workspace: the pages where people label and lead, their REST API, and speech.

    People come by invitation: trivox people invite NAME. The API is described at /api/v1/openapi.json. The
    speech routes have the shapes of OpenAI's API below /v1 (docs/live.md); who calls them is signed in as
    researcher, lead or admin, or sends an API token with the scope speech:write, or the one in TRIVOX_TOKEN.
    """
    ws = open_workspace(workspace)
    served = url or f"http://{host}:{port}"
    from trivox.app import build_site
    from trivox.pipelines.live.hub import Hub
    from trivox.pipelines.live.keeping import Keeper
    from trivox.pipelines.live.limits import LiveLimits
    from trivox.pipelines.live.live import Live

    hub, limits = Hub(workspace, slots), LiveLimits(sessions=sessions)
    if not speech:
        with written(log):
            _run(build_site(ws, None, url=served), host, port, limits.frame_bytes)
        return
    keeper = Keeper(ws) if keep else None
    live = Live(hub, policy, persona, limits, tuple(origin or ()), keeper)
    hub.version(policy)  # what cannot be served is said before anything listens
    live.find_persona(persona)
    app = build_site(ws, live, url=served, token=os.environ.get(TOKEN_VARIABLE))
    with written(log):
        _run(app, host, port, limits.frame_bytes)


def _run(app: object, host: str, port: int, frame_bytes: int) -> None:
    import socket

    import uvicorn

    from trivox.platform.errors import ConfigError
    from trivox.platform.progress import say

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"port {port} of {host} cannot be used: {error}; give another"
            ) from None
        shown = f"[{host}]" if ":" in host else host
        say(f"http://{shown}:{opened.getsockname()[1]} ; Ctrl-C ends it")
        config = uvicorn.Config(
            app,  # type: ignore[arg-type]  # any ASGI application
            log_config=None,
            access_log=False,  # addresses may hold what is nobody's business
            ws_max_size=frame_bytes,
            ws_per_message_deflate=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=5,
        )
        uvicorn.Server(config).run(sockets=[opened])
