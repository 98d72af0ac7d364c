"""LoRA (arXiv 2106.09685) of v3 and v4: small updates of a base model, merged into its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from configs.errors import UserError

_WRAPPED = "cfm.base_model.model."  # how PEFT names what it wraps
_DOWN, UP = ".lora_A.default.weight", ".lora_B.default.weight"


def lora_keys(layer: str) -> tuple[str, str]:
    """Names of the two halves of a layer's update: layer `cfm.x` -> those of A (rank, in) and B
    (out, rank)."""
    wrapped = _WRAPPED + layer.removeprefix("cfm.")
    return wrapped + _DOWN, wrapped + UP


def merge_lora(
    base: Mapping[str, Tensor], lora: Mapping[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """The base S2 with a LoRA merged into it: W + B A, in f32, then in the base's precision.

    GPT-SoVITS trains with alpha = rank, so the update's factor alpha / rank is 1. What else the
    file holds (the reference encoder, the bridge ...) was trained as a whole and replaces the
    base's. UserError where the file, called by its `path`, does not fit the base.
    """
    merged = dict(base)
    for key, value in lora.items():
        if key.endswith(UP):
            continue  # goes with its other half
        if key.endswith(_DOWN):
            layer = key.removesuffix(_DOWN)
            target = f"{_plain(layer)}.weight"
            up = lora.get(layer + UP)
            if up is None or target not in base:
                raise UserError(f"{path} is no whole LoRA: {layer[:100]} has no other half.")
            weight = base[target]
            if (up.shape[0], value.shape[1]) != weight.shape or up.shape[1] != value.shape[0]:
                raise UserError(f"{path} does not fit its base model: {target} has another shape.")
            update = up.float() @ value.float()
            merged[target] = (weight.float() + update).to(weight.dtype)
            continue
        plain = _plain(key)
        if plain not in base or base[plain].shape != value.shape:
            raise UserError(f"{path} does not fit its base model: {plain[:100]} is not like there.")
        merged[plain] = value
    return merged


def _plain(key: str) -> str:
    """A key of the wrapped network as it is without PEFT."""
    if key.startswith(_WRAPPED):
        key = f"cfm.{key.removeprefix(_WRAPPED)}"
    return key.replace(".base_layer.", ".")
