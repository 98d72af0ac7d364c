"""Conditional flow matching from noise to mel, with a diffusion transformer as its velocity field.

The transformer is F5-TTS's (arXiv 2410.06885) over DiT blocks (arXiv 2212.09748); the step size is
an input too, which lets few large steps be learned (shortcut models, arXiv 2410.12557).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.s2.masks import length_mask


def blank(x: Tensor, mask: Tensor | None) -> Tensor:
    """Zero the frames of x (B, T, C) outside mask (B, T); None means that all are real."""
    return x if mask is None else x * mask[..., None].to(x.dtype)


class StepEmbedding(nn.Module):
    """Sinusoids of a time or a step size in [0, 1], then an MLP."""

    frequencies: Tensor

    def __init__(self, dim: int, sinusoids: int = 256) -> None:
        super().__init__()
        half = sinusoids // 2
        exponents = torch.arange(half, dtype=torch.float32) * -(math.log(10000) / (half - 1))
        self.register_buffer("frequencies", 1000 * exponents.exp(), persistent=False)
        self.time_mlp = nn.Sequential(nn.Linear(sinusoids, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, value: Tensor) -> Tensor:
        """(B,) -> (B, dim)."""
        angles = value[:, None].float() * self.frequencies.float()
        waves = torch.cat((angles.sin(), angles.cos()), dim=-1)
        return self.time_mlp(waves.to(value.dtype))


class GlobalResponseNorm(nn.Module):
    """Channels compete by their energy over time (ConvNeXt V2, arXiv 2301.00808)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, dim))
        self.beta = nn.Parameter(torch.zeros(1, 1, dim))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        energy = blank(x, mask).norm(dim=1, keepdim=True)
        share = energy / (energy.mean(-1, keepdim=True) + 1e-6)
        return self.gamma * (x * share) + self.beta + x


class ConvNeXtBlock(nn.Module):
    """ConvNeXt V2 block over (B, T, C)."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1 = nn.Linear(dim, hidden)
        self.grn = GlobalResponseNorm(hidden)
        self.pwconv2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, C) -> (B, T, C), zero where masked if x is."""
        y = self.norm(self.dwconv(x.transpose(1, 2)).transpose(1, 2))
        y = self.grn(F.gelu(self.pwconv1(y)), mask)
        return x + blank(self.pwconv2(y), mask)


class TextEmbedding(nn.Module):
    """Positions and local context for the conditioning features."""

    positions: Tensor

    def __init__(self, dim: int, layers: int, max_frames: int = 4096) -> None:
        super().__init__()
        frequencies = 10000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float32) / dim)
        angles = torch.outer(torch.arange(max_frames, dtype=torch.float32), frequencies)
        table = torch.cat((angles.cos(), angles.sin()), dim=-1)
        self.register_buffer("positions", table, persistent=False)
        self.text_blocks = nn.Sequential(*(ConvNeXtBlock(dim, 2 * dim) for _ in range(layers)))

    def forward(self, fea: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, C) -> (B, T, C). Frames beyond the table share its last position."""
        frames = torch.arange(fea.shape[1], device=fea.device)
        frames = frames.clamp(max=self.positions.shape[0] - 1)
        x = blank(fea + self.positions[frames].to(fea.dtype), mask)
        for block in self.text_blocks:
            x = block(x, mask)
        return x


class ConvPositionEmbedding(nn.Module):
    """Two grouped convolutions whose output marks where a frame stands."""

    def __init__(self, dim: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.conv1d = nn.Sequential(
            nn.Conv1d(dim, dim, kernel, groups=groups, padding=kernel // 2),
            nn.Mish(),
            nn.Conv1d(dim, dim, kernel, groups=groups, padding=kernel // 2),
            nn.Mish(),
        )

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, C) -> (B, T, C); x is zero where masked."""
        first, mish, second, _ = self.conv1d
        y = mish(first(x.transpose(1, 2))).transpose(1, 2)
        y = mish(second(blank(y, mask).transpose(1, 2))).transpose(1, 2)
        return blank(y, mask)


