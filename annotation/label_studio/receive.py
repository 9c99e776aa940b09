"""What `trivox serve` answers to Label Studio: its webhooks, and the sounds that its pages play."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Depends, Header, HTTPException, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection

from trivox.annotation.api.common import ANSWERS, Served
from trivox.annotation.clips import byte_range, to_wav
from trivox.annotation.label_studio.client import SECRET_HEADER, LabelStudioClient
from trivox.annotation.label_studio.connection import Connection, find_connection
from trivox.annotation.label_studio.pull import pull_task
from trivox.annotation.label_studio.push import AUDIO_PATH, HOOK_PATH
from trivox.annotation.people.opaque import same
from trivox.annotation.work.shapes import ClipRole
from trivox.annotation.work.sounds import Sounds
from trivox.platform.audio.io import Samples, resample, to_mono
from trivox.platform.errors import NotFound, TrivoxError
from trivox.platform.records import (
    Campaign,
    CampaignStatus,
    ClipState,
    LabelStudioAnnotation,
    LabelStudioProject,
    LabelStudioTask,
)
from trivox.platform.store import Workspace

router = APIRouter(tags=["label studio"], responses=ANSWERS)
LARGEST_NOTICE = 256 << 10
"""Bytes; a notice holds the annotation, its task and the project with its configuration."""
MOST_WAITING = 10_000
"""Notices; beyond these, the next pull has to see to it."""
GAP_S = 0.5
"""Silence between the turns of a dialogue."""
Number = Annotated[int, Field(ge=1, lt=2**63)]
Sound = Literal["a", "b", "speech", "history", "voice"]
_log = logging.getLogger("trivox.label_studio")


class Numbered(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: Number


class Annotated_(Numbered):
    task: Number | None = None


class Notice(BaseModel):
    """Of a webhook only numbers are read: what was answered is asked of the server itself."""

    model_config = ConfigDict(extra="ignore")

    action: Literal["ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED"]
    project: Numbered
    task: Numbered | None = None
    annotation: Annotated_ | None = None
    annotations: Annotated[list[Annotated_], Field(max_length=1000)] = []


class Noted(BaseModel):
    """tasks: how many are looked at."""

    tasks: int


class Courier:
    """Fetches what webhooks tell of, one after the other, while the answer to them is long given."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="label-studio")
        self._waiting: set[tuple[str, int]] = set()
        self._lock = threading.Lock()

    def fetch(self, connection: Connection, project: LabelStudioProject, task: int) -> bool:
        """Look at a task soon; False when too many wait already."""
        key = (project.id, task)
        with self._lock:
            if key in self._waiting:
                return True
            if len(self._waiting) >= MOST_WAITING:
                return False
            self._waiting.add(key)
        self._pool.submit(self._go, connection, project, task)
        return True

    def _go(self, connection: Connection, project: LabelStudioProject, task: int) -> None:
        with self._lock:  # from here on another notice is news
            self._waiting.discard((project.id, task))
        try:
            with LabelStudioClient(connection) as client:
                pull_task(self._workspace, client, project, task)
        except TrivoxError as error:
            _log.warning("task %d stays for the next pull: %s", task, error)
        except Exception:
            _log.exception("task %d stays for the next pull", task)


def _courier(connection: HTTPConnection, workspace: Served) -> Courier:
    state = connection.app.state
    if not hasattr(state, "label_studio"):
        state.label_studio = Courier(workspace)
    courier: Courier = state.label_studio
    return courier


def _sent_by_it(
    workspace: Served,
    secret: Annotated[str | None, Header(alias=SECRET_HEADER, max_length=200)] = None,
) -> Connection:
    """The connection whose secret was sent; 403 for any other, and where there is no Label Studio."""
    found = find_connection(workspace)
    if found is None or not same(secret or "", found.secret):
        raise HTTPException(403, "this is not the secret of a webhook")
    return found


