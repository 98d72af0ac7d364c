"""Models are imported, converted and listed; what can't be is said in a sentence."""

from pathlib import Path

import pytest
import torch

from configs.errors import UsageError, UserError
from model.identify import Version
from model.official import load_official, load_weights, read_manifest
from storage.models import Models
from tasks.model_parts import Sources
from tasks.models import convert_model, import_model, list_models
from tasks.pull import REPOSITORY, pull_model
from tests.official_files import (
    write_hubert,
    write_lora,
    write_pretrained,
    write_roberta,
    write_s1,
    write_s2,
)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> dict[Version, Path]:
    """GPT-SoVITS's folder of pretrained models, for some versions."""
    root = tmp_path_factory.mktemp("pretrained")
    versions: tuple[Version, ...] = ("v1", "v2", "v2ProPlus", "v4")
    return {
        version: write_pretrained(root / version, version, encoders=False) for version in versions
    }


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path / "models")


def install(models: Models, pretrained: dict[Version, Path], version: Version) -> Path:
    pull_model(models, version, Path("unused"), pretrained[version])
    return models.path(version)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A fine-tuned v2."""
    return (
        write_s1(tmp_path / "ada-e15.ckpt", "v2", seed=7),
        write_s2(tmp_path / "ada_e8_s200.pth", "v2", seed=8, fine_tuned=True),
    )


def test_an_official_model_from_a_folder(models: Models, pretrained: dict[Version, Path]) -> None:
    load_official(install(models, pretrained, "v2ProPlus"))
    (line,) = list_models(models)
    assert (line.name, line.version, line.source) == ("v2ProPlus", "v2ProPlus", REPOSITORY)
    assert line.bytes > 0
    with pytest.raises(UserError, match="A model named v2ProPlus exists"):
        install(models, pretrained, "v2ProPlus")


def test_models_share_what_is_the_same(models: Models, pretrained: dict[Version, Path]) -> None:
    first = load_official(install(models, pretrained, "v2"))
    second = load_official(install(models, pretrained, "v4"))
    assert first.hubert == second.hubert
    assert first.roberta == second.roberta
    models.remove("v2")
    load_official(models.path("v4"))


def test_a_fine_tune_takes_the_rest_from_its_base(
    models: Models, pretrained: dict[Version, Path], pair: tuple[Path, Path]
) -> None:
    install(models, pretrained, "v2")
    assert import_model(models, "", *pair) == ("ada_e8_s200", "v2")
    assert import_model(models, "ada", *pair) == ("ada", "v2")
    model = load_official(models.path("ada"))
    base = load_official(models.path("v2"))
    assert model.hubert == base.hubert
    assert model.content_hash == load_official(models.path("ada_e8_s200")).content_hash
    assert model.content_hash != base.content_hash
    assert read_manifest(models.path("ada")).source == "ada-e15.ckpt, ada_e8_s200.pth"


def test_a_fine_tune_without_a_base(models: Models, pair: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match=r"chinese-hubert-base.*voxloom models pull v2"):
        import_model(models, "", *pair)
    with pytest.raises(UserError, match="no model named bob"):
        import_model(models, "", *pair, base="bob")
    assert list(models) == []


def test_a_base_of_another_version_lacks_the_vocoder(
    models: Models, pretrained: dict[Version, Path], tmp_path: Path
) -> None:
    install(models, pretrained, "v2")
    s1, s2 = write_s1(tmp_path / "a.ckpt"), write_s2(tmp_path / "a.pth", "v4", fine_tuned=True)
    with pytest.raises(UserError, match=r"needs .* and vocoder.*voxloom models pull v4"):
        import_model(models, "", s1, s2)
    with pytest.raises(UsageError, match="v4 needs a vocoder"):
        import_model(models, "", s1, s2, base="v2")
    assert list(models) == ["v2"]


def test_a_lora_is_merged_into_its_base(
    models: Models, pretrained: dict[Version, Path], tmp_path: Path
) -> None:
    base = install(models, pretrained, "v4")
    before = load_weights(base, "s2")
    s1, lora = write_s1(tmp_path / "a.ckpt"), write_lora(tmp_path / "a.pth", "v4", before)
    assert import_model(models, "ada", s1, lora)[1] == "v4"
    merged = load_weights(models.path("ada"), "s2")
    layer = "cfm.estimator.transformer_blocks.0.attn.to_k.weight"
    assert merged.keys() == before.keys()
    assert not torch.equal(merged[layer], before[layer])
    load_official(models.path("ada"))
    install(models, pretrained, "v2")
    with pytest.raises(UsageError, match="is a LoRA: say with --base which model of v4"):
        import_model(models, "bob", s1, lora, base="v2")


def test_a_lora_without_its_base(models: Models, tmp_path: Path) -> None:
    lora = write_lora(tmp_path / "a.pth", "v4", load_like_v4(tmp_path))
    with pytest.raises(UserError, match=r"it is a LoRA of v4.*voxloom models pull v4"):
        import_model(models, "", write_s1(tmp_path / "a.ckpt"), lora)


def load_like_v4(folder: Path) -> dict[str, torch.Tensor]:
    from model.identify import identify

    return identify(write_s2(folder / "base.pth", "v4")).weights


def test_files_given_the_wrong_way_round(models: Models, pair: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match=r"is an S1 model .*; --s2 takes an S2 model"):
        import_model(models, "", pair[1], pair[0])
    with pytest.raises(UsageError, match=r"is an S2 model .*; --s1 takes an S1 model"):
        import_model(models, "", pair[1], pair[1])


def test_files_of_versions_that_do_not_go_together(models: Models, tmp_path: Path) -> None:
    s1, s2 = write_s1(tmp_path / "a.ckpt", "v1"), write_s2(tmp_path / "a.pth", "v2")
    with pytest.raises(UsageError, match="know different phones"):
        import_model(models, "", s1, s2)


def test_v3_or_v4_has_to_be_said(models: Models, tmp_path: Path) -> None:
    s1, s2 = write_s1(tmp_path / "a.ckpt"), write_s2(tmp_path / "a.pth", "v4")
    with pytest.raises(UsageError, match="--version v3 or --version v4"):
        import_model(models, "", s1, s2)
    with pytest.raises(UserError, match="pull v4"):
        import_model(models, "", s1, s2, "v4")


def test_a_converted_folder_is_complete_in_itself(
    models: Models, pretrained: dict[Version, Path], tmp_path: Path
) -> None:
    base = install(models, pretrained, "v4")
    s1, s2 = write_s1(tmp_path / "a.ckpt"), write_s2(tmp_path / "a.pth", "v4", fine_tuned=True)
    out = tmp_path / "elsewhere" / "ada"
    assert convert_model(out, Sources(s1, s2, base=base)) == "v4"
    models.remove("v4")
    moved = out.rename(tmp_path / "moved")
    load_official(moved)
    with pytest.raises(UserError, match="exists; give a folder that is not there yet"):
        convert_model(moved, Sources(s1, s2))
    with pytest.raises(UsageError, match="v4 needs a vocoder: give one with --vocoder"):
        convert_model(out, Sources(s1, s2))
    assert list(out.parent.iterdir()) == []


def test_encoders_that_are_none(
    pretrained: dict[Version, Path], pair: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = pretrained["v2"]
    out = tmp_path / "out"
    hubert, roberta = folder / "chinese-hubert-base", folder / "chinese-roberta-wwm-ext-large"
    with pytest.raises(UserError, match="is not chinese-hubert-base: it says that it is a bert"):
        convert_model(out, Sources(*pair, hubert=roberta))
    with pytest.raises(UserError, match=r"its config\.json can't be read"):
        convert_model(out, Sources(*pair, hubert=tmp_path))
    convert_model(out, Sources(*pair, hubert=hubert))
    assert load_official(out).roberta is None


@pytest.mark.slow
def test_converted_encoders_compute_the_same_in_transformers(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """HuBERT's weight norm has names in old files that transformers has to map."""
    from transformers import AutoModelForMaskedLM, AutoTokenizer, HubertModel

    hubert, roberta = write_hubert(tmp_path / "hubert"), write_roberta(tmp_path / "roberta")
    out = tmp_path / "out"
    convert_model(out, Sources(*pair, hubert=hubert, roberta=roberta))
    model = load_official(out)
    ours = HubertModel.from_pretrained(model.hubert, dtype=torch.float32).eval()
    assert {p.suffix for p in model.hubert.iterdir()} == {".json", ".safetensors"}
    file = torch.load(hubert / "pytorch_model.bin", weights_only=True)
    names = {"parametrizations.weight.original0": "weight_g"}
    names["parametrizations.weight.original1"] = "weight_v"
    state = ours.state_dict()
    assert len(state) == len(file)
    for key, value in state.items():
        for new, old in names.items():
            key = key.replace(new, old)
        assert torch.equal(value, file[key].float()), key
    assert model.roberta is not None
    bert = AutoModelForMaskedLM.from_pretrained(model.roberta, dtype=torch.float32).eval()
    words = AutoTokenizer.from_pretrained(model.roberta)("你好，世界。", return_tensors="pt")
    assert words["input_ids"].shape == (1, 8)
    file = torch.load(roberta / "pytorch_model.bin", weights_only=True)
    for key, value in bert.state_dict().items():
        assert torch.equal(value, file[key].float()), key
