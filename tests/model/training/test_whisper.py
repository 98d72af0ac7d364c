"""Whisper's encoder out of a CTranslate2 file, written here byte by byte."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from model.recogniser import Recogniser, RecogniserConfig
from model.training.whisper import encoder_state, read_ctranslate2

TINY = RecogniserConfig(width=16, heads=2, layers=2, head_width=8, positions=60)
NAMES = {
    "attention_norm": "self_attention/layer_norm",
    "qkv": "self_attention/linear_0",
    "out": "self_attention/linear_1",
    "norm": "ffn/layer_norm",
    "expand": "ffn/linear_0",
    "contract": "ffn/linear_1",
}


def text(value: str) -> bytes:
    data = value.encode() + b"\0"
    return struct.pack("<H", len(data)) + data


def write(path: Path, arrays: dict[str, np.ndarray], version: int = 6) -> None:
    types = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}
    out = struct.pack("<I", version) + text("WhisperSpec") + struct.pack("<II", 3, len(arrays))
    for name, array in arrays.items():
        out += text(name) + struct.pack("<B", array.ndim)
        out += struct.pack(f"<{array.ndim}I", *array.shape)
        out += struct.pack("<BI", types[array.dtype.name], array.nbytes) + array.tobytes()
    path.write_bytes(out)


def test_floats_come_back(tmp_path: Path) -> None:
    arrays = {
        "a/weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array(2.5, np.float16),
        "skipped": np.ones(3, np.int8),
        "c": np.arange(4, dtype=np.float16),
    }
    write(tmp_path / "model.bin", arrays)
    read = read_ctranslate2(tmp_path / "model.bin")
    assert read.keys() == {"a/weight", "b", "c"}
    for name, array in read.items():
        assert array.dtype == arrays[name].dtype
        assert np.array_equal(array, arrays[name])


def test_another_format_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "model.bin", {}, version=5)
    with pytest.raises(ValueError, match="format 5"):
        read_ctranslate2(tmp_path / "model.bin")


def test_encoder_is_whole(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Recogniser(TINY)
    arrays = {}
    for key, value in model.state_dict().items():
        if key.startswith("phones") or key in ("mean", "deviation"):
            continue
        path, kind = key.rsplit(".", 1)
        parts = path.split(".")
        if parts[0] == "layers":
            source = f"layer_{parts[1]}/{NAMES[parts[2]]}"
        else:
            source = "layer_norm" if path == "norm" else path
        if "norm" in source:
            kind = {"weight": "gamma", "bias": "beta"}[kind]
        arrays[f"encoder/{source}/{kind}"] = value.numpy().astype(np.float16)
    write(tmp_path / "model.bin", arrays)
    state = encoder_state(tmp_path / "model.bin")
    unexpected = Recogniser(TINY).load_state_dict(state, strict=False).unexpected_keys
    assert not unexpected
    assert {key for key in model.state_dict() if key not in state} == {
        key
        for key in model.state_dict()
        if key.startswith("phones") or key in ("mean", "deviation")
    }
    for key, value in state.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, model.state_dict()[key].half().float())
