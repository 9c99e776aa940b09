"""Where else a person's data lies: what policies said in training, what Label Studio holds and sent, questions
that could not be played, and runs stopped in the middle, whose checkpoints hold samples drawn ahead."""

from collections.abc import Collection, Iterable, Sequence

import polars as pl

from trivox.pipelines.datasets.members import Members
from trivox.pipelines.datasets.reading import BATCH, stream
from trivox.platform.records import (
    LabelStudioAnnotation,
    LabelStudioPerson,
    LabelStudioProject,
    LabelStudioTask,
    PolicySample,
    PromptSet,
    Round,
    TaskFault,
)
from trivox.platform.store import Workspace
from trivox.platform.store.artefacts import FOLDER, adapter_of
from trivox.platform.store.metrics import Metrics

PARTS = ("samples", "faults", "pushed", "annotations", "accounts")
UNFINISHED = ".partial"


def _mark(reached: Members, part: str, ids: Iterable[str]) -> None:
    reached.add(part, [(id, "") for id in ids])


def mark_samples(ws: Workspace, reached: Members) -> None:
    """What policies said to the prompts while they were trained, and the runs that drew it."""
    if not reached.count("prompts"):
        return
    for some in ws.tables.batches(PolicySample, BATCH):
        asked = reached.known("prompts", [one.prompt for one in some])
        found = [one for one in some if one.prompt in asked]
        _mark(reached, "samples", [one.id for one in found])
        _mark(reached, "runs", [one.round for one in found])


def mark_faults(ws: Workspace, reached: Members) -> None:
    for some in stream(ws, TaskFault, project=ws.project):
        gone = reached.known("tasks", [one.task for one in some])
        _mark(reached, "faults", [one.id for one in some if one.task in gone])


def mark_label_studio(ws: Workspace, reached: Members, person: str | None) -> None:
    """What was pushed of the tasks, all that came back for them, the person's accounts and what those wrote."""
    accounts = ws.records.find(LabelStudioPerson, person=person) if person is not None else []
    _mark(reached, "accounts", [one.id for one in accounts])
    wrote = {(one.server, one.remote) for one in accounts}
    own = _pushed_to(ws, {server for server, _ in wrote})
    for some in stream(ws, LabelStudioTask, project=ws.project):
        gone = reached.known("tasks", [one.task for one in some])
        _mark(reached, "pushed", [one.id for one in some if one.task in gone])
        _mark(reached, "theirs", [one.id for one in some if one.pushed_to in own])
    for seen in stream(ws, LabelStudioAnnotation, project=ws.project):
        _mark(reached, "annotations", _theirs(reached, seen, {remote for _, remote in wrote}))


def _pushed_to(ws: Workspace, servers: Collection[str]) -> set[str]:
    """Projects on servers where the person has an account."""
    found = ws.records.find(LabelStudioProject, project=ws.project) if servers else []
    return {one.id for one in found if one.server in servers}


def _theirs(
    reached: Members, seen: Sequence[LabelStudioAnnotation], authors: Collection[int]
) -> list[str]:
    """Of the tasks, of the judgements, or by the person's account on the server that the task was pushed to."""
    tasks = reached.known("tasks", [one.task for one in seen])
    judged = reached.known("judgements", [one.judgement for one in seen if one.judgement])
    there = reached.known("theirs", [one.pushed for one in seen])
    return [
        one.id
        for one in seen
        if one.task in tasks
        or one.judgement in judged
        or (one.author in authors and one.pushed in there)
    ]


def unfinished_runs(
    ws: Workspace, sets: Sequence[PromptSet], preference_sets: Collection[str], rounds: set[str]
) -> tuple[str, ...]:
    """Runs that were stopped in the middle of training on any of it, by the names of their folders.

    A round's is known by the round; one that draws its own samples by what it has drawn, from a set that holds a
    prompt of these; of any other run of the project it is not known what it reads, so that it goes too.
    """
    there = {path.stem for path in (ws.root / FOLDER).glob(f"*{UNFINISHED}")}
    if not there or not (sets or preference_sets):
        return ()
    names = {one.id for one in sets}
    made = ws.records.find(Round, project=ws.project)
    known = {adapter_of(one.id): one.id in rounds or one.prompt_set in names for one in made}
    known |= _drawing(ws, there, {item.prompt for one in sets for item in one.items})
    others = set(Metrics.of(ws).runs())
    return tuple(sorted(one for one in there if known.get(one, one in others)))


def _drawing(ws: Workspace, runs: Collection[str], prompts: Collection[str]) -> dict[str, bool]:
    """Run -> whether it has drawn answers to any of the prompts, for runs that have drawn any."""
    wanted = pl.Series(sorted(runs), dtype=pl.String).implode()
    drawn = ws.tables.scan(PolicySample).filter(pl.col("round").is_in(wanted))
    pairs = drawn.select("round", "prompt").unique().collect()
    found: dict[str, bool] = {}
    for run, prompt in pairs.iter_rows():
        found[run] = found.get(run, False) or prompt in prompts
    return found
