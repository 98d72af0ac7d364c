"""S1, text to semantic: a decoder-only transformer continues phones with tokens, 25 a second.

Layout, names and arithmetic are those of the official checkpoints' `Text2SemanticDecoder`: phones
(with BERT features added) and tokens stand in one sequence, phones see all phones, tokens see all
phones and the tokens before them. The last phone's output predicts the first token; there is no
begin token, and the end token is the last class.

Models whose training showed some heads which phone comes next (`guided_heads`) are held to the text
as they speak. These heads may stay at their phone or go on to the next, or over a mark to the one
behind it, and further where they have stayed for long; and the end may come only where the text
does: the window over the attention is that of W. Ping et al., "Deep Voice 3" (2018). And tokens are
the likelier the oftener they were this phone in the training speech, a shallow fusion (C. Gulcehre
et al., 2015) with a table in the place of a language model. Without both, sampled tokens now and
then leap over words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.recogniser import PHONES, SILENCE
from model.text.symbols import SYMBOLS

SILENT = PHONES.index(SILENCE)
POSITIONS = 4000
"""The most phones, and the most tokens, that the position table holds."""
FUSION = 0.6
"""Weight of the table's logarithms beside the logits."""
RARE = 0.01
"""Added to the table's probabilities: a token that never was this phone may still be said."""
LINGERED = 4
"""Tokens at one phone, each time after which the next choice may reach one phone further: quick
sounds have less than a token, and who fell behind the text must catch up."""
ENDING = 2
"""Phones at whose beginning the end may come: the last sound and the mark after it."""


@dataclass(frozen=True)
class S1Config:
    """Defaults are the official v2 sizes; the first `guided_heads` of `guided_layer` look at the
    phone that comes next (0: none was trained to)."""

    width: int = 512
    heads: int = 16
    layers: int = 24
    phones: int = 732
    codes: int = 1024
    bert: int = 1024
    dropout: float = 0.0
    guided_layer: int = 0
    guided_heads: int = 0

    @property
    def held(self) -> bool:
        """Whether it is held to its text."""
        return 0 < self.guided_heads <= self.heads and 0 <= self.guided_layer < self.layers

    @property
    def end(self) -> int:
        """The end token; also what pads tokens."""
        return self.codes


def sound_classes() -> Tensor:
    """The recogniser's class of each symbol of the inventory (symbols,): of a mark, and of what is
    no English phone, silence."""
    classes = {phone: number for number, phone in enumerate(PHONES)}
    return torch.tensor([classes.get(symbol.rstrip("012"), SILENT) for symbol in SYMBOLS["v2"]])


class TokenEmbedding(nn.Module):
    """An embedding one level down, as the official state dict names it."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(count, width)

    def forward(self, ids: Tensor) -> Tensor:
        """(...) ids -> (..., width)."""
        return self.word_embeddings(ids)


class SinePosition(nn.Module):
    """Adds a learned multiple of the sine table, sine and cosine interleaved."""

    table: Tensor

    def __init__(self, width: int, positions: int = POSITIONS) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1))
        rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
        angles = torch.arange(positions)[:, None] * rate[None]
        table = torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
        self.register_buffer("table", table, persistent=False)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """x (..., width) at `positions` (...)."""
        return x + self.alpha * self.table[positions]


class SelfAttention(nn.Module):
    """Multi-head attention with the key names of `torch.nn.MultiheadAttention`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(batch, time, width) -> queries, keys, values (batch, heads, time, width / heads)."""
        batch, time, width = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = qkv.view(batch, time, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        return q, k, v

    def join(self, heads: Tensor) -> Tensor:
        """(batch, heads, time, width / heads) -> (batch, time, width), projected."""
        return self.out_proj(heads.transpose(1, 2).flatten(2))


class DecoderLayer(nn.Module):
    """A post-norm transformer layer with a ReLU network four times as wide."""

    def __init__(self, config: S1Config) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config.width, config.heads)
        self.linear1 = nn.Linear(config.width, 4 * config.width)
        self.linear2 = nn.Linear(4 * config.width, config.width)
        self.norm1 = nn.LayerNorm(config.width)
        self.norm2 = nn.LayerNorm(config.width)
        self.dropout = config.dropout

    def after_attention(self, x: Tensor, attended: Tensor) -> Tensor:
        """The layer's rest: x and what its attention found (batch, time, width) -> the same."""
        x = self.norm1(x + self._drop(attended))
        return self.norm2(x + self._drop(self.linear2(F.relu(self.linear1(x)))))

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (batch, time, width) -> output, keys, values.

        mask (batch or 1, 1, time, time): 0 where seen, else -1e4.

        Spelled out: on a CPU, scaled_dot_product_attention with a mask takes twice as long in bf16.
        """
        q, k, v = self.self_attn.split(x)
        scores = (q / math.sqrt(q.shape[3])) @ k.transpose(2, 3) + mask.to(q.dtype)
        attended = self.self_attn.join(scores.softmax(-1) @ v)
        return self.after_attention(x, attended), k, v

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


class Layers(nn.Module):
    """The decoder's layers, one level down as the official state dict names them."""

    def __init__(self, config: S1Config) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.layers))

    def __iter__(self) -> Iterator[DecoderLayer]:
        return iter(cast("list[DecoderLayer]", self.layers))


