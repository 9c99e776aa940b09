"""What every route shares: the workspace served, and how its cookie is named and set."""

from dataclasses import dataclass

from fastapi import Response
from starlette.requests import HTTPConnection

from trivox.annotation.people.sessions import LONGEST
from trivox.platform.hashing import content_hash
from trivox.platform.store import Workspace


@dataclass(frozen=True)
class Door:
    """secure: people come by https, so cookies go nowhere else. base_url: how links begin, such as https://host."""

    workspace: Workspace
    secure: bool = False
    base_url: str = "http://127.0.0.1"

    @property
    def cookie(self) -> str:
        """Cookies are shared by all ports of a host: two servers of different workspaces must not share a name."""
        name = f"trivox_{content_hash(str(self.workspace.root))[:8]}"
        return f"__Host-{name}" if self.secure else name

    def let_in(self, response: Response, secret: str) -> None:
        """Set the session's cookie."""
        response.set_cookie(
            self.cookie,
            secret,
            max_age=int(LONGEST.total_seconds()),
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="lax",
        )

    def let_out(self, response: Response) -> None:
        response.delete_cookie(
            self.cookie, path="/", secure=self.secure, httponly=True, samesite="lax"
        )

    def link(self, path: str) -> str:
        return f"{self.base_url.rstrip('/')}{path}"


def door_of(connection: HTTPConnection) -> Door:
    """The door of the app that a request came to."""
    door = connection.app.state.door
    assert isinstance(door, Door)
    return door
