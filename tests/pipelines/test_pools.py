"""Pools of actors on a real Ray: what comes back, and in which form a failure comes back."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from trivox.pipelines.pools import deaths
from trivox.pipelines.pools.cluster import Resources, ensure_ray
from trivox.pipelines.pools.deaths import cause_of, is_death
from trivox.pipelines.pools.pool import AHEAD, PoolWorker, WorkerPool, together
from trivox.platform.errors import MissingModel, StageFailed, UnspeakableText


class Doubler(PoolWorker):
    """Work for tests: doubles numbers, and fails as the unit says."""

    def __init__(self, greeting: str = "") -> None:
        if greeting == "no model":
            raise MissingModel("scorer 'ear': its weights are not installed: make install")
        if greeting == "bug":
            raise ZeroDivisionError("division by zero")
        self.greeting = greeting

    def work(self, unit: Any) -> Any:
        if unit == "threads":
            return os.environ.get("OMP_NUM_THREADS")
        if unit == "ours":
            raise UnspeakableText("naïve", ["ï"], "abc", "prompt pr_1")
        if unit == "theirs":
            raise KeyError("codes")
        if unit == "die":
            os._exit(1)
        if isinstance(unit, Path):  # a file that is there the first time only
            if unit.exists():
                unit.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            return "alive"
        time.sleep(0.02 * (unit % 3))  # later units finish before earlier ones
        return self.greeting, 2 * unit


def test_all_results_come_with_the_index_of_their_unit(ray_session: None) -> None:
    with WorkerPool(Doubler, 2, "hi") as pool:
        found = dict(pool.map([5, 3, 1, 0, 9, 7, 2], "double"))
    assert found == {i: ("hi", 2 * unit) for i, unit in enumerate([5, 3, 1, 0, 9, 7, 2])}


def test_a_pool_is_used_for_several_maps_and_for_none(ray_session: None) -> None:
    with WorkerPool(Doubler, 1) as pool:
        assert list(pool.map([], "nothing")) == []
        assert dict(pool.map([1], "one")) == {0: ("", 2)}
        assert dict(pool.map([2, 3], "two")) == {0: ("", 4), 1: ("", 6)}
        # How long the actor worked on each: it sleeps 0.04 s over the first, not over the second.
        assert pool.seconds.keys() == {0, 1} and pool.seconds[0] >= 0.04 > 0 < pool.seconds[1]
        assert dict(pool.map(["threads"], "threads")) == {0: "1"}


def test_an_error_of_ours_arrives_as_itself(ray_session: None) -> None:
    with pytest.raises(UnspeakableText) as caught, WorkerPool(Doubler, 1) as pool:
        list(pool.map([1, "ours", 2], "double"))
    assert type(caught.value) is UnspeakableText
    expected = UnspeakableText("naïve", ["ï"], "abc", "prompt pr_1")
    assert str(caught.value) == str(expected) and caught.value.strange == ["ï"]


def test_another_error_becomes_a_failed_stage_with_its_cause(ray_session: None) -> None:
    with pytest.raises(StageFailed) as caught, WorkerPool(Doubler, 1) as pool:
        list(pool.map(["theirs"], "score"))
    assert str(caught.value) == "score: a worker failed: KeyError('codes')"


def test_an_actor_that_dies_becomes_a_failed_stage(ray_session: None) -> None:
    with (
        pytest.raises(StageFailed, match="score: a worker died 4 times over unit 0: ") as caught,
        WorkerPool(Doubler, 1) as pool,
    ):
        list(pool.map(["die"], "score"))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_an_actor_that_cannot_be_made_says_why(ray_session: None) -> None:
    """Missing weights are found in the actor's constructor; people are told so, not of a death."""
    with (
        pytest.raises(MissingModel, match="not installed: make install"),
        WorkerPool(Doubler, 1, "no model") as pool,
    ):
        list(pool.map([1], "score"))
    with (
        pytest.raises(StageFailed, match=r"a worker failed: ZeroDivisionError"),
        WorkerPool(Doubler, 1, "bug") as pool,
    ):
        list(pool.map([1], "score"))


def test_more_workers_than_the_machine_lends_do_not_wait_for_ever(ray_session: None) -> None:
    """The session's Ray has 2 CPUs: a round may ask for more."""
    with WorkerPool(Doubler, 5) as pool:
        assert len(dict(pool.map(list(range(6)), "double"))) == 6


def test_a_running_ray_is_used_as_it_is(ray_session: None, tmp_path: Path) -> None:
    import ray

    before = ray.cluster_resources()["CPU"]
    ensure_ray(7)
    assert ray.cluster_resources()["CPU"] == before == 2


def test_a_killed_actor_costs_nothing_but_time(ray_session: None, tmp_path: Path) -> None:
    """Two of six units kill their actor once; every unit has its result, once."""
    bombs = [tmp_path / "one", tmp_path / "two"]
    for one in bombs:
        one.touch()
    units = [1, bombs[0], 2, 3, bombs[1], 4]
    with WorkerPool(Doubler, 2) as pool:
        found = list(pool.map(units, "double"))
    assert sorted(index for index, _ in found) == list(range(6))
    assert dict(found) == {0: ("", 2), 1: "alive", 2: ("", 4), 3: ("", 6), 4: "alive", 5: ("", 8)}


