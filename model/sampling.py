"""How S1 chooses its next token: repetition penalty, top-p, temperature, top-k, then a draw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

SHORTEST = 11
"""Tokens before which a sentence can't end (0.44 s), as in the reference implementation."""


@dataclass(frozen=True)
class Sampling:
    """Everything beside the request that decides a rendering.

    `steps` are Euler steps of the flow matching, `guidance` the weight of its second, unconditioned
    pass (0: none), `speed` the model's tempo (1.1: a tenth faster).
    """

    top_k: int = 1
    top_p: float = 1.0
    temperature: float = 0.3
    repetition_penalty: float = 1.0
    steps: int = 6
    guidance: float = 2.0
    speed: float = 1.0


def choose_tokens(
    logits: Tensor,
    seen: Tensor,
    steps: Tensor,
    noise: Callable[[Tensor], Tensor],
    sampling: Sampling,
) -> Tensor:
    """Tokens (rows) from logits (rows, classes), the last class being the end.

    `seen` (rows, classes) marks tokens that a row has already had, `steps` (rows) counts them,
    `noise` gives exponentially distributed numbers for classes (rows, k): the largest p / noise is
    a draw from p. A row also ends where the end is the likeliest token though another was drawn.
    """
    end = logits.shape[1] - 1
    penalised = torch.where(
        logits < 0, logits * sampling.repetition_penalty, logits / sampling.repetition_penalty
    )
    logits = torch.where(seen, penalised, logits)
    early = steps < SHORTEST
    logits[:, end] = torch.where(early, float("-inf"), logits[:, end])
    likeliest = logits.argmax(1)
    if sampling.top_k == 1:
        return likeliest
    if sampling.top_p < 1:
        ordered, order = logits.sort(1, descending=True)
        over = ordered.softmax(1).cumsum(1) > sampling.top_p
        over[:, 0] = False
        logits = logits.masked_fill(over.scatter(1, order, over), float("-inf"))
    logits, classes = logits.topk(min(sampling.top_k, end + 1), 1)
    shares = (logits / max(sampling.temperature, 1e-5)).softmax(1)
    drawn = classes.gather(1, (shares / noise(classes)).argmax(1, keepdim=True))[:, 0]
    return torch.where(likeliest == end, end, drawn)
