"""Losses of S2 in the layout of v3 and v4: flow matching with a prompt (arXiv 2210.02747).

The mel's beginning is the prompt, which the network sees as it is; the rest is to be made of noise.
What chance decides about an item is drawn apart from the loss, so that the same item can be judged
under the same conditions again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from model.s2.masks import length_mask
from model.s2.synthesizer import SynthesizerTrnV3
from model.tuning.padding import pad

LONGEST_PROMPT = 2 / 3
"""Of a window, as GPT-SoVITS and F5-TTS have it."""
NO_PROMPT = 0.1
BLIND = 0.1
"""Shares of the windows that have no prompt; that have neither prompt nor condition."""
STEP_SIZES = (0.0, 1 / 4, 1 / 8, 1 / 16, 1 / 32)
SELF_CONSISTENT = 0.3
"""Share of the steps at which official models learn large steps, as in their own training."""


@dataclass(frozen=True)
class FlowItem:
    """A clip: codes (tokens), phone ids (P), normalised mel (bands, frames), and what the voice is
    heard from, a spectrogram (bins, frames) of the same person."""

    codes: Tensor
    text: Tensor
    mel: Tensor
    reference: Tensor


@dataclass(frozen=True)
class FlowDraw:
    """What chance decides: the window of the mel, how many of its frames are prompt, the noise
    (bands, window) and the time at which they are mixed, the step size told to the network."""

    start: int
    prompt: int
    noise: Tensor
    time: float
    size: float
    blind: bool


@dataclass(frozen=True)
class FlowLosses:
    """Of each item (B,): mean squared error of the velocity outside the prompt, and mean distance
    of `linear_mel`'s mel, which inference begins from in the built-in voice."""

    flow: Tensor
    rough: Tensor


def frame_count(model: SynthesizerTrnV3, item: FlowItem) -> int:
    """Frames for which an item has both mel and codes."""
    return min(item.mel.shape[1], int(2 * len(item.codes) * model.config.upsample))


def draw_window(frames: int, bands: int, window: int, draw: torch.Generator) -> FlowDraw:
    """Chance for an item of so many frames, of which `window` at most are looked at."""
    size = min(window, frames)
    place, share, prompted, time, blind = torch.rand(5, generator=draw).tolist()
    step = int(torch.randint(len(STEP_SIZES), (1,), generator=draw))
    return FlowDraw(
        start=int(place * (frames - size + 1)),
        prompt=int(share * LONGEST_PROMPT * size) if prompted >= NO_PROMPT else 0,
        noise=torch.randn((bands, size), generator=draw),
        time=time,
        size=STEP_SIZES[step],
        blind=blind < BLIND,
    )


def self_consistent(drawn: FlowDraw, draw: torch.Generator) -> FlowDraw:
    """The same with a step size d of 1/4 to 1/128, twice which still fits before the end."""
    half = 0.5 ** int(torch.randint(2, 8, (1,), generator=draw))
    return replace(drawn, size=half, time=drawn.time * (1 - 2 * half), blind=False)


def flow_losses(
    model: SynthesizerTrnV3,
    items: Sequence[FlowItem],
    draws: Sequence[FlowDraw],
    consistent: bool = False,
) -> FlowLosses:
    """Losses of a batch; an item's are the same in any batch.

    `consistent`: the network has to go in one step of twice the drawn size where it goes itself in
    two (shortcut models, arXiv 2410.12557), instead of the straight way to the mel.
    """
    device = model.linear_mel.weight.device
    codes, code_lengths = pad([item.codes for item in items], device)
    text, text_lengths = pad([item.text for item in items], device)
    reference, reference_lengths = pad([item.reference for item in items], device)
    voice = model.reference_embedding(reference, reference_lengths)
    fea, _ = model.condition(codes, code_lengths, text, text_lengths, voice)
    counts = [frame_count(model, item) for item in items]
    mel, lengths = pad([item.mel[:, :n] for item, n in zip(items, counts, strict=True)], device)
    fea = fea[..., : mel.shape[2]]
    valid = length_mask(lengths, mel.shape[2])[:, None]
    rough = ((model.linear_mel(fea) - mel).abs() * valid).sum((1, 2)) / lengths / mel.shape[1]

    noise, sizes = pad([d.noise for d in draws], device)
    x1 = _windows(mel, draws, noise.shape[2])
    condition = _windows(fea, draws, noise.shape[2])
    prompts = torch.tensor([d.prompt for d in draws], device=device)
    time = torch.tensor([d.time for d in draws], device=device)
    size = torch.tensor([d.size for d in draws], device=device)
    seen = torch.tensor([not d.blind for d in draws], device=device)[:, None, None]
    prompted = length_mask(prompts, noise.shape[2])[:, None]
    way = time[:, None, None]
    x = torch.where(prompted, 0.0, (1 - way) * noise + way * x1)
    prompt = torch.where(prompted & seen, x1, 0.0)
    condition = condition * seen
    target = x1 - noise
    if consistent:
        target = _two_steps(model, x, prompt, sizes, time, size, condition, prompted)
        size = 2 * size
    velocity = model.cfm.estimator(x, prompt, sizes, time, size, condition)
    counted = length_mask(sizes, noise.shape[2])[:, None] & ~prompted
    error = ((velocity - target).square() * counted).sum((1, 2))
    return FlowLosses(error / counted.sum((1, 2)) / mel.shape[1], rough)


def _windows(x: Tensor, draws: Sequence[FlowDraw], longest: int) -> Tensor:
    """Each item's window of (B, C, T), zero behind it -> (B, C, longest)."""
    pieces = [x[i, :, d.start : d.start + d.noise.shape[1]] for i, d in enumerate(draws)]
    return torch.stack([F.pad(piece, (0, longest - piece.shape[1])) for piece in pieces])


@torch.no_grad()
def _two_steps(
    model: SynthesizerTrnV3,
    x: Tensor,
    prompt: Tensor,
    lengths: Tensor,
    time: Tensor,
    size: Tensor,
    condition: Tensor,
    prompted: Tensor,
) -> Tensor:
    """Mean velocity of two steps of a size; below 1/100 official models are told 0."""
    told = torch.where(size < 1e-2, 0.0, size)
    first = model.cfm.estimator(x, prompt, lengths, time, told, condition)
    onward = torch.where(prompted, 0.0, x + size[:, None, None] * first)
    second = model.cfm.estimator(onward, prompt, lengths, time + size, told, condition)
    return (first + second) / 2
