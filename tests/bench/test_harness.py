"""The harness: turns, medians, the line in the file, the command."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from trivox.bench import BENCHES
from trivox.bench.harness import Bench, Result, Timing, append, interleaved, ratio
from trivox.cli import app
from trivox.platform.errors import ConfigError, NotFound


def result_of(passed: bool = True) -> Result:
    return Result(
        name="mine",
        ratio_to_peer={"theirs": 2.0, "absent": None},
        ratio_to_limit=float("nan"),
        passed=passed,
        threshold="2x theirs",
        terms={"step_s": 0.1},
        sizes={"rows": 3},
        sides={"ours": Timing((1.0, 5.0, 2.0, 3.0, 4.0), (9.0,) * 5)},
        notes=("absent does not run here",),
    )


def test_sides_take_turns_after_one_run_that_does_not_count() -> None:
    order: list[str] = []
    timings = interleaved(
        {side: lambda side=side: order.append(side) for side in "ab"}, repeats=5, clock="wall"
    )
    assert order == ["a", "b"] * 6
    assert {side: len(one.seconds) for side, one in timings.items()} == {"a": 5, "b": 5}


def test_torch_has_one_thread_also_where_a_side_changes_it() -> None:
    seen: list[int] = []

    def side() -> None:
        seen.append(torch.get_num_threads())
        torch.set_num_threads(2)

    interleaved({"a": side}, warm=False)
    torch.set_num_threads(1)
    assert seen == [1] * 5


def test_four_repeats_are_no_median() -> None:
    with pytest.raises(ConfigError, match="4 repeats"):
        interleaved({}, repeats=4)


def test_ratio_is_of_medians() -> None:
    """Medians 3 and 2: 1.5, whatever the outlier of 100."""
    assert ratio(Timing((1, 3, 100), ()), Timing((2, 2, 2), ())) == 1.5


def test_a_line_for_each_run(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.jsonl"
    for _ in range(2):
        append(result_of(), path, full=False)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 2
    assert lines[0]["medians_s"] == {"ours": 3.0}
    assert {"cores", "processor", "torch", "threads", "gpu"} <= lines[0]["machine"].keys()


@pytest.mark.parametrize("name", BENCHES)
def test_every_bench_has_a_module_to_run(name: str) -> None:
    bench = BENCHES[name]
    assert bench.name == name and callable(importlib.import_module(bench.module).run)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["bench", *arguments])


def test_without_a_name_they_are_listed() -> None:
    told = json.loads(run("--json").stdout)
    assert [one["name"] for one in told["benches"]] == list(BENCHES)


def test_an_unknown_name_is_refused() -> None:
    assert isinstance(run("speed").exception, NotFound)


@pytest.mark.parametrize("passed", [True, False])
def test_the_exit_code_says_whether_it_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passed: bool
) -> None:
    monkeypatch.setitem(BENCHES, "mine", Bench("mine", "a bench of a test", "trivox.bench"))
    monkeypatch.setattr("trivox.bench.run", lambda full: result_of(passed), raising=False)
    out = tmp_path / "out.jsonl"
    ended = run("mine", "--json", "--out", str(out))
    assert ended.exit_code == (0 if passed else 1)
    told = json.loads(ended.stdout)
    assert told["ratio_to_peer"] == {"theirs": 2.0, "absent": None}
    assert told["ratio_to_limit"] is None and ended.stdout.count("\n") == 1
    assert out.read_text().count("\n") == 1
    shown = run("mine", "--out", str(out)).stdout
    assert ("FAILED" in shown) == (not passed) and "note: absent does not run here" in shown


def test_the_harness_tells_equal_from_double(tmp_path: Path) -> None:
    """The figures themselves are the machine's; that all sides were timed is not."""
    told = json.loads(run("self-check", "--json", "--out", str(tmp_path / "out.jsonl")).stdout)
    assert told["sides"].keys() == {"one", "same", "double"}
    assert len(told["sides"]["one"]["seconds"]) == 9
