"""A model's folder is put together from checkpoints and from parts of another model."""

import hashlib
import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from torch import Tensor

from configs.errors import UsageError, UserError
from model.bigvgan import folded
from model.identify import TITLES, Kind, OfficialFile, Version, agree, identify
from model.lora import merge_lora
from model.official import (
    CONFIG,
    Manifest,
    Part,
    Stored,
    check_part,
    load_weights,
    manifest_json,
    needed_parts,
    read_manifest,
    save_part,
    save_tensors,
)
from model.unpickle import read_checkpoint

SHARED_PREFIX = "../shared/"
ENCODERS = {"hubert": "chinese-hubert-base", "roberta": "chinese-roberta-wwm-ext-large"}
_TOKENIZER_FILES = ("config.json", "preprocessor_config.json", "tokenizer.json", "vocab.txt")
_PICKLED, _SAFE = "pytorch_model.bin", "model.safetensors"


@dataclass(frozen=True)
class Sources:
    """What a model is made of: files, and for the encoders folders. What is None is taken from the
    model in the folder `base`; a model may do without `roberta`."""

    s1: Path
    s2: Path
    vocoder: Path | None = None
    speaker: Path | None = None
    hubert: Path | None = None
    roberta: Path | None = None
    base: Path | None = None


@dataclass(frozen=True)
class Pair:
    """S1 and S2, read and of one version."""

    s1: OfficialFile
    s2: OfficialFile
    version: Version


@dataclass(frozen=True)
class Extras:
    """Where what models can share is written, and how a model's folder refers to it."""

    folder: Path
    prefix: str


def read_pair(s1: Path, s2: Path, version: str) -> Pair:
    """Both checkpoints, told to be what they should be; `version` is what the user says, or ""."""
    second = agree(_expect(s2, "--s2", "s2", "lora"), version)
    first = _expect(s1, "--s1", "s1")
    if (first.version == "v1") != (second.version == "v1"):
        raise UsageError(
            f"{s1} is of {first.version or 'v2 or later'} and {s2} of {second.version}: they know "
            "different phones; give files of one version"
        )
    assert second.version is not None  # `agree` has seen to it
    return Pair(first, second, second.version)


def put_together(
    folder: Path, extras: Extras, sources: Sources, pair: Pair, source: str
) -> Manifest:
    """Writes a model's folder; UserError, one sentence, where something is missing or misfits."""
    base = None if sources.base is None else read_manifest(sources.base)
    folder.mkdir(parents=True)
    extras.folder.mkdir(parents=True, exist_ok=True)
    version = pair.version
    parts = {
        "s1": _write_part(folder, "s1", pair.s1, version),
        "s2": _write_part(folder, "s2", _whole_s2(pair, sources.base, base), version),
    }
    for part, path in (("vocoder", sources.vocoder), ("speaker", sources.speaker)):
        if part not in needed_parts(version):
            continue
        if path is None:
            parts[part] = _take_over(extras, sources.base, base, part, version)
        else:
            parts[part] = _write_extra(extras, part, path, version)
    for encoder, path in (("hubert", sources.hubert), ("roberta", sources.roberta)):
        if path is not None:
            parts[encoder] = _write_encoder(extras, encoder, path)
        elif encoder == "hubert" or (base is not None and encoder in base.parts):
            parts[encoder] = _take_over(extras, sources.base, base, encoder, version)
    manifest = Manifest(version, source, parts)
    (folder / CONFIG).write_bytes(manifest_json(manifest))
    return manifest


def _expect(path: Path, option: str, *kinds: Kind) -> OfficialFile:
    file = identify(path)
    if file.kind not in kinds:
        raise UsageError(f"{path} is {TITLES[file.kind]}; {option} takes {TITLES[kinds[0]]}")
    return file


def _whole_s2(pair: Pair, folder: Path | None, base: Manifest | None) -> OfficialFile:
    """S2 with its base merged in where the file is a LoRA."""
    if pair.s2.kind != "lora":
        return pair.s2
    if folder is None or base is None or base.version != pair.version:
        raise UsageError(
            f"{pair.s2.path} is a LoRA: say with --base which model of {pair.version} it is for"
        )
    merged = merge_lora(load_weights(folder, "s2"), pair.s2.weights, pair.s2.path)
    return replace(pair.s2, weights=merged)


