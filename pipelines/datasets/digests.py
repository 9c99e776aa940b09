"""The hash of a set of rows, whatever their order, in memory that does not grow with them."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import TypeAdapter

_LANES = 1024


class SetHash:
    """LtHash16 (Bellare and Micciancio 1997; Lewi et al. 2019): the lane-wise sum modulo 2^16 of 1024 numbers
    drawn from each row. Equal sets give equal hashes in any order; a row given twice counts twice."""

    def __init__(self) -> None:
        self._sum = np.zeros(_LANES, np.uint16)
        self.count = 0

    def add(self, row: bytes) -> None:
        self._sum += np.frombuffer(hashlib.shake_128(row).digest(2 * _LANES), "<u2")
        self.count += 1

    def hexdigest(self) -> str:
        """sha256 over count and sum, hexadecimal."""
        return hashlib.sha256(b"%d\n" % self.count + self._sum.astype("<u2").tobytes()).hexdigest()


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def adapter_of(kind: type[Any]) -> TypeAdapter[Any]:
    """Made once: an adapter takes a millisecond. Not functools.cache: mypy takes type[Any] for unhashable."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def content_of(record: Any) -> bytes:
    """A record in canonical JSON, without the project it lies in: the same in every workspace."""
    homeless = replace(record, project="") if hasattr(record, "project") else record
    plain = adapter_of(type(record)).dump_python(homeless, mode="json")
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(content: bytes) -> str:
    """128 bits of sha256, hexadecimal: names one row's content."""
    return hashlib.sha256(content).hexdigest()[:32]
