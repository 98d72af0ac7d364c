"""Fine-tuning of official models, each version's S2 with its own losses.

v1 to v2ProPlus learn as autoencoders against discriminators, v3 and v4 by flow matching. The voice
is heard in another clip of the person than the one to be made, and what is tuned is chosen as for
the built-in voice; `parts=("",)` tunes all of S2 but the quantizer, as GPT-SoVITS does for v1 to
v2ProPlus.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soxr
import torch
from torch import Tensor, nn
from transformers import HubertModel

from configs.errors import UserError
from model import speaker
from model.acoustic import REFERENCE_RATE, WINDOWS
from model.lora import merge_lora
from model.official import (
    CONFIG,
    PRO_VERSIONS,
    OfficialModel,
    Part,
    Stored,
    load_official,
    load_weights,
    manifest_json,
    read_manifest,
    save_part,
)
from model.official_engine import HUBERT_RATE, REFERENCE_LEVEL_DB
from model.s2.discriminators import PERIODS, PERIODS_PRO, MultiPeriodDiscriminator
from model.s2.synthesizer import SynthesizerTrnV3
from model.s2.vits import SynthesizerTrn, VitsConfig
from model.sizes import s2_config
from model.speaking import to_level
from model.spectral import limit_peak, log_mel, normalise_mel, reference_spectrogram
from model.text import phone_ids
from model.tuning import vits
from model.tuning.adapters import adapt
from model.tuning.flow import (
    SELF_CONSISTENT,
    FlowDraw,
    FlowItem,
    draw_window,
    flow_losses,
    frame_count,
    self_consistent,
)
from model.tuning.loop import Checkpoint, Job, Progress
from model.tuning.options import (
    UNKNOWN,
    Clip,
    Tuned,
    TuningOptions,
    check,
    halves,
    tuning_identity,
)
from model.tuning.parameters import thaw
from model.tuning.semantic import Said, tune_parts

BATCH = 4
DRAWS = 4


@dataclass(frozen=True)
class _Heard:
    """A clip as the networks take it: codes (T), phone ids (P), magnitudes (bins, frames) and audio
    at 32 kHz, the speaker-verification vector of the Pro versions, v3's and v4's mel."""

    codes: Tensor
    text: Tensor
    spectrogram: Tensor
    audio: Tensor
    speaker: Tensor | None
    mel: Tensor | None
    known: bool


def tune_official(
    folder: Path,
    clips: Sequence[Clip],
    held_out: Sequence[Clip],
    options: TuningOptions,
    on_step: Callable[[Progress], None],
    checkpoint: Path,
    discriminator: Mapping[str, Tensor] | None = None,
    device: str = "cpu",
) -> Tuned:
    """Adapts the official model in a folder to the person in `clips`; the folder stays as it is.

    Clips are at the model's sample rate, their phones of its inventory. `discriminator`: weights of
    the official `s2D*.pth`; without them, one begins from nothing beside v1 to v2ProPlus.
    GPT-SoVITS's own rate is 1e-4, a tenth of the built-in voice's. S1 reads no characters here:
    Chinese is tuned without its BERT features. Otherwise as `tune_voice`. UserError for an S2 that
    has no posterior encoder, as fine-tuned checkpoints.
    """
    model = load_official(folder)
    check(clips, held_out, model.sample_rate)
    identity = tuning_identity(model.content_hash, clips, held_out, options)
    store = Checkpoint(checkpoint, identity)
    if len(clips) == 1:
        clips = halves(clips[0])
    hubert = HubertModel.from_pretrained(model.hubert, local_files_only=True, dtype=torch.float32)
    hubert.eval().requires_grad_(False)
    learned, judged = ([_hear(model, hubert, clip) for clip in g] for g in (clips, held_out))
    network = _trainable(folder, model).to(device)
    job = (
        _flow_job(network, model, learned, judged, options)
        if isinstance(network, SynthesizerTrnV3)
        else _vits_job(network, model, learned, judged, options, discriminator)
    )
    said, said_too = ([Said(h.text, h.codes) for h in g if h.known] for g in (learned, judged))
    return tune_parts(job, model.s1, said, said_too, options, on_step, store)


def save_tuned(folder: Path, tensors: Mapping[str, Tensor], out: Path) -> None:
    """Writes what was tuned as a model's folder that `load_official` reads.

    Low-rank updates are merged. Parts that did not change are named where they lie, relative to
    `out`. UserError where `out` exists or the tensors are no tuning of the model in `folder`.
    """
    if out.exists():
        raise UserError(f"{out} exists; give a folder that is not there yet.")
    manifest = read_manifest(folder)
    own: dict[Part, dict[str, Tensor]] = {"s1": {}, "s2": {}}
    for name, value in tensors.items():
        part, _, key = name.partition(".")
        if part not in own:
            raise UserError(f"The tuned voice does not fit its base model ({name[:100]}).")
        own["s1" if part == "s1" else "s2"][key] = value
    parts = {
        part: replace(entry, path=os.path.relpath((folder / entry.path).resolve(), out.resolve()))
        for part, entry in manifest.parts.items()
    }
    temporary = out.with_name(f".{out.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        for part, weights in own.items():
            if not weights:
                continue
            base = load_weights(folder, part)
            merged = merge_lora(base, weights, Path("The tuned voice"))
            merged = {key: value.to(base[key].dtype) for key, value in merged.items()}
            path = temporary / f"{part}.safetensors"
            save_part(path, part, merged)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            parts[part] = Stored(path.name, digest, manifest.parts[part].config)
        source = f"{manifest.source}, tuned"
        tuned = replace(manifest, source=source, parts=parts)
        (temporary / CONFIG).write_bytes(manifest_json(tuned))
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _trainable(folder: Path, model: OfficialModel) -> SynthesizerTrn | SynthesizerTrnV3:
    """S2 with its weight norm as stored, and with its posterior encoder where it has one."""
    weights = load_weights(folder, "s2")
    sizes = s2_config(weights, model.version)
    network: SynthesizerTrn | SynthesizerTrnV3
    if isinstance(sizes, VitsConfig):
        if "enc_q.pre.weight" not in weights:
            raise UserError(
                f"{folder} can't be tuned: its S2 has no posterior encoder, which fine-tuned "
                "checkpoints leave out; tune the pretrained model."
            )
        network = SynthesizerTrn(sizes, posterior=True)
    else:
        network = SynthesizerTrnV3(sizes)
    network.load_state_dict({key: value.float() for key, value in weights.items()}, strict=False)
    return network.eval()


@torch.no_grad()
def _hear(model: OfficialModel, hubert: nn.Module, clip: Clip) -> _Heard:
    levelled = to_level(np.asarray(clip.audio, np.float32), REFERENCE_LEVEL_DB)

    def at(rate: int) -> Tensor:
        return torch.from_numpy(soxr.resample(levelled, model.sample_rate, rate))[None]

    features = hubert(at(HUBERT_RATE)).last_hidden_state.transpose(1, 2)
    audio = limit_peak(at(REFERENCE_RATE))
    vector = mel = None
    if model.speaker is not None:
        vector = model.speaker.embed(at(speaker.SAMPLE_RATE))[0]
    if model.version in ("v3", "v4"):
        config = WINDOWS[model.version].mel
        mel = normalise_mel(log_mel(at(config.sample_rate), config))[0]
    inventory: Literal["v1", "v2"] = "v1" if model.version == "v1" else "v2"
    return _Heard(
        model.s2.extract_codes(features)[0],
        torch.tensor(phone_ids(clip.phones, inventory)),
        reference_spectrogram(audio)[0],
        audio[0],
        vector,
        mel,
        clip.phones != UNKNOWN,
    )


def _batch(learned: Sequence[_Heard], draw: torch.Generator) -> Iterator[tuple[_Heard, _Heard]]:
    """Random clips, each with another one for the voice."""
    for index in torch.randperm(len(learned), generator=draw)[:BATCH].tolist():
        others = [heard for number, heard in enumerate(learned) if number != index]
        yield learned[index], _any(others, draw)


def _any(heard: Sequence[_Heard], draw: torch.Generator) -> _Heard:
    return heard[int(torch.randint(len(heard), (1,), generator=draw))]


def _flow_job(
    s2: SynthesizerTrnV3,
    model: OfficialModel,
    learned: Sequence[_Heard],
    judged: Sequence[_Heard],
    options: TuningOptions,
) -> Job:
    tuned = thaw(s2, options.parts)
    if options.lora:
        tuned |= adapt(s2, options.lora, options.seed)
    window, bands = WINDOWS[model.version].window_frames, s2.config.mels

    def item(heard: _Heard, voice: _Heard) -> FlowItem:
        assert heard.mel is not None
        return FlowItem(heard.codes, heard.text, heard.mel, voice.spectrogram)

    def losses(step: int) -> Iterator[tuple[str, Tensor]]:
        draw = torch.Generator().manual_seed(options.seed * 1_000_003 + step)
        consistent = bool(torch.rand(1, generator=draw) < SELF_CONSISTENT)
        items = [item(heard, voice) for heard, voice in _batch(learned, draw)]
        draws = [_told_nothing(draw_window(frame_count(s2, i), bands, window, draw)) for i in items]
        if consistent:
            draws = [self_consistent(drawn, draw) for drawn in draws]
        yield "tuned", flow_losses(s2, items, draws, consistent).flow.mean()

    draw = torch.Generator().manual_seed(options.seed - 1)
    trials: list[tuple[FlowItem, FlowDraw]] = []
    for heard in judged:
        for number in range(DRAWS):
            one = item(heard, _any(learned, draw))
            drawn = _told_nothing(draw_window(frame_count(s2, one), bands, window, draw))
            trials.append((one, replace(drawn, time=(number + 0.5) / DRAWS)))

    def judge() -> float:
        return sum(flow_losses(s2, [i], [d]).flow.item() for i, d in trials) / len(trials)

    return Job("s2", tuned, losses, judge, {})


def _told_nothing(drawn: FlowDraw) -> FlowDraw:
    """As official models learn the straight way: no step size, never without a condition."""
    return replace(drawn, size=0.0, blind=False)


def _vits_job(
    s2: SynthesizerTrn,
    model: OfficialModel,
    learned: Sequence[_Heard],
    judged: Sequence[_Heard],
    options: TuningOptions,
    weights: Mapping[str, Tensor] | None,
) -> Job:
    tuned = thaw(s2, options.parts)
    periods = PERIODS_PRO if model.version in PRO_VERSIONS else PERIODS
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        discriminator = MultiPeriodDiscriminator(periods)
    if weights is not None:
        discriminator.load_state_dict({key: value.float() for key, value in weights.items()})
    discriminator.to(s2.dec.conv_pre.weight.device)
    rival: dict[str, Any] = dict(discriminator.named_parameters())
    channels, hop = s2.config.inter_channels, s2.dec.config.hop_samples

    def item(heard: _Heard, voice: _Heard) -> vits.VitsItem:
        return vits.VitsItem(
            heard.codes,
            heard.text,
            heard.spectrogram,
            heard.audio,
            voice.spectrogram,
            voice.speaker,
        )

    def losses(step: int) -> Iterator[tuple[str, Tensor]]:
        draw = torch.Generator().manual_seed(options.seed * 1_000_003 + step)
        items = [item(heard, voice) for heard, voice in _batch(learned, draw)]
        draws = [vits.draw_segment(vits.frame_count(i), channels, draw) for i in items]
        made = vits.speak_segments(s2, items, draws)
        yield (
            "rival",
            vits.discriminator_loss(discriminator(made.true), discriminator(made.audio.detach())),
        )
        with torch.no_grad():
            true = discriminator(made.true)
        yield "tuned", vits.generator_loss(made, true, discriminator(made.audio), hop)

    draw = torch.Generator().manual_seed(options.seed - 1)
    trials = []
    for heard in judged:
        for _ in range(DRAWS):
            one = item(heard, _any(learned, draw))
            trials.append((one, vits.draw_segment(vits.frame_count(one), channels, draw)))

    def judge() -> float:
        """Mel and KL alone: the discriminators change as they learn."""
        total = 0.0
        for one, drawn in trials:
            made = vits.speak_segments(s2, [one], [drawn])
            total += vits.reconstruction_loss(made, hop).item()
        return total / len(trials)

    return Job("s2", tuned, losses, judge, rival)