def _write_part(folder: Path, part: Part, file: OfficialFile, version: Version) -> Stored:
    """Checks a part's weights and writes them -> where they are, relative to `folder`."""
    section = file.config.get("model")
    config = _plain(section) if isinstance(section, Mapping) else {}
    weights: Mapping[str, Tensor] = file.weights
    if part == "vocoder":
        weights = folded(weights)
    check_part(part, version, weights, {"model": config}, file.path)
    path = folder / f"{part}.safetensors"
    save_part(path, part, weights)
    return Stored(path.name, _hash(path), {"model": config} if config else {})


def _plain(section: Mapping[Any, Any]) -> dict[str, Any]:
    """What of a configuration JSON can hold: names with numbers, texts, and lists of those."""
    simple = (str, int, float, bool, type(None))
    return {
        key: value
        for key, value in section.items()
        if isinstance(key, str)
        and (
            isinstance(value, simple)
            or (isinstance(value, list) and all(isinstance(item, simple) for item in value))
        )
    }


def _write_extra(extras: Extras, part: Any, path: Path, version: Version) -> Stored:
    kind: Kind = "speaker"
    title = "eres2netv2"
    if part == "vocoder":
        kind, title = ("bigvgan", "bigvgan-v2") if version == "v3" else ("vocoder", "vocoder-v4")
    new = extras.folder / f"new-{secrets.token_hex(4)}"
    new.mkdir()
    stored = _write_part(new, part, _expect(path, f"--{part}", kind), version)
    unit = _settle(extras, new, title, stored.sha256)
    return replace(stored, path=f"{extras.prefix}{unit}/{stored.path}")


def _write_encoder(extras: Extras, encoder: str, folder: Path) -> Stored:
    """HuBERT or RoBERTa from a folder in transformers' layout, its weights without pickle."""
    title = ENCODERS[encoder]
    try:
        model_type = json.loads((folder / "config.json").read_bytes())["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder} is not {title}: its config.json can't be read ({error})."
        ) from error
    if model_type != {"hubert": "hubert", "roberta": "bert"}[encoder]:
        raise UserError(f"{folder} is not {title}: it says that it is a {model_type} model.")
    new = extras.folder / f"new-{secrets.token_hex(4)}"
    new.mkdir()
    for name in _TOKENIZER_FILES:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, new / name)
    if (folder / _SAFE).is_file():
        shutil.copyfile(folder / _SAFE, new / _SAFE)
    else:
        weights = read_checkpoint(folder / _PICKLED).content
        if not isinstance(weights, dict) or not all(
            isinstance(key, str) and isinstance(value, Tensor) for key, value in weights.items()
        ):
            raise UserError(f"{folder / _PICKLED} holds no weights; get {title} again.")
        save_tensors(new / _SAFE, weights)
    sha256 = hashlib.sha256("".join(_hash(file) for file in sorted(new.iterdir())).encode())
    unit = _settle(extras, new, title, sha256.hexdigest())
    return Stored(f"{extras.prefix}{unit}", sha256.hexdigest(), {})


def _settle(extras: Extras, new: Path, title: str, sha256: str) -> str:
    """Gives a new extra its name, of its title and of what it holds."""
    unit = f"{title}-{sha256[:12]}"
    new.rename(extras.folder / unit)
    return unit


def _take_over(
    extras: Extras, folder: Path | None, base: Manifest | None, part: str, version: Version
) -> Stored:
    """A part of the base model: shared where both lie beside the same folder, else a copy."""
    stored = None if base is None else base.parts.get(part)
    if folder is None or base is None or stored is None:
        raise UsageError(
            f"{version} needs a {part}: give one with --{part}, or a model with --base"
        )
    if part == "vocoder" and base.version != version:
        raise UsageError(
            f"the vocoder of {base.version} does not fit {version}; give another --base"
        )
    if extras.prefix == SHARED_PREFIX and stored.path.startswith(SHARED_PREFIX):
        return stored
    unit, *rest = PurePosixPath(stored.path.removeprefix(SHARED_PREFIX)).parts
    source = folder / PurePosixPath(stored.path).parent if rest else folder / stored.path
    if not source.is_dir():
        raise UserError(f"{folder} is not whole: {source} is gone; pull or import it again.")
    shutil.copytree(source, extras.folder / unit)
    return replace(stored, path=extras.prefix + "/".join([unit, *rest]))


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
