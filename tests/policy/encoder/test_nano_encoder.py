"""The nano encoder: lengths, padding and neighbours that change nothing, the shortest and the quietest clip."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModel

from trivox.policy.encoder.features import MEL_BINS
from trivox.policy.encoder.nano import NanoEncoder, NanoEncoderConfig

LENGTHS = (1, 2, 3, 4, 5, 8, 37)


@pytest.fixture(scope="module")
def encoder() -> NanoEncoder:
    """Two blocks of width 16, weights wide enough that frames differ much."""
    torch.manual_seed(0)
    config = NanoEncoderConfig(hidden_size=16, layers=2, heads=2, feed_forward=32, dropout=0.5)
    made = NanoEncoder(config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return made


def clips() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(n, MEL_BINS, generator=generator) * 2 - 1 for n in LENGTHS]


def alone(encoder: NanoEncoder, clip: Tensor) -> Tensor:
    with torch.no_grad():
        hidden: Tensor = encoder(clip[None]).last_hidden_state[0]
    return hidden


def together(encoder: NanoEncoder, chosen: list[Tensor], width: int, fill: float) -> Tensor:
    features = torch.full((len(chosen), width, MEL_BINS), fill)
    mask = torch.zeros(len(chosen), width, dtype=torch.long)
    for row, clip in enumerate(chosen):
        features[row, : len(clip)], mask[row, : len(clip)] = clip, 1
    with torch.no_grad():
        hidden: Tensor = encoder(features, attention_mask=mask).last_hidden_state
    return hidden


@pytest.mark.parametrize("frames", [*LENGTHS, 40, 41])
def test_a_quarter_of_the_frames_rounded_up(encoder: NanoEncoder, frames: int) -> None:
    hidden = alone(encoder, torch.zeros(frames, MEL_BINS))
    assert hidden.shape == (-(-frames // 4), 16)
    assert torch.isfinite(hidden).all()


@pytest.mark.parametrize(("width", "fill"), [(37, 0.0), (37, 5.0), (64, -1.0)])
def test_padding_and_neighbours_change_nothing(
    encoder: NanoEncoder, width: int, fill: float
) -> None:
    """Whatever stands in the padding; and frames of padding are 0."""
    hidden = together(encoder, clips(), width, fill)
    for row, clip in enumerate(clips()):
        frames = -(-len(clip) // 4)
        torch.testing.assert_close(hidden[row, :frames], alone(encoder, clip), atol=2e-6, rtol=1e-5)
        assert (hidden[row, frames:] == 0).all()


def test_order_and_size_of_the_batch_change_nothing(encoder: NanoEncoder) -> None:
    forward = together(encoder, clips(), 40, 0.0)
    backward = together(encoder, clips()[::-1], 40, 0.0).flip(0)
    torch.testing.assert_close(forward, backward, atol=2e-6, rtol=1e-5)


def test_every_frame_hears_the_whole_clip(encoder: NanoEncoder) -> None:
    clip = clips()[-1]
    changed = clip.clone()
    changed[0] += 1
    assert (alone(encoder, clip)[-1] - alone(encoder, changed)[-1]).abs().max() > 1e-4


def test_silence(encoder: NanoEncoder) -> None:
    """The floor everywhere: finite, and not nothing."""
    hidden = alone(encoder, torch.full((100, MEL_BINS), -1.0))
    assert torch.isfinite(hidden).all() and hidden.abs().max() > 0


def test_dropout_acts_in_training_alone(encoder: NanoEncoder) -> None:
    clip = clips()[-1]
    assert torch.equal(alone(encoder, clip), alone(encoder, clip))
    encoder.train()
    torch.manual_seed(0)
    assert not torch.equal(alone(encoder, clip), alone(encoder, clip))
    encoder.eval()


def test_gradient_of_padding_is_none(encoder: NanoEncoder) -> None:
    features = torch.rand(1, 20, MEL_BINS, requires_grad=True)
    mask = (torch.arange(20) < 11)[None].long()
    encoder(features, mask).last_hidden_state.square().sum().backward()
    assert features.grad is not None
    assert (features.grad[0, 11:] == 0).all() and (features.grad[0, :11].abs().sum(1) > 0).all()
    encoder.zero_grad()


def test_a_saved_encoder_is_the_same(encoder: NanoEncoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert isinstance(loaded, NanoEncoder)
    clip = clips()[-1]
    assert torch.equal(alone(loaded.eval(), clip), alone(encoder, clip))


def test_of_the_recipe_it_has_less_than_two_million_weights() -> None:
    made = NanoEncoder(NanoEncoderConfig())
    assert sum(p.numel() for p in made.parameters()) < 2_000_000
    hidden = made.eval()(torch.zeros(1, 9, MEL_BINS)).last_hidden_state
    assert hidden.shape == (1, 3, 144)
