"""The acoustic stage of the built-in voice: flow matching from a draft, and a vocoder."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from model.checkpoint import VoiceModel
from model.precision import Precision, lower_transformer
from model.sampling import Sampling
from model.spectral import denormalise_mel
from model.windows import Flow, Kept, Line, Window, WindowedFlow, conditions, noise_of

CARRIED_FRAMES = 60
"""Of a later window's prompt, the frames that come from the window before it."""


@dataclass(frozen=True)
class Spoken:
    """A line's audio (samples,), and the normalised mel (1, bands, frames) that it was made of."""

    audio: Tensor
    mel: Tensor


@dataclass(frozen=True)
class Reference:
    """A voice as the model hears it: the voice vector (1, gin, 1), and a prompt of normalised mel
    (1, bands, frames) with its conditioning (1, width, frames)."""

    voice: Tensor
    prompt_mel: Tensor
    prompt_fea: Tensor


class BuiltInStage:
    """S2 and the vocoder of a voice model, which stays as it is; `graphs`: the work on many windows
    is recorded (model/graphs.py)."""

    def __init__(self, model: VoiceModel, precision: Precision, graphs: bool = False) -> None:
        self._s2, self._vocoder, self._config = model.s2, model.vocoder, model.config
        cfm = model.s2.cfm
        if precision == "bf16":
            cfm = copy.deepcopy(model.s2.cfm)  # the model's own is tuned, too
            lower_transformer(cfm.estimator)
        config = model.config
        self._flow = WindowedFlow(cfm, config.window_frames, config.flow_begin, True, graphs)

    def speak(
        self, lines: Sequence[Line], reference: Reference, sampling: Sampling, rows: int = 1
    ) -> list[Spoken]:
        """Each line as the vocoder makes it; `rows` as for `Stage`."""
        flows = self._begun(lines, reference, sampling.speed, rows)
        mels = self._flow.finish(flows, partial(_window, reference), sampling, rows)
        mels = [_whole(mel, line.kept) for mel, line in zip(mels, lines, strict=True)]
        loud = [denormalise_mel(mel) for mel in mels]
        audio = (
            [self._vocoder(mel)[0] for mel in loud]
            if rows == 1
            else self._vocoder.together(loud, rows)
        )
        return [Spoken(*one) for one in zip(audio, mels, strict=True)]

    def _begun(
        self, lines: Sequence[Line], reference: Reference, speed: float, rows: int
    ) -> list[Flow]:
        room = self._config.window_frames - reference.prompt_mel.shape[2]
        begun = []
        feas = conditions(self._s2, lines, reference.voice, speed, rows)
        for line, fea in zip(lines, feas, strict=True):
            draft = self._s2.linear_mel(fea)
            noise = noise_of(draft.shape[1], fea.shape[2], line.seed, fea.device)
            start, stop = 0, fea.shape[2]
            pieces = []
            if line.kept is not None:
                start, stop = line.kept.before.shape[2], stop - line.kept.after.shape[2]
                pieces = [line.kept.before] if start else []
            parts = -(-(stop - start) // room)
            bounds = [start + round(part * (stop - start) / parts) for part in range(parts + 1)]
            begun.append(Flow(fea, noise, bounds, draft, pieces))
        return begun


def _window(reference: Reference, one: Flow, number: int) -> Window:
    """A line's next window, which continues what is before it."""
    start, stop = one.bounds[number : number + 2]
    prompt, prompt_fea = reference.prompt_mel, reference.prompt_fea
    if one.pieces:
        last = one.pieces[-1]
        carried = min(CARRIED_FRAMES, last.shape[2])
        prompt = torch.cat([prompt[..., carried:], last[..., -carried:]], 2)
        prompt_fea = torch.cat(
            [prompt_fea[..., carried:], one.fea[..., start - carried : start]], 2
        )
    assert one.draft is not None
    fea = torch.cat([prompt_fea, one.fea[..., start:stop]], 2)
    return Window(prompt, fea, one.noise[..., start:stop], one.draft[..., start:stop])


def _whole(mel: Tensor, kept: Kept | None) -> Tensor:
    """A mel that begins with what was kept before it, with what was kept after it."""
    return mel if kept is None else torch.cat([mel, kept.after], 2)
