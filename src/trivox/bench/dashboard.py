"""B12: how soon a page of the dashboards is there again, with another filter and from memory, and in how much
memory.

Pages are run as Streamlit runs them (its AppTest: script, widgets, messages; without browser and network). The
peer is a page that reads the raw scores of its figures at every run; the limit is an empty page and the query
behind a changed one.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trivox.bench.dashboard_data import FULL, SMALL, Size, branch_of, filled, round_id
from trivox.bench.harness import Result, Timing
from trivox.platform.errors import WorkError
from trivox.platform.observability.memory import peak_bytes

CHANGED_S, CACHED_S, MEMORY_GB = 1.0, 0.1, 2.0
RERUNS = 60
THRESHOLD = "p95 below 1 s with a changed filter, below 100 ms from memory, below 2 GB"
BRANCHES = ["asr", "tts", "realtime", "all"]
PICKS: dict[tuple[str, str], list[str]] = {
    ("overview", "branch"): BRANCHES,
    ("rounds", "round"): [],
    ("samples", "round"): [],
    ("rewards", "scorer"): ["mos", "wer", "speaker", "style", "all"],
    ("annotation", "branch"): BRANCHES,
    ("data", "branch"): BRANCHES,
    ("samples", "order"): ["disagree", "margin", "flagged", "any"],
    ("rewards", "branch"): BRANCHES,
}
"""Page and pick -> what there is to pick; [] for the rounds."""


def run(full: bool) -> Result:
    size = FULL if full else SMALL
    root = filled(Path(tempfile.gettempdir()) / f"trivox-bench-dashboard-{size.name}", size)
    # A process of its own, as `trivox dashboard` is: what made the data is none of its memory.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
        return _result(size, apart.submit(_measured, root, size).result())


@dataclass(frozen=True)
class Measured:
    """Seconds of each rerun, on the wall and of the processor; of taking in what is new; gigabytes at the most."""

    wall: dict[str, list[float]]
    cpu: dict[str, list[float]]
    taken_in: float
    memory: float


def _measured(root: Path, size: Size) -> Measured:
    """Sides take turns."""
    before = time.perf_counter()
    pages = Pages(root)
    pages.source.look()
    found = Measured({}, {}, time.perf_counter() - before, 0.0)
    pages.visit()
    picks = changes(size)
    for place in range(RERUNS):
        page, key, value = next(picks)
        pages.source.forget()
        _note(found, "changed", partial(pages.pick, page, key, value))
        _note(found, "cached", partial(pages.again, page))
        _note(found, "empty", partial(pages.again, ""))
        if place % (RERUNS // 5) == 0:
            _note(found, "naive", partial(naive, root, branch_of(place).value))
    return replace(found, memory=peak_bytes() / 2**30)


def _note(found: Measured, side: str, work: Callable[[], object]) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    found.wall.setdefault(side, []).append(time.perf_counter() - wall)
    found.cpu.setdefault(side, []).append(time.process_time() - cpu)


def changes(size: Size) -> Iterator[tuple[str, str, str]]:
    """Page, pick and what is picked, over and over; never what was picked on that page before."""
    rng, last = np.random.default_rng(0), dict[str, str]()
    for page, key in cycle(PICKS):
        every = PICKS[page, key] or [round_id(number) for number in range(size.rounds)]
        options = [one for one in every if one != last.get(page)]
        last[page] = str(rng.choice(options))
        yield page, key, last[page]


class Pages:
    """The app as one person at it sees it."""

    def __init__(self, root: Path) -> None:
        from streamlit.web import bootstrap

        from trivox.annotation.people import sessions
        from trivox.annotation.people.door import Door
        from trivox.dashboards import access, app, gate, shell

        bootstrap.load_config_options(gate.CONFIG)
        os.environ[gate.WORKSPACE] = str(root)
        self.source = shell.source_of(str(root.resolve()))
        secret = sessions.begin(self.source.ws, "p000", None)
        held = {Door(self.source.ws).cookie: secret}
        access.cookies = lambda: held  # no request carries cookies here
        self._script, self._tests = app.__file__, dict[str, Any]()

    def visit(self) -> None:
        """Every page once: what Python loads for it is loaded."""
        for page in ["", *(page for page, _ in PICKS)]:
            self._test(page)

    def pick(self, page: str, key: str, value: str) -> None:
        """The rerun after another value was picked."""
        test = self._test(page)
        test.selectbox(key=key).set_value(value)
        self._run(test, f"{page}, {key} {value}")

    def again(self, page: str) -> None:
        """The same page once more; "" is a page with nothing on it."""
        self._run(self._test(page), page)

    def _run(self, test: Any, what: str) -> None:
        test.run()
        if test.exception or test.error:
            raise WorkError(
                f"bench dashboard: {what}: {[one.value for one in (*test.exception, *test.error)]}"
            )

    def _test(self, page: str) -> Any:
        from streamlit.testing.v1 import AppTest

        if page not in self._tests:
            empty = "import streamlit as st\nst.title('empty')"
            test = AppTest.from_file(self._script) if page else AppTest.from_string(empty)
            test.default_timeout = 600
            if page not in ("", "overview"):
                test.switch_page(f"screens/{page}.py")
            test.run()
            self._tests[page] = test
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


def _result(size: Size, found: Measured) -> Result:
    p95 = {side: float(np.quantile(times, 0.95)) for side, times in found.wall.items()}
    work = {side: float(np.quantile(times, 0.95)) for side, times in found.cpu.items()}
    timings = {
        side: Timing(tuple(found.wall[side]), tuple(found.wall[side])) for side in found.wall
    }
    empty, naive_s, changed, cached = (
        statistics.median(found.wall[side]) for side in ("empty", "naive", "changed", "cached")
    )
    limit = empty + max(0.0, changed - cached)
    return Result(
        name="dashboard",
        ratio_to_peer={"raw rows at every run": naive_s / changed},
        ratio_to_limit=changed / limit,
        passed=p95["changed"] < CHANGED_S and p95["cached"] < CACHED_S and found.memory < MEMORY_GB,
        threshold=THRESHOLD,
        terms={"empty_rerun_s": empty, "query_s": limit - empty},
        sizes={
            "rollouts": size.rounds * size.rollouts, "scores": 8 * size.rounds * size.rollouts,
            "judgements": size.rounds * size.judgements, "rounds": size.rounds, "reruns": RERUNS,
        },
        sides=timings,
        figures={
            "p95_changed_s": p95["changed"], "p95_cached_s": p95["cached"], "p95_empty_s": p95["empty"],
            "p95_changed_cpu_s": work["changed"], "p95_cached_cpu_s": work["cached"],
            "peak_memory_gb": found.memory, "taking_in_s": found.taken_in,
        },
        notes=("AppTest leaves out the browser and the network, and compiles the page at every run.",),
    )  # fmt: skip