class InputEmbedding(nn.Module):
    """Noisy mel, prompt mel and conditioning joined into the transformer's width."""

    def __init__(self, mels: int, text_dim: int, dim: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.proj = nn.Linear(2 * mels + text_dim, dim)
        self.conv_pos_embed = ConvPositionEmbedding(dim, kernel, groups)

    def forward(self, x: Tensor, prompt: Tensor, text: Tensor, mask: Tensor | None) -> Tensor:
        """x and prompt (B, T, mels), text (B, T, text_dim) -> (B, T, dim)."""
        y = blank(self.proj(torch.cat((x, prompt, text), dim=-1)), mask)
        return y + self.conv_pos_embed(y, mask)


class RotaryEmbedding(nn.Module):
    """Rotation tables of RoPE (arXiv 2104.09864), kept between calls of the same length."""

    inv_freq: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        exponents = torch.arange(0, dim, 2, dtype=torch.float32) / dim
        self.register_buffer("inv_freq", 10000.0**-exponents)
        self._tables: tuple[Tensor, Tensor] | None = None

    def forward(self, frames: int) -> tuple[Tensor, Tensor]:
        """cos and sin, each (frames, dim), every angle twice for the interleaved pairs."""
        tables = self._tables
        if tables is None or len(tables[0]) < frames or tables[0].device != self.inv_freq.device:
            size = max(1024, 1 << (frames - 1).bit_length())
            # Tables first made to speak must still serve training: no inference tensors. In
            # float32 throughout, as half-precision angles would be far off by frame 1000.
            with torch.inference_mode(False):
                positions = torch.arange(size, device=self.inv_freq.device, dtype=torch.float32)
                angles = torch.outer(positions, self.inv_freq.float()).repeat_interleave(2, dim=-1)
                tables = self._tables = (angles.cos(), angles.sin())
        return tables[0][:frames], tables[1][:frames]


def rotate(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate the first channels of x (B, T, C), as many as the tables (T, D) have, in pairs.

    The official models rotate before they split the heads, so with D the width of a head only
    head 0 knows relative positions. Their weights expect it.
    """
    cos, sin = rope
    head, rest = x[..., : cos.shape[-1]].float(), x[..., cos.shape[-1] :]
    even, odd = head[..., 0::2], head[..., 1::2]
    turned = torch.stack((-odd, even), dim=-1).flatten(-2)
    return torch.cat(((head * cos + turned * sin).to(x.dtype), rest), dim=-1)


class Attention(nn.Module):
    """Self-attention over (B, T, C) with RoPE."""

    def __init__(self, dim: int, heads: int, dim_head: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, heads * dim_head)
        self.to_k = nn.Linear(dim, heads * dim_head)
        self.to_v = nn.Linear(dim, heads * dim_head)
        self.to_out = nn.Sequential(nn.Linear(heads * dim_head, dim), nn.Dropout(dropout))

    def forward(self, x: Tensor, mask: Tensor | None, rope: tuple[Tensor, Tensor]) -> Tensor:
        """(B, T, C), mask (B, T) bool -> (B, T, C)."""
        query, key, value = (
            y.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for y in (rotate(self.to_q(x), rope), rotate(self.to_k(x), rope), self.to_v(x))
        )
        keys = None if mask is None else mask[:, None, None]
        if query.dtype == torch.bfloat16 and query.device.type == "cpu":
            # Spelled out, since a CPU's fused attention takes twice as long in bf16 as this.
            scores = (query / math.sqrt(query.shape[-1])) @ key.transpose(2, 3)
            if keys is not None:
                scores = scores.masked_fill(~keys, -1e4)
            found = scores.softmax(-1) @ value
        else:
            found = F.scaled_dot_product_attention(query, key, value, attn_mask=keys)
        return self.to_out(found.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Linear, GELU, linear; nested as the official state dict names it."""

    def __init__(self, dim: int, mult: int, dropout: float) -> None:
        super().__init__()
        first = nn.Sequential(nn.Linear(dim, dim * mult), nn.GELU(approximate="tanh"))
        self.ff = nn.Sequential(first, nn.Dropout(dropout), nn.Linear(dim * mult, dim))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return self.ff(x)


class AdaptiveNorm(nn.Module):
    """`chunks` vectors of modulation from the step embedding, nothing at the start (AdaLN-zero)."""

    def __init__(self, dim: int, chunks: int) -> None:
        super().__init__()
        self.chunks = chunks
        self.linear = nn.Linear(dim, chunks * dim)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, step: Tensor) -> tuple[Tensor, ...]:
        """(B, dim) -> `chunks` x (B, 1, dim)."""
        return self.linear(F.silu(step))[:, None].chunk(self.chunks, dim=-1)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Layer norm over the channels of (B, T, C), then the given scale and shift (B or 1, 1, C)."""
    if len(scale) == 1:  # of all items alike: one operation in place of three
        return F.layer_norm(x, x.shape[-1:], 1 + scale[0, 0], shift[0, 0], 1e-6)
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


class DiTBlock(nn.Module):
    """Attention and feed-forward, each scaled, shifted and gated by the step."""

    def __init__(self, dim: int, heads: int, dim_head: int, ff_mult: int, dropout: float) -> None:
        super().__init__()
        self.attn_norm = AdaptiveNorm(dim, 6)
        self.attn = Attention(dim, heads, dim_head, dropout)
        self.ff = FeedForward(dim, ff_mult, dropout)

    def forward(
        self,
        x: Tensor,
        modulation: tuple[Tensor, ...],
        mask: Tensor | None,
        rope: tuple[Tensor, Tensor],
    ) -> Tensor:
        """x (B, T, C), modulation 6 x (B or 1, 1, C) by `attn_norm` -> (B, T, C).

        Attention and feed-forward work in the precision of their weights, all between in x's.
        """
        shift, scale, gate, ff_shift, ff_scale, ff_gate = modulation
        dtype = self.attn.to_q.weight.dtype
        y = self.attn(modulate(x, shift, scale).to(dtype), mask, rope)
        x = torch.addcmul(x, gate, y.to(x.dtype))
        y = self.ff(modulate(x, ff_shift, ff_scale).to(dtype))
        return torch.addcmul(x, ff_gate, y.to(x.dtype))


class DiT(nn.Module):
    """The velocity field: which way a noisy mel has to go, given features and a prompt."""

    def __init__(
        self,
        *,
        dim: int,
        depth: int,
        heads: int,
        dim_head: int,
        ff_mult: int,
        mels: int,
        text_dim: int,
        conv_layers: int,
        conv_pos_kernel: int,
        conv_pos_groups: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.time_embed = StepEmbedding(dim)
        self.d_embed = StepEmbedding(dim)
        self.text_embed = TextEmbedding(text_dim, conv_layers)
        self.input_embed = InputEmbedding(mels, text_dim, dim, conv_pos_kernel, conv_pos_groups)
        self.rotary_embed = RotaryEmbedding(dim_head)
        self.transformer_blocks = nn.ModuleList(
            DiTBlock(dim, heads, dim_head, ff_mult, dropout) for _ in range(depth)
        )
        self.norm_out = AdaptiveNorm(dim, 2)
        self.proj_out = nn.Linear(dim, mels)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def padding(self, lengths: Tensor | None, frames: int) -> Tensor | None:
        """Mask (B, frames) bool of the lengths (B,), or None where nothing is padded; another
        device than the CPU is not asked whether it is."""
        if lengths is None or (lengths.device.type == "cpu" and bool((lengths >= frames).all())):
            return None
        return length_mask(lengths, frames)

    def embed_text(self, fea: Tensor, lengths: Tensor | None) -> Tensor:
        """Features (B, text_dim, T) -> what `velocity` takes as text (B, T, text_dim).

        Does not depend on the step: one call serves all steps of an integration.
        """
        return self.text_embed(fea.transpose(1, 2), self.padding(lengths, fea.shape[2]))

    def modulations(self, t: Tensor, dt: Tensor) -> list[tuple[Tensor, ...]]:
        """What a step from time t of size dt, (B,) or (1,), does to each block, and to the output
        last, as tensors (B or 1, 1, C): what `velocity` takes as step."""
        step = self.time_embed(t) + self.d_embed(dt)
        blocks = cast("Iterable[DiTBlock]", self.transformer_blocks)
        return [*(block.attn_norm(step) for block in blocks), self.norm_out(step)]

    def velocity(
        self,
        x: Tensor,
        prompt: Tensor,
        lengths: Tensor | None,
        step: list[tuple[Tensor, ...]],
        text: Tensor,
    ) -> Tensor:
        """As `forward`, with the step told by `modulations` and the text embedded by
        `embed_text`."""
        mask = self.padding(lengths, x.shape[2])
        rope = self.rotary_embed(x.shape[2])
        y = self.input_embed(x.transpose(1, 2), prompt.transpose(1, 2), text, mask)
        for block, modulation in zip(self.transformer_blocks, step[:-1], strict=True):
            y = block(y, modulation, mask, rope)
        # The last layer's modulation comes scale first, unlike the blocks'.
        scale, shift = step[-1]
        return blank(self.proj_out(modulate(y, shift, scale)), mask).transpose(1, 2)

    def forward(
        self, x: Tensor, prompt: Tensor, lengths: Tensor | None, t: Tensor, dt: Tensor, fea: Tensor
    ) -> Tensor:
        """Velocity of x at time t for a step of size dt.

        x and prompt (B, mels, T): the noisy mel (zero where the prompt is) and the prompt mel (zero
        after it); lengths (B,) of right-padded items, None for a batch without padding; t and dt
        (B,) or (1,) for all; fea (B, text_dim, T) -> (B, mels, T), zero beyond the lengths.
        Leaving out a condition (guidance) is passing zeros for it.
        """
        text = self.embed_text(fea, lengths)
        return self.velocity(x, prompt, lengths, self.modulations(t, dt), text)


class CFM(nn.Module):
    """Flow matching around the velocity field `estimator`."""

    def __init__(self, estimator: DiT) -> None:
        super().__init__()
        self.estimator = estimator

    @torch.no_grad()
    def inference(
        self,
        fea: Tensor,
        lengths: Tensor | None,
        prompt_mel: Tensor,
        steps: int,
        noise: Tensor,
        cfg_rate: float = 0.0,
        draft: Tensor | None = None,
        begin: float = 0.0,
        brief: bool = False,
    ) -> Tensor:
        """Integrate from noise to mel in `steps` Euler steps.

        fea (B, text_dim, T), lengths (B,) or None for no padding, prompt_mel (B or 1, mels, P) the
        mel of the first P frames, noise (B, mels, T) -> mel (B, mels, T), zero over the prompt.
        `cfg_rate` > 0 moves the velocity away from the unconditional one (a second pass a step).
        With a draft (B, mels, T) of the mel, the path begins at time `begin` from draft and noise
        mixed as the path has them there; only the rest is integrated (SDEdit, arXiv 2108.01073).
        `brief`: the unconditional pass, to which the prompt says nothing, leaves its frames out;
        for models that were trained without a prompt, too.
        """
        frames = prompt_mel.shape[2]
        prompt = torch.zeros_like(noise)
        prompt[..., :frames] = prompt_mel
        kept = torch.ones_like(noise[:1, :1])
        kept[..., :frames] = 0
        x = noise * kept if draft is None else ((1 - begin) * noise + begin * draft) * kept
        text = self.estimator.embed_text(fea, lengths)
        if cfg_rate > 0:
            first = frames if brief else 0
            rest = None if lengths is None else lengths - first
            no_prompt = torch.zeros_like(prompt[..., first:])
            no_text = self.estimator.embed_text(torch.zeros_like(fea[..., first:]), rest)
        size = (1.0 - begin) / steps
        times = torch.arange(steps, device=noise.device) * size + begin
        # Of all steps at once, since reading its weights is what takes time.
        modulations = self.estimator.modulations(times.to(noise.dtype), noise.new_full((1,), size))
        for number in range(steps):
            step = [tuple(part[number : number + 1] for part in one) for one in modulations]
            velocity = self.estimator.velocity(x, prompt, lengths, step, text)
            if cfg_rate > 0:
                blind = self.estimator.velocity(x[..., first:], no_prompt, rest, step, no_text)
                velocity[..., first:] += (velocity[..., first:] - blind) * cfg_rate
            x = (x + size * velocity) * kept
        return x
