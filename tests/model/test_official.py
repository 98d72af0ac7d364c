"""Folders of official models: what loads is what the checkpoints held; others are refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from configs.errors import UserError
from model.bigvgan import BigVGAN, folded
from model.identify import VERSIONS, Version, identify
from model.official import (
    OfficialModel,
    check_part,
    is_official,
    load_official,
    load_weights,
    needed_parts,
)
from model.s1 import S1Config
from model.s2.synthesizer import S2Config, SynthesizerTrnV3
from model.s2.vits import VITS_CONFIGS, SynthesizerTrn
from model.sizes import s1_config, s2_config
from model.vocoder import Generator
from tests.official_files import (
    OFFICIAL_S1,
    OFFICIAL_S2,
    random_weights,
    s1_network,
    s2_network,
    write_folder,
    write_s1,
    write_s2,
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Version, Path]:
    """A converted small model of each version."""
    root = tmp_path_factory.mktemp("official")
    return {version: write_folder(root / version, version) for version in VERSIONS}


@pytest.fixture
def folder(folders: dict[Version, Path], tmp_path: Path) -> Path:
    """A v2Pro model to do harm to."""
    shutil.copytree(folders["v2Pro"], tmp_path / "v2Pro")
    return tmp_path / "v2Pro"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_loads(folders: dict[Version, Path], version: Version) -> None:
    model = load_official(folders[version])
    assert model.version == version
    assert model.sample_rate == {"v3": 24_000, "v4": 48_000}.get(version, 32_000)
    assert model.symbols == (322 if version == "v1" else 732)
    flow = version in ("v3", "v4")
    assert isinstance(model.s2, SynthesizerTrnV3 if flow else SynthesizerTrn)
    vocoder = {"v3": BigVGAN, "v4": Generator}.get(version, type(None))
    assert isinstance(model.vocoder, vocoder)
    assert (model.speaker is not None) == (version in ("v2Pro", "v2ProPlus"))
    for network in (model.s1, model.s2, model.vocoder, model.speaker):
        if network is not None:
            assert not network.training
            assert not any(p.requires_grad for p in network.parameters())
            assert all(p.dtype == torch.float32 for p in network.parameters())
    assert (model.hubert / "model.safetensors").is_file()
    assert model.roberta is not None
    assert (model.roberta / "tokenizer.json").is_file()


def test_weights_are_the_checkpoints_own(folders: dict[Version, Path]) -> None:
    folder = folders["v2Pro"]
    file = identify(folder.parent / "v2Pro-files" / OFFICIAL_S2["v2Pro"])
    stored = load_file(folder / "s2.safetensors")
    assert stored.keys() == {f"s2.{key}" for key in file.weights}
    for key, value in file.weights.items():
        assert stored[f"s2.{key}"].dtype == value.dtype == torch.float16
        assert torch.equal(stored[f"s2.{key}"], value)
    loaded = load_official(folder)
    expected = folded(file.weights)
    for key, value in loaded.s2.state_dict().items():
        torch.testing.assert_close(value, expected[key].float(), atol=1e-3, rtol=1e-2)
    first = identify(folder.parent / "v2Pro-files" / OFFICIAL_S1["v2Pro"]).weights
    assert loaded.s1.config.heads == 2
    for key, value in loaded.s1.state_dict().items():
        assert torch.equal(value, first[key].float())


def test_there_is_no_pickle_in_a_folder(folders: dict[Version, Path]) -> None:
    for folder in folders.values():
        kinds = {path.suffix for path in folder.rglob("*") if path.is_file()}
        assert kinds == {".json", ".safetensors"}


def test_a_fine_tune_without_posterior_encoder_loads(tmp_path: Path) -> None:
    whole = write_folder(tmp_path / "a", "v2")
    tuned = write_folder(tmp_path / "b", "v2", fine_tuned=True)
    assert any("enc_q" in key for key in load_weights(whole, "s2"))
    assert not any("enc_q" in key for key in load_weights(tuned, "s2"))
    assert (
        load_official(tuned).s2.state_dict().keys() == load_official(whole).s2.state_dict().keys()
    )


def test_the_content_hash_is_of_the_content(folders: dict[Version, Path], folder: Path) -> None:
    hashes = {load_official(path).content_hash for path in folders.values()}
    assert len(hashes) == len(VERSIONS)
    assert load_official(folder).content_hash == load_official(folders["v2Pro"]).content_hash


def listed(shared: Path, name: str) -> dict[str, torch.Tensor]:
    """Weights without memory, of the shapes that an official state dict has."""
    text = (shared / "parity" / "state_dicts" / f"{name}.json").read_text()
    keys = json.loads(text)["keys"]
    return {key: torch.empty(shape, device="meta") for key, shape in keys.items()}


@pytest.mark.parametrize("version", VERSIONS)
def test_sizes_of_official_s2_files(shared: Path, version: Version) -> None:
    """The shapes give the official configuration, and that network has exactly these weights."""
    weights = listed(shared, f"s2_{version.lower()}")
    flows = {"v3": S2Config(upsample=1.875), "v4": S2Config(upsample=2.0)}
    expected = flows.get(version) or VITS_CONFIGS[version]
    assert s2_config(weights, version) == expected
    check_part("s2", version, weights, {}, Path("a.pth"))


def test_sizes_of_the_other_official_files(shared: Path) -> None:
    assert s1_config(listed(shared, "s1_v1"), {}) == S1Config(phones=512)
    assert s1_config(listed(shared, "s1"), {}) == S1Config()
    check_part("s1", "v2", listed(shared, "s1"), {}, Path("a.ckpt"))
    check_part("vocoder", "v4", listed(shared, "vocoder_v4"), {}, Path("vocoder.pth"))
    check_part("speaker", "v2Pro", listed(shared, "sv_eres2netv2"), {}, Path("sv.ckpt"))


def test_parts_of_versions() -> None:
    assert needed_parts("v2") == ("s1", "s2")
    assert needed_parts("v2ProPlus") == ("s1", "s2", "speaker")
    assert needed_parts("v3") == needed_parts("v4") == ("s1", "s2", "vocoder")


@pytest.mark.parametrize(
    "key",
    [
        "enc_p.text_embedding.weight",
        "dec.ups.3.weight_v",
        "flow.flows.2.enc.res_skip_layers.1.bias",
        "quantizer.vq.layers.0._codebook.embed",
    ],
)
@pytest.mark.parametrize("change", ["gone", "another shape"])
def test_shapes_that_do_not_fit(key: str, change: str) -> None:
    weights = dict(random_weights(s2_network("v2"), 0))
    if change == "gone":
        del weights[key]
    else:
        weights[key] = torch.zeros(*weights[key].shape, 2)
    with pytest.raises(UserError, match=r"a\.pth (does not fit|is not whole): its s2"):
        check_part("s2", "v2", weights, {}, Path("a.pth"))


def test_a_weight_too_many() -> None:
    weights = dict(random_weights(s1_network("v2"), 0)) | {"more.weight": torch.zeros(1)}
    with pytest.raises(UserError, match=r"differs from v2's in more\.weight"):
        check_part("s1", "v2", weights, {"model": {"head": 2}}, Path("a.ckpt"))


def test_one_version_for_another(tmp_path: Path) -> None:
    s2 = identify(write_s2(tmp_path / "a.pth", "v2"))
    with pytest.raises(UserError, match="its s2 is not v4's"):
        check_part("s2", "v4", s2.weights, {}, s2.path)
    s1 = identify(write_s1(tmp_path / "a.ckpt"))
    with pytest.raises(UserError, match="is not whole"):
        check_part("s2", "v2", s1.weights, {}, s1.path)


def loads(folder: Path) -> OfficialModel:
    assert is_official(folder)
    return load_official(folder)


def test_folders_that_are_not_whole(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    speaker = folder / config["parts"]["speaker"]["path"]
    weights = (folder / "s1.safetensors").read_bytes()

    (folder / "s1.safetensors").write_bytes(weights[:5000])
    with pytest.raises(UserError, match=r"s1\.safetensors is damaged"):
        loads(folder)
    (folder / "s1.safetensors").write_bytes((folder / "s2.safetensors").read_bytes())
    with pytest.raises(UserError, match="holds no s1"):
        loads(folder)
    (folder / "s1.safetensors").unlink()
    with pytest.raises(UserError, match=r"s1\.safetensors is gone"):
        loads(folder)
    (folder / "s1.safetensors").write_bytes(weights)
    speaker.rename(folder / "elsewhere")
    with pytest.raises(UserError, match=r"speaker\.safetensors is gone"):
        loads(folder)
    (folder / "elsewhere").rename(speaker)
    shutil.rmtree(folder / config["parts"]["hubert"]["path"])
    with pytest.raises(UserError, match=r"chinese-hubert-base.* is gone"):
        loads(folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": "v9"}, "is damaged"),
        ({"parts": []}, "is damaged"),
        ({"parts": {"s1": {"path": "x"}}}, "is damaged"),
        ({"parts": {}}, "has no hubert"),
        ({"format": 2}, "no official model of format 1"),
    ],
)
def test_configurations_that_are_not_read(
    folder: Path, change: dict[str, object], sentence: str
) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(UserError, match=sentence):
        load_official(folder)


def test_what_is_no_official_model(root: Path, tmp_path: Path) -> None:
    assert not is_official(root / "model" / "pretrained")
    assert not is_official(tmp_path)
    with pytest.raises(UserError, match="holds no model"):
        load_official(tmp_path)
