"""Vector quantizer of the semantic features: lookup and nearest code.

The layout is that of a residual quantizer with one layer (SoundStream, arXiv 2107.03312). The
codebook is learned elsewhere and frozen here: `embed` is what counts, the running averages of its
training (`cluster_size`, `embed_avg`, `inited`) only travel with the checkpoint.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Codebook(nn.Module):
    """Code vectors (size, dim) as buffers."""

    embed: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        embed = nn.init.kaiming_uniform_(torch.empty(size, dim))
        self.register_buffer("inited", torch.ones(1))
        self.register_buffer("cluster_size", torch.zeros(size))
        self.register_buffer("embed", embed)
        self.register_buffer("embed_avg", embed.clone())

    def nearest(self, x: Tensor) -> Tensor:
        """Index of the nearest code by Euclidean distance: (..., dim) -> (...) int64."""
        # |x|^2 is the same for every code and does not move the minimum.
        return (self.embed.square().sum(1) - 2 * x @ self.embed.T).argmin(-1)


class VectorQuantization(nn.Module):
    """One layer of the residual quantizer."""

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self._codebook = Codebook(size, dim)


class ResidualStack(nn.Module):
    """The residual layers; the official models have one."""

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([VectorQuantization(size, dim)])

    @property
    def codebook(self) -> Codebook:
        """The only layer's codes."""
        layer = self.layers[0]
        assert isinstance(layer, VectorQuantization)
        return layer._codebook


class ResidualVectorQuantizer(nn.Module):
    """Semantic features <-> codes."""

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.vq = ResidualStack(size, dim)

    def encode(self, x: Tensor) -> Tensor:
        """(B, dim, T) -> (B, T) int64."""
        return self.vq.codebook.nearest(x.transpose(1, 2))

    def decode(self, codes: Tensor) -> Tensor:
        """(B, T) int64 -> (B, dim, T)."""
        return F.embedding(codes, self.vq.codebook.embed).transpose(1, 2)
