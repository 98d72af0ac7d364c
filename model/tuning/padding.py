"""Tensors of different length as one, padded on the right."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def pad(rows: Sequence[Tensor], device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Pads with zeros along the last dimension -> (batch, ..., longest), lengths (batch)."""
    lengths = torch.tensor([row.shape[-1] for row in rows], device=device)
    longest = max(row.shape[-1] for row in rows)
    padded = torch.stack([F.pad(row, (0, longest - row.shape[-1])) for row in rows])
    return padded.to(lengths.device), lengths
