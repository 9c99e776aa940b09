"""What the pages are handed beside the accounts: the work, the checks, and the words with which they end."""

from collections.abc import Callable
from dataclasses import dataclass, field

from trivox.annotation.web.checks import HeadphoneChecks
from trivox.annotation.work.service import Work
from trivox.platform.store import Workspace


def _nobody() -> None:
    """Nobody needs to know."""


@dataclass(frozen=True)
class House:
    """One app's surroundings. next_step: what the last page says of what follows; on_finished is called when a
    person is shown that nothing is left for them. lead_area: where the pages for leads begin, None for none."""

    workspace: Workspace
    work: Work
    next_step: str = ""
    on_finished: Callable[[], None] = _nobody
    lead_area: str | None = None
    checks: HeadphoneChecks = field(default_factory=HeadphoneChecks)
