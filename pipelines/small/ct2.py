"""CTranslate2's model.bin: a header, then the variables of a converted model by name.

The format is what `ModelSpec._serialize` of ctranslate2/specs/model_spec.py writes: numbers are little-endian,
strings have their length before them and a NUL at their end, counted with it.
"""

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trivox.platform.errors import ConfigError, CorruptObject

VERSION = 6
"""Of the binary format."""
_TYPES = {code: np.dtype(name) for code, name in enumerate(("<f4", "<i1", "<i2", "<i4", "<f2"))}
Array = npt.NDArray[Any]


def read_variables(path: Path, spec: str) -> dict[str, Array]:
    """Variables by name, aliases too: views of the file, not to be written to. spec: such as "WhisperSpec".

    Raises ConfigError for another version of the format, another spec, or numbers of an unknown type;
    CorruptObject for a file that is cut off or not of this format.
    """
    reader = _Reader(path)
    if (version := reader.number("I")) != VERSION:
        raise ConfigError(
            f"{path}: version {version} of CTranslate2's format, {VERSION} is read: convert the model anew"
        )
    if (found := reader.text()) != spec:
        raise ConfigError(f"{path}: a {found!r}, {spec!r} is wanted: give such a model")
    reader.number("I")  # revision of the spec
    variables = dict(reader.variables())
    variables |= {alias: _named(path, variables, name) for alias, name in reader.aliases()}
    return variables


def _named(path: Path, variables: dict[str, Array], name: str) -> Array:
    if name not in variables:
        raise CorruptObject(f"{path}: an alias of {name!r}, which it lacks: fetch the file anew")
    return variables[name]


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path, self.at = path, 0
        # An empty file cannot be mapped.
        self.data: Array = (
            np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
        )

    def variables(self) -> Iterator[tuple[str, Array]]:
        for _ in range(self.number("I")):
            yield self.text(), self.array()

    def aliases(self) -> Iterator[tuple[str, str]]:
        for _ in range(self.number("I")):
            yield self.text(), self.text()

    def take(self, size: int) -> Array:
        """uint8 [size]."""
        if self.at + size > len(self.data):
            raise CorruptObject(
                f"{self.path} ends at byte {len(self.data)} and {size} more are due at {self.at}: fetch it anew"
            )
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, code: str) -> int:
        found: int = struct.unpack(f"<{code}", self.take(struct.calcsize(code)).tobytes())[0]
        return found

    def text(self) -> str:
        raw = self.take(self.number("H")).tobytes()
        if raw[-1:] != b"\0":
            raise self._strange(f"a string without its end: {raw[:20]!r}")
        try:
            return raw[:-1].decode()
        except UnicodeDecodeError:
            raise self._strange(f"a string that is no UTF-8: {raw[:20]!r}") from None

    def array(self) -> Array:
        shape = [self.number("I") for _ in range(self.number("B"))]
        kind, size = self.number("B"), self.number("I")
        if kind not in _TYPES:
            known = ", ".join(map(str, sorted(_TYPES)))
            raise ConfigError(
                f"{self.path}: numbers of type {kind}; known: {known}: convert the model to float16"
            )
        if math.prod(shape) * _TYPES[kind].itemsize != size:
            raise self._strange(f"{size} bytes for {shape} of {_TYPES[kind]}")
        found: Array = np.frombuffer(self.take(size), _TYPES[kind]).reshape(shape)
        return found

    def _strange(self, what: str) -> CorruptObject:
        return CorruptObject(f"{self.path}: {what} before byte {self.at}: fetch the file anew")
