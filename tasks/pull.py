"""The official models: which files they are made of, from the hub or from a folder with them."""

import shutil
from pathlib import Path

from configs.errors import UsageError
from model.identify import VERSIONS, Version
from model.official import read_manifest
from storage.models import Models
from tasks.hub import HubFile, fetch
from tasks.model_parts import ENCODERS, Sources
from tasks.models import install_official

REPOSITORY = "lj1995/GPT-SoVITS"
BIGVGAN = "nvidia/bigvgan_v2_24khz_100band_256x"
_S1: dict[Version, str] = {
    "v1": "s1bert25hz-2kh-longer-epoch=68e-step=50232.ckpt",
    "v2": "gsv-v2final-pretrained/s1bert25hz-5kh-longer-epoch=12-step=369668.ckpt",
}
_LATER_S1 = "s1v3.ckpt"
_S2: dict[Version, str] = {
    "v1": "s2G488k.pth",
    "v2": "gsv-v2final-pretrained/s2G2333k.pth",
    "v2Pro": "v2Pro/s2Gv2Pro.pth",
    "v2ProPlus": "v2Pro/s2Gv2ProPlus.pth",
    "v3": "s2Gv3.pth",
    "v4": "gsv-v4-pretrained/s2Gv4.pth",
}
_SPEAKER = "sv/pretrained_eres2netv2w24s4ep4.ckpt"
_VOCODER = "gsv-v4-pretrained/vocoder.pth"
_GENERATOR = "bigvgan_generator.pt"
_ENCODER_FILES = {
    "hubert": ("config.json", "preprocessor_config.json", "pytorch_model.bin"),
    "roberta": ("config.json", "tokenizer.json", "pytorch_model.bin"),
}
PRETRAINED_BIGVGAN = f"models--{BIGVGAN.replace('/', '--')}"
"""Where GPT-SoVITS keeps BigVGAN among its pretrained models."""


def pull_model(models: Models, name: str, downloads: Path, pretrained: Path | None) -> None:
    """Installs an official model, from the hub or from a folder laid out as `pretrained_models`.

    What is downloaded lies in `downloads` until the model is installed, and is gone then.
    """
    version = next((v for v in VERSIONS if v == name), None)
    if version is None:
        raise UsageError(f"{name} can't be pulled: the official models are {', '.join(VERSIONS)}")
    models.check_free(name)
    if pretrained is not None:
        sources = _sources(version, pretrained, pretrained / PRETRAINED_BIGVGAN, None)
        install_official(models, name, sources, REPOSITORY)
        return
    base = _with_encoders(models)
    folder = downloads / REPOSITORY.replace("/", "--")
    for file in hub_files(version, encoders=base is None):
        target = downloads / file.repository.replace("/", "--") / file.name
        if not target.exists():
            fetch(file, target)
    bigvgan = downloads / BIGVGAN.replace("/", "--")
    install_official(models, name, _sources(version, folder, bigvgan, base), REPOSITORY)
    shutil.rmtree(downloads)


def hub_files(version: Version, encoders: bool) -> list[HubFile]:
    """What has to be downloaded for a version, with or without HuBERT and RoBERTa."""
    names = [_S1.get(version, _LATER_S1), _S2[version]]
    names += [_SPEAKER] if version in ("v2Pro", "v2ProPlus") else []
    names += [_VOCODER] if version == "v4" else []
    if encoders:
        for encoder, title in ENCODERS.items():
            names += [f"{title}/{file}" for file in _ENCODER_FILES[encoder]]
    files = [HubFile(REPOSITORY, name) for name in names]
    return files + ([HubFile(BIGVGAN, _GENERATOR)] if version == "v3" else [])


def _sources(version: Version, folder: Path, bigvgan: Path, base: Path | None) -> Sources:
    """The files of a version in their official places."""
    vocoders = {"v3": bigvgan / _GENERATOR, "v4": folder / _VOCODER}
    roberta = folder / ENCODERS["roberta"]
    return Sources(
        s1=folder / _S1.get(version, _LATER_S1),
        s2=folder / _S2[version],
        vocoder=vocoders.get(version),
        speaker=folder / _SPEAKER if version in ("v2Pro", "v2ProPlus") else None,
        hubert=folder / ENCODERS["hubert"] if base is None else None,
        roberta=roberta if base is None and roberta.is_dir() else None,
        base=base,
    )


def _with_encoders(models: Models) -> Path | None:
    """An installed official model, whose HuBERT and RoBERTa needn't be downloaded again."""
    for name in models:
        manifest = read_manifest(models.path(name))
        if manifest.source == REPOSITORY and {"hubert", "roberta"} <= manifest.parts.keys():
            return models.path(name)
    return None
