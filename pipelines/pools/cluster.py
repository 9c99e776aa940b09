"""The Ray that pools work on: a cluster that is there, or one of this machine alone."""

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from trivox.platform.errors import ConfigError, NotFound

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
        room = [int(resources.get(name, 0) / share) for name, share in self.shares.items() if share]
        return max(1, min(room, default=1))

    @property
    def shares(self) -> dict[str, float]:
        """By Ray's name of the resource."""
        return {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory_gb * 2**30}


def fitting(wanted: Sequence[tuple[int, Resources]], there: Mapping[str, float]) -> list[int]:
    """How many workers of each kind the resources of a cluster hold side by side: as many as are wanted, or fewer,
    taken where there are most. Raises ConfigError where there is no room for one of each."""
    counts = [count for count, _ in wanted]
    kinds = [kind for _, kind in wanted]
    while missing := lacking(list(zip(counts, kinds, strict=True)), there):
        largest = max(range(len(counts)), key=counts.__getitem__)
        if counts[largest] <= 1:
            name, needed = next(iter(missing.items()))
            raise ConfigError(
                f"workers need {needed:g} of {name} and the cluster has {there.get(name, 0):g}: "
                "let each take less, do without some, or join a larger cluster"
            )
        counts[largest] -= 1
    return counts


def lacking(
    wanted: Sequence[tuple[int, Resources]], there: Mapping[str, float]
) -> dict[str, float]:
    """What so many workers of each kind need together of the resources that a cluster has too little of."""
    needed = {
        name: sum(count * one.shares[name] for count, one in wanted)
        for name in ("CPU", "GPU", "memory")
    }
    return {name: share for name, share in needed.items() if share > there.get(name, 0.0) + 1e-6}


class ResourceSection(BaseModel):
    """What one Ray actor takes of the cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpus: float = Field(1.0, gt=0)
    """CPU cores; a fraction lets several actors share one."""
    gpus: float = Field(0.0, ge=0)
    """GPUs; 0.5 lets two actors share one."""
    memory_gb: float = Field(0.0, ge=0)
    """Memory that Ray keeps free for it; 0: no say."""
    spread: bool = True
    """Over as many nodes as there are; otherwise packed on few."""

    @property
    def resources(self) -> Resources:
        return Resources(**self.model_dump())


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
