"""What pages may change, all of it through the services of the command line, which write to the audit log who
did it. Nothing here works on a round: it is queued for `trivox worker`."""

from typing import TYPE_CHECKING

from trivox.dashboards.access import Viewer
from trivox.pipelines.rounds.finding import MAY
from trivox.platform.errors import UsageError
from trivox.platform.records import Branch, Decision, PolicyVersion, Round, RoundStatus
from trivox.platform.store import Workspace

if TYPE_CHECKING:
    from trivox.pipelines.rounds.config import RoundConfig
    from trivox.pipelines.rounds.service import RoundService
    from trivox.pipelines.rounds.views import Plan


def verbs(status: RoundStatus) -> list[str]:
    """What may be said to a round in this state."""
    return [verb for verb, states in MAY.items() if status in states]


def _service(ws: Workspace, viewer: Viewer) -> "RoundService":
    """Loaded when it is needed: it brings what rounds work with, which takes seconds."""
    from trivox.pipelines.rounds.service import RoundService

    return RoundService(ws, viewer.by)


def _allowed(viewer: Viewer) -> None:
    """Raises UsageError for who may only look: buttons that are not shown protect nothing."""
    if not viewer.may_act:
        roles = ", ".join(sorted(viewer.roles))
        raise UsageError(
            f"{viewer.name} is {roles}: starting and deciding is for researchers and admins"
        )


def plan(ws: Workspace, viewer: Viewer, config: "RoundConfig") -> "Plan":
    """What a round would make; nothing is written."""
    _allowed(viewer)
    return _service(ws, viewer).plan(config)


def start(ws: Workspace, viewer: Viewer, config: "RoundConfig") -> Round:
    """The round of this configuration, queued."""
    _allowed(viewer)
    return _service(ws, viewer).start(config)


def say(ws: Workspace, viewer: Viewer, verb: str, round_: str) -> Round:
    """pause, resume, retry or cancel. Raises UsageError where the round's state does not allow it."""
    _allowed(viewer)
    service = _service(ws, viewer)
    said = {
        "pause": service.pause,
        "resume": service.resume,
        "retry": service.retry,
        "cancel": service.cancel,
    }
    return said[verb](round_)


def promote(ws: Workspace, viewer: Viewer, policy: str, force: str | None) -> Decision:
    """Put a version in use. force: the reason to do so although something speaks against it, which is kept."""
    from trivox.pipelines.updates import promotion

    _allowed(viewer)
    found = ws.records.get(PolicyVersion, policy)
    return promotion.promote(ws, found, by=viewer.by, force=force)


def rollback(ws: Workspace, viewer: Viewer, branch: str, reason: str) -> Decision:
    """Put back what a branch ran on before. Raises UsageError without a reason, and where there is no way back."""
    from trivox.pipelines.updates import promotion

    _allowed(viewer)
    if not reason.strip():
        raise UsageError(f"a rollback of {branch} is kept with its reason: give it")
    return promotion.rollback(ws, Branch(branch), reason.strip(), by=viewer.by)
