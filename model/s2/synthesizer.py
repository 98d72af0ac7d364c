"""The acoustic model of GPT-SoVITS v3 and v4: codes, phones and a voice -> conditioning -> mel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.s2.encoder import TextEncoder
from model.s2.flow_matching import CFM, DiT
from model.s2.quantizer import ResidualVectorQuantizer
from model.s2.reference import MelStyleEncoder
from model.s2.wavenet import WaveNetEncoder


@dataclass(frozen=True)
class S2Config:
    """Every dimension of the model; the defaults are the official v3 (v4: `upsample=2.0`)."""

    ssl_dim: int = 768
    codebook: int = 1024
    symbols: int = 732
    inter_channels: int = 192
    hidden_channels: int = 192
    filter_channels: int = 768
    heads: int = 2
    layers: int = 6
    kernel: int = 3
    mrte_hidden: int = 512
    mrte_heads: int = 4
    gin_channels: int = 512
    reference_bins: int = 704
    wns1_width: int = 512
    wns1_layers: int = 8
    wns1_kernel: int = 5
    mels: int = 100
    upsample: float = (
        1.875  # mel frames a frame of the prior encoder (50 Hz): 93.75 Hz; 2.0: 100 Hz
    )
    dit_dim: int = 1024
    dit_depth: int = 22
    dit_heads: int = 16
    dit_dim_head: int = 64
    dit_ff_mult: int = 2
    text_dim: int = 512
    conv_layers: int = 4
    conv_pos_kernel: int = 31
    conv_pos_groups: int = 16
    dropout: float = 0.1
    dit_dropout: float = 0.1


class SynthesizerTrnV3(nn.Module):
    """S2 of v3 and v4, with the official names of its parts."""

    def __init__(self, config: S2Config = S2Config()) -> None:
        super().__init__()
        c = self.config = config
        self.enc_p = TextEncoder(
            ssl_dim=c.ssl_dim,
            symbols=c.symbols,
            inter_channels=c.inter_channels,
            hidden_channels=c.hidden_channels,
            filter_channels=c.filter_channels,
            heads=c.heads,
            layers=c.layers,
            kernel=c.kernel,
            mrte_hidden=c.mrte_hidden,
            mrte_heads=c.mrte_heads,
            dropout=c.dropout,
        )
        self.ref_enc = MelStyleEncoder(c.reference_bins, c.gin_channels, dropout=c.dropout)
        # As in v2Pro: a voice of another width is brought to the cross-attention's.
        same = c.gin_channels == c.mrte_hidden
        self.ge_to512 = nn.Identity() if same else nn.Linear(c.gin_channels, c.mrte_hidden)
        self.ssl_proj = nn.Conv1d(c.ssl_dim, c.ssl_dim, 2, stride=2)
        self.quantizer = ResidualVectorQuantizer(c.codebook, c.ssl_dim)
        self.bridge = nn.Sequential(
            nn.Conv1d(c.hidden_channels, c.wns1_width, 1), nn.LeakyReLU(0.01)
        )
        self.wns1 = WaveNetEncoder(
            c.wns1_width, c.text_dim, c.wns1_width, c.wns1_kernel, c.wns1_layers, c.gin_channels
        )
        # Mel straight from the conditioning: an auxiliary loss in training, unused to speak.
        self.linear_mel = nn.Conv1d(c.text_dim, c.mels, 1)
        self.cfm = CFM(
            DiT(
                dim=c.dit_dim,
                depth=c.dit_depth,
                heads=c.dit_heads,
                dim_head=c.dit_dim_head,
                ff_mult=c.dit_ff_mult,
                mels=c.mels,
                text_dim=c.text_dim,
                conv_layers=c.conv_layers,
                conv_pos_kernel=c.conv_pos_kernel,
                conv_pos_groups=c.conv_pos_groups,
                dropout=c.dit_dropout,
            )
        )

    def extract_codes(self, ssl: Tensor) -> Tensor:
        """Self-supervised features at 50 Hz (B, ssl_dim, T) -> codes at 25 Hz (B, T // 2) int64."""
        return self.quantizer.encode(self.ssl_proj(ssl))

    def reference_embedding(self, refer: Tensor, lengths: Tensor) -> Tensor:
        """Voice of right-padded spectrograms (B, bins, T), lengths (B,) -> (B, gin_channels, 1).

        Bins above `reference_bins` are ignored: the official models hear only the lowest 704 of
        1025.
        """
        return self.ref_enc(refer[:, : self.config.reference_bins], lengths)

    def condition(
        self,
        codes: Tensor,
        code_lengths: Tensor,
        text: Tensor,
        text_lengths: Tensor,
        ge: Tensor,
        speed: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """What the flow matching is conditioned on, at the mel's frame rate.

        codes (B, T25) and text (B, Tp) int64, right-padded, with lengths (B,);
        ge (B, gin_channels, 1) -> fea (B, text_dim, T), fea_lengths (B,).
        """
        semantic = self.quantizer.decode(codes).repeat_interleave(2, dim=2)
        voice = self.ge_to512(ge.transpose(1, 2)).transpose(1, 2)
        hidden, lengths = self.enc_p(semantic, 2 * code_lengths, text, text_lengths, voice, speed)
        fea = F.interpolate(self.bridge(hidden), scale_factor=self.config.upsample, mode="nearest")
        lengths = torch.floor(lengths * self.config.upsample).long()
        # The official model cuts the gradient to the voice here; training from scratch needs it.
        return self.wns1(fea, lengths, ge), lengths
