"""`trivox bench weight-sync`: a new adapter for all workers that draw rollouts.

Ours is `pipelines.pools.weights`: one block through Ray's object store. Peers: the adapter saved as safetensors
and loaded by each worker, and Ray's put and get of the tensors as they are. The limit is what nothing can leave
out: the bytes written once into fresh shared memory, and read once by each worker into the tensors that it works
with.
"""

import mmap
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trivox.bench.harness import REPEATS, Result, Timing, interleaved
from trivox.pipelines.pools.cluster import ensure_ray
from trivox.pipelines.pools.weights import Packed, broadcast, load_into, pack

NAME = "weight-sync"
WORKERS = 2
SIZES_MB = (1, 8, 32)
DECIDES_MB = 32
LIMIT = 1.5
TENSORS = 64


class Holder:
    """A worker with the tensors of an adapter in memory."""

    def __init__(self, megabytes: int) -> None:
        torch.set_num_threads(1)
        self.tensors = adapter(megabytes, 0.0)

    def take_weights(self, packed: Packed) -> float:
        load_into(self.tensors, packed)
        return self.first()

    def take_file(self, path: str) -> float:
        from safetensors.torch import load_file

        return self.take_tensors(load_file(path))

    def take_tensors(self, tensors: dict[str, torch.Tensor]) -> float:
        with torch.no_grad():
            for name, tensor in tensors.items():
                self.tensors[name].copy_(tensor)
        return self.first()

    def first(self) -> float:
        return float(next(iter(self.tensors.values()))[0])


def adapter(megabytes: int, value: float) -> dict[str, torch.Tensor]:
    """So many MB of float32 in 64 tensors, all of one value."""
    each = megabytes * 2**20 // 4 // TENSORS
    return {f"layer.{index}": torch.full((each,), value) for index in range(TENSORS)}


def run(full: bool) -> Result:
    """At 1, 8 and 32 MB, the last decides; every side is checked to have arrived."""
    ensure_ray(WORKERS)
    sides: dict[str, Timing] = {}
    figures: dict[str, float] = {}
    for megabytes in SIZES_MB:
        found = _timed(megabytes, 3 * REPEATS if full else REPEATS)
        sides |= {f"{side}_{megabytes}mb": timing for side, timing in found.items()}
        figures[f"to_limit_{megabytes}mb"] = found["ours"].median / found["limit"].median
    at = f"{DECIDES_MB}mb"
    ours = sides[f"ours_{at}"].median
    return Result(
        name=NAME,
        ratio_to_peer={
            peer: sides[f"{peer}_{at}"].median / ours for peer in ("save_reload", "ray_put")
        },
        ratio_to_limit=figures[f"to_limit_{at}"],
        passed=figures[f"to_limit_{at}"] <= LIMIT,
        threshold=f"at most {LIMIT} times the limit at {DECIDES_MB} MB for {WORKERS} workers",
        terms={f"copies_{m}mb": sides[f"limit_{m}mb"].median for m in SIZES_MB},
        sizes={"workers": WORKERS, "megabytes": ", ".join(map(str, SIZES_MB)), "tensors": TENSORS},
        sides=sides,
        figures=figures,
    )


def _timed(megabytes: int, repeats: int) -> dict[str, Timing]:
    import ray

    remote: Any = ray.remote(num_cpus=1)(Holder)
    holders = [remote.remote(megabytes) for _ in range(WORKERS)]
    ray.get([holder.first.remote() for holder in holders])
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "adapter.safetensors"
            return interleaved(_sides(megabytes, holders, path), repeats, clock="wall")
    finally:
        for holder in holders:
            ray.kill(holder)


def _sides(megabytes: int, holders: list[Any], path: Path) -> dict[str, Callable[[], object]]:
    import ray
    from safetensors.torch import save_file

    state = adapter(megabytes, 1.0)
    whole = np.ones(megabytes * 2**20, np.uint8)
    targets = [np.empty_like(whole) for _ in range(WORKERS)]

    def ours() -> None:
        broadcast(holders, pack(state))

    def save_reload() -> None:
        save_file(state, path)
        ray.get([holder.take_file.remote(str(path)) for holder in holders])

    def ray_put() -> None:
        reference = ray.put(state)
        ray.get([holder.take_tensors.remote(reference) for holder in holders])

    def limit() -> None:
        with mmap.mmap(-1, len(whole)) as shared:
            view = np.frombuffer(shared, np.uint8)
            np.copyto(view, whole)
            for target in targets:
                np.copyto(target, view)
            del view

    return {"ours": ours, "save_reload": save_reload, "ray_put": ray_put, "limit": limit}
