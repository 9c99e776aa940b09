"""A round is struck at a random point and ends as if it had not been: the same ids, none twice, none missing.

Twenty seeds: each says what is struck (driver, worker, database, disk, node), in which stage and when. The blows
are real: SIGKILL, sessions that the server ends, a limit of the operating system on what may be written, a raylet
of a three-node cluster that is gone. What goes wrong with a blow is put right by starting the round again, as a
person would.
"""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.chaos import BLOWS, CONFIG, PARTS, Actor, Ground, Strike, fresh, played
from trivox.bench.servers import Postgres
from trivox.pipelines.imports import builtin_prompts
from trivox.pipelines.workspaces import packaged_nano
from trivox.platform.progress import say
from trivox.platform.registry import register
from trivox.platform.store import Workspace
from trivox.platform.store.config import WorkspaceConfig

SEEDS = range(int(os.environ.get("CHAOS_SEEDS", "20")))
AT_ONCE = 2
STORE_BYTES = 100 * 1024 * 1024


def prepared(root: Path, config: WorkspaceConfig | None = None) -> Path:
    with Workspace.create(root, config) as ws:
        register(ws, packaged_nano(ws.project))
        builtin_prompts(ws, train=4, test=3, seed=0)
    return root


@pytest.fixture(scope="module")
def cluster() -> Iterator["ThreeNodes"]:
    made = ThreeNodes()
    yield made
    made.end()


class ThreeNodes:
    """A Ray on one machine: a head and two more nodes."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        size = {"object_store_memory": STORE_BYTES, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **size})
        self._nodes = [self._another() for _ in range(2)]
        self._lock = threading.Lock()
        self._missing = 0
        self.address = str(self._cluster.address)

    def actors(self, driver: int) -> list[Actor]:
        """Of the driver with that process id, alive by what the cluster knows."""
        state = self._cluster.global_state
        jobs = {one["JobID"] for one in state.job_table() if one["DriverPid"] == driver}
        found = state.actor_table(None, actor_state_name="ALIVE").values()
        return [
            Actor(one["ActorClassName"], one["Pid"], one["Address"]["NodeID"])
            for one in found
            if one["JobID"] in jobs
        ]

    def lose(self, node: str) -> bool:
        """The node dies with all that is on it; False for the head, without which there is no cluster, and for one
        that is lost already."""
        with self._lock:
            lost = next((one for one in self._nodes if one.node_id == node), None)
            if lost is None:
                return False
            self._nodes.remove(lost)
            self._cluster.remove_node(lost, allow_graceful=False)
            self._missing += 1
        return True

    def mend(self) -> None:
        """Another node for each that was lost, as a cluster's keeper gives it. Ray begins nodes in the main thread
        alone."""
        while self._missing:
            made = self._another()
            with self._lock:
                self._nodes.append(made)
                self._missing -= 1

    def end(self) -> None:
        self._cluster.shutdown()

    def _another(self) -> Any:
        return self._cluster.add_node(num_cpus=2, object_store_memory=STORE_BYTES)


@pytest.mark.slow
def test_every_seed_ends_as_the_undisturbed_round(
    tmp_path: Path, cluster: ThreeNodes, postgres_server: Postgres
) -> None:
    ground = Ground(cluster.address, cluster.actors, cluster.lose)
    config = tmp_path / "round.toml"
    config.write_text(CONFIG, encoding="utf-8")
    template = prepared(tmp_path / "template")
    calm = played(fresh(template, tmp_path / "calm"), config, ground, None)
    assert calm["rollouts"] and calm["judgements"] and calm["preferences"]
    assert len(list((tmp_path / "calm").rglob("*.parquet"))) == PARTS

    def play(seed: int) -> Strike:
        strike, root = Strike(seed), tmp_path / f"seed{seed}"
        if strike.kind == "database connection":
            url = postgres_server.fresh("trivox_store")
            prepared(root, WorkspaceConfig(database=url))
        else:
            fresh(template, root)
        made = played(root, config, ground, strike)
        for kind, expected in calm.items():
            assert made[kind] == expected, f"{strike.told()}: {kind} differ"
        say(strike.told())
        return strike

    with ThreadPoolExecutor(AT_ONCE) as pool:
        playing = [pool.submit(play, seed) for seed in SEEDS]
        while wait(playing, timeout=0.5).not_done:
            cluster.mend()
    strikes = [one.result() for one in playing]
    assert [strike.seed for strike in strikes if not strike.fell] == []


def test_a_seed_is_always_the_same_blow() -> None:
    assert {Strike(seed).kind for seed in SEEDS} == set(BLOWS)
    for seed in SEEDS:
        strike = Strike(seed)
        assert strike.point in BLOWS[strike.kind] and strike.point == Strike(seed).point
        assert 0 <= strike.delay_s == Strike(seed).delay_s <= 1
