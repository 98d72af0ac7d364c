"""The dimensions of official networks, read off the shapes of their weights.

A stored configuration may be missing or wrong, shapes can't be. The few numbers that leave no trace
in shapes (strides, the heads of S1, dropout) are the official ones; S1's heads may be in the file's
configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from model.bigvgan import BigVGANConfig
from model.identify import Version
from model.s1 import S1Config
from model.s2.synthesizer import S2Config
from model.s2.vits import VITS_CONFIGS, VitsConfig
from model.speaker import SpeakerConfig
from model.vocoder import GeneratorConfig

Weights = Mapping[str, Tensor]


def s1_config(weights: Weights, config: Mapping[str, Any]) -> S1Config:
    """Of an S1; KeyError or IndexError where a weight that tells them is gone or odd."""
    stored = config.get("model")
    heads = stored.get("head") if isinstance(stored, Mapping) else None
    codes, width = weights["ar_predict_layer.weight"].shape
    return S1Config(
        width=width,
        heads=heads if isinstance(heads, int) and heads > 0 else S1Config.heads,
        layers=_count(weights, "h.layers.{}.linear1.weight"),
        phones=len(weights["ar_text_embedding.word_embeddings.weight"]),
        codes=codes - 1,
        bert=weights["bert_proj.weight"].shape[1],
    )


def s2_config(weights: Weights, version: Version) -> S2Config | VitsConfig:
    """Of an S2: v3 and v4 differ in what they upsample by, the others in widths alone."""
    if version in ("v3", "v4"):
        return _flow_matching(weights, 2.0 if version == "v4" else 1.875)
    return _vits(weights, VITS_CONFIGS[version])


def _flow_matching(weights: Weights, upsample: float) -> S2Config:
    dit = "cfm.estimator"
    block = f"{dit}.transformer_blocks"
    width = weights[f"{dit}.proj_out.weight"].shape[1]
    head = 2 * len(weights[f"{dit}.rotary_embed.inv_freq"])
    conv = weights[f"{dit}.input_embed.conv_pos_embed.conv1d.0.weight"]
    return S2Config(
        **_encoders(weights),
        wns1_width=len(weights["wns1.pre.weight"]),
        wns1_layers=_count(weights, "wns1.enc.in_layers.{}.weight_v"),
        wns1_kernel=weights["wns1.enc.in_layers.0.weight_v"].shape[2],
        mels=len(weights["linear_mel.weight"]),
        upsample=upsample,
        dit_dim=width,
        dit_depth=_count(weights, block + ".{}.attn.to_q.weight"),
        dit_heads=len(weights[f"{block}.0.attn.to_q.weight"]) // head,
        dit_dim_head=head,
        dit_ff_mult=len(weights[f"{block}.0.ff.ff.0.0.weight"]) // width,
        text_dim=len(weights[f"{dit}.text_embed.text_blocks.0.norm.weight"]),
        conv_layers=_count(weights, dit + ".text_embed.text_blocks.{}.norm.weight"),
        conv_pos_kernel=conv.shape[2],
        conv_pos_groups=width // conv.shape[1],
    )


def _vits(weights: Weights, official: VitsConfig) -> VitsConfig:
    """With the decoder's rates and kernels of the `official` configuration."""
    layer = "flow.flows.0.enc.in_layers"
    speaker = weights.get("sv_emb.weight")
    sizes: dict[str, Any] = _encoders(weights)
    return replace(
        official,
        **sizes,
        speaker_dim=0 if speaker is None else speaker.shape[1],
        wavenet_kernel=weights[f"{layer}.0.weight_v"].shape[2],
        # Fine-tuned files have no posterior encoder.
        posterior_layers=_count(weights, "enc_q.enc.in_layers.{}.weight_v")
        or official.posterior_layers,
        # Every second flow only swaps channels and has no weights.
        flow_couplings=_count(weights, "flow.flows.{}.pre.weight", step=2),
        flow_layers=_count(weights, layer + ".{}.weight_v"),
        decoder_width=len(weights["dec.conv_pre.weight"]),
    )


def _encoders(weights: Weights) -> dict[str, int]:
    """What both families have in common."""
    text = "enc_p.encoder_text"
    hidden, ssl_dim, _ = weights["enc_p.ssl_proj.weight"].shape
    filters, _, kernel = weights[f"{text}.ffn_layers.0.conv_1.weight"].shape
    return {
        "ssl_dim": ssl_dim,
        "codebook": len(weights["quantizer.vq.layers.0._codebook.embed"]),
        "symbols": len(weights["enc_p.text_embedding.weight"]),
        "inter_channels": len(weights["enc_p.proj.weight"]) // 2,
        "hidden_channels": hidden,
        "filter_channels": filters,
        "heads": hidden // weights[f"{text}.attn_layers.0.emb_rel_k"].shape[2],
        "layers": _count(weights, text + ".attn_layers.{}.emb_rel_k"),
        "kernel": kernel,
        "mrte_hidden": len(weights["enc_p.mrte.c_pre.weight"]),
        "gin_channels": len(weights["ref_enc.fc.fc.weight"]),
        "reference_bins": weights["ref_enc.spectral.0.fc.weight"].shape[1],
    }


def speaker_config(weights: Weights) -> SpeakerConfig:
    """Of the speaker-verification network: widths within its blocks are the official ones."""
    channels = len(weights["conv1.weight"])
    embedding, statistics = weights["seg_1.weight"].shape
    one = SpeakerConfig(channels=channels, bins=8)
    return SpeakerConfig(
        bins=8 * (statistics // (2 * one.outputs)),
        channels=channels,
        blocks=tuple(_count(weights, f"layer{n}" + ".{}.conv1.weight") for n in (1, 2, 3, 4)),
        embedding=embedding,
    )


def vocoder_config(weights: Weights) -> GeneratorConfig:
    """Of the v4 vocoder: its rates are the official ones."""
    width, mels, _ = weights["conv_pre.weight"].shape
    return GeneratorConfig(mels=mels, width=width)


def bigvgan_config(weights: Weights) -> BigVGANConfig:
    """Of BigVGAN with folded weight norm: its rates are the official ones."""
    width, mels, _ = weights["conv_pre.weight"].shape
    return BigVGANConfig(mels=mels, width=width)


def _count(weights: Weights, pattern: str, step: int = 1) -> int:
    """How many weights there are with the numbers 0, step, 2 step ... in the name."""
    count = 0
    while pattern.format(count * step) in weights:
        count += 1
    return count
