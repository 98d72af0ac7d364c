"""The recogniser: speech as phonetic features at 50 frames per second, and which phones they are.

To the built-in voice it is what HuBERT is to the official models: its features become semantic
tokens. The encoder is Whisper's (A. Radford et al., "Robust Speech Recognition via Large-Scale Weak
Supervision", 2022) in the size tiny.en; the phone classifier on top is this project's own and
serves forced alignment and checks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional as F

SAMPLE_RATE = 16_000
FRAMES_PER_SECOND = 50
SILENCE = "SIL"
_NAMES = """
AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH
"""
PHONES = (SILENCE, *_NAMES.split())
"""Classes of the phone classifier: ARPAbet without stress."""
_COMMA_FRAMES = 12  # 0.24 s


@dataclass(frozen=True)
class RecogniserConfig:
    bands: int = 80
    width: int = 384
    heads: int = 6
    layers: int = 4
    positions: int = 1500
    head_width: int = 256


@lru_cache(maxsize=4)
def _filterbank(bands: int) -> Tensor:
    return torchaudio.functional.melscale_fbanks(
        201, 0.0, SAMPLE_RATE / 2, bands, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
    )


def whisper_mel(audio: Tensor, bands: int = 80) -> Tensor:
    """Whisper's log-mel of audio (batch, samples) at 16 kHz -> (batch, bands, samples // 160)."""
    window = torch.hann_window(400, device=audio.device)
    spectrum = torch.stft(audio, 400, 160, window=window, return_complex=True)[..., :-1]
    power = spectrum.real.square() + spectrum.imag.square()
    mel = _filterbank(bands).to(audio.device).T @ power
    log = torch.log10(mel.clamp(min=1e-10))
    log = torch.maximum(log, log.amax(dim=(1, 2), keepdim=True) - 8.0)
    return (log + 4.0) / 4.0


class EncoderLayer(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, width) -> the same."""
        batch, frames, width = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(batch, frames, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, frames, width))
        return x + self.contract(F.gelu(self.expand(self.norm(x))))


class PhoneHead(nn.Module):
    """Features (batch, width, frames) -> phone logits (batch, phones, frames)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(width, hidden, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(hidden, hidden, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(hidden, len(PHONES), 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)


class Recogniser(nn.Module):
    """Audio at 16 kHz -> standardised features at 50 Hz, and phone logits on top of them."""

    mean: Tensor
    deviation: Tensor
    positions: Tensor

    def __init__(self, config: RecogniserConfig = RecogniserConfig()) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv1d(config.bands, config.width, 3, padding=1)
        self.conv2 = nn.Conv1d(config.width, config.width, 3, stride=2, padding=1)
        self.layers = nn.ModuleList(
            EncoderLayer(config.width, config.heads) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.phones = PhoneHead(config.width, config.head_width)
        self.register_buffer("mean", torch.zeros(config.width))
        self.register_buffer("deviation", torch.ones(config.width))
        self.register_buffer(
            "positions", _sinusoids(config.positions, config.width), persistent=False
        )

    def features(self, audio: Tensor) -> Tensor:
        """(batch, samples) at 16 kHz, at most 30 s -> (batch, width, frames).

        frames = samples // 320, one more where another 160 samples follow.
        """
        x = F.gelu(self.conv1(whisper_mel(audio, self.config.bands)))
        x = F.gelu(self.conv2(x)).transpose(1, 2)
        x = x + self.positions[: x.shape[1]]
        for layer in self.layers:
            x = layer(x)
        x = (self.norm(x).float() - self.mean) / self.deviation
        return x.transpose(1, 2)


@torch.inference_mode()
def heard_phones(recogniser: Recogniser, audio: Tensor) -> tuple[str, ...]:
    """Phones of the front-end's inventory for English speech (samples,) at 16 kHz, at most 30 s.

    The likeliest phone of each frame, runs taken together; flickers of one frame are dropped, and a
    longer silence is a comma. Which vowel is stressed is not heard: "AH" and "ER" are taken as
    unstressed, being mostly so, all others as stressed.
    """
    best = recogniser.phones(recogniser.features(audio[None]))[0].argmax(0).tolist()
    runs = [(number, len(list(run))) for number, run in groupby(best)]
    heard: list[str] = []
    for number, frames in runs:
        phone = PHONES[number]
        if phone == SILENCE:
            if frames >= _COMMA_FRAMES and heard and heard[-1] != ",":
                heard.append(",")
        elif frames > 1:
            stressed = "" if phone[0] not in "AEIOU" else "0" if phone in ("AH", "ER") else "1"
            heard.append(phone + stressed)
    if heard and heard[-1] == ",":
        heard.pop()
    return (*heard, ".") if heard else ()


def _sinusoids(length: int, width: int) -> Tensor:
    """Whisper's position table: sines in the first half of the channels, cosines in the second."""
    step = math.log(10_000) / (width // 2 - 1)
    angles = torch.arange(length)[:, None] * torch.exp(-step * torch.arange(width // 2))[None]
    return torch.cat([angles.sin(), angles.cos()], dim=1)
