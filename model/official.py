"""Models of the official GPT-SoVITS family on disk: any version's parts in one folder, no pickles.

A folder holds `config.json` and one safetensors file a part (`s1`, `s2`, and where the version
needs them `vocoder`, `speaker`), tensors named `part.key` with the official keys, in the precision
of the file they came from. Parts that several models share (HuBERT and RoBERTa in transformers'
layout, vocoders, the speaker-verification network) are named by paths relative to the folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from configs.errors import UserError
from model.bigvgan import BigVGAN
from model.identify import VERSIONS, Version
from model.s1 import Text2SemanticDecoder
from model.s2.synthesizer import SynthesizerTrnV3
from model.s2.vits import SynthesizerTrn, VitsConfig
from model.sizes import bigvgan_config, s1_config, s2_config, speaker_config, vocoder_config
from model.speaker import ERes2NetV2
from model.vocoder import Generator
from model.weight_norm import fold_weight_norm

FORMAT = 1
FAMILY = "gpt-sovits"
CONFIG = "config.json"
FLOW_VERSIONS = ("v3", "v4")
PRO_VERSIONS = ("v2Pro", "v2ProPlus")

Part = Literal["s1", "s2", "vocoder", "speaker"]


@dataclass(frozen=True)
class Stored:
    """Where a part lies (relative to the model's folder), the sha256 of its weights' file, and the
    `model` section of the configuration that its checkpoint had."""

    path: str
    sha256: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Manifest:
    """What `config.json` says. `source`: what the model was made from, for people."""

    version: Version
    source: str
    parts: Mapping[str, Stored]


@dataclass(frozen=True)
class OfficialModel:
    """A model of the official family, its networks in f32 and evaluation mode.

    `s2`: `SynthesizerTrn` for v1, v2, v2Pro, v2ProPlus (waveform at 32 kHz), without its posterior
    encoder; `SynthesizerTrnV3` for v3, v4 (mel). Weight norm is folded. `vocoder`: `BigVGAN` for
    v3 (24 kHz), `Generator` for v4 (48 kHz), else None. `speaker`: the speaker-verification network
    for v2Pro and v2ProPlus, else None. `hubert`, `roberta`: folders that transformers'
    `from_pretrained` loads from disk (config.json, model.safetensors, tokenizer); without
    `roberta`, Chinese is read without BERT features. `content_hash`: changes with whatever changes
    the sound.
    """

    version: Version
    s1: Text2SemanticDecoder
    s2: SynthesizerTrn | SynthesizerTrnV3
    vocoder: BigVGAN | Generator | None
    speaker: ERes2NetV2 | None
    hubert: Path
    roberta: Path | None
    content_hash: str

    @property
    def sample_rate(self) -> int:
        """Of the audio that the model makes, Hz."""
        return {"v3": 24_000, "v4": 48_000}.get(self.version, 32_000)

    @property
    def symbols(self) -> int:
        """Size of the phone inventory: 322 (v1) or 732."""
        return 322 if self.version == "v1" else 732


def needed_parts(version: Version) -> tuple[Part, ...]:
    """The networks that a version speaks with."""
    if version in FLOW_VERSIONS:
        return ("s1", "s2", "vocoder")
    return ("s1", "s2", "speaker") if version in PRO_VERSIONS else ("s1", "s2")


def is_official(folder: Path) -> bool:
    """Whether the folder's config.json is that of an official-family model (else: a built-in)."""
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("family") == FAMILY


def load_official(folder: Path) -> OfficialModel:
    """Loads a model of the official family from its folder, weights by memory map.

    UserError when the folder holds none, or one that is damaged or whose shared parts are gone.
    """
    manifest = read_manifest(folder)
    networks: dict[str, Any] = {
        part: _load_part(folder, manifest, part) for part in needed_parts(manifest.version)
    }
    return OfficialModel(
        version=manifest.version,
        s1=networks["s1"],
        s2=networks["s2"],
        vocoder=networks.get("vocoder"),
        speaker=networks.get("speaker"),
        hubert=_encoder(folder, manifest.parts["hubert"]),
        roberta=_encoder(folder, manifest.parts["roberta"])
        if "roberta" in manifest.parts
        else None,
        content_hash=content_hash(manifest),
    )


def load_weights(folder: Path, part: Part) -> dict[str, Tensor]:
    """A part's weights by their official names, as stored (a memory map); UserError as above."""
    return _weights(folder, read_manifest(folder), part)


def read_manifest(folder: Path) -> Manifest:
    """Reads config.json; UserError where it is not that of a whole official-family model."""
    try:
        record = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder} holds no model: its {CONFIG} can't be read ({error})."
        ) from error
    form = record.get("format") if isinstance(record, dict) else None
    if form != FORMAT or record.get("family") != FAMILY:
        raise UserError(f"{folder} holds no official model of format {FORMAT}; import it again.")
    try:
        manifest = Manifest(
            version=next(v for v in VERSIONS if v == record["version"]),
            source=str(record["source"]),
            parts={
                part: Stored(str(entry["path"]), str(entry["sha256"]), dict(entry["config"]))
                for part, entry in record["parts"].items()
            },
        )
    except (AttributeError, KeyError, StopIteration, TypeError, ValueError) as error:
        raise UserError(f"{folder / CONFIG} is damaged ({error!r}); import it again.") from error
    gone = {*needed_parts(manifest.version), "hubert"} - manifest.parts.keys()
    if gone:
        raise UserError(
            f"{folder} is not whole: it has no {min(gone)}, which {manifest.version} needs to "
            "speak; import it again."
        )
    return manifest


