"""Reads Whisper's encoder out of a CTranslate2 file, the recogniser's starting point."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

_TYPES = {0: np.float32, 4: np.float16}


def read_ctranslate2(path: Path) -> dict[str, np.ndarray]:
    """The float variables of a CTranslate2 model file (binary version 6), by name."""
    arrays: dict[str, np.ndarray] = {}
    with path.open("rb") as file:

        def number(form: str) -> int:
            return struct.unpack(form, file.read(struct.calcsize(form)))[0]

        def text() -> str:
            return file.read(number("<H"))[:-1].decode()

        version = number("<I")
        if version != 6:
            raise ValueError(f"{path} is CTranslate2 format {version}; this reads format 6")
        text()
        number("<I")
        for _ in range(number("<I")):
            name = text()
            shape = [number("<I") for _ in range(number("<B"))]
            kind = number("<B")
            data = file.read(number("<I"))
            if kind in _TYPES:
                arrays[name] = np.frombuffer(data, _TYPES[kind]).reshape(shape)
    return arrays


def encoder_state(path: Path) -> dict[str, Tensor]:
    """State dict of `Recogniser`'s encoder part from a CTranslate2 Whisper `model.bin`."""
    arrays = read_ctranslate2(path)
    names = {
        "attention_norm": "self_attention/layer_norm",
        "qkv": "self_attention/linear_0",
        "out": "self_attention/linear_1",
        "norm": "ffn/layer_norm",
        "expand": "ffn/linear_0",
        "contract": "ffn/linear_1",
    }
    state = {}

    def take(target: str, source: str) -> None:
        norm = "norm" in source
        for ours, theirs in (
            ("weight", "gamma" if norm else "weight"),
            ("bias", "beta" if norm else "bias"),
        ):
            state[f"{target}.{ours}"] = torch.from_numpy(
                arrays[f"encoder/{source}/{theirs}"].astype(np.float32)
            )

    take("conv1", "conv1")
    take("conv2", "conv2")
    take("norm", "layer_norm")
    layer = 0
    while f"encoder/layer_{layer}/ffn/linear_0/weight" in arrays:
        for target, source in names.items():
            take(f"layers.{layer}.{target}", f"layer_{layer}/{source}")
        layer += 1
    return state
