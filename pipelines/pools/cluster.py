"""The Ray that pools work on: a cluster that is there, or one of this machine alone."""

import logging
import os
import warnings
from dataclasses import dataclass
from typing import Any

from trivox.platform.errors import NotFound

OBJECT_STORE_BYTES = 200 * 1024 * 1024


@dataclass(frozen=True)
class Resources:
    """What one worker of a pool takes. cpus, gpus: may be fractions; several workers then share one. memory_gb:
    that Ray keeps free for it, 0 for no say. With spread workers are laid over as many nodes as there are."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory_gb: float = 0.0
    spread: bool = True

    def options(self) -> dict[str, Any]:
        """As Ray's options of an actor. It is not restarted by Ray: the pool does that, with its reasons."""
        memory = {"memory": int(self.memory_gb * 2**30)} if self.memory_gb else {}
        return memory | {
            "num_cpus": self.cpus,
            "num_gpus": self.gpus,
            "scheduling_strategy": "SPREAD" if self.spread else "DEFAULT",
            "max_restarts": 0,
        }

    def fit(self, resources: dict[str, float]) -> int:
        """How many workers these resources of a cluster hold, at least 1."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory_gb * 2**30}
        room = [int(resources.get(name, 0) / share) for name, share in wanted.items() if share]
        return max(1, min(room, default=1))


def ensure_ray(workers: int) -> None:
    """Connect to the cluster of RAY_ADDRESS, or start one on this machine with `workers` CPU slots."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        return
    if "RAY_ADDRESS" in os.environ:
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
        return
    with warnings.catch_warnings():
        # Ray announces a change of a default that Trivox sets itself just above.
        warnings.simplefilter("ignore", FutureWarning)
        ray.init(
            address="local",  # or Ray would join whatever cluster somebody runs on this machine
            num_cpus=workers,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )


def nodes_of(address: str) -> list[dict[str, object]]:
    """host, alive, cpus and gpus of every node. Raises NotFound for a cluster that does not answer."""
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise NotFound(
            f"no Ray cluster answers at {address}: begin one with `trivox cluster up`"
        ) from error
    found: list[dict[str, object]] = []
    nodes: Any = ray.nodes
    for one in nodes():
        has = one["Resources"]
        found.append(
            {
                "host": one["NodeManagerHostname"],
                "alive": bool(one["Alive"]),
                "cpus": float(has.get("CPU", 0.0)),
                "gpus": float(has.get("GPU", 0.0)),
            }
        )
    return found
