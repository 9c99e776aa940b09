"""B12: how soon a page of the dashboards is there again, with another filter and from memory, and in how much
memory.

Pages are run as Streamlit runs them (its AppTest: script, widgets, messages; without browser and network). The
peer is a page that reads the raw scores of its figures at every run; the limit is an empty page and the query
behind a changed one.
"""

import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trivox.bench.dashboard_data import FULL, SMALL, Size, branch_of, filled, round_id
from trivox.bench.harness import Result, Timing
from trivox.platform.store import Workspace

CHANGED_S, CACHED_S, MEMORY_GB = 1.0, 0.1, 2.0
RERUNS = 60
THRESHOLD = "p95 below 1 s with a changed filter, below 100 ms from memory, below 2 GB"
BRANCHES = ("asr", "tts", "realtime", "all")


def run(full: bool) -> Result:
    size = FULL if full else SMALL
    root = filled(Path(tempfile.gettempdir()) / f"trivox-bench-dashboard-{size.name}", size)
    before = time.perf_counter()
    with Workspace.open(root) as ws:
        from trivox.dashboards.queries.source import Source

        Source(ws).look()
        taken_in = time.perf_counter() - before
    sides = _measured(root, size)
    return _result(size, sides, taken_in)


def _measured(root: Path, size: Size) -> dict[str, list[float]]:
    """Seconds of each rerun; sides take turns."""
    pages = Pages(root)
    filters, found = changes(size), {"changed": [], "cached": [], "empty": [], "naive": []}  # type: dict[str, list[float]]
    for place in range(RERUNS):
        page, query = next(filters)
        pages.show(page, query)  # the page itself is open; then another filter is chosen
        page_again, other = _another(page, filters)
        found["changed"].append(pages.show(page_again, other, fresh=True))
        found["cached"].append(pages.show(page_again, other))
        found["empty"].append(pages.empty())
        if place % (RERUNS // 5) == 0:
            found["naive"].append(_timed(lambda number=place: naive(root, branch_of(number).value)))
    return found


def _another(
    page: str, filters: Iterator[tuple[str, dict[str, str]]]
) -> tuple[str, dict[str, str]]:
    """The next change on the same page."""
    return next(one for one in filters if one[0] == page)


def changes(size: Size) -> Iterator[tuple[str, dict[str, str]]]:
    """Pages and what is picked on them, over and over, seldom the same twice."""
    rng = np.random.default_rng(0)
    for page in cycle(("overview", "rounds", "samples", "rewards", "annotation", "data")):
        number = int(rng.integers(size.rounds))
        one = {"branch": str(rng.choice(BRANCHES))}
        if page in ("rounds", "samples"):
            one = {"branch": branch_of(number).value, "round": round_id(number)}
        if page == "samples":
            one["order"] = str(rng.choice(["disagree", "margin", "flagged", "any"]))
        if page == "rewards":
            one["scorer"] = str(rng.choice(["mos", "wer", "speaker", "style", "all"]))
        yield page, one


class Pages:
    """The app as one person at it sees it."""

    def __init__(self, root: Path) -> None:
        from trivox.annotation.people import sessions
        from trivox.annotation.people.door import Door
        from trivox.dashboards import access, app, gate, shell

        os.environ[gate.WORKSPACE] = str(root)
        self.source = shell.source_of(str(root.resolve()))
        secret = sessions.begin(self.source.ws, "p000", None)
        held = {Door(self.source.ws).cookie: secret}
        access.cookies = lambda: held  # no request carries cookies here
        self._script, self._tests = app.__file__, dict[str, Any]()

    def show(self, page: str, query: dict[str, str], fresh: bool = False) -> float:
        """Seconds of one rerun of a page. fresh: what is known of this query is forgotten first."""
        test = self._test(page)
        for name, value in query.items():
            test.query_params[name] = value
            if name in test.session_state:
                test.session_state[name] = value
        if fresh:
            self.source.forget()
        seconds = _timed(test.run)
        if test.exception:
            raise RuntimeError(f"page {page} with {query}: {test.exception[0].value}")
        return seconds

    def empty(self) -> float:
        """Of a page without anything on it."""
        if "" not in self._tests:
            from streamlit.testing.v1 import AppTest

            self._tests[""] = AppTest.from_string(
                "import streamlit as st\nst.title('empty')", default_timeout=600
            )
            self._tests[""].run()
        return _timed(self._tests[""].run)

    def _test(self, page: str) -> Any:
        from streamlit.testing.v1 import AppTest

        if page not in self._tests:
            test = self._tests[page] = AppTest.from_file(self._script, default_timeout=600)
            if page != "overview":
                test.switch_page(f"screens/{page}.py")
            test.run()
        return self._tests[page]


def naive(root: Path, branch: str) -> pl.DataFrame:
    """What a page does that asks the raw rows at every run: mean and failures of every scorer of a branch."""
    files = str(
        root / "tables" / "score" / "project=*" / f"branch={branch}" / "round=*" / "*.parquet"
    )
    rows = pl.scan_parquet(files, hive_partitioning=False)
    value = pl.col("value")
    return (
        rows.group_by("scorer", "role")
        .agg(value.mean(), value.is_null().sum().alias("failed"))
        .collect()
    )


def _timed(work: Callable[[], object]) -> float:
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


def _result(size: Size, sides: dict[str, list[float]], taken_in: float) -> Result:
    p95 = {side: float(np.quantile(times, 0.95)) for side, times in sides.items()}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    timings = {side: Timing(tuple(times), tuple(times)) for side, times in sides.items()}
    limit = timings["empty"].median + max(0.0, timings["changed"].median - timings["cached"].median)
    return Result(
        name="dashboard",
        ratio_to_peer={"raw rows at every run": timings["naive"].median / timings["changed"].median},
        ratio_to_limit=timings["changed"].median / limit,
        passed=p95["changed"] < CHANGED_S and p95["cached"] < CACHED_S and memory < MEMORY_GB,
        threshold=THRESHOLD,
        terms={"empty_rerun_s": timings["empty"].median, "query_s": limit - timings["empty"].median},
        sizes={
            "rollouts": size.rounds * size.rollouts, "scores": 8 * size.rounds * size.rollouts,
            "judgements": size.rounds * size.judgements, "rounds": size.rounds, "reruns": RERUNS,
        },
        sides=timings,
        figures={
            "p95_changed_s": p95["changed"], "p95_cached_s": p95["cached"], "peak_memory_gb": memory,
            "taking_in_s": taken_in,
        },
        notes=("AppTest leaves out the browser and the network.",),
    )  # fmt: skip
