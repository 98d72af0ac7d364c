"""Which of a model's parameters fine-tuning may change, and the model with them changed."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TypeVar

from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)

VOICE_PARTS = ("ref_enc", "enc_p.mrte", "ge_to512")
"""What hears a voice and hands it on: with nothing else in reach, a few minutes of one person can't
spoil what the model knows of speech."""
FROZEN = ("ssl_proj", "quantizer")
"""S1 and S2 have only the codes in common: these stay what they were."""


def thaw(network: nn.Module, parts: Sequence[str]) -> dict[str, nn.Parameter]:
    """Freezes all of a network but the parts, named by the beginnings of their keys ("" is
    everything) -> the parameters that may change. The quantizer is always frozen."""
    tuned = {}
    for name, parameter in network.named_parameters():
        within = any(not part or name.startswith(f"{part}.") for part in parts)
        parameter.requires_grad_(within and not name.startswith(tuple(f"{f}." for f in FROZEN)))
        if parameter.requires_grad:
            tuned[name] = parameter
    return tuned


def changed(network: Network, weights: Mapping[str, Tensor]) -> Network:
    """A frozen copy with these weights in place of its own, which shares all others."""
    shared = {
        id(value): value
        for name, value in network.state_dict(keep_vars=True).items()
        if name not in weights
    }
    other = copy.deepcopy(network, memo=shared)
    other.load_state_dict(dict(weights), strict=False)
    return other.eval().requires_grad_(False)
