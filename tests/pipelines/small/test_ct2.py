"""The reader of CTranslate2's files: what is in them, and every way in which they can be broken."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from tests.pipelines.small.ct2_files import CODES, file_of, write
from trivox.pipelines.small.ct2 import read_variables
from trivox.platform.errors import ConfigError, CorruptObject

VALUES = {
    "encoder/weight": np.arange(6, dtype=np.float16).reshape(2, 3),
    "encoder/num_heads": np.array(6, np.int8),
    "empty": np.zeros((0, 4), np.float32),
}
ARRAYS = st.sampled_from(list(CODES)).flatmap(
    lambda name: arrays_of.arrays(name, arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0))
)


def read(root: Path, data: bytes) -> dict[str, np.ndarray[Any, Any]]:
    path = root / "model.bin"
    path.write_bytes(data)
    return read_variables(path, "WhisperSpec")


def test_variables_and_aliases(tmp_path: Path) -> None:
    path = write(tmp_path / "model.bin", VALUES, {"again": "encoder/weight"})
    found = read_variables(path, "WhisperSpec")
    assert found.keys() == {*VALUES, "again"}
    assert found["again"] is found["encoder/weight"]
    assert found["encoder/weight"].dtype == np.float16
    assert found["encoder/weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert int(found["encoder/num_heads"]) == 6
    assert found["empty"].shape == (0, 4)


@given(st.dictionaries(st.text(max_size=9), ARRAYS, max_size=4))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, np.ndarray[Any, Any]]
) -> None:
    found = read(tmp_path_factory.mktemp("ct2"), file_of(values))
    assert found.keys() == values.keys()
    for name, value in values.items():
        assert found[name].dtype == value.dtype and found[name].shape == value.shape
        assert found[name].tobytes() == value.tobytes()


def test_a_file_that_is_cut_off_anywhere(tmp_path: Path) -> None:
    whole = file_of(VALUES, {"again": "empty"})
    for length in range(len(whole)):
        with pytest.raises(CorruptObject, match="ends at byte"):
            read(tmp_path, whole[:length])


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    head = file_of({})[:-8]
    for content in (data, head + data):
        try:
            read(tmp_path_factory.mktemp("ct2"), content)
        except (ConfigError, CorruptObject) as error:
            assert "model.bin" in str(error)


TWO = file_of({"xyz": np.array([7, 7], np.int8)})
"""Its type, the length in bytes, and the bytes: 01, 02 00 00 00, 07 07."""
END = b"\x02\0\0\0\x07\x07"


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        (file_of({}, version=5), ConfigError, "version 5 .*, 6 is read"),
        (file_of({}, spec="TransformerSpec"), ConfigError, "'TransformerSpec', 'WhisperSpec'"),
        (file_of({}, {"a": "b"}), CorruptObject, "an alias of 'b', which it lacks"),
        (TWO.replace(b"\x01" + END, b"\x09" + END), ConfigError, "of type 9; known: 0, 1, 2, 3, 4"),
        (TWO.replace(END, b"\x01" + END[1:]), CorruptObject, r"1 bytes for \[2\] of int8"),
        (TWO.replace(b"xyz\0", b"xyz!"), CorruptObject, "a string without its end: b'xyz!'"),
        (TWO.replace(b"xyz", b"x\xffz"), CorruptObject, "is no UTF-8"),
    ],
    ids=["version", "spec", "alias", "type", "size", "end", "letters"],
)
def test_refusals(tmp_path: Path, data: bytes, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        read(tmp_path, data)
