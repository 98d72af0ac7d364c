"""Do our networks have the names and shapes of the official checkpoints' tensors?

A listing is a JSON file with the names and shapes of one official state dict. Networks are built
without memory for their values, so that comparing all of them takes seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from model.s1 import S1Config, Text2SemanticDecoder
from model.s2.discriminators import PERIODS_PRO, MultiPeriodDiscriminator
from model.s2.synthesizer import S2Config, SynthesizerTrnV3
from model.s2.vits import VITS_CONFIGS, SynthesizerTrn
from model.speaker import ERes2NetV2
from model.vocoder import Generator


@dataclass(frozen=True)
class KeyComparison:
    """A listing and the names that only one side has, or with another shape."""

    listing: str
    keys: int
    wrong: tuple[str, ...]


def _hubert() -> nn.Module:
    """chinese-hubert-base: transformers' default sizes."""
    from transformers import HubertConfig, HubertModel

    return HubertModel(HubertConfig())


def _roberta() -> nn.Module:
    """chinese-roberta-wwm-ext-large: BERT's large size over the Chinese vocabulary."""
    from transformers import BertConfig, BertForMaskedLM

    return BertForMaskedLM(
        BertConfig(
            vocab_size=21128,
            hidden_size=1024,
            num_hidden_layers=24,
            num_attention_heads=16,
            intermediate_size=4096,
        )
    )


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "s1_v1": lambda: Text2SemanticDecoder(S1Config(phones=512)),
    "s1": lambda: Text2SemanticDecoder(S1Config()),
    "s2_v1": lambda: SynthesizerTrn(VITS_CONFIGS["v1"], posterior=True),
    "s2_v2": lambda: SynthesizerTrn(VITS_CONFIGS["v2"], posterior=True),
    "s2_v2pro": lambda: SynthesizerTrn(VITS_CONFIGS["v2Pro"], posterior=True),
    "s2_v2proplus": lambda: SynthesizerTrn(VITS_CONFIGS["v2ProPlus"], posterior=True),
    "s2_v3": lambda: SynthesizerTrnV3(S2Config()),
    "s2_v4": lambda: SynthesizerTrnV3(S2Config(upsample=2.0)),
    "s2D_v2": MultiPeriodDiscriminator,
    "s2D_v2pro": lambda: MultiPeriodDiscriminator(PERIODS_PRO),
    "vocoder_v4": Generator,
    "sv_eres2netv2": ERes2NetV2,
    "hf_hubert_base_default": _hubert,
    "hf_roberta_wwm_ext_large_cfg": _roberta,
}


def wrong_keys(module: nn.Module, official: dict[str, tuple[int, ...]]) -> tuple[str, ...]:
    """Names whose presence or shape differs between the module and the official state dict."""
    ours = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    names = sorted(official.keys() | ours.keys())
    return tuple(name for name in names if official.get(name) != ours.get(name))


def compare_listing(listing: Path) -> KeyComparison:
    """One listing against the network of its name; KeyError where there is none."""
    keys = json.loads(listing.read_text())["keys"]
    official = {name: tuple(shape) for name, shape in keys.items()}
    with torch.device("meta"):
        module = NETWORKS[listing.stem]()
    return KeyComparison(listing.stem, len(official), wrong_keys(module, official))
