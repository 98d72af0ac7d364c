"""Masks of right-padded batches."""

from __future__ import annotations

import torch
from torch import Tensor


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """True where a position belongs to its item: lengths (B,) -> (B, size) bool."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]
