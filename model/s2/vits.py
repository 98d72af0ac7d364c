"""The acoustic model of GPT-SoVITS v1, v2, v2Pro and v2ProPlus: codes, phones, a voice -> waveform.

VITS (arXiv 2106.06103) without its duration predictor: the codes already carry the timing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from model.s2.encoder import TextEncoder
from model.s2.flow import ResidualCouplingBlock
from model.s2.masks import length_mask
from model.s2.quantizer import ResidualVectorQuantizer
from model.s2.reference import MelStyleEncoder
from model.s2.wavenet import WaveNetEncoder
from model.vocoder import Generator, GeneratorConfig


@dataclass(frozen=True)
class VitsConfig:
    """Every dimension of the model; the defaults are the official v2."""

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
    spectrum_bins: int = 1025
    reference_bins: int = 704
    speaker_dim: int = 0  # width of the speaker-verification vector; 0: the version takes none
    wavenet_kernel: int = 5
    posterior_layers: int = 16
    flow_couplings: int = 4
    flow_layers: int = 4
    decoder_width: int = 512
    decoder_rates: tuple[int, ...] = (10, 8, 2, 2, 2)
    decoder_rate_kernels: tuple[int, ...] = (16, 16, 8, 2, 2)
    decoder_block_kernels: tuple[int, ...] = (3, 7, 11)
    decoder_dilations: tuple[int, ...] = (1, 3, 5)
    dropout: float = 0.1


V2 = VitsConfig()
V2_PRO = replace(V2, gin_channels=1024, speaker_dim=20480, dropout=0.0)
VITS_CONFIGS = {
    "v1": replace(V2, symbols=322, reference_bins=1025),
    "v2": V2,
    "v2Pro": V2_PRO,
    "v2ProPlus": replace(V2_PRO, decoder_width=768, decoder_rate_kernels=(20, 16, 8, 2, 2)),
}


def frame_count(codes: int, speed: float = 1.0) -> int:
    """Frames of 20 ms that `codes` tokens of 40 ms take at a speed: how much noise they need."""
    return 2 * codes if speed == 1.0 else int(2 * codes / speed) + 1


class SynthesizerTrn(nn.Module):
    """S2 of v1, v2, v2Pro and v2ProPlus, with the official names of its parts.

    `posterior` adds the encoder of recordings (`enc_q`), which only training needs and which
    fine-tuned checkpoints leave out.
    """

    def __init__(self, config: VitsConfig = V2, posterior: bool = False) -> None:
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
        decoder = GeneratorConfig(
            mels=c.inter_channels,
            width=c.decoder_width,
            rates=c.decoder_rates,
            rate_kernels=c.decoder_rate_kernels,
            block_kernels=c.decoder_block_kernels,
            dilations=c.decoder_dilations,
        )
        self.dec = Generator(decoder, c.gin_channels)
        self.enc_q = None
        if posterior:
            # Mean and log deviation of the latent of a recording.
            self.enc_q = WaveNetEncoder(
                c.spectrum_bins,
                2 * c.inter_channels,
                c.hidden_channels,
                c.wavenet_kernel,
                c.posterior_layers,
                c.gin_channels,
            )
        self.flow = ResidualCouplingBlock(
            c.inter_channels,
            c.hidden_channels,
            c.wavenet_kernel,
            c.flow_layers,
            c.flow_couplings,
            c.gin_channels,
        )
        self.ref_enc = MelStyleEncoder(c.reference_bins, c.gin_channels)
        self.ssl_proj = nn.Conv1d(c.ssl_dim, c.ssl_dim, 2, stride=2)
        self.quantizer = ResidualVectorQuantizer(c.codebook, c.ssl_dim)
        if c.speaker_dim:
            self.sv_emb = nn.Linear(c.speaker_dim, c.gin_channels)
            self.ge_to512 = nn.Linear(c.gin_channels, c.mrte_hidden)
            self.prelu = nn.PReLU(c.gin_channels)

    def extract_codes(self, ssl: Tensor) -> Tensor:
        """Self-supervised features at 50 Hz (B, ssl_dim, T) -> codes at 25 Hz (B, T // 2) int64."""
        return self.quantizer.encode(self.ssl_proj(ssl))

    def reference_embedding(
        self, refer: Tensor, lengths: Tensor, sv: Tensor | None = None
    ) -> Tensor:
        """Voice of right-padded spectrograms (B, bins, T), lengths (B,) -> (B, gin_channels, 1).

        Bins above `reference_bins` are ignored: the official models from v2 on hear only the lowest
        704 of 1025. sv (B, speaker_dim): the speaker-verification vectors of the same recordings,
        which v2Pro and v2ProPlus need. A voice of several recordings is the mean of theirs.
        """
        ge = self.ref_enc(refer[:, : self.config.reference_bins], lengths)
        if self.config.speaker_dim:
            if sv is None:
                raise ValueError("this version's voice needs a speaker-verification vector")
            ge = self.prelu(ge + self.sv_emb(sv)[:, :, None])
        return ge

    def prior(
        self,
        codes: Tensor,
        code_lengths: Tensor,
        text: Tensor,
        text_lengths: Tensor,
        ge: Tensor,
        speed: float = 1.0,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What codes and phones say of the latent: its mean, its log deviation, its lengths.

        codes (B, T25) and text (B, Tp) int64, right-padded, with lengths (B,);
        ge (B or 1, gin_channels, 1) -> (B, inter_channels, T) twice, zero where padded, (B,).
        """
        semantic = self.quantizer.decode(codes).repeat_interleave(2, dim=2)
        voice = ge
        if self.config.speaker_dim:
            voice = self.ge_to512(ge.transpose(1, 2)).transpose(1, 2)
        hidden, lengths = self.enc_p(semantic, 2 * code_lengths, text, text_lengths, voice, speed)
        stats = self.enc_p.proj(hidden) * self._mask(lengths, hidden)
        mean, log_deviation = stats.chunk(2, dim=1)
        return mean, log_deviation, lengths

    def posterior(
        self, spectrogram: Tensor, lengths: Tensor, ge: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The latent of recordings, for training: a sample of it, and its log deviation.

        spectrogram (B, spectrum_bins, T), right-padded, lengths (B,); noise (B, inter_channels, T)
        from the normal distribution -> (B, inter_channels, T) twice, zero where padded. The voice
        gets no gradient from here. ValueError for a model without its posterior encoder.
        """
        if self.enc_q is None:
            raise ValueError("this model has no posterior encoder")
        mean, log_deviation = self.enc_q(spectrogram, lengths, ge.detach()).chunk(2, dim=1)
        sample = (mean + noise * log_deviation.exp()) * self._mask(lengths, mean)
        return sample, log_deviation

    def latent(self, prior: Tensor, lengths: Tensor, ge: Tensor) -> Tensor:
        """A sample of the prior (B, inter_channels, T) -> the decoder's latent, the same shape."""
        mask = self._mask(lengths, prior)
        return self.flow(prior * mask, mask, ge, reverse=True)

    def sample(
        self,
        codes: Tensor,
        code_lengths: Tensor,
        text: Tensor,
        text_lengths: Tensor,
        ge: Tensor,
        noise: Tensor,
        noise_scale: float = 0.5,
        speed: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """The decoder's latent (B, inter_channels, T) of speech, lengths (B,) in frames.

        Arguments as for `prior`; noise (B, inter_channels, frames) from the normal distribution,
        each item's first `frame_count(code_length, speed)` frames counting.
        """
        mean, log_deviation, lengths = self.prior(
            codes, code_lengths, text, text_lengths, ge, speed
        )
        return self.latent(mean + noise * log_deviation.exp() * noise_scale, lengths, ge), lengths

    def decode(
        self,
        codes: Tensor,
        code_lengths: Tensor,
        text: Tensor,
        text_lengths: Tensor,
        ge: Tensor,
        noise: Tensor,
        noise_scale: float = 0.5,
        speed: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Speech: waveform (B, 1, samples) in [-1, 1] at 32 kHz, lengths in samples (B,).

        Arguments as for `sample`. An item sounds the same in any batch, and silence follows it.
        """
        latent, lengths = self.sample(
            codes, code_lengths, text, text_lengths, ge, noise, noise_scale, speed
        )
        padded = bool((lengths < latent.shape[2]).any())
        audio = self.dec(latent, ge, lengths if padded else None)
        return audio, lengths * self.dec.config.hop_samples

    @staticmethod
    def _mask(lengths: Tensor, like: Tensor) -> Tensor:
        return length_mask(lengths, like.shape[2])[:, None].to(like.dtype)
