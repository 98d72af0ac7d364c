"""Prior encoder of the acoustic stage: relative-position transformers and the text cross-attention.

The transformer is VITS's (arXiv 2106.06103) with the relative positions of Shaw et al.
(arXiv 1803.02155); MRTE fuses semantic frames, phones and the voice.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.s2.masks import length_mask


def band_to_square(band: Tensor) -> Tensor:
    """Spread values by offset over key positions: (..., T, 2w+1) -> (..., T, T), zero off the band.

    Row i, column o of the band lands in row i, column i + o - w. Only pads and reshapes: a row one
    element longer than the target shifts every following row by one.
    """
    length, width = band.shape[-2:]
    window = width // 2
    flat = F.pad(band, (0, length)).flatten(-2)
    rows = flat[..., : length * (length + width - 1)].unflatten(-1, (length, length + width - 1))
    return rows[..., window : window + length]


def square_to_band(square: Tensor, window: int) -> Tensor:
    """Inverse of `band_to_square`: (..., T, T) -> (..., T, 2*window+1)."""
    length = square.shape[-1]
    flat = F.pad(F.pad(square, (window, window)).flatten(-2), (0, length))
    return flat.unflatten(-1, (length, length + 2 * window + 1))[..., : 2 * window + 1]


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (B, C, T)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        x = F.layer_norm(x.transpose(1, 2), self.gamma.shape, self.gamma, self.beta, 1e-5)
        return x.transpose(1, 2)


class MultiHeadAttention(nn.Module):
    """Attention of (B, C, T) sequences; with a `window`, plus learned relative positions."""

    def __init__(
        self, channels: int, heads: int, window: int | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels do not divide into {heads} heads")
        self.heads = heads
        self.head_channels = channels // heads
        self.window = window
        self.conv_q = nn.Conv1d(channels, channels, 1)
        self.conv_k = nn.Conv1d(channels, channels, 1)
        self.conv_v = nn.Conv1d(channels, channels, 1)
        self.conv_o = nn.Conv1d(channels, channels, 1)
        self.drop = nn.Dropout(dropout)
        for conv in (self.conv_q, self.conv_k, self.conv_v):
            nn.init.xavier_uniform_(conv.weight)
        if window is not None:
            shape = (1, 2 * window + 1, self.head_channels)
            self.emb_rel_k = nn.Parameter(torch.randn(shape) * self.head_channels**-0.5)
            self.emb_rel_v = nn.Parameter(torch.randn(shape) * self.head_channels**-0.5)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.heads, self.head_channels)).transpose(2, 3)

    def log_weights(self, x: Tensor, context: Tensor, context_mask: Tensor) -> Tensor:
        """Log attention (B, heads, T, S) of what `forward` takes, without a window."""
        query = self._heads(self.conv_q(x)) / math.sqrt(self.head_channels)
        scores = (query @ self._heads(self.conv_k(context)).transpose(-2, -1)).float()
        return scores.masked_fill(~context_mask[:, None, None], -1e4).log_softmax(-1)

    def forward(self, x: Tensor, context: Tensor, context_mask: Tensor) -> Tensor:
        """x (B, C, T) attends to context (B, C, S) where context_mask (B, S) -> (B, C, T)."""
        query = self._heads(self.conv_q(x))
        key = self._heads(self.conv_k(context))
        value = self._heads(self.conv_v(context))
        mask = context_mask[:, None, None]
        if self.window is None:
            out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        else:
            query = query / math.sqrt(self.head_channels)
            scores = query @ key.transpose(-2, -1)
            scores = scores + band_to_square(query @ self.emb_rel_k.transpose(-2, -1))
            weights = self.drop(scores.masked_fill(~mask, -1e4).softmax(-1))
            out = weights @ value + square_to_band(weights, self.window) @ self.emb_rel_v
        return self.conv_o(out.transpose(2, 3).flatten(1, 2))


class FeedForward(nn.Module):
    """Two "same" convolutions with a ReLU between."""

    def __init__(self, channels: int, filter_channels: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.conv_1 = nn.Conv1d(channels, filter_channels, kernel, padding=kernel // 2)
        self.conv_2 = nn.Conv1d(filter_channels, channels, kernel, padding=kernel // 2)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, C, T) with mask (B, 1, T) -> (B, C, T)."""
        x = self.drop(self.conv_1(x * mask).relu())
        return self.conv_2(x * mask) * mask


