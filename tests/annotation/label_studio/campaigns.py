"""A campaign of comparisons, and what Label Studio sends of it."""

from dataclasses import replace
from typing import Any

from tests.annotation.conftest import NOW, sounding
from trivox.annotation.comparisons import make_comparisons
from trivox.annotation.label_studio import push as pushing
from trivox.annotation.label_studio.client import RemoteTask
from trivox.annotation.label_studio.connection import Connection
from trivox.annotation.people.audit import THE_SYSTEM
from trivox.platform.records import Branch, Campaign, LabelStudioTask, Prompt, Task
from trivox.platform.store import Workspace

URL = "http://127.0.0.1:9"


def campaign_of(workspace: Workspace, count: int, overlap: int = 1) -> Campaign:
    """count comparisons of short tones, with an instruction for every other."""
    campaign = Campaign(
        id="campaign_ls",
        project=workspace.project,
        name="tones",
        branch=Branch.TTS,
        guideline="Which **clip** is better? <b>Listen</b> to both.",
        guideline_version=1,
        languages=("en",),
        overlap=overlap,
        created_at=NOW,
    )
    prompts = [
        Prompt.of(Branch.TTS, ("en",), text=f"sentence <{n}> & more", instruction="calmly" if n % 2 else None)
        for n in range(count)
    ]  # fmt: skip
    rollouts = [
        replace(
            sounding(workspace, one.id, index, 0.2), id=f"ro_secret_{place}_{index}", round=None
        )
        for place, one in enumerate(prompts)
        for index in range(2)
    ]
    workspace.tables.write(rollouts, branch=Branch.TTS, round="none", part="all")
    languages = {one.id: "en" for one in prompts}
    tasks = make_comparisons(campaign, languages, rollouts, 1, seed=0)
    workspace.records.add(campaign, *prompts, *tasks)
    return campaign


def tasks_of(workspace: Workspace) -> dict[str, Task]:
    return {one.id: one for one in workspace.records.find(Task)}


def choice(alias: str, name: str = "answer") -> dict[str, Any]:
    return {
        "from_name": name,
        "to_name": "ask",
        "type": "choices",
        "value": {"choices": [alias]},
    }


class StandIn:
    """A Label Studio in memory: what the client asks of one. The real one is in test_real_server."""

    def __init__(self, url: str = URL) -> None:
        self.connection = Connection.new(url, "t" * 40, "http://127.0.0.1:8")
        self.configs: dict[int, str] = {}
        self.marks: dict[str, int] = {}
        self.tasks: dict[int, list[RemoteTask]] = {}
        self.hooks: set[tuple[int, str]] = set()
        self.imports = 0
        self.fails_after: int | None = None

    def make_project(
        self, title: str, config: str, overlap: int, mark: str, instruction: str
    ) -> int:
        number = self.marks.setdefault(mark, len(self.marks) + 1)
        self.configs[number] = config
        self.tasks.setdefault(number, [])
        return number

    def config(self, project: int) -> str | None:
        return self.configs.get(project)

    def restore(self, project: int, config: str, overlap: int) -> None:
        self.configs[project] = config

    def add_tasks(self, project: int, rows: list[dict[str, Any]]) -> None:
        self.imports += len(rows)
        held = self.tasks[project]
        for row in rows[: self.fails_after]:
            held.append(RemoteTask(1000 * project + len(held), row, ()))
        if self.fails_after is not None:
            raise ConnectionError

    def export(self, project: int) -> list[RemoteTask]:
        return list(self.tasks[project])

    def task(self, number: int) -> RemoteTask | None:
        every = [one for held in self.tasks.values() for one in held]
        return next((one for one in every if one.number == number), None)

    def hook(self, project: int, url: str) -> bool:
        self.hooks.add((project, url))
        return True

    def annotate(self, project: int, place: int, **fields: Any) -> dict[str, Any]:
        """An annotation as it is exported, of the project's task at a place."""
        task = self.tasks[project][place]
        number = 1 + sum(len(one.annotations) for held in self.tasks.values() for one in held)
        made = {
            "id": number,
            "completed_by": 7,
            "updated_by": 7,
            "result": [choice("2")],
            "was_cancelled": False,
            "created_at": "2026-11-22T22:08:42.178600Z",
            "updated_at": "2026-11-22T22:08:42.178647Z",
            "lead_time": 9.0,
            "parent_prediction": None,
            "import_id": None,
        } | fields
        annotations = (*(one for one in task.annotations if one["id"] != made["id"]), made)
        self.tasks[project][place] = replace(task, annotations=annotations)
        return made


def pushed(workspace: Workspace, count: int = 3, overlap: int = 1) -> tuple[StandIn, Campaign]:
    """A stand-in to which a campaign was pushed."""
    campaign, client = campaign_of(workspace, count, overlap), StandIn()
    pushing.push(workspace, THE_SYSTEM, client, campaign)  # type: ignore[arg-type]
    return client, campaign


def row_of(workspace: Workspace, remote: RemoteTask) -> LabelStudioTask:
    return workspace.records.find(LabelStudioTask, key=remote.data["item"])[0]
