"""What the policy is kept near: the backbone with its adapter off, or a copy of the weights it began with."""

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

import torch
from torch import nn

from trivox.platform.errors import WorkError


class Reference(Protocol):
    """A model that stays what it is while the policy learns."""

    def using(self) -> AbstractContextManager[Any]:
        """The model to ask, within the context."""
        ...

    def check(self) -> None:
        """Raises WorkError where its weights are not those that it began with."""
        ...


@dataclass(frozen=True)
class AdapterOff:
    """model: of peft. The backbone below an adapter has no gradient; that it is the backbone, bit for bit, is a
    matter of tests."""

    model: Any

    @contextmanager
    def using(self) -> Iterator[Any]:
        with self.model.disable_adapter():
            yield self.model

    def check(self) -> None:
        """Nothing to check."""


class FrozenCopy:
    """Of a model whose weights all train: only those that do are copied, the rest (the encoder) is shared. hash is
    of the copied weights when they were copied."""

    def __init__(self, model: nn.Module) -> None:
        shared = {id(one): one for one in model.parameters() if not one.requires_grad}
        trained = [name for name, one in model.named_parameters() if one.requires_grad]
        self.lm = copy.deepcopy(model, shared).requires_grad_(False).eval()
        self._copied = frozenset(trained)
        self.hash = self._hash()

    @contextmanager
    def using(self) -> Iterator[Any]:
        yield self.lm

    def check(self) -> None:
        if (found := self._hash()) != self.hash:
            raise WorkError(
                f"the reference had weights {self.hash[:12]} when the run began and has {found[:12]} now: "
                "something trained or loaded into it, so its KL means nothing: start the run again"
            )

    def _hash(self) -> str:
        digest = sha256()
        for name, weight in self.lm.named_parameters():
            if name in self._copied:
                flat = weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
                digest.update(name.encode() + flat.numpy().tobytes())
        return digest.hexdigest()
