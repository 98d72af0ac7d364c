"""Direct preference optimisation of S1: the true tokens are to be likelier than corrupted ones.

R. Rafailov et al., "Direct Preference Optimization: Your Language Model is Secretly a Reward Model"
(2023). As in GPT-SoVITS's own trainer (`make_reject_y` and `dpo_loss` in AR/models/utils.py of
RVC-Boss/GPT-SoVITS), the rejected tokens are the true ones with a stretch said twice or left out,
which is how S1 goes wrong when it speaks; by default there is no reference model.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def corrupted(tokens: Tensor, draw: torch.Generator) -> Tensor:
    """Tokens (T,), two at least, with a random stretch repeated or left out; one at least stays."""
    count = len(tokens)
    start = int(torch.randint(count - 1, (1,), generator=draw))
    stop = start + 1 + int(torch.randint(count - start, (1,), generator=draw))
    if stop - start == count:
        stop -= 1
    repeated = bool(torch.rand(1, generator=draw) < 0.5)
    if repeated:
        return torch.cat([tokens[:stop], tokens[start:]])
    return torch.cat([tokens[:start], tokens[stop:]])


def sequence_log_probability(logits: Tensor, targets: Tensor) -> Tensor:
    """logits (B, T, classes), targets (B, T), -100 where nothing counts -> sums (B,)."""
    chosen = logits.float().log_softmax(2).gather(2, targets.clamp(min=0)[..., None])[..., 0]
    return torch.where(targets >= 0, chosen, 0.0).sum(1)


def dpo_loss(chosen: Tensor, rejected: Tensor, beta: float, reference: Tensor | None) -> Tensor:
    """Losses (B,) of the log-probabilities (B,) of true and of corrupted sequences.

    `reference` (B,) is by how much a frozen model prefers the true ones; None: it has no opinion.
    """
    preferred = chosen - rejected
    if reference is not None:
        preferred = preferred - reference
    return -F.logsigmoid(beta * preferred)
