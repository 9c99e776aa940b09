"""A real Label Studio server, and people who work in it through its own pages and API."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from trivox.annotation.label_studio.connection import Connection


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def listens_on(port: int) -> set[str]:
    """Addresses on which somebody listens on a TCP port, as /proc/net writes them."""
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text("ascii").splitlines()[1:]
    ]
    return {
        line[1].split(":")[0]
        for line in lines
        if line[3] == "0A" and int(line[1].split(":")[1], 16) == port
    }


class Annotator:
    """Somebody who signed up by invitation. number: of the account."""

    def __init__(self, connection: Connection, invitation: str, email: str) -> None:
        self._url = connection.url
        self.email = email
        self._http = httpx.Client(base_url=self._url, timeout=30, follow_redirects=False)
        self._http.get(invitation)
        told = self._post_form(invitation, email=email, password="a good password")
        assert told.status_code == 302, told.status_code
        self._http.get("/projects/")
        self._token = self._http.post("/api/token/", headers=self._csrf()).json()["token"]
        self._http.close()
        self.number = int(self.get("/api/current-user/whoami").json()["id"])

    def _csrf(self) -> dict[str, str]:
        return {"X-CSRFToken": self._http.cookies["csrftoken"], "Referer": self._url}

    def _post_form(self, path: str, **fields: str) -> httpx.Response:
        fields["csrfmiddlewaretoken"] = self._http.cookies["csrftoken"]
        return self._http.post(path, data=fields, headers={"Referer": f"{self._url}{path}"})

    def _bearer(self) -> dict[str, str]:
        told = httpx.post(f"{self._url}/api/token/refresh", json={"refresh": self._token})
        return {"Authorization": f"Bearer {told.json()['access']}"}

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self._url}{path}", headers=self._bearer(), timeout=30)

    def _send(self, call: Callable[..., httpx.Response], path: str, **body: Any) -> dict[str, Any]:
        told = call(f"{self._url}{path}", headers=self._bearer(), json=body, timeout=30)
        assert told.status_code in (200, 201), told.text
        return dict(told.json())

    def annotate(self, task: int, *result: dict[str, Any], **fields: Any) -> int:
        """The number of a new annotation."""
        body = {"result": list(result), "lead_time": 9.0} | fields
        return int(self._send(httpx.post, f"/api/tasks/{task}/annotations/", **body)["id"])

    def change(self, annotation: int, *result: dict[str, Any]) -> None:
        self._send(httpx.patch, f"/api/annotations/{annotation}/", result=list(result))

    def change_project(self, project: int, **fields: Any) -> None:
        self._send(httpx.patch, f"/api/projects/{project}/", **fields)

    def delete(self, annotation: int) -> None:
        path = f"{self._url}/api/annotations/{annotation}/"
        assert httpx.delete(path, headers=self._bearer(), timeout=30).status_code == 204
