"""What the log has of a round: each line while it is worked on bears its id, and that of the stage."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from trivox.pipelines.rounds.context import Stopped
from trivox.platform.errors import BudgetSpent
from trivox.platform.observability.logs import bound
from trivox.platform.records import Round, Stage

_log = logging.getLogger("trivox.rounds")


@contextmanager
def told(round_: Round, stage: Stage) -> Iterator[None]:
    """Begin and end of a stage's work, with the error and its cause where it fails, and the seconds it took."""
    begun = time.monotonic()
    with bound(round=round_.id, stage=stage.value, project=round_.project):
        _log.info("stage %s begins", stage.value)
        try:
            yield
        except (Stopped, KeyboardInterrupt):
            _log.info("stage %s was stopped after %.1f s", stage.value, time.monotonic() - begun)
            raise
        except BudgetSpent as error:
            _log.warning("stage %s pauses: %s", stage.value, error)
            raise
        except Exception:
            _log.exception("stage %s failed after %.1f s", stage.value, time.monotonic() - begun)
            raise
        _log.info("stage %s ends after %.1f s", stage.value, time.monotonic() - begun)
