"""Voice models on disk: whole ones load as they were saved, others are refused in a sentence."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from configs.errors import UserError
from model import checkpoint
from model.checkpoint import VoiceModel, load_model, random_model, save_model

PARTS = ("recogniser", "s1", "s2", "vocoder")


def save(folder: Path, model: VoiceModel) -> None:
    save_model(folder, model.config, {part: getattr(model, part) for part in PARTS})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A saved tiny model in several shards."""
    monkeypatch.setattr(checkpoint, "SHARD_BYTES", 60_000)
    save(tmp_path / "voice", random_model(0))
    return tmp_path / "voice"


def test_round_trip_in_half_precision(folder: Path) -> None:
    model, loaded = random_model(0), load_model(folder)
    assert loaded.config == model.config
    for part in PARTS:
        before, after = getattr(model, part).state_dict(), getattr(loaded, part).state_dict()
        assert getattr(loaded, part).config == getattr(model, part).config
        assert not getattr(loaded, part).training
        assert before.keys() == after.keys()
        for key, value in before.items():
            if key.endswith("inv_freq"):
                assert torch.equal(after[key], value), "rotary frequencies must not be rounded"
            elif not key.endswith(("cluster_size", "embed_avg")):
                assert after[key].dtype == value.dtype
                assert torch.equal(after[key], value.half().float()), key


def test_shards_are_small_and_free_of_pickles(folder: Path) -> None:
    shards = sorted(folder.glob("weights-*.safetensors"))
    assert len(shards) > 3
    names = [name for shard in shards for name in load_file(shard)]
    assert len(names) == len(set(names))
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}
    for shard in shards:
        tensors = load_file(shard)
        assert all(t.dtype == torch.float16 for t in tensors.values())
        # A tensor that is larger than the limit has a shard of its own.
        assert sum(t.nbytes for t in tensors.values()) <= 60_000 or len(tensors) == 1
        with pytest.raises((pickle.UnpicklingError, ValueError, EOFError)):
            pickle.loads(shard.read_bytes())


def test_saving_again_leaves_nothing_old(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    save(folder, random_model(1))
    assert len(list(folder.glob("weights-*"))) == 1
    load_model(folder)


def test_hash_names_the_content(folder: Path, tmp_path: Path) -> None:
    first = load_model(folder).content_hash
    save(tmp_path / "same", random_model(0))
    save(tmp_path / "other", random_model(1))
    assert load_model(tmp_path / "same").content_hash == first
    assert load_model(tmp_path / "other").content_hash != first


def edit(folder: Path, change: Callable[[dict], object]) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format=9), "format 9"),
        (lambda c: c.pop("format"), "format None"),
        (lambda c: c.pop("voice"), "VoiceConfig does not fit"),
        (lambda c: c.pop("s1"), "S1Config does not fit"),
        (lambda c: c.update(s1=[1]), "S1Config does not fit"),
        (lambda c: c["s1"].pop("width"), r"S1Config does not fit this version \(width\)"),
        (lambda c: c["s2"].update(novel=1), r"S2Config does not fit this version \(novel\)"),
        (lambda c: c["s1"].update(width="x"), r"S1Config does not fit this version \(width\)"),
        (lambda c: c["s1"].update(width=32), "s1 does not fit its weights"),
        (lambda c: c["s1"].update(layers=3), "s1 does not fit its weights"),
        (lambda c: c["s1"].update(layers=1), "s1 does not fit its weights"),
    ],
)
def test_a_config_that_does_not_fit(
    folder: Path, change: Callable[[dict], object], message: str
) -> None:
    edit(folder, change)
    with pytest.raises(UserError, match=message):
        load_model(folder)


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff\xfe"])
def test_no_config(folder: Path, content: bytes | None) -> None:
    path = folder / "config.json"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match="voice model"):
        load_model(folder)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no voice model"):
        load_model(tmp_path / "nowhere")


def test_a_missing_shard(folder: Path) -> None:
    (folder / "weights-1.safetensors").unlink()
    with pytest.raises(UserError, match="is not whole"):
        load_model(folder)


@pytest.mark.parametrize("length", [0, 5, 2000])
def test_a_damaged_shard(folder: Path, length: int) -> None:
    shard = folder / "weights-0.safetensors"
    shard.write_bytes(shard.read_bytes()[:length])
    with pytest.raises(UserError, match=r"weights-0.safetensors is damaged"):
        load_model(folder)


@pytest.mark.parametrize("name", ["poet.weight", "s1.ar_predict_layer.weight", "s1.novel"])
def test_a_foreign_shard(folder: Path, name: str) -> None:
    """Of no part, holding again what another shard holds, and of no use to its part."""
    save_file({name: torch.zeros(2)}, folder / "weights-99.safetensors")
    with pytest.raises(UserError, match=r"no shard of this|is not whole"):
        load_model(folder)
