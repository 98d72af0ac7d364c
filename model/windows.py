"""Lines of speech through the networks of S2: one by one, or many of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from model.graphs import Recorded
from model.s2.flow_matching import CFM
from model.s2.synthesizer import SynthesizerTrnV3
from model.sampling import Sampling

MOST_SCORES = 2**24
"""Of an encoder's attention, for each head, where lines go together: 64 MiB."""


@dataclass(frozen=True)
class Kept:
    """What stays of a line: its normalised mel (1, bands, frames >= 0) before and after the stretch
    that is to be made."""

    before: Tensor
    after: Tensor


@dataclass(frozen=True)
class Line:
    """What is to be spoken: codes (1, tokens > 0), phones (P > 0), the seed of its own noise, and
    what is kept of an earlier time, which official models don't."""

    codes: Tensor
    phones: Tensor
    seed: int
    kept: Kept | None = None


@dataclass(frozen=True)
class Together:
    """Lines in one batch: their numbers, codes (B, tokens) and phones (B, P), padded on the right,
    and their lengths (B,)."""

    numbers: list[int]
    codes: Tensor
    code_lengths: Tensor
    phones: Tensor
    phone_lengths: Tensor


def side_by_side(lines: Sequence[Line], rows: int, device: torch.device) -> Iterator[Together]:
    """Lines for an encoder on a device, at most `rows` together, those of like lengths."""
    left = sorted(range(len(lines)), key=lambda number: lines[number].codes.shape[1])
    while left:
        longest = 2 * lines[left[-1]].codes.shape[1]
        count = min(rows, max(1, MOST_SCORES // longest**2))
        numbers, left = left[-count:], left[:-count]
        codes = [lines[number].codes[0] for number in numbers]
        phones = [lines[number].phones for number in numbers]
        yield Together(
            numbers,
            pad_sequence(codes, batch_first=True).to(device),
            torch.tensor([len(one) for one in codes], device=device),
            pad_sequence(phones, batch_first=True).to(device),
            torch.tensor([len(one) for one in phones], device=device),
        )


def conditions(
    s2: SynthesizerTrnV3, lines: Sequence[Line], voice: Tensor, speed: float, rows: int = 1
) -> list[Tensor]:
    """What the flow matching is conditioned on (1, width, frames), for each line; the voice is
    (1, gin, 1)."""
    found: dict[int, Tensor] = {}
    for some in side_by_side(lines, rows, voice.device):
        feas, lengths = s2.condition(
            some.codes, some.code_lengths, some.phones, some.phone_lengths, voice, speed
        )
        made = zip(some.numbers, feas, lengths.tolist(), strict=True)
        found |= {number: fea[None, :, :length] for number, fea, length in made}
    return [found[number] for number in range(len(lines))]


@dataclass(frozen=True)
class Window:
    """What is to become T frames behind a prompt of P: the prompt's mel (1, bands, P), the
    conditioning (1, width, P + T) of both, noise (1, bands, T), and a draft of the mel (1, bands,
    T) where the model makes one."""

    prompt: Tensor
    fea: Tensor
    noise: Tensor
    draft: Tensor | None = None


@dataclass
class Flow:
    """A line on its way through a flow matching: its conditioning (1, width, frames), noise and,
    where the model makes one, draft (1, bands, frames), the bounds of its windows, and the mel made
    so far."""

    fea: Tensor
    noise: Tensor
    bounds: list[int]
    draft: Tensor | None = None
    pieces: list[Tensor] = field(default_factory=list)


class WindowedFlow:
    """A flow matching that takes at most `frames` at a time, the prompt's included.

    `begin` and `brief` as for `CFM.inference`; `graphs`: whether the integration of many windows is
    recorded.
    """

    def __init__(
        self, cfm: CFM, frames: int, begin: float = 0.0, brief: bool = False, graphs: bool = False
    ) -> None:
        self._cfm, self._frames, self._begin, self._brief = cfm, frames, begin, brief
        self._packed = Recorded(self._integrate, graphs)

    def finish(
        self,
        flows: Sequence[Flow],
        window: Callable[[Flow, int], Window],
        sampling: Sampling,
        rows: int,
    ) -> list[Tensor]:
        """The mel (1, bands, frames) of each line; `window(line, number)` is its window of that
        number, those before which are made."""
        # First the first window of all lines, then the second of those that have one, and so on,
        # since a window continues the one before.
        for number in range(max(len(one.bounds) for one in flows) - 1):
            left = [one for one in flows if len(one.bounds) > number + 1]
            pieces = self.mels([window(one, number) for one in left], sampling, rows)
            for one, mel in zip(left, pieces, strict=True):
                one.pieces.append(mel)
        return [torch.cat(one.pieces, 2) for one in flows]

    def mels(self, windows: Sequence[Window], sampling: Sampling, rows: int) -> Iterator[Tensor]:
        """The mel (1, bands, T) of each window; all have prompts of the same length.

        With `rows` > 1 so many go together, in one shape: idle rows repeat the first. A window's
        mel does not depend on the others.
        """
        options = (sampling.steps, sampling.guidance)
        for begin in range(0, len(windows), rows):
            group = windows[begin : begin + rows]
            before = group[0].prompt.shape[2]
            ends = [one.fea.shape[2] for one in group]
            size = self._frames if rows > 1 else ends[0]
            places = [*range(len(group)), *[0] * (rows - len(group))]

            def together(parts: Sequence[Tensor], size: int, places: Sequence[int]) -> Tensor:
                padded = [F.pad(part, (0, size - part.shape[2])) for part in parts]
                return torch.cat([padded[place] for place in places])

            fea = together([one.fea for one in group], size, places)
            noise = together([F.pad(one.noise, (before, 0)) for one in group], size, places)
            prompt = together([one.prompt for one in group], before, places)
            drafts = [F.pad(one.draft, (before, 0)) for one in group if one.draft is not None]
            draft = (together(drafts, size, places),) if drafts else ()
            if rows == 1:
                made = self._integrate(options, fea, None, prompt, noise, *draft)
            else:
                lengths = torch.tensor([ends[place] for place in places], device=fea.device)
                made = self._packed(options, fea, lengths, prompt, noise, *draft)
            for mel, end in zip(made, ends, strict=False):
                yield mel[None, :, before:end]

    def _integrate(
        self,
        options: tuple[int, float],
        fea: Tensor,
        lengths: Tensor | None,
        prompt: Tensor,
        noise: Tensor,
        draft: Tensor | None = None,
    ) -> Tensor:
        steps, guidance = options
        return self._cfm.inference(
            fea, lengths, prompt, steps, noise, guidance, draft, self._begin, self._brief
        )


def noise_of(channels: int, frames: int, seed: int, device: torch.device) -> Tensor:
    """(1, channels, frames) from the normal distribution: the same for a seed on each device."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randn((1, channels, frames), generator=draw).to(device)
