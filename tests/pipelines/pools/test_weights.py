"""Weights in one block: what comes out is what went in, or nothing is changed."""

import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trivox.pipelines.pools.weights import ALIGN, load_into, pack, share
from trivox.platform.errors import ConfigError
from trivox.policy.backbone import backbone_hash
from trivox.policy.resident import ResidentPolicy

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


def test_an_adapter_by_reference_speaks_as_the_one_from_its_folder(
    ray_session: None, tmp_path: Path
) -> None:
    """Of LoRA and of rows in full, one after the other on one backbone; its folder is gone by then."""
    from tests.policy.conftest import write_backbone
    from tests.policy.trainers.rl.tasks import job_of, length_control
    from trivox.policy.trainers.rl.run import train_grpo
    from trivox.policy.trainers.rl.settings import GRPOSettings

    backbone = write_backbone(tmp_path / "backbone")
    digest = backbone_hash(backbone)
    ids, shared, wanted = torch.tensor([[3, 17, 6, 20, 21]]), [], []
    small = {"steps": 2, "prompts": 2, "samples": 4, "max_tokens": 8, "learning_rate": 1e-2}
    for rows in (False, True):
        settings = GRPOSettings(**small, train_tokens=rows)
        folder = tmp_path / f"rows-{rows}"
        train_grpo(job_of(backbone, folder, length_control, settings), settings)
        with ResidentPolicy(backbone).using(folder) as speaker, torch.no_grad():
            wanted.append(speaker.engine.model(ids).logits)
        shared.append(share(folder, digest))
        shutil.rmtree(folder)
    policy = ResidentPolicy(backbone)
    for one, logits in [*zip(shared, wanted, strict=True), (shared[0], wanted[0])]:
        with policy.using(one.taken()) as speaker, torch.no_grad():
            assert torch.equal(speaker.engine.model(ids).logits, logits)
    with policy.using(None) as speaker, torch.no_grad():
        plain = speaker.engine.model(ids).logits
    assert not any(torch.equal(a, b) for a, b in combinations([plain, *wanted], 2))
    other = replace(shared[0], backbone="0" * 64)
    with (
        pytest.raises(ConfigError, match="was trained on backbone 000000000000"),
        ResidentPolicy(backbone).using(other.taken()),
    ):
        pass
