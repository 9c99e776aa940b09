"""A round is struck at a random point and ends as if it had not been: the same ids, none twice, none missing.

Twenty seeds: each says what is struck (driver, worker, database, disk, node), in which stage and when. The blows
are real: SIGKILL, sessions that the server ends, a limit of the operating system on what may be written, a raylet
of a three-node cluster that is gone. What goes wrong with a blow is put right by starting the round again, as a
person would.
"""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.chaos import BLOWS, CONFIG, Ground, Strike, fresh, played
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
def ground(postgres_server: Postgres) -> Iterator[Ground]:
    """A head and two more nodes; one that is lost is replaced, as a cluster's keeper would."""
    from ray.cluster_utils import Cluster

    size = {"object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **size})
    nodes = [cluster.add_node(num_cpus=2, object_store_memory=STORE_BYTES) for _ in range(2)]
    lock = threading.Lock()

    def lose() -> str:
        with lock:
            lost = nodes.pop(0)
            cluster.remove_node(lost, allow_graceful=False)
            nodes.append(cluster.add_node(num_cpus=2, object_store_memory=STORE_BYTES))
        return "a node"

    yield Ground(cluster.address, lose, postgres_server)
    cluster.shutdown()


@pytest.mark.slow
def test_every_seed_ends_as_the_undisturbed_round(
    tmp_path: Path, ground: Ground, postgres_server: Postgres
) -> None:
    config = tmp_path / "round.toml"
    config.write_text(CONFIG, encoding="utf-8")
    template = prepared(tmp_path / "template")
    calm = played(fresh(template, tmp_path / "calm"), config, ground, None)
    assert calm["rollouts"] and calm["judgements"] and calm["preferences"]

    def play(seed: int) -> tuple[Strike, dict[str, Any]]:
        strike, root = Strike(seed), tmp_path / f"seed{seed}"
        if strike.kind == "database connection":
            url = postgres_server.fresh("trivox_store")
            prepared(root, WorkspaceConfig(database=url))
        else:
            fresh(template, root)
        return strike, played(root, config, ground, strike)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        ended = list(pool.map(play, SEEDS))
    for strike, _ in ended:
        told = f"{strike.stage.value} + {strike.delay_s:.2f} s: {', '.join(strike.fell)}"
        say(f"seed {strike.seed}: {strike.kind}, {told}")
    assert [strike.seed for strike, _ in ended if not strike.fell] == []
    for strike, made in ended:
        for kind, expected in calm.items():
            assert made[kind] == expected, f"seed {strike.seed}, {strike.kind}: {kind} differ"


def test_a_seed_is_always_the_same_blow() -> None:
    assert {Strike(seed).kind for seed in SEEDS} == set(BLOWS)
    for seed in SEEDS:
        strike = Strike(seed)
        assert strike.stage in BLOWS[strike.kind] and strike.stage is Strike(seed).stage
        assert 0 <= strike.delay_s == Strike(seed).delay_s <= 1
