"""Files are told apart by what they hold: kinds, versions, and what is no model."""

import hashlib
from pathlib import Path

import pytest
import torch

from configs.errors import UsageError, UserError
from model import identify as module
from model.identify import VERSIONS, Version, agree, identify
from tests.official_files import (
    random_weights,
    s2_network,
    save,
    write_bigvgan,
    write_lora,
    write_s1,
    write_s2,
    write_speaker,
    write_vocoder,
)

FLOWS: tuple[Version, ...] = ("v3", "v4")


@pytest.mark.parametrize("fine_tuned", [False, True])
@pytest.mark.parametrize("version", [v for v in VERSIONS if v not in FLOWS])
def test_s2_by_its_structure(tmp_path: Path, version: Version, fine_tuned: bool) -> None:
    file = identify(write_s2(tmp_path / "a.pth", version, fine_tuned=fine_tuned))
    assert (file.kind, file.version) == ("s2", version)
    assert file.info == "8epoch_200iteration"
    assert any("enc_q" in key for key in file.weights) != fine_tuned
    assert all(value.dtype == torch.float16 for value in file.weights.values())


@pytest.mark.parametrize("version", FLOWS)
def test_s2_of_v3_and_v4_by_what_it_says(tmp_path: Path, version: Version) -> None:
    assert identify(write_s2(tmp_path / "a.pth", version, fine_tuned=True)).version == version
    head = {"v3": b"02", "v4": b"04"}[version]
    assert identify(write_s2(tmp_path / "b.pth", version, head=head)).version == version


@pytest.mark.parametrize("version", FLOWS)
def test_s2_of_v3_and_v4_by_the_official_digest(
    tmp_path: Path, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_s2(tmp_path / "a.pth", version)
    digest = hashlib.md5(path.read_bytes()[:8192], usedforsecurity=False).hexdigest()
    monkeypatch.setitem(module._OFFICIAL, digest, version)
    assert identify(path).version == version


def test_v3_or_v4_is_for_the_user_to_say(tmp_path: Path) -> None:
    file = identify(write_s2(tmp_path / "a.pth", "v3"))
    assert file.version is None
    with pytest.raises(UsageError, match="--version v3 or --version v4"):
        agree(file, "")
    assert agree(file, "v3").version == "v3"
    with pytest.raises(UsageError, match="holds v3 or v4, not v2Pro"):
        agree(file, "v2Pro")
    with pytest.raises(UsageError, match="--version v5 is none of v1, v2"):
        agree(file, "v5")


def test_the_user_can_not_make_v2_a_v4(tmp_path: Path) -> None:
    file = identify(write_s2(tmp_path / "a.pth", "v2"))
    with pytest.raises(UsageError, match="holds v2, not v4"):
        agree(file, "v4")
    assert agree(file, "v2").version == agree(file, "").version == "v2"


@pytest.mark.parametrize("version", FLOWS)
def test_lora(tmp_path: Path, version: Version) -> None:
    base = dict(random_weights(s2_network(version), 0))
    file = identify(write_lora(tmp_path / "a.pth", version, base, rank=4))
    assert (file.kind, file.version, file.rank) == ("lora", version, 4)


def test_s1(tmp_path: Path) -> None:
    first, later = write_s1(tmp_path / "1.ckpt", "v1"), write_s1(tmp_path / "2.ckpt", "v2")
    assert identify(first).version == "v1"
    file = identify(later)
    assert (file.kind, file.version, file.info) == ("s1", None, "GPT-e15")
    assert "ar_predict_layer.weight" in file.weights
    assert file.config["model"]["head"] == 2


def test_the_other_files(tmp_path: Path) -> None:
    assert identify(write_vocoder(tmp_path / "vocoder.pth")).kind == "vocoder"
    assert identify(write_bigvgan(tmp_path / "bigvgan_generator.pt")).kind == "bigvgan"
    assert identify(write_speaker(tmp_path / "sv.ckpt")).kind == "speaker"


def test_the_layout_before_pytorch_1_6(tmp_path: Path) -> None:
    assert identify(write_s2(tmp_path / "a.pth", "v2", legacy=True)).version == "v2"


def test_first_bytes_that_contradict_the_weights(tmp_path: Path) -> None:
    path = write_s2(tmp_path / "a.pth", "v2", head=b"05")
    with pytest.raises(UserError, match="first bytes say v2Pro, its weights are v2's"):
        identify(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([1, 2], "holds no weights but a list"),
        ({}, "holds no weights"),
        ({"weight": {}}, "holds no weights"),
        ({"weight": {"a": 1}}, "'a' is no tensor"),
        ({"weight": {"a": torch.ones(1)}}, r"no model of GPT-SoVITS that is known \(it holds a\)"),
        ({"model": {"a": torch.ones(1)}, "optimizer": {}}, "is a state of training"),
        ({"weight": {"discriminators.0.conv.bias": torch.ones(1)}}, "is a discriminator"),
        (
            {"weight": {"model.ar_predict_layer.weight": torch.ones(1)}},
            "is no whole S1 model",
        ),
        (
            {"weight": {"enc_p.text_embedding.weight": torch.tensor([float("nan")])}},
            "values that are no numbers",
        ),
    ],
)
def test_what_is_no_model(tmp_path: Path, content: object, sentence: str) -> None:
    path = save(content, tmp_path / "a.pth")
    with pytest.raises(UserError, match=sentence):
        identify(path)