class Encoder(nn.Module):
    """Post-norm transformer over (B, C, T) with relative positions within `window` frames."""

    def __init__(
        self,
        channels: int,
        filter_channels: int,
        heads: int,
        layers: int,
        kernel: int,
        dropout: float,
        window: int = 4,
    ) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.attn_layers = nn.ModuleList(
            MultiHeadAttention(channels, heads, window, dropout) for _ in range(layers)
        )
        self.norm_layers_1 = nn.ModuleList(ChannelNorm(channels) for _ in range(layers))
        self.ffn_layers = nn.ModuleList(
            FeedForward(channels, filter_channels, kernel, dropout) for _ in range(layers)
        )
        self.norm_layers_2 = nn.ModuleList(ChannelNorm(channels) for _ in range(layers))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, C, T) with mask (B, T) bool -> (B, C, T), zero where masked."""
        frames = mask[:, None].to(x.dtype)
        x = x * frames
        for attention, norm_1, feed_forward, norm_2 in zip(
            self.attn_layers, self.norm_layers_1, self.ffn_layers, self.norm_layers_2, strict=True
        ):
            x = norm_1(x + self.drop(attention(x, x, mask)))
            x = norm_2(x + self.drop(feed_forward(x, frames)))
        return x * frames


class MRTE(nn.Module):
    """Semantic frames look up the phones; the voice vector is added to what they find."""

    def __init__(self, channels: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.cross_attention = MultiHeadAttention(hidden, heads)
        self.c_pre = nn.Conv1d(channels, hidden, 1)
        self.text_pre = nn.Conv1d(channels, hidden, 1)
        self.c_post = nn.Conv1d(hidden, channels, 1)

    def forward(
        self, semantic: Tensor, mask: Tensor, text: Tensor, text_mask: Tensor, voice: Tensor
    ) -> Tensor:
        """semantic (B, C, T), text (B, C, S), voice (B, hidden, 1), masks (B, T), (B, S)."""
        frames = mask[:, None].to(semantic.dtype)
        semantic = self.c_pre(semantic)
        found = self.cross_attention(semantic, self.text_pre(text), text_mask)
        return self.c_post((found + semantic + voice) * frames)


class TextEncoder(nn.Module):
    """`enc_p`: quantised semantic features and phones -> hidden frames at the semantic rate x 2."""

    def __init__(
        self,
        *,
        ssl_dim: int,
        symbols: int,
        inter_channels: int,
        hidden_channels: int,
        filter_channels: int,
        heads: int,
        layers: int,
        kernel: int,
        mrte_hidden: int,
        mrte_heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        shape = (hidden_channels, filter_channels, heads)
        self.ssl_proj = nn.Conv1d(ssl_dim, hidden_channels, 1)
        self.encoder_ssl = Encoder(*shape, layers // 2, kernel, dropout)
        self.encoder_text = Encoder(*shape, layers, kernel, dropout)
        self.text_embedding = nn.Embedding(symbols, hidden_channels)
        self.mrte = MRTE(hidden_channels, mrte_hidden, mrte_heads)
        self.encoder2 = Encoder(*shape, layers // 2, kernel, dropout)
        # Mean and log deviation of the VITS prior. v3 and v4 carry it without using it.
        self.proj = nn.Conv1d(hidden_channels, 2 * inter_channels, 1)

    def forward(
        self,
        semantic: Tensor,
        lengths: Tensor,
        text: Tensor,
        text_lengths: Tensor,
        voice: Tensor,
        speed: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Hidden frames, stretched to 1/speed of their length.

        semantic (B, ssl_dim, T), lengths (B,), text (B, S) ids, text_lengths (B,),
        voice (B, mrte hidden, 1) -> hidden (B, C, T'), lengths (B,).
        """
        mask = length_mask(lengths, semantic.shape[2])
        text_mask = length_mask(text_lengths, text.shape[1])
        x = self.encoder_ssl(self.ssl_proj(semantic), mask)
        phones = self.encoder_text(self.text_embedding(text).transpose(1, 2), text_mask)
        x = self.encoder2(self.mrte(x, mask, phones, text_mask, voice), mask)
        if speed != 1.0:
            x, lengths = stretch(x, lengths, speed)
        return x, lengths


def stretch(x: Tensor, lengths: Tensor, speed: float) -> tuple[Tensor, Tensor]:
    """Linear interpolation of each item (C, n) to int(n / speed) + 1 frames, on its own length.

    x (B, C, T), lengths (B,) -> (B, C, T'), lengths (B,); zero beyond the lengths.
    """
    counts = [int(n) for n in lengths]
    sizes = [int(n / speed) + 1 for n in counts]
    pieces = [
        F.pad(F.interpolate(x[i : i + 1, :, :n], size=size, mode="linear"), (0, max(sizes) - size))
        for i, (n, size) in enumerate(zip(counts, sizes, strict=True))
    ]
    stretched = torch.cat(pieces)
    return stretched, torch.tensor(sizes, device=lengths.device)
