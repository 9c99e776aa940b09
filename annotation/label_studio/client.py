"""What Trivox asks of a Label Studio, through label-studio-sdk; its failures as ours."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import TracebackType
from typing import Any, Self

import httpx

from trivox.annotation.label_studio.connection import Connection
from trivox.platform.errors import NotFound, ServerRefused, ServerUnavailable, UsageError

TIMEOUT_S = 60.0
AT_ONCE = 500
"""Tasks in one request."""
ACTIONS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED")
SECRET_HEADER = "X-Trivox-Secret"


@dataclass(frozen=True)
class RemoteTask:
    """A task as it lies there, its annotations as they were exported."""

    number: int
    data: dict[str, Any]
    annotations: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class RemoteUser:
    number: int
    email: str


def sdk() -> Any:
    """The package label_studio_sdk; UsageError where it is not installed."""
    try:
        package = import_module("label_studio_sdk")
        import_module("label_studio_sdk.label_interface.interface")
    except ImportError as error:
        raise UsageError(
            f"label-studio-sdk is not installed ({error.name}): pip install 'trivox[label-studio]'"
        ) from None
    return package


class LabelStudioClient:
    """One account's view of one server; a context manager. All of it raises ServerUnavailable, ServerRefused."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        # No redirects: the token goes to the address that was given and to no other.
        self._http = httpx.Client(timeout=TIMEOUT_S, follow_redirects=False)
        self._sdk: Any = sdk().LabelStudio(
            base_url=connection.url, api_key=connection.token, httpx_client=self._http
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def version(self) -> str:
        with self._asking("its version"):
            return str(self._sdk.versions.get().release)

    def users(self) -> list[RemoteUser]:
        with self._asking("its users"):
            return [RemoteUser(one.id, one.email) for one in self._sdk.users.list()]

    def user(self, email: str) -> RemoteUser:
        """Raises NotFound."""
        for one in self.users():
            if one.email.casefold() == email.casefold():
                return one
        raise NotFound(
            f"{self.connection.url} has no user {email!r}: `trivox label-studio invite` prints the link to sign up"
        )

    def invitation(self) -> str:
        """The address at which people sign up."""
        with self._asking("an invitation"):
            told = self._sdk._client_wrapper.httpx_client.request("api/invite", method="GET")
            told.raise_for_status()
            return f"{self.connection.url}{told.json()['invite_url']}"

    def make_project(
        self, title: str, config: str, overlap: int, mark: str, instruction: str
    ) -> int:
        """The number of a new project; or of the one that bears the mark, when an earlier try got that far."""
        with self._asking("a project"):
            for one in self._sdk.projects.list():
                if one.description == mark:
                    return int(one.id)
            made = self._sdk.projects.create(
                title=title[:50],
                description=mark,
                label_config=config,
                maximum_annotations=overlap,
                expert_instruction=instruction,
                show_instruction=True,
                show_collab_predictions=False,
            )
            return int(made.id)

    def config(self, project: int) -> str | None:
        """The labelling configuration as it is now; None when the project is gone."""
        with self._asking(f"project {project}", may_be_gone=True):
            return str(self._sdk.projects.get(id=project).label_config)
        return None

    def restore(self, project: int, config: str, overlap: int) -> None:
        """Put back what makes the project ours."""
        with self._asking(f"project {project}"):
            self._sdk.projects.update(
                id=project, label_config=config, maximum_annotations=overlap, model_version=""
            )

    def add_tasks(self, project: int, rows: Sequence[dict[str, Any]]) -> None:
        """In bulk."""
        for start in range(0, len(rows), AT_ONCE):
            part = [{"data": row} for row in rows[start : start + AT_ONCE]]
            with self._asking(f"tasks for project {project}"):
                self._sdk.projects.import_tasks(id=project, request=part)

    def export(self, project: int) -> list[RemoteTask]:
        """Every task of a project with its annotations."""
        with self._asking(f"the export of project {project}"):
            rows = self._sdk.projects.exports.as_json(project)
        return [_task(row["id"], row["data"], row["annotations"]) for row in rows]

    def task(self, number: int) -> RemoteTask | None:
        """One task; None when it is gone."""
        with self._asking(f"task {number}", may_be_gone=True):
            found = self._sdk.tasks.get(id=number)
            return _task(found.id, found.data, found.annotations)
        return None

    def hook(self, project: int, url: str) -> bool:
        """Have every change of annotations told to the address; whether that is new."""
        secret = {SECRET_HEADER: self.connection.secret}
        wanted = {"url": url, "headers": secret, "is_active": True, "send_payload": True}
        with self._asking(f"the webhook of project {project}"):
            for one in self._sdk.webhooks.list(project=project):
                if one.url == url:
                    if one.headers != secret or not one.is_active:
                        self._sdk.webhooks.update(id=one.id, **wanted)
                    return False
            self._sdk.webhooks.create(
                project=project, actions=list(ACTIONS), send_for_all_actions=False, **wanted
            )
            return True

    @contextmanager
    def _asking(self, what: str, may_be_gone: bool = False) -> Iterator[None]:
        from label_studio_sdk.core.api_error import ApiError

        place = self.connection.url
        try:
            yield
        except ApiError as error:
            if may_be_gone and error.status_code == 404:
                return
            told = f"{place} answers {error.status_code} for {what}: {_detail(error.body)}"
            raise ServerRefused(told) from None
        except httpx.HTTPStatusError as error:
            raise ServerRefused(
                f"{place} answers {error.response.status_code} for {what}"
            ) from None
        except httpx.HTTPError as error:
            raise ServerUnavailable(
                f"{place} does not answer for {what} ({type(error).__name__}): is it running?"
            ) from None


def _task(number: int, data: dict[str, Any], annotations: Any) -> RemoteTask:
    rows = tuple(one for one in annotations or () if isinstance(one, dict))
    return RemoteTask(int(number), dict(data), rows)


def _detail(body: Any) -> str:
    """What the server says, short, and never its pages of HTML."""
    if not isinstance(body, dict):
        return "no reason given"
    return str(body.get("validation_errors") or body.get("detail") or "no reason given")[:300]
