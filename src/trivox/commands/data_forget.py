"""`trivox data forget`: one person's data, removed wherever lineage reaches."""

from typing import TYPE_CHECKING, Annotated

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_json,
)
from trivox.platform.errors import UsageError

if TYPE_CHECKING:
    from trivox.pipelines.datasets.forgetting import Forgotten, Plan
    from trivox.platform.store import Workspace


def forget(
    speaker: Annotated[
        str | None, typer.Option(help="Whose voice: the speaker's name or id.")
    ] = None,
    annotator: Annotated[
        str | None,
        typer.Option(help="Whose answers: name, id, or the label that imported answers bear."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with deletions that were broken off.")
    ] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Delete; else only list.")] = False,
    confirm: Annotated[
        str | None,
        typer.Option(help="The deletion's id, as listed: instead of being asked for it."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for the record; write no name.")] = "on request",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Remove one person's data for good: recordings, what was derived or imitated from them, answers, preferences.

    Without --apply it lists what would go, and the models that were trained on it. Those stay, and have to be
    trained anew. Exports are marked. A record of the deletion stays, under an id without a name.
    """
    from trivox.pipelines.datasets.forgetting import Subject, plan_for, unfinished

    ws = open_workspace(workspace)
    if (speaker is not None) + (annotator is not None) + resume != 1:
        raise UsageError("name one of --speaker, --annotator or --resume")
    if resume:
        plans = unfinished(ws)
    else:
        kind = Subject.SPEAKER if speaker is not None else Subject.ANNOTATOR
        plans = [plan_for(ws, kind, speaker or annotator or "")]
    done = []
    for plan in plans:
        if not json:
            _list(plan)
        if apply or resume:
            _confirm(plan, confirm, resume)
            done.append(_carry_out(ws, plan, reason))
    _tell(plans, done, json)


def _confirm(plan: "Plan", given: str | None, resume: bool) -> None:
    if resume:  # it was confirmed when it began
        return
    answer = (
        given if given is not None else typer.prompt(f"write {plan.id} to delete this", err=True)
    )
    if answer != plan.id:
        raise UsageError(f"confirmed {answer!r}, not {plan.id}: nothing was deleted")


def _carry_out(ws: "Workspace", plan: "Plan", reason: str) -> "Forgotten":
    from trivox.annotation.people.audit import THE_SYSTEM
    from trivox.pipelines.datasets.forgetting import forget
    from trivox.platform.progress import say

    return forget(ws, plan, THE_SYSTEM, reason, after=lambda step: say(f"done: {step}"))


def _list(plan: "Plan") -> None:
    counts = ", ".join(f"{count} {part.replace('_', ' ')}" for part, count in plan.counts().items())
    typer.echo(f"deletion {plan.id} of {plan.kind.value} {plan.subject}: {counts}")
    for model in plan.models:
        typer.echo(f"  trained on it, or on a model that was: {model}")


def _tell(plans: "list[Plan]", done: "list[Forgotten]", json: bool) -> None:
    if json:
        listed = [
            {
                "id": one.id,
                "subject": one.subject,
                "removes": one.counts(),
                "models": one.models,
                "rounds": one.rounds,
            }
            for one in plans
        ]
        finished = [{"record": one.record.id, "exports": one.exports} for one in done]
        print_json({"deletions": listed, "done": finished})
        return
    for one in done:
        typer.echo(f"deleted; the record is decision {one.record.id}")
        for folder in one.exports:
            typer.echo(f"  an export holds it still, delete it there: {folder}")
    if not plans:
        typer.echo("no deletion was broken off")
    elif not done:
        typer.echo("nothing was deleted; to delete: the same with --apply")
