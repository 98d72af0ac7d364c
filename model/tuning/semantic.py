"""Fine-tuning of S1 as a whole, of the built-in voice and of official models alike.

Teacher forcing on what the clips say; with DPO, what was said is also preferred to the same
stuttered or cut, measured against the S1 that tuning began with.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.s1 import Text2SemanticDecoder
from model.s1_losses import damaged, dpo_loss, log_likelihood
from model.tuning.loop import Job
from model.tuning.padding import pad
from model.tuning.parameters import thaw

BATCH = 4


@dataclass(frozen=True)
class Said:
    """A clip: phone ids (P) and codes (T)."""

    text: Tensor
    codes: Tensor


def semantic_job(
    model: Text2SemanticDecoder,
    learned: Sequence[Said],
    judged: Sequence[Said],
    seed: int,
    dpo: bool,
) -> Job:
    """Tunes a copy of S1; ValueError without clips to learn from or to be judged by."""
    if not learned or not judged:
        raise ValueError("S1 learns from clips whose phones are known")
    s1 = copy.deepcopy(model)
    tuned = thaw(s1, ("",))
    trial = _rows(judged)

    def losses(step: int) -> Iterator[tuple[str, Tensor]]:
        draw = torch.Generator().manual_seed(seed * 1_000_003 + step)
        chosen = torch.randperm(len(learned), generator=draw)[:BATCH].tolist()
        text, text_lengths, codes, lengths = _rows([learned[i] for i in chosen])
        s1.train()
        said = _likelihood(s1, text, text_lengths, codes, lengths)
        loss = -said.sum() / (lengths + 1).sum()
        if dpo:
            wrong = damaged(codes, lengths, s1.config.end, draw)
            with torch.no_grad():
                before = _likelihood(model, text, text_lengths, codes, lengths)
                wrong_before = _likelihood(model, text, text_lengths, *wrong)
            rejected = _likelihood(s1, text, text_lengths, *wrong)
            loss = loss + dpo_loss(said, rejected, before, wrong_before)
        yield "tuned", loss

    def judge() -> float:
        s1.eval()
        return -_likelihood(s1, *trial).sum().item() / int((trial[3] + 1).sum())

    return Job("s1", tuned, losses, judge, {})


def _rows(clips: Sequence[Said]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (*pad([clip.text for clip in clips]), *pad([clip.codes for clip in clips]))


def _likelihood(
    s1: Text2SemanticDecoder, text: Tensor, text_lengths: Tensor, codes: Tensor, lengths: Tensor
) -> Tensor:
    logits, _ = s1(text, text_lengths, codes, lengths)
    return log_likelihood(logits, codes, lengths)
