"""Low-rank updates of S2's flow-matching attention while they are learned (LoRA, arXiv 2106.09685).

They are added to the output of the layers, which stay as they are, and kept under PEFT's names with
alpha = rank, as GPT-SoVITS does; `model.lora` merges them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.lora import lora_keys
from model.s2.synthesizer import SynthesizerTrnV3

ADAPTED = ("to_q", "to_k", "to_v", "to_out.0")


class LowRank(nn.Module):
    """up(down(x)), nothing at the start; a forward hook that adds it to a linear layer's output."""

    def __init__(self, layer: nn.Linear, rank: int, draw: torch.Generator) -> None:
        super().__init__()
        bound = 1 / math.sqrt(layer.in_features)
        down = (2 * torch.rand((rank, layer.in_features), generator=draw) - 1) * bound
        device = layer.weight.device
        self.down = nn.Parameter(down.to(device))
        self.up = nn.Parameter(torch.zeros(layer.out_features, rank, device=device))

    def forward(self, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        """The hook: a layer, its inputs (..., in), its output (..., out) -> the sum."""
        return output + F.linear(F.linear(inputs[0], self.down), self.up)


def adapt(s2: SynthesizerTrnV3, rank: int, seed: int) -> dict[str, nn.Parameter]:
    """Puts low-rank updates on every attention layer of the flow matching, in place -> their
    parameters by the names under which `merge_lora` takes them."""
    draw = torch.Generator().manual_seed(seed)
    parameters: dict[str, nn.Parameter] = {}
    for name, layer in s2.named_modules():
        if isinstance(layer, nn.Linear) and name.endswith(tuple(f"attn.{a}" for a in ADAPTED)):
            update = LowRank(layer, rank, draw)
            layer.register_forward_hook(update)
            down, up = lora_keys(name)
            parameters |= {down: update.down, up: update.up}
    return parameters
