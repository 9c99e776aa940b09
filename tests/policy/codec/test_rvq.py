"""Residual vector quantisation: two codebooks by hand, and what fitting must achieve."""

import torch

from trivox.policy.codec.rvq import ResidualVQ, fit_residual_vq


def by_hand() -> ResidualVQ:
    """mean (1, 1), scale 2; first codebook (0, 0), (4, 4); second (0, 0), (1, 0), (0, -1)."""
    rvq = ResidualVQ(codebooks=2, size=3, features=2)
    rvq.mean.copy_(torch.tensor([1.0, 1.0]))
    rvq.scale.copy_(torch.tensor(2.0))
    rvq.codebooks[0] = torch.tensor([[0.0, 0.0], [4.0, 4.0], [99.0, 99.0]])
    rvq.codebooks[1] = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, -1.0]])
    return rvq


def test_two_codebooks_by_hand() -> None:
    """(11, 9) -> (5, 4): nearest (4, 4), 1 away; left over (1, 0), which is in the second codebook.
    (1, -0.8) -> (0, -0.9): nearest (0, 0); left over itself, nearest (0, -1). Decoding adds entries."""
    rvq = by_hand()
    codes = rvq.encode(torch.tensor([[11.0, 9.0], [1.0, -0.8]]))
    assert codes.tolist() == [[1, 1], [0, 2]]
    assert rvq.decode(codes).tolist() == [[5.0, 4.0], [0.0, -1.0]]


def test_shapes() -> None:
    rvq = by_hand()
    assert rvq.encode(torch.zeros(0, 2)).shape == (0, 2)
    assert rvq.encode(torch.zeros(5000, 2)).shape == (5000, 2)  # more than one chunk
    assert rvq.decode(torch.zeros(3, 7, 2, dtype=torch.long)).shape == (3, 7, 2)


def test_fit_leaves_less_with_each_codebook() -> None:
    points = torch.randn(2000, 6, generator=torch.Generator().manual_seed(0)) * 3 + 5
    rvq = fit_residual_vq(points, codebooks=3, size=16, seed=0)
    normalised = (points - rvq.mean) / rvq.scale
    codes = rvq.encode(points)
    left = [normalised]
    for book in range(3):
        left.append(left[-1] - rvq.codebooks[book][codes[:, book]])
    energy = [float((part**2).mean()) for part in left]
    assert energy[0] > 0.9
    assert all(later < 0.85 * before for before, later in zip(energy, energy[1:], strict=False))
    assert torch.allclose(rvq.decode(codes), normalised - left[-1], atol=1e-5)


def test_fit_is_repeatable() -> None:
    points = torch.randn(500, 4, generator=torch.Generator().manual_seed(1))
    first, again, other = (fit_residual_vq(points, 2, 8, seed) for seed in (3, 3, 4))
    assert torch.equal(first.codebooks, again.codebooks)
    assert not torch.equal(first.codebooks, other.codebooks)