@router.post(
    HOOK_PATH,
    operation_id="label_studio_webhook",
    status_code=202,
    max_body_size=LARGEST_NOTICE,
)
def webhook(
    notice: Notice,
    connection: Annotated[Connection, Depends(_sent_by_it)],
    courier: Annotated[Courier, Depends(_courier)],
    workspace: Served,
) -> Noted:
    """Something changed in Label Studio: it is fetched from there. Nothing of the notice itself is stored."""
    found = workspace.records.find(
        LabelStudioProject,
        server=connection.url,
        remote=notice.project.id,
        project=workspace.project,
    )
    if not found:
        raise NotFound(f"project {notice.project.id} was not pushed from here")
    tasks = _tasks(workspace, found[0], notice)
    return Noted(tasks=sum(courier.fetch(connection, found[0], task) for task in tasks))


def _tasks(workspace: Workspace, project: LabelStudioProject, notice: Notice) -> set[int]:
    """Tasks there that the notice is about; of deleted annotations only the number is told."""
    told = {notice.task.id} if notice.task else set()
    for one in (notice.annotation, *notice.annotations):
        if one is not None and one.task is not None:
            told.add(one.task)
        elif one is not None:
            for known in workspace.records.find(LabelStudioAnnotation, remote=one.id):
                row = workspace.records.get(LabelStudioTask, known.pushed)
                if row.pushed_to == project.id and row.remote is not None:
                    told.add(row.remote)
    return told


@router.get(
    AUDIO_PATH + "/{key}/{sound}",
    operation_id="label_studio_audio",
    response_class=Response,
    responses={200: {"content": {"audio/wav": {}}}, 206: {"content": {"audio/wav": {}}}},
)
def audio(
    key: Annotated[str, Field(max_length=100)],
    sound: Sound,
    workspace: Served,
    wanted: Annotated[str | None, Header(alias="Range", max_length=200)] = None,
) -> Response:
    """A clip of a pushed task, to whoever has its address, while the campaign is not closed."""
    row, project = _pushed(workspace, key)
    wav = _wav(workspace, row, sound)
    headers = {
        "Access-Control-Allow-Origin": _origin(project.server),
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=600",
    }
    if wanted is None:
        return Response(wav, 200, headers, "audio/wav")
    part = byte_range(wanted, len(wav))
    headers["Content-Range"] = f"bytes {part.first}-{part.last}/{len(wav)}"
    return Response(wav[part.first : part.last + 1], 206, headers, "audio/wav")


def _pushed(workspace: Workspace, key: str) -> tuple[LabelStudioTask, LabelStudioProject]:
    found = workspace.records.find(LabelStudioTask, key=key, project=workspace.project)
    if not found:
        raise NotFound("no such sound")
    row = found[0]
    if workspace.records.get(Campaign, row.campaign).status is CampaignStatus.CLOSED:
        raise NotFound("no such sound any more")
    return row, workspace.records.get(LabelStudioProject, row.pushed_to)


def _origin(server: str) -> str:
    return "/".join(server.split("/")[:3])


def _wav(workspace: Workspace, row: LabelStudioTask, sound: Sound) -> bytes:
    """The sound of that name; the turns of a dialogue one after the other. Raises NotFound."""
    if sound in ("a", "b"):
        clips = [clip for clip in row.clips if clip.item == "ab".index(sound)]
    else:
        role = {"speech": ClipRole.PROMPT, "history": ClipRole.HISTORY, "voice": ClipRole.VOICE}
        clips = [clip for clip in row.clips if clip.role == role[sound].value]
    if not clips:
        raise NotFound("no such sound")
    if len(clips) == 1:
        return Sounds(workspace).wav(clips[0].audio, clips[0].gain_db)
    return _joined(workspace, clips)


def _joined(workspace: Workspace, clips: list[ClipState]) -> bytes:
    parts: list[Samples] = []
    rate = 0
    for clip in clips:
        samples, own = workspace.audio.read(clip.audio)
        rate = rate or own
        mono = resample(to_mono(samples), own, rate)
        parts += [
            mono * np.float32(10 ** (clip.gain_db / 20)),
            np.zeros(int(GAP_S * rate), np.float32),
        ]
    return to_wav(np.concatenate(parts[:-1]), rate)
