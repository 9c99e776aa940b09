"""That a watcher stopped a run, and why: kept as a decision on the id that its version would have had."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from trivox.platform.hashing import derived_id
from trivox.platform.records import Decision
from trivox.platform.store import Workspace
from trivox.policy.trainers.rl.watchers import Stop

STOPPED = "stopped"


def decision_of(ws: Workspace, run: str) -> Decision | None:
    """What was kept of the run that was stopped; None if none was."""
    found = ws.records.find(Decision, project=ws.project, subject=run, kind=STOPPED)
    return found[0] if found else None


def stop_of(ws: Workspace, run: str) -> Stop | None:
    """Why a watcher stopped the run of this id; None if none did."""
    found = decision_of(ws, run)
    return Stop(**found.evidence["stop"]) if found else None


def note_stop(ws: Workspace, run: str, stop: Stop, told: str, made_of: Mapping[str, Any]) -> None:
    """The typed reason, with what the run was made of."""
    ws.records.add(
        Decision(
            derived_id("de", STOPPED, run),
            ws.project,
            STOPPED,
            run,
            f"watcher:{stop.figure}",
            told,
            datetime.now(UTC),
            {"stop": asdict(stop), **made_of},
        )
    )
