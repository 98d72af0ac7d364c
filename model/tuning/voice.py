"""Fine-tuning of the built-in voice model to one person.

Only what hears a voice is tuned by default (`VOICE_PARTS`), by the flow-matching losses of its
pretraining, with a prompt that is the beginning of the clip, and with another clip of the person as
the reference, as when it speaks. Clips are held out, and judged with the same noise, times, prompts
and references every time, so that their loss can be compared from step to step.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soxr
import torch
from torch import Tensor, nn

from configs.errors import UserError
from model import recogniser
from model.checkpoint import VoiceModel
from model.lora import UP, merge_lora
from model.speaking import to_level
from model.spectral import MelConfig, log_mel, normalise_mel
from model.text import phone_ids
from model.tuning.adapters import adapt
from model.tuning.flow import FlowDraw, FlowItem, draw_window, flow_losses, frame_count
from model.tuning.loop import Checkpoint, Job, Progress
from model.tuning.options import (
    UNKNOWN,
    Clip,
    Tuned,
    TuningOptions,
    check,
    halves,
    stored,
    tuning_identity,
)
from model.tuning.parameters import changed, thaw
from model.tuning.semantic import Said, tune_parts

WITHOUT_TEXT = 0.1
"""Share of the items whose phones are left out, as in pretraining."""
BATCH = 4
REFERENCE_SECONDS = (2.0, 6.0)
DRAWS = 4
"""How often each held-out clip is judged: once at the beginning, once at the end of the way from
noise to mel, and in between."""


@dataclass(frozen=True)
class _Heard:
    """A clip as the networks take it: codes (T), phone ids (P), normalised mel (bands, frames)."""

    codes: Tensor
    text: Tensor
    mel: Tensor
    known: bool


def tune_voice(
    model: VoiceModel,
    clips: Sequence[Clip],
    held_out: Sequence[Clip],
    options: TuningOptions,
    on_step: Callable[[Progress], None],
    checkpoint: Path,
) -> Tuned:
    """Adapts a voice model to the person in `clips`; the model stays as it is.

    Killed at any time, it goes on from the file `checkpoint`, which the caller removes when the
    result is safe. Raises ValueError without clips or held-out ones, for clips shorter than 1 s or
    longer than 30 s, or where S1 is asked for and no clip's phones are known.
    """
    check(clips, held_out, model.config.sample_rate)
    store = Checkpoint(checkpoint, tuning_identity(model.content_hash, clips, held_out, options))
    if len(clips) == 1:
        clips = halves(clips[0])
    learned = [_hear(model, clip) for clip in clips]
    judged = [_hear(model, clip) for clip in held_out]
    job = _acoustic_job(model, learned, judged, options)
    said, said_too = ([Said(h.text, h.codes) for h in g if h.known] for g in (learned, judged))
    return tune_parts(job, model.s1, said, said_too, options, on_step, store)


def apply_tuning(model: VoiceModel, tensors: Mapping[str, Tensor]) -> VoiceModel:
    """The model with what `tune_voice` found; it shares all other weights with `model`.

    UserError where the tensors are not a tuning of this model.
    """
    weights: dict[str, dict[str, Tensor]] = {"s2": {}, "s1": {}}
    digest = hashlib.sha256(model.content_hash.encode())
    device = model.s2.linear_mel.weight.device
    for name in sorted(tensors):
        part, _, key = name.partition(".")
        if part not in weights:
            raise UserError(f"The tuned voice does not fit this voice model ({name[:100]}).")
        weights[part][key] = tensors[name].float().to(device)
        digest.update(f"{name}:{tensors[name].dtype}:{tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    networks: dict[str, nn.Module] = {"s2": model.s2, "s1": model.s1}
    for part, own in weights.items():
        base = networks[part].state_dict()
        merged = merge_lora(base, own, Path("The tuned voice"))
        new = {key: value for key, value in merged.items() if value is not base[key]}
        if new:
            networks[part] = changed(networks[part], new)
    content_hash = digest.hexdigest() if tensors else model.content_hash
    return replace(model, **networks, content_hash=content_hash)  # type: ignore[arg-type]


def part_way(model: VoiceModel, tensors: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """The tensors of a tuning, only `share` of the way from the model's own weights to the tuned
    ones.

    Between the two lie models that keep more of what the untuned one knows than they lose of what
    was learned (M. Wortsman et al., "Robust fine-tuning of zero-shot models", 2022).
    """
    networks: dict[str, nn.Module] = {"s2": model.s2, "s1": model.s1}
    moved = {}
    for name, value in tensors.items():
        part, _, key = name.partition(".")
        own = networks[part].state_dict().get(key)
        if own is not None:
            value = own + share * (value.float() - own)
        elif key.endswith(UP):  # the update is the product of the two
            value = share * value.float()
        moved[name] = value
    return stored(moved)


@torch.no_grad()
def _hear(model: VoiceModel, clip: Clip) -> _Heard:
    rate = model.config.sample_rate
    audio = to_level(np.asarray(clip.audio, np.float32), model.config.reference_level_db)
    low = torch.from_numpy(soxr.resample(audio, rate, recogniser.SAMPLE_RATE))
    codes = model.s2.extract_codes(model.recogniser.features(low[None]))[0]
    mel = normalise_mel(log_mel(torch.from_numpy(audio)[None], MelConfig(sample_rate=rate)))[0]
    text = torch.tensor(phone_ids(clip.phones))
    return _Heard(codes, text, mel, clip.phones != UNKNOWN)


def _acoustic_job(
    model: VoiceModel, learned: Sequence[_Heard], judged: Sequence[_Heard], options: TuningOptions
) -> Job:
    s2 = copy.deepcopy(model.s2)
    tuned = thaw(s2, options.parts)
    if options.lora:
        tuned |= adapt(s2, options.lora, options.seed)
    window, bands = model.config.window_frames, s2.config.mels
    unknown = torch.tensor(phone_ids(UNKNOWN))

    def item(heard: _Heard, others: Sequence[_Heard], draw: torch.Generator) -> FlowItem:
        other = others[int(torch.randint(len(others), (1,), generator=draw))]
        reference = _stretch(other.mel, model.config.sample_rate, draw)
        return FlowItem(heard.codes, heard.text, heard.mel, reference)

    def losses(step: int) -> Iterator[tuple[str, Tensor]]:
        draw = torch.Generator().manual_seed(options.seed * 1_000_003 + step)
        items, draws = [], []
        for index in torch.randperm(len(learned), generator=draw)[:BATCH].tolist():
            others = [heard for number, heard in enumerate(learned) if number != index]
            one = item(learned[index], others, draw)
            if torch.rand(1, generator=draw) < WITHOUT_TEXT:
                one = replace(one, text=unknown)
            items.append(one)
            draws.append(draw_window(frame_count(s2, one), bands, window, draw))
        found = flow_losses(s2, items, draws)
        yield "tuned", (found.flow + found.rough).mean()

    draw = torch.Generator().manual_seed(options.seed - 1)
    trials: list[tuple[FlowItem, FlowDraw]] = []
    for heard in judged:
        for number in range(DRAWS):
            one = item(heard, learned, draw)
            drawn = draw_window(frame_count(s2, one), bands, window, draw)
            time = (number + 0.5) / DRAWS
            trials.append((one, replace(drawn, time=time, size=0.0, blind=False)))

    def judge() -> float:
        sums = torch.zeros(())
        for first in range(0, len(trials), BATCH):
            items, draws = zip(*trials[first : first + BATCH], strict=True)
            found = flow_losses(s2, items, draws)
            sums += (found.flow + found.rough).sum()
        return sums.item() / len(trials)

    return Job("s2", tuned, losses, judge, {})


def _stretch(mel: Tensor, sample_rate: int, draw: torch.Generator) -> Tensor:
    """A random stretch of a mel (bands, frames), as in pretraining."""
    shortest, longest = REFERENCE_SECONDS
    length, place = torch.rand(2, generator=draw).tolist()
    frames = (shortest + length * (longest - shortest)) * sample_rate / MelConfig.hop_samples
    size = min(mel.shape[1], int(frames))
    start = int(place * (mel.shape[1] - size + 1))
    return mel[:, start : start + size]
