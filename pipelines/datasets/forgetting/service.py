"""A deletion from its plan to its record."""

from collections.abc import Callable
from dataclasses import dataclass

from trivox.annotation.people.audit import By, note
from trivox.pipelines.consent import Clock, utc_now
from trivox.pipelines.datasets.forgetting.erase import STEPS, compact, name
from trivox.pipelines.datasets.forgetting.plan import Plan, keep, path_of, unfinished
from trivox.pipelines.datasets.registry import exports_of
from trivox.platform.hashing import derived_id
from trivox.platform.records import Decision
from trivox.platform.store import Workspace

KIND = "forget"


@dataclass(frozen=True)
class Forgotten:
    """record: of the deletion, which stays. exports: folders outside that hold the data still and were marked."""

    plan: Plan
    record: Decision
    exports: tuple[str, ...]


def forget(
    ws: Workspace,
    plan: Plan,
    by: By,
    reason: str,
    *,
    clock: Clock = utc_now,
    after: Callable[[str], None] = lambda step: None,
) -> Forgotten:
    """Carry out a plan; when it is broken off, the same call, or one with the plan of `unfinished`, goes on
    with it.

    The plan that was kept first is the one that holds: lineage is not asked again once some of it is gone.
    after: is told of each step that is done. Raises DiskFull, StoreError.
    """
    begun = next((one for one in unfinished(ws) if one.id == plan.id), None)
    plan = begun or plan
    if begun is None:
        keep(ws, plan)
    after("plan")
    with plan.members() as gone:
        for step, work in STEPS:
            work(ws, plan, gone)
            after(step)
        name(ws, plan, gone, clock())
        after("name")
    compact(ws)
    after("compact")
    record = _record(ws, plan, by, reason, clock)
    after("record")
    path_of(ws, plan.id).unlink(missing_ok=True)
    return Forgotten(plan, record, tuple(exports_of(ws, plan.id)))


def _record(ws: Workspace, plan: Plan, by: By, reason: str, clock: Clock) -> Decision:
    """Who was forgotten stands there as an id without a name."""
    touched = {"prompt_sets": plan.prompt_sets, "preference_sets": plan.preference_sets}
    made = Decision(
        id=derived_id("de", KIND, plan.id, plan.counts()),
        project=ws.project,
        kind=KIND,
        subject=plan.subject,
        actor=by.actor,
        reason=reason,
        created_at=clock(),
        evidence={
            "deletion": plan.id,
            "of": plan.kind.value,
            "removed": plan.counts(),
            "models": list(plan.models),
            "rounds": list(plan.rounds),
            **{name: list(ids) for name, ids in touched.items()},
        },
    )
    with ws.records.transaction():
        if ws.records.add(made):
            note(ws, by, "forget", plan.kind.value, plan.subject, deletion=plan.id)
    return made
