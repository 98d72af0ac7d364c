"""Which file of GPT-SoVITS is this, and of which version: told from what it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from configs.errors import UsageError, UserError
from model.unpickle import HEADS, Checkpoint, read_checkpoint

Version = Literal["v1", "v2", "v2Pro", "v2ProPlus", "v3", "v4"]
Kind = Literal["s1", "s2", "lora", "vocoder", "bigvgan", "speaker"]
VERSIONS: tuple[Version, ...] = get_args(Version)

TITLES: dict[Kind, str] = {
    "s1": "an S1 model (GPT weights)",
    "s2": "an S2 model (SoVITS weights)",
    "lora": "a LoRA of S2 (SoVITS weights)",
    "vocoder": "the vocoder of v4",
    "bigvgan": "a BigVGAN vocoder",
    "speaker": "a speaker-verification network",
}

# MD5 of the first 8 KiB of official S2 files: the only thing that tells v3's from v4's.
_OFFICIAL: dict[str, Version] = {
    "dc3c97e17592963677a4a1681f30c653": "v1",
    "6642b37f3dbb1f76882b69937c95a5f3": "v2",
    "43797be674a37c1c83ee81081941ed0f": "v3",
    "4f26b9476d0c5033e04162c486074374": "v4",
    "c7e9fce2223f3db685cdfa1e6368728a": "v2Pro",
    "66b313e39455b57ab1b0bc0b239c9d0a": "v2ProPlus",
}
_INFO: dict[str, Version] = {"pretrained_s2G_v3": "v3", "pretrained_s2G_v4": "v4"}
_FLOWS: tuple[Version, ...] = ("v3", "v4")
_V1_ROWS = 512  # S1 of v1 has room for 512 phones, and S2 for exactly its 322
_V1_SYMBOLS = 322
_PLUS_KERNEL = 20  # of the first transposed convolution: 16 in v2Pro


@dataclass(frozen=True)
class OfficialFile:
    """A checkpoint that is known.

    `version`: None where the content can't tell: S1 files serve every version from v2 on, and v3
    and v4 look alike. `weights`: the state dict with official names, S1's without `model.`.
    `config`: the stored configuration, {} where there is none. `info`: what the file says of
    itself. `rank`: of a LoRA, else 0.
    """

    path: Path
    kind: Kind
    version: Version | None
    weights: dict[str, Tensor]
    config: Mapping[str, Any]
    info: str
    rank: int


def identify(path: Path) -> OfficialFile:
    """Reads a file and tells what it is; UserError, one sentence, where it is nothing known."""
    checkpoint = read_checkpoint(path)
    content = checkpoint.content
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no weights but a {type(content).__name__}.")
    if isinstance(content.get("model"), dict) and "optimizer" in content:
        raise UserError(
            f"{path} is a state of training; give the file that GPT-SoVITS exports for use "
            "(in SoVITS_weights or GPT_weights)."
        )
    weights = content
    for wrapper in ("weight", "generator"):
        if isinstance(content.get(wrapper), dict):
            weights = content[wrapper]
    _check_weights(path, weights)
    config = content.get("config")
    file = OfficialFile(
        path=path,
        kind=_kind(path, weights),
        version=None,
        weights=weights,
        config=config if isinstance(config, dict) else {},
        info=info if isinstance(info := content.get("info"), str) else "",
        rank=0,
    )
    if file.kind == "s1":
        return _s1(file)
    if file.kind == "lora":
        rank = next(value.shape[0] for key, value in weights.items() if ".lora_A." in key)
        file = replace(file, rank=rank)
    if file.kind in ("s2", "lora"):
        return replace(file, version=_s2_version(file, checkpoint))
    return file


def agree(file: OfficialFile, version: str) -> OfficialFile:
    """The file with its version settled by what the user says (`version`, "" for nothing).

    UsageError where that is no version, is missing and needed, or contradicts the content.
    """
    if version and version not in VERSIONS:
        raise UsageError(f"--version {version} is none of {', '.join(VERSIONS)}")
    if not version:
        if file.version is None and file.kind in ("s2", "lora"):
            raise UsageError(
                f"{file.path} may be v3 or v4, which look alike: say which with --version v3 or "
                "--version v4"
            )
        return file
    said = next(v for v in VERSIONS if v == version)
    alike = {file.version, said} <= {"v3", "v4"}  # then the user knows better
    if file.kind in ("s2", "lora") and file.version not in (None, said) and not alike:
        raise UsageError(f"{file.path} holds {file.version}, not {said} as --version says")
    if file.kind in ("s2", "lora") and file.version is None and said not in ("v3", "v4"):
        raise UsageError(f"{file.path} holds v3 or v4, not {said} as --version says")
    return replace(file, version=said)


def _check_weights(path: Path, weights: Mapping[Any, Any]) -> None:
    if not weights:
        raise UserError(f"{path} holds no weights.")
    for key, value in weights.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise UserError(
                f"{path} holds no model of GPT-SoVITS: {str(key)[:100]!r} is no tensor."
            )
        if value.is_floating_point() and not value.isfinite().all():
            raise UserError(
                f"{path} can't be used: {key} holds values that are no numbers, as after a "
                "training that failed."
            )


def _kind(path: Path, weights: Mapping[str, Tensor]) -> Kind:
    marks: tuple[tuple[str, Kind], ...] = (
        ("model.ar_predict_layer.weight", "s1"),
        ("enc_p.text_embedding.weight", "s2"),
        ("activation_post.act.beta", "bigvgan"),
        ("ups.0.weight", "vocoder"),
        ("ups.0.weight_v", "vocoder"),
        ("fuse34.local_att.0.weight", "speaker"),
    )
    for key, kind in marks:
        if key in weights:
            return kind
    if any(".lora_A." in key for key in weights):
        return "lora"
    if any(key.startswith("discriminators.") for key in weights):
        raise UserError(f"{path} is a discriminator, which only training needs; give its S2 model.")
    raise UserError(
        f"{path} is no model of GPT-SoVITS that is known (it holds {next(iter(weights))[:100]})."
    )


def _s1(file: OfficialFile) -> OfficialFile:
    odd = [key for key in file.weights if not key.startswith("model.")]
    rows = file.weights.get("model.ar_text_embedding.word_embeddings.weight")
    if odd or rows is None:
        missing = odd[0] if odd else "model.ar_text_embedding.word_embeddings.weight"
        raise UserError(f"{file.path} is no whole S1 model: {missing} does not belong or is gone.")
    return replace(
        file,
        version="v1" if len(rows) == _V1_ROWS else None,
        weights={key.removeprefix("model."): value for key, value in file.weights.items()},
    )


def _s2_version(file: OfficialFile, checkpoint: Checkpoint) -> Version | None:
    """By structure where that decides; between v3 and v4 by what else the file says."""
    weights = file.weights
    said = HEADS.get(checkpoint.head)
    version: Version | None
    if file.kind == "lora" or any(key.startswith("cfm.") for key in weights):
        stored = file.config.get("version")
        if isinstance(model := file.config.get("model"), dict):
            stored = model.get("version", stored)
        digest = hashlib.md5(checkpoint.start, usedforsecurity=False).hexdigest()
        hints = (_OFFICIAL.get(digest), said, _INFO.get(file.info), stored)
        version = next((v for hint in hints for v in _FLOWS if hint == v), None)
    elif "sv_emb.weight" in weights:
        ups = weights.get("dec.ups.0.weight_v", torch.empty(0, 0, 0))
        version = "v2ProPlus" if ups.ndim == 3 and ups.shape[2] == _PLUS_KERNEL else "v2Pro"
    else:
        rows = len(weights["enc_p.text_embedding.weight"])
        version = "v1" if rows == _V1_SYMBOLS else "v2"
    if said is not None and version is not None and said != version:
        raise UserError(
            f"{file.path} contradicts itself: its first bytes say {said}, its weights are "
            f"{version}'s; get it again."
        )
    return version
