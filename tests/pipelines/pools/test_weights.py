"""Weights in one block: what comes out is what went in, or nothing is changed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trivox.pipelines.pools.weights import ALIGN, load_into, pack
from trivox.platform.errors import ConfigError

SHAPES = st.lists(st.integers(0, 5), min_size=0, max_size=3).map(tuple)
DTYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.int64])


@given(st.lists(st.tuples(SHAPES, DTYPES), min_size=1, max_size=6))
def test_what_goes_in_comes_out(kinds: list[tuple[tuple[int, ...], torch.dtype]]) -> None:
    torch.manual_seed(0)
    tensors = {f"t{i}": (10 * torch.randn(shape)).to(kind) for i, (shape, kind) in enumerate(kinds)}
    packed = pack(tensors)
    assert all(place.start % ALIGN == 0 for place in packed.places)
    packed.block.flags.writeable = False  # as Ray gives it
    other = {name: torch.zeros_like(one) for name, one in tensors.items()}
    load_into(other, packed)
    for name, one in tensors.items():
        assert torch.equal(other[name], one)


def test_the_tensors_in_use_are_overwritten_in_place() -> None:
    """A model goes on with the tensors that it has: no new ones are put in their place."""
    own = torch.zeros(3, requires_grad=True)
    before = own.data_ptr()
    load_into({"a": own}, pack({"a": torch.tensor([1.0, 2.0, 3.0])}))
    assert own.data_ptr() == before and own.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({"b": torch.zeros(2)}, "'a' are not among those here"),
        ({"a": torch.zeros(3)}, r"float32 \(3,\) here and float32 \(2,\) there"),
        ({"a": torch.zeros(2, dtype=torch.bfloat16)}, "bfloat16"),
    ],
)
def test_what_does_not_fit_changes_nothing(own: dict[str, torch.Tensor], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_into(own, pack({"a": torch.ones(2)}))
    assert all(not one.any() for one in own.values())
