"""A row of a training corpus, made by hand, and folders of recordings."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from configs.training import StageConfig, load_stage
from model.checkpoint import random_model, save_model
from model.training.alignment import timed_phones

RATE = 24_000


@pytest.fixture
def cats() -> dict:
    """Eight words "cat", 11 units of 25 ms from each to the next; a comma after the fourth."""
    words: list[list] = []
    ipa, durations = "", [4]
    for number in range(8):
        words.append(["cat", ["K", "AE1", "T"]])
        ipa, durations = ipa + "kˈæt", [*durations, 3, 0, 4, 3]
        if number == 3:
            words.append([",", [","]])
            ipa, durations = ipa + ",", [*durations, 6]
        if number < 7:
            ipa, durations = ipa + " ", [*durations, 1]
    words.append([".", ["."]])
    return {
        "id": "cats",
        "text": "cat cat cat cat, cat cat cat cat.",
        "words": words,
        "ipa": ipa + ".",
        "dur": [*durations, 5, 3],
        "book": "cats",
    }


@pytest.fixture
def sung(cats: dict) -> np.ndarray:
    """The row as sound at 24 kHz: word n is a tone of 400 * (n + 1) Hz."""
    samples = int(sum(cats["dur"]) * 0.025 * RATE)
    time = np.arange(samples) / RATE
    audio = np.zeros(samples)
    for item in timed_phones(cats):
        if item.word >= 0:
            inside = (time >= item.start) & (time < item.end)
            audio[inside] = 0.3 * np.sin(2 * np.pi * 400 * (item.word + 1) * time[inside])
    return audio.astype(np.float32)


@pytest.fixture
def folder(cats: dict, sung: np.ndarray, tmp_path: Path) -> Path:
    """Six clips with phone times, as a manifest and sound files."""
    data = tmp_path / "cats"
    data.mkdir()
    lines = []
    for number in range(6):
        name = f"clip{number}"
        soundfile.write(data / f"{name}.wav", sung * (1 - number / 20), RATE)
        lines.append(json.dumps({**cats, "id": name}))
    (data / "manifest.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return data


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voice model's folder: tiny, with random weights."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    model = random_model(0)
    parts = {name: getattr(model, name) for name in ("recogniser", "s1", "s2", "vocoder")}
    save_model(folder, model.config, parts)
    return folder


SIZES: dict[str, dict[str, Any]] = {
    "recogniser": {"codes": 16, "head_width": 8},
    "semantic": {"width": 16, "heads": 2, "layers": 3, "bert": 4, "dropout": 0.1},
    "acoustic": {
        **dict.fromkeys(("inter_channels", "hidden_channels", "filter_channels"), 16),
        **dict.fromkeys(("mrte_hidden", "gin_channels", "wns1_width", "text_dim"), 16),
        **dict.fromkeys(("layers", "wns1_layers", "dit_depth", "conv_layers"), 1),
        "dit_dim": 32,
        "dit_heads": 2,
        "dit_dim_head": 16,
        **dict.fromkeys(("wns1_kernel", "conv_pos_kernel"), 3),
    },
    "vocoder": {"width": 16, "hidden": 16, "blocks": 1},
}
OTHERS: dict[str, dict[str, Any]] = {
    "recogniser": {"batch": 2, "frames": 40},
    "semantic": {"batch": 1},
    "acoustic": {"batch_seconds": 4.0, "window": 60},
    "vocoder": {"batch": 2, "frames": 16, "adversarial_from": 0.5},
}


@pytest.fixture
def config() -> Callable[..., StageConfig]:
    """`config(stage, key=value ...)`: a stage at tiny sizes, six steps."""

    def make(stage: str, **values: Any) -> StageConfig:
        base = load_stage(stage)
        tiny = {
            **base.model_dump(by_alias=True),
            **OTHERS[stage],
            "sizes": SIZES[stage],
            "held_out": {"share": 0.2, "books": ()},
            "steps": 6,
            "minutes": None,
            "copies": 1,
            "threads": 1,
            "samples": 1,
            "validate_every": 3,
            "log_every": 2,
            "save_seconds": 0.0,
            "precision": "f32",
            **values,
        }
        return type(base).model_validate(tiny)

    return make