def manifest_json(manifest: Manifest) -> bytes:
    """The text of config.json."""
    record = {
        "format": FORMAT,
        "family": FAMILY,
        "version": manifest.version,
        "source": manifest.source,
        "parts": {
            part: {"path": stored.path, "sha256": stored.sha256, "config": dict(stored.config)}
            for part, stored in manifest.parts.items()
        },
    }
    return (json.dumps(record, indent=1) + "\n").encode()


def content_hash(manifest: Manifest) -> str:
    """Of everything that decides the sound, wherever it lies."""
    parts = {part: [stored.sha256, stored.config] for part, stored in manifest.parts.items()}
    identity = json.dumps([manifest.version, parts], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()


def save_part(path: Path, part: Part, weights: Mapping[str, Tensor]) -> None:
    """Writes a part's weights as safetensors, each tensor in its own precision."""
    save_tensors(path, {f"{part}.{key}": value for key, value in weights.items()})


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes safetensors, which transformers reads, too; names that share memory get copies."""
    seen: set[int] = set()
    apart: dict[str, Tensor] = {}
    for key, value in tensors.items():
        tensor = value.contiguous()
        if tensor.untyped_storage().data_ptr() in seen:
            tensor = tensor.clone()
        seen.add(tensor.untyped_storage().data_ptr())
        apart[key] = tensor
    save_file(apart, path, metadata={"format": "pt"})
    path.chmod(0o644)


def check_part(
    part: Part,
    version: Version,
    weights: Mapping[str, Tensor],
    config: Mapping[str, Any],
    where: Path,
) -> None:
    """UserError, naming `where` the weights are from, unless they are this part of that version."""
    with torch.device("meta"):  # shapes only
        network = _network(part, version, weights, config, where)
    _check_fit(part, network, weights, version, where)


def _network(
    part: Part,
    version: Version,
    weights: Mapping[str, Tensor],
    config: Mapping[str, Any],
    where: Path,
) -> nn.Module:
    """The part's network with the dimensions that its weights have."""
    try:
        if part == "s1":
            return Text2SemanticDecoder(s1_config(weights, config))
        if part == "s2":
            sizes = s2_config(weights, version)
            return (
                SynthesizerTrn(sizes) if isinstance(sizes, VitsConfig) else SynthesizerTrnV3(sizes)
            )
        if part == "speaker":
            return ERes2NetV2(speaker_config(weights))
        if version == "v3":
            return BigVGAN(bigvgan_config(weights))
        return Generator(vocoder_config(weights))
    except (ArithmeticError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        # A weight that tells the sizes is missing, or sizes do not go together.
        raise UserError(
            f"{where} is not whole: its {part} is not {version}'s ({error}); get it again."
        ) from error


def _check_fit(
    part: Part, network: nn.Module, weights: Mapping[str, Tensor], version: Version, where: Path
) -> None:
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    odd = [key for key in shapes if key not in weights and not _may_lack(key)]
    odd += [
        key
        for key, value in weights.items()
        if shapes.get(key) != value.shape and not key.startswith("enc_q.")
    ]
    if odd:
        names = ", ".join(key[:100] for key in odd[:3])
        raise UserError(
            f"{where} does not fit: its {part} differs from {version}'s in {names}; "
            "get a file of the right version."
        )


def _may_lack(key: str) -> bool:
    """The codebook's running sums serve training only, as does the posterior encoder (`enc_q`),
    which files may hold and networks that speak do not."""
    return key.endswith(("cluster_size", "embed_avg"))


def _load_part(folder: Path, manifest: Manifest, part: Part) -> nn.Module:
    weights = _weights(folder, manifest, part)
    where = folder / manifest.parts[part].path
    config = manifest.parts[part].config
    network = _network(part, manifest.version, weights, config, where)
    _check_fit(part, network, weights, manifest.version, where)
    network.load_state_dict(weights, strict=False)
    fold_weight_norm(network)
    return network.eval().requires_grad_(False)


def _weights(folder: Path, manifest: Manifest, part: Part) -> dict[str, Tensor]:
    path = folder / manifest.parts[part].path
    try:
        tensors = load_file(path)
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} is not whole: {path} is gone; pull or import the model again."
        ) from error
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is damaged ({error}); pull or import the model again.") from error
    if foreign := [key for key in tensors if not key.startswith(f"{part}.")]:
        raise UserError(f"{path} holds no {part} ({foreign[0][:100]}); import the model again.")
    return {key.removeprefix(f"{part}."): value for key, value in tensors.items()}


def _encoder(folder: Path, stored: Stored) -> Path:
    path = (folder / stored.path).resolve()
    if not (path / "model.safetensors").is_file() or not (path / "config.json").is_file():
        raise UserError(f"{folder} is not whole: {path} is gone; pull or import the model again.")
    return path
