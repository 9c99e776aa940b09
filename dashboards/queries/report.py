"""All pages' figures at once, for the command line: the same views that the pages draw."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trivox.dashboards.queries.annotation import annotation
from trivox.dashboards.queries.cluster import cluster
from trivox.dashboards.queries.data import data
from trivox.dashboards.queries.figures import View
from trivox.dashboards.queries.overview import overview
from trivox.dashboards.queries.rewards import rewards
from trivox.dashboards.queries.rounds import rounds
from trivox.dashboards.queries.samples import samples
from trivox.dashboards.queries.source import Source
from trivox.platform.errors import NotFound


@dataclass(frozen=True)
class Picks:
    """What a page is narrowed to; None: all, or what the page shows first."""

    branch: str | None = None
    round: str | None = None
    scorer: str | None = None
    judges: str | None = None


VIEWS: dict[str, Callable[[Source, Picks], View]] = {
    "overview": lambda source, picks: overview(source),
    "rounds": lambda source, picks: rounds(source, picks.branch, picks.round),
    "samples": lambda source, picks: samples(source, picks.branch, picks.round, picks.scorer),
    "rewards": lambda source, picks: rewards(source, picks.branch, picks.scorer, picks.judges),
    "annotation": lambda source, picks: annotation(source, picks.branch),
    "data": lambda source, picks: data(source, picks.branch),
    "cluster": lambda source, picks: cluster(source),
}
"""By the last part of the page's address."""


def report_of(source: Source, picks: Picks, page: str | None = None) -> dict[str, Any]:
    """Page -> its figures, tables and notes as JSON values. Raises NotFound for a page that is not there."""
    if page is not None and page not in VIEWS:
        raise NotFound(f"no page {page!r}: give one of {', '.join(VIEWS)}")
    wanted = VIEWS if page is None else {page: VIEWS[page]}
    return {name: view(source, picks).to_json() for name, view in wanted.items()}
