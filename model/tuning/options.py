"""What fine-tuning is given and what it gives back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from torch import Tensor

from model.tuning.loop import Point
from model.tuning.parameters import VOICE_PARTS

UNKNOWN = ("UNK",)
LONGEST_SECONDS = 30.0


@dataclass(frozen=True)
class Clip:
    """A stretch of one person's speech: mono audio (samples,) float32 at the model's rate, best of
    2 to 12 s, and the phones that it says, ("UNK",) where they are not known."""

    audio: np.ndarray
    phones: tuple[str, ...] = UNKNOWN


@dataclass(frozen=True)
class TuningOptions:
    """What is tuned, and how long.

    `parts`: the beginnings of the names of S2's parameters that change, beside a low-rank update of
    rank `lora` (0: none) of the flow-matching attention. `s1`: whether S1 is tuned, too, as a
    whole, on the clips whose phones are known; `dpo` adds the preference of what was said over the
    same stuttered or cut. `steps` are at most made, each of a few clips; `rate` and `s1_rate` are
    what the learning rates begin with, `pull` is the share of the way back to the start that every
    step goes.

    The rate was chosen on one person (45 s to learn from, 14 s held out, the second weights): the
    held-out loss went from 0.2550 to 0.2268 in 10 steps of 1e-3, to 0.2393 in 10 of 3e-4; 40 of
    1e-3 brought 0.2181. Each step takes 2.4 s of one core, the judging included. On another
    recording (72 s) the best of 120 steps was the 80th, 0.2150; the 60th had 0.2153.
    """

    parts: tuple[str, ...] = VOICE_PARTS
    lora: int = 0
    s1: bool = False
    dpo: bool = False
    steps: int = 60
    rate: float = 1e-3
    s1_rate: float = 2e-5
    pull: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Tuned:
    """The changed tensors in fp16, by the part and the name within it ("s2.ref_enc.fc.fc.weight");
    empty where nothing was better on the held-out clips than the model as it is. `curve` and
    `best_step` (0: the untuned model) are S2's, the other two S1's."""

    tensors: dict[str, Tensor]
    curve: tuple[Point, ...]
    best_step: int
    s1_curve: tuple[Point, ...] = ()
    s1_best_step: int = 0


def check(clips: Sequence[Clip], held_out: Sequence[Clip], sample_rate: int) -> None:
    """ValueError for clips that nothing can be learned from."""
    if not clips or not held_out:
        raise ValueError("tuning needs clips to learn from and clips to be judged by")
    for clip in (*clips, *held_out):
        if not 1.0 <= len(clip.audio) / sample_rate <= LONGEST_SECONDS:
            raise ValueError("a clip is shorter than 1 s or longer than 30 s")


def stored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As `Tuned` holds them."""
    return {key: value.detach().half().contiguous() for key, value in tensors.items()}


def tuning_identity(
    content_hash: str, clips: Sequence[Clip], held_out: Sequence[Clip], options: TuningOptions
) -> str:
    """Names a tuning: the model's hash, what it learns from, and how."""
    digest = hashlib.sha256(content_hash.encode())
    digest.update(json.dumps(asdict(options), sort_keys=True).encode())
    for group in (clips, held_out):
        for clip in group:
            digest.update(json.dumps([len(clip.audio), clip.phones]).encode())
            digest.update(clip.audio.astype(np.float32).tobytes())
    return digest.hexdigest()


def halves(clip: Clip) -> tuple[Clip, Clip]:
    """A clip as two, whose phones are unknown: one can be the other's reference."""
    middle = len(clip.audio) // 2
    return Clip(clip.audio[:middle]), Clip(clip.audio[middle:])
