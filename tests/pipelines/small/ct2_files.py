"""CTranslate2's files, written by hand: as the format is described, not by the code under test."""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

CODES = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<H", len(raw) + 1) + raw + b"\0"


def variable(name: str, value: np.ndarray[Any, Any]) -> bytes:
    raw = value.tobytes()
    shape = struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
    return text(name) + shape + struct.pack("<BI", CODES[value.dtype.name], len(raw)) + raw


def file_of(
    variables: Mapping[str, np.ndarray[Any, Any]],
    aliases: Mapping[str, str] | None = None,
    spec: str = "WhisperSpec",
    version: int = 6,
) -> bytes:
    head = struct.pack("<I", version) + text(spec) + struct.pack("<II", 3, len(variables))
    body = b"".join(variable(name, value) for name, value in variables.items())
    named = aliases or {}
    tail = b"".join(text(alias) + text(name) for alias, name in named.items())
    return head + body + struct.pack("<I", len(named)) + tail


def write(path: Path, *args: Any, **kwargs: Any) -> Path:
    path.write_bytes(file_of(*args, **kwargs))
    return path
