"""New weights for every worker of a pool: laid end to end into one block, put once into Ray's object store, and
copied by each worker from shared memory straight into the tensors that it works with.

No file is written, nothing is pickled tensor by tensor, and the backbone stays where it is: an update moves the
bytes of the adapter alone, once to the store and once to each worker.
"""

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from trivox.platform.errors import ConfigError
from trivox.platform.hashing import content_hash
from trivox.policy.resident import HeldAdapter

Block = npt.NDArray[np.uint8]
ALIGN = 64
"""Bytes; every tensor begins at a multiple, as copies and kernels like it."""


@dataclass(frozen=True)
class Place:
    """Where one tensor lies in the block: shape, dtype by torch's name, first byte, number of bytes."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    start: int
    size: int


@dataclass(frozen=True)
class Packed:
    """block: uint8 [n], contiguous: Ray shares it without a copy, read-only. layout: a hash of the places, by
    which both sides know that they mean the same tensors."""

    places: tuple[Place, ...]
    layout: str
    block: Block


def pack(tensors: Mapping[str, torch.Tensor]) -> Packed:
    """The tensors in one block; they are copied."""
    places, at = [], 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        dtype = str(tensor.dtype).removeprefix("torch.")
        places.append(Place(name, tuple(tensor.shape), dtype, at, size))
        at += -(-size // ALIGN) * ALIGN
    block = np.empty(at, np.uint8)
    whole = torch.from_numpy(block)
    for place, tensor in zip(places, tensors.values(), strict=True):
        _view(whole, place).copy_(tensor.detach())
    return Packed(tuple(places), layout_of(places), block)


def layout_of(places: "list[Place] | tuple[Place, ...]") -> str:
    return content_hash([[one.name, list(one.shape), one.dtype, one.start] for one in places])


def load_into(tensors: Mapping[str, torch.Tensor], packed: Packed) -> None:
    """Overwrite the tensors with the packed ones of the same names; nothing is changed where they do not fit.

    Raises ConfigError for a name, a shape or a dtype that differs.
    """
    for place in packed.places:
        own = tensors.get(place.name)
        if own is None:
            raise ConfigError(f"weights {place.name!r} are not among those here: other adapter?")
        held = (tuple(own.shape), str(own.dtype).removeprefix("torch."))
        if held != (place.shape, place.dtype):
            raise ConfigError(
                f"weights {place.name!r} are {held[1]} {held[0]} here and {place.dtype} {place.shape} there: "
                "send those of an adapter of the same rank and type"
            )
    with torch.no_grad():
        for name, new in unpack(packed).items():
            tensors[name].copy_(new)


def unpack(packed: Packed) -> dict[str, torch.Tensor]:
    """The tensors as they lie in the block: nothing is copied, and nothing may be written."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        whole = torch.from_numpy(packed.block)
    return {place.name: _view(whole, place) for place in packed.places}


@dataclass(frozen=True)
class SharedAdapter:
    """An adapter in Ray's object store, put there once for all workers; a unit of work carries this reference.

    packed: reference to a Packed; digest: of the weights; the rest as in HeldAdapter."""

    config: dict[str, Any]
    digest: str
    backbone: str
    packed: Any

    def taken(self) -> HeldAdapter:
        """From shared memory of this node; Ray brings it here first where it is another node's."""
        import ray

        tensors = unpack(ray.get(self.packed))
        return HeldAdapter(self.config, tensors, self.digest, self.backbone)

    def into(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Write it into the tensors that a model works with. Raises ConfigError as `load_into`, and where there
        are more of them than were sent."""
        import ray

        packed: Packed = ray.get(self.packed)
        missing = tensors.keys() - {place.name for place in packed.places}
        if missing:
            raise ConfigError(
                f"weights {min(missing)!r} were not sent, {len(missing)} of {len(tensors)}: other adapter?"
            )
        load_into(tensors, packed)


def share_trained(
    model: torch.nn.Module, backbone: str, before: SharedAdapter | None
) -> SharedAdapter:
    """Put what trains of a model into the object store, as it is now: the adapter "default" of a peft model, or
    with an empty configuration all weights of a model without one. before: what was put there last, which is
    returned where nothing has changed since. backbone: the hash of the one below it."""
    import ray

    packed = pack(trained(model))
    made = hashlib.sha256(packed.layout.encode())
    made.update(packed.block.data)
    digest = made.hexdigest()
    if before is not None and before.digest == digest:
        return before
    configs = getattr(model, "peft_config", {})
    config = configs["default"].to_dict() if configs else {}
    return SharedAdapter(config, digest, backbone, ray.put(packed))


def trained(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights that train, by name."""
    return {name: one for name, one in model.named_parameters() if one.requires_grad}


def share(folder: Path, backbone: str) -> SharedAdapter:
    """Put the adapter of the folder into the object store; backbone: the hash of the one that it is for. Raises as
    `check_adapter`."""
    import ray

    read = HeldAdapter.read(folder, backbone)
    return SharedAdapter(dict(read.config), read.digest, read.backbone, ray.put(pack(read.tensors)))


def _view(whole: torch.Tensor, place: Place) -> torch.Tensor:
    dtype = getattr(torch, place.dtype)
    if not place.size:  # nothing has no bytes to be viewed
        return torch.empty(place.shape, dtype=dtype)
    return whole[place.start : place.start + place.size].view(dtype).view(place.shape)


def broadcast(actors: "list[Any]", packed: Packed) -> None:
    """Have every actor take the weights; they are put into the object store once. Each has a method
    `take_weights`, which is given a Packed. Returns when all have them; raises what the first one raises."""
    import ray

    reference = ray.put(packed)
    ray.get([actor.take_weights.remote(reference) for actor in actors])
