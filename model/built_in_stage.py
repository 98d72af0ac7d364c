"""The acoustic stage of the built-in voice: flow matching from a draft, and a vocoder."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from model.checkpoint import VoiceModel
from model.precision import Precision, lower_transformer
from model.sampling import Sampling
from model.spectral import denormalise_mel
from model.windows import Line, Window, WindowedFlow, conditions, noise_of

CARRIED_FRAMES = 60
"""Of a later window's prompt, the frames that come from the window before it."""


@dataclass(frozen=True)
class Reference:
    """A voice as the model hears it: the voice vector (1, gin, 1), and a prompt of normalised mel
    (1, bands, frames) with its conditioning (1, width, frames)."""

    voice: Tensor
    prompt_mel: Tensor
    prompt_fea: Tensor


@dataclass
class _Flow:
    """A line on its way: its conditioning (1, width, frames), draft and noise (1, bands, frames),
    the bounds of its windows, and the mel made so far."""

    fea: Tensor
    draft: Tensor
    noise: Tensor
    bounds: list[int]
    pieces: list[Tensor] = field(default_factory=list)


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
    ) -> list[Tensor]:
        """The audio (samples,) of each line, as the vocoder makes it; `rows` as for `Stage`."""
        made = self._begun(lines, reference, sampling.speed, rows)
        # First the first window of all lines, then the second of those that have one, and so on,
        # since a window continues the one before.
        for number in range(max(len(one.bounds) for one in made) - 1):
            left = [one for one in made if len(one.bounds) > number + 1]
            windows = [_window(one, number, reference) for one in left]
            pieces = self._flow.mels(windows, sampling, rows)
            for one, mel in zip(left, pieces, strict=True):
                one.pieces.append(mel)
        mels = [denormalise_mel(torch.cat(one.pieces, 2)) for one in made]
        if rows == 1:
            return [self._vocoder(mel)[0] for mel in mels]
        return self._vocoder.together(mels, rows)

    def _begun(
        self, lines: Sequence[Line], reference: Reference, speed: float, rows: int
    ) -> list[_Flow]:
        room = self._config.window_frames - reference.prompt_mel.shape[2]
        begun = []
        feas = conditions(self._s2, lines, reference.voice, speed, rows)
        for line, fea in zip(lines, feas, strict=True):
            draft = self._s2.linear_mel(fea)
            noise = noise_of(draft.shape[1], fea.shape[2], line.seed, fea.device)
            parts = -(-fea.shape[2] // room)
            bounds = [round(part * fea.shape[2] / parts) for part in range(parts + 1)]
            begun.append(_Flow(fea, draft, noise, bounds))
        return begun


def _window(one: _Flow, number: int, reference: Reference) -> Window:
    """A line's next window, which continues the one before it."""
    start, stop = one.bounds[number : number + 2]
    prompt, prompt_fea = reference.prompt_mel, reference.prompt_fea
    if one.pieces:
        last = one.pieces[-1]
        carried = min(CARRIED_FRAMES, last.shape[2])
        prompt = torch.cat([prompt[..., carried:], last[..., -carried:]], 2)
        prompt_fea = torch.cat(
            [prompt_fea[..., carried:], one.fea[..., start - carried : start]], 2
        )
    fea = torch.cat([prompt_fea, one.fea[..., start:stop]], 2)
    return Window(prompt, fea, one.noise[..., start:stop], one.draft[..., start:stop])
