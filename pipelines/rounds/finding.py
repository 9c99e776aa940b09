"""Rounds, their manifests and prompt sets by the names that people use."""

from trivox.platform.errors import NotFound, UsageError
from trivox.platform.records import PromptSet, Round, RoundStatus, Stage, StageRun
from trivox.platform.store import Workspace

ENDED = (RoundStatus.DONE, RoundStatus.CANCELLED)
MAY = {
    "pause": (RoundStatus.QUEUED, RoundStatus.RUNNING, RoundStatus.WAITING),
    "resume": (RoundStatus.PAUSED,),
    "retry": (RoundStatus.FAILED,),
    "cancel": tuple(one for one in RoundStatus if one not in ENDED),
}
"""Verb -> the states of a round that it may be said to."""


def find_round(ws: Workspace, name: str) -> Round:
    """By id, by a unique beginning or end of an id, or "last"; raises NotFound, or UsageError for several."""
    rounds = ws.records.find(Round, project=ws.project)
    if name == "last" and rounds:
        return rounds[-1]
    found = [one for one in rounds if one.id.startswith(name) or one.id.endswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"round {name!r} may be {', '.join(one.id for one in found)}: give more of it"
        )
    known = ", ".join(one.id for one in rounds[-5:]) or "none yet"
    raise NotFound(f"round {name!r} is not there; the last ones: {known}")


def manifests(ws: Workspace, round_: Round) -> dict[Stage, StageRun]:
    """The finished stages of a round, in the order in which they ran."""
    return {one.stage: one for one in ws.records.find(StageRun, round=round_.id)}


def find_prompt_set(ws: Workspace, reference: str) -> PromptSet:
    """By id, by `name@version`, or the newest version of `name`; raises NotFound with what there is."""
    sets = ws.records.find(PromptSet, project=ws.project)
    found = [one for one in sets if reference in (one.id, one.name, one.reference)]
    if found:
        return max(found, key=lambda one: one.version)
    known = (
        ", ".join(one.reference for one in sets) or "none: import some with `trivox data import`"
    )
    raise NotFound(f"prompt set {reference!r} is not in this workspace; there is {known}")