class Text2SemanticDecoder(nn.Module):
    """S1 with the official names of its parts.

    One that is held to its text also has the table `sounds_of_codes` (codes, classes), the
    probabilities of the recogniser's classes given a token.
    """

    sound_of: Tensor
    sounds_of_codes: Tensor

    def __init__(self, config: S1Config = S1Config()) -> None:
        super().__init__()
        self.config = config
        self.bert_proj = nn.Linear(config.bert, config.width)
        self.ar_text_embedding = TokenEmbedding(config.phones, config.width)
        self.ar_text_position = SinePosition(config.width)
        self.ar_audio_embedding = TokenEmbedding(config.codes + 1, config.width)
        self.ar_audio_position = SinePosition(config.width)
        self.h = Layers(config)
        self.ar_predict_layer = nn.Linear(config.width, config.codes + 1, bias=False)
        self.register_buffer("sound_of", sound_classes()[: config.phones], persistent=False)
        if config.held:
            self.register_buffer("sounds_of_codes", torch.zeros(config.codes, len(PHONES)))

    def embed_phones(self, phones: Tensor, bert: Tensor | None) -> Tensor:
        """(batch, time) ids, (batch, bert, time) features or None -> (batch, time, width)."""
        x = self.ar_text_embedding(phones)
        x = x + (self.bert_proj.bias if bert is None else self.bert_proj(bert.transpose(1, 2)))
        return self.ar_text_position(x, torch.arange(phones.shape[1], device=phones.device))

    def embed_tokens(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Tokens and their positions, counted from the first token, both (...) -> (..., width)."""
        return self.ar_audio_position(self.ar_audio_embedding(tokens), positions)

    def forward(
        self,
        phones: Tensor,
        phone_lengths: Tensor,
        tokens: Tensor,
        token_lengths: Tensor,
        bert: Tensor | None = None,
        guided: tuple[int, int] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Teacher forcing over right-padded rows.

        phones (batch, P), tokens (batch, T), lengths (batch) -> logits (batch, T + 1, codes + 1)
        for the T tokens and the end token; where a row is shorter, what stands behind its length is
        meaningless. `guided` = (layer, heads) asks for the log-probabilities (batch, heads, T + 1,
        P) with which the layer's first heads attend to the phones.
        """
        batch, text = phones.shape
        time = tokens.shape[1]
        x = torch.cat(
            [
                self.embed_phones(phones, bert),
                self.embed_tokens(tokens, torch.arange(time, device=tokens.device)),
            ],
            dim=1,
        )
        place = torch.arange(text + time, device=phones.device)
        seen_text = (place < text) & (place < phone_lengths[:, None])
        causal = (place >= text) & (place <= place[:, None])
        token = place < text + token_lengths[:, None]
        mask = seen_text[:, None, :] | (causal & token[:, None, :])
        mask = mask[:, None]
        last = (phone_lengths - 1)[:, None, None]
        predicting = torch.cat([last, text + torch.arange(time).to(last).expand(batch, 1, -1)], 2)
        predicting = predicting.transpose(1, 2)
        bias = _bias(mask)
        attention = None
        for number, layer in enumerate(self.h):
            if guided is not None and guided[0] == number:
                q, k, _ = layer.self_attn.split(x)
                q, k = q[:, : guided[1]].float(), k[:, : guided[1]].float()
                rows = predicting[:, None].expand(-1, guided[1], -1, q.shape[3])
                scores = q.gather(2, rows) @ k.transpose(2, 3) / math.sqrt(q.shape[3])
                visible = mask.expand(batch, 1, -1, -1).gather(
                    2, predicting[:, None].expand(-1, 1, -1, mask.shape[3])
                )
                scores = scores.masked_fill(~visible, -1e4)
                attention = F.log_softmax(scores, dim=3)[..., :text]
            x, _, _ = layer(x, bias)
        x = x.gather(1, predicting.expand(-1, -1, x.shape[2]))
        return self.ar_predict_layer(x), attention


def _bias(mask: Tensor) -> Tensor:
    """Added to attention scores: 0 where `mask` is True, else so little that nothing is left."""
    return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, -1e4)
