"""Losses of S1: teacher forcing by summed cross entropy, and DPO against damaged sequences.

All of them take rows that are padded on the right, and what stands behind a row's length changes
nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

DPO_BETA = 0.2


def targets(tokens: Tensor, lengths: Tensor, end: int) -> Tensor:
    """What S1 has to say: tokens (B, T), lengths (B,) -> (B, T + 1), the end after each row's last
    token and -100, which cross entropy ignores, behind it."""
    place = torch.arange(tokens.shape[1] + 1, device=tokens.device)
    shifted = F.pad(tokens, (0, 1), value=end)
    wanted = torch.where(place == lengths[:, None], end, shifted)
    return torch.where(place <= lengths[:, None], wanted, -100)


def log_likelihood(logits: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
    """Log-probability (B,) of each row's tokens and of the end after them.

    logits (B, T + 1, codes + 1) as `Text2SemanticDecoder` returns them: the end is the last class.
    Its negative sum over a batch is the summed cross entropy that S1 is trained with.
    """
    wanted = targets(tokens, lengths, logits.shape[2] - 1)
    losses = F.cross_entropy(logits.float().transpose(1, 2), wanted, reduction="none")
    return -losses.sum(1)


def summed_cross_entropy(logits: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
    """Cross entropy, summed over all rows' tokens and ends; arguments as `log_likelihood`'s."""
    return -log_likelihood(logits, tokens, lengths).sum()


def accuracy(logits: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
    """Share of the tokens and ends that have the highest logit."""
    wanted = targets(tokens, lengths, logits.shape[2] - 1)
    counted = wanted >= 0
    return ((logits.argmax(2) == wanted) & counted).sum() / counted.sum()


def damaged(
    tokens: Tensor, lengths: Tensor, end: int, draw: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Sequences as S1 must not make them, right-padded with `end`, and their lengths.

    By the toss of a coin a random span of a row is said twice or left out; these are the two
    mistakes that are heard as stutter and as swallowed words. A span is one token to a third of the
    row; rows of fewer than two tokens are said twice.
    """
    rows = []
    for row, length in zip(tokens, lengths.tolist(), strict=True):
        said = row[:length]
        longest = max(1, length // 3)
        span = int(torch.randint(1, longest + 1, (1,), generator=draw))
        start = int(torch.randint(max(1, length - span + 1), (1,), generator=draw))
        again = int(torch.randint(2, (1,), generator=draw)) or length < 2
        after = start if again else start + span
        before = start + span if again else start
        rows.append(torch.cat([said[:before], said[after:]]))
    longest = max(len(row) for row in rows)
    padded = torch.stack([F.pad(row, (0, longest - len(row)), value=end) for row in rows])
    return padded, torch.tensor([len(row) for row in rows], device=lengths.device)


def dpo_loss(
    chosen: Tensor,
    rejected: Tensor,
    reference_chosen: Tensor | None = None,
    reference_rejected: Tensor | None = None,
    beta: float = DPO_BETA,
) -> Tensor:
    """Sigmoid DPO (R. Rafailov et al., arXiv 2305.18290), the mean over pairs of sequences.

    All are log-probabilities (B,) as `log_likelihood` gives them; the reference's are those of the
    frozen model that training began with. Without them the loss is reference-free, as
    GPT-SoVITS's.
    """
    margin = chosen - rejected
    if reference_chosen is not None and reference_rejected is not None:
        margin = margin - (reference_chosen - reference_rejected)
    return -F.logsigmoid(beta * margin).mean()
