"""Fine-tuning of S1 as a whole, of the built-in voice and of official models alike.

Teacher forcing on what the clips say; with DPO, what was said is also preferred to the same
stuttered or cut, measured against the S1 that tuning began with.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model.s1 import Text2SemanticDecoder
from model.s1_losses import damaged, dpo_loss, log_likelihood
from model.tuning.loop import Checkpoint, Job, Progress, Schedule, fit
from model.tuning.options import Tuned, TuningOptions, stored
from model.tuning.padding import pad
from model.tuning.parameters import thaw

BATCH = 4


@dataclass(frozen=True)
class Said:
    """A clip: phone ids (P) and codes (T)."""

    text: Tensor
    codes: Tensor


def tune_parts(
    acoustic_job: Job,
    s1: Text2SemanticDecoder,
    learned: Sequence[Said],
    judged: Sequence[Said],
    options: TuningOptions,
    on_step: Callable[[Progress], None],
    store: Checkpoint,
) -> Tuned:
    """Fits S2's job and then, where the options ask for it, S1 on the clips whose phones are known;
    ValueError where S1 has none."""
    schedule = Schedule(options.steps, options.rate, pull=options.pull)
    acoustic = fit(acoustic_job, schedule, on_step, store)
    tensors = {f"s2.{key}": value.cpu() for key, value in acoustic.tensors.items()}
    tuned = Tuned(stored(tensors), acoustic.curve, acoustic.best_step)
    if not options.s1:
        return tuned
    job = semantic_job(s1, learned, judged, options.seed, options.dpo)
    semantic = fit(job, replace(schedule, rate=options.s1_rate), on_step, store)
    tensors |= {f"s1.{key}": value for key, value in semantic.tensors.items()}
    return replace(
        tuned,
        tensors=stored(tensors),
        s1_curve=semantic.curve,
        s1_best_step=semantic.best_step,
    )


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
