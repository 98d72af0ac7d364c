"""Normalising flow between the posterior and the prior of the acoustic latent (VITS).

Affine coupling (RealNVP, arXiv 1605.08803) that only shifts: half of the channels decides what is
added to the other half, then the channels are turned round so that each half has its turn.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.s2.wavenet import WN


class CouplingLayer(nn.Module):
    """Shifts the upper half of the channels by what a WN makes of the lower half."""

    def __init__(
        self, channels: int, hidden: int, kernel: int, layers: int, voice_channels: int
    ) -> None:
        super().__init__()
        self.pre = nn.Conv1d(channels // 2, hidden, 1)
        self.enc = WN(hidden, kernel, layers, voice_channels)
        self.post = nn.Conv1d(hidden, channels // 2, 1)
        # The flow begins as the identity.
        nn.init.zeros_(self.post.weight)
        nn.init.zeros_(self.post.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, mask: Tensor, voice: Tensor, reverse: bool) -> Tensor:
        """(B, channels, T), zero where masked, stays so."""
        lower, upper = x.chunk(2, dim=1)
        shift = self.post(self.enc(self.pre(lower) * mask, mask, voice)) * mask
        return torch.cat((lower, upper - shift if reverse else upper + shift), dim=1)


class Flip(nn.Module):
    """Turns the order of the channels round; a module of its own because it counts in the names."""

    def forward(self, x: Tensor, mask: Tensor, voice: Tensor, reverse: bool) -> Tensor:
        """(B, channels, T) -> the same."""
        return x.flip(1)


class ResidualCouplingBlock(nn.Module):
    """`flow`: coupling layers with flips between."""

    def __init__(
        self,
        channels: int,
        hidden: int,
        kernel: int,
        layers: int,
        couplings: int,
        voice_channels: int,
    ) -> None:
        super().__init__()
        self.flows = nn.ModuleList()
        for _ in range(couplings):
            self.flows.append(CouplingLayer(channels, hidden, kernel, layers, voice_channels))
            self.flows.append(Flip())

    def forward(self, x: Tensor, mask: Tensor, voice: Tensor, reverse: bool = False) -> Tensor:
        """Posterior to prior, or back with `reverse`: x (B, channels, T) -> the same.

        mask (B, 1, T), voice (B or 1, voice_channels, 1); x is zero where masked, and stays so.
        """
        for layer in reversed(self.flows) if reverse else self.flows:
            x = layer(x, mask, voice, reverse)
        return x
