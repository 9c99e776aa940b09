"""Residual vector quantisation (Zeghidour et al. 2021, SoundStream, section III-C), with k-means codebooks."""

import torch
from torch import Tensor, nn


class ResidualVQ(nn.Module):
    """Codebooks that each quantise what the ones before left over.

    Buffers: mean [F]; scale []; codebooks [Q, K, F]. Nothing here is trained by gradient.
    """

    mean: Tensor
    scale: Tensor
    codebooks: Tensor

    def __init__(self, codebooks: int, size: int, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("codebooks", torch.zeros(codebooks, size, features))

    def encode(self, features: Tensor) -> Tensor:
        """float32 [T, F] -> int64 [T, Q]."""
        residual = (features - self.mean) / self.scale
        codes = []
        for codebook in self.codebooks:
            nearest = _nearest(residual, codebook)
            codes.append(nearest)
            residual = residual - codebook[nearest]
        return torch.stack(codes, 1)

    def decode(self, codes: Tensor) -> Tensor:
        """int64 [..., Q] -> normalised features float32 [..., F]."""
        return torch.stack([book[codes[..., q]] for q, book in enumerate(self.codebooks)]).sum(0)


def fit_residual_vq(
    features: Tensor, codebooks: int, size: int, seed: int, iterations: int = 40
) -> ResidualVQ:
    """Mini-batch k-means, one codebook after the other, on features [N, F]."""
    from sklearn.cluster import MiniBatchKMeans

    rvq = ResidualVQ(codebooks, size, features.shape[1])
    rvq.mean.copy_(features.mean(0))
    rvq.scale.copy_((features - rvq.mean).std())
    residual = (features - rvq.mean) / rvq.scale
    for index in range(codebooks):
        kmeans = MiniBatchKMeans(
            size, batch_size=8192, n_init=1, max_iter=iterations, random_state=seed + index
        ).fit(residual.numpy())
        rvq.codebooks[index] = torch.from_numpy(kmeans.cluster_centers_)
        residual = residual - rvq.codebooks[index][_nearest(residual, rvq.codebooks[index])]
    return rvq


def _nearest(points: Tensor, codebook: Tensor, chunk: int = 4096) -> Tensor:
    """Index of the closest row of codebook [K, F] for each of points [N, F]; int64 [N]."""
    norms = (codebook**2).sum(1)
    parts = [(norms - 2 * part @ codebook.T).argmin(1) for part in points.split(chunk)]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.long)