def test_two_maps_run_together_and_one_feeds_the_other(ray_session: None) -> None:
    """Each result of the first is a unit of the second at once: that one begins before the first has ended."""
    with WorkerPool(Doubler, 1, "a") as first, WorkerPool(Doubler, 1, "b") as second:
        list(first.map([0], "wake")), list(second.map([0], "wake"))
        once = first.begin([2, 5, 8, 11, 14, 17], "once")
        twice = second.begin([], "twice", later=6)
        left, found = list[int](), dict[int, int]()
        for which, index, (_, value) in together(once, twice):
            if which is once:
                twice.add(value)
            else:
                left.append(once.left)
                found[twice.units[index]] = value
    assert found == {4: 8, 10: 20, 16: 32, 22: 44, 28: 56, 34: 68}
    assert left[0] > 0 == left[-1]


def test_a_death_in_one_of_two_maps_costs_the_other_nothing(
    ray_session: None, tmp_path: Path
) -> None:
    bomb = tmp_path / "one"
    bomb.touch()
    with WorkerPool(Doubler, 1) as first, WorkerPool(Doubler, 1) as second:
        maps = first.begin([1, bomb, 2], "first"), second.begin([3, 6], "second")
        found = {(one.label, index): value for one, index, value in together(*maps)}
    assert found == {
        ("first", 0): ("", 2), ("first", 1): "alive", ("first", 2): ("", 4),
        ("second", 0): ("", 6), ("second", 1): ("", 12),
    }  # fmt: skip


def test_the_longest_unit_begins_first(ray_session: None) -> None:
    with WorkerPool(Doubler, 1) as pool:
        found = [index for index, _ in pool.map([0, 3, 6, 9], "double", size=float)]
    assert found == [3, 2, 1, 0]


class Counter(PoolWorker):
    """Says how many units it has begun."""

    def __init__(self) -> None:
        self.begun = 0

    def work(self, unit: Any) -> int:
        self.begun += 1
        return self.begun


def test_nobody_runs_ahead_of_who_takes_the_results(ray_session: None) -> None:
    """While one result is looked at, an actor begins no more than the units that it was given."""
    with WorkerPool(Counter, 1) as pool:
        results = pool.map(list(range(20)), "count")
        next(results)
        time.sleep(0.3)
        (member,) = pool.members()
        assert len(member.given) <= AHEAD
        assert len(list(results)) == 19


def test_room_for_workers_by_what_they_take() -> None:
    """16 CPUs and 2 GPUs: 16 of one CPU; 4 of half a GPU; 3 of 5 CPUs. Never none: it would wait and say why."""
    there = {"CPU": 16.0, "GPU": 2.0, "memory": 64.0 * 2**30}
    assert Resources().fit(there) == 16
    assert Resources(cpus=1, gpus=0.5).fit(there) == 4
    assert Resources(cpus=5).fit(there) == 3
    assert Resources(memory_gb=24).fit(there) == 2
    assert Resources(gpus=1).fit({"CPU": 4.0}) == 1
    assert Resources(gpus=0.25, memory_gb=2).options()["memory"] == 2 * 2**30


def test_memory_is_named_by_the_type_of_the_error_and_by_the_count_of_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's own error for it, whatever it says; a sudden end while the kernel's count has risen since the pool
    began; and neither."""
    from ray.exceptions import OutOfMemoryError

    memory = "out of memory: fewer workers or slots, or more memory for each"
    assert cause_of(OutOfMemoryError("a node told so")) == memory
    assert is_death(OutOfMemoryError("a node told so"))
    sudden = RuntimeError("Worker exit detail: Worker unexpectedly exits with code 2.")
    assert cause_of(sudden, oom_killed=True) == memory
    assert cause_of(sudden).startswith("its process ended suddenly: ")
    events = tmp_path / "memory.events"
    monkeypatch.setattr(deaths, "EVENTS", (tmp_path / "nowhere", events))
    assert deaths.oom_kills() == 0
    events.write_text("low 0\noom 3\noom_kill 2\noom_group_kill 1\n")
    assert deaths.oom_kills() == 2


def test_a_pool_looks_at_the_count_from_when_it_began(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kills of before are not its; one since then names the death of its worker."""
    events = tmp_path / "memory.events"
    events.write_text("oom_kill 5\n")
    monkeypatch.setattr(deaths, "EVENTS", (events,))
    gone = RuntimeError("Worker exit detail: Worker unexpectedly exits.")
    with WorkerPool(Doubler, 1) as pool:
        assert pool.cause(gone).startswith("its process ended")
        events.write_text("oom_kill 6\n")
        assert pool.cause(gone).startswith("out of memory")


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        ("Task was killed due to the node running low on memory.", "out of memory: "),
        (
            "Worker exit detail: Worker unexpectedly exits with a connection error code 2. Some common causes "
            "include: (1) the process was killed by SIGKILL by OOM killer due to high memory usage.",
            "its process ended suddenly: Worker unexpectedly exits with a connection error code 2",
        ),
        ("The actor died because its node has died.", "its node died (RuntimeError)"),
        ("a\nstrange\nthing", "RuntimeError: a strange thing"),
    ],
)
def test_causes_in_one_line(told: str, cause: str) -> None:
    assert cause_of(RuntimeError(told)).startswith(cause)
