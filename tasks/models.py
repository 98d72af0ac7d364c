"""Models of the official family: imported, converted, listed."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from configs.errors import UserError
from model.identify import Version
from model.official import needed_parts, read_manifest
from storage.models import SHARED, Models
from tasks.model_parts import (
    ENCODERS,
    SHARED_PREFIX,
    Extras,
    Pair,
    Sources,
    put_together,
    read_pair,
)


@dataclass(frozen=True)
class Listed:
    """An installed model. `bytes` are its own, without what it shares with others."""

    name: str
    version: Version
    source: str
    bytes: int


def list_models(models: Models) -> list[Listed]:
    """Every installed model; UserError at one that is damaged."""
    lines = []
    for name in models:
        manifest = read_manifest(models.path(name))
        lines.append(Listed(name, manifest.version, manifest.source, models.size(name)))
    return lines


def import_model(
    models: Models, name: str, s1: Path, s2: Path, version: str = "", base: str = ""
) -> tuple[str, Version]:
    """Installs a fine-tuned pair of checkpoints -> its name ("" becomes the S2 file's), version.

    What it shares with other models (HuBERT, vocoder ..., for a LoRA also S2) comes from the
    installed model called `base`, or else from whichever there is that has it. `version` is needed
    where the files don't tell.
    """
    name = name or s2.stem
    models.check_free(name)
    pair = read_pair(s1, s2, version)
    base = base or _base_for(models, pair)
    sources = Sources(s1, s2, base=models.path(base))
    _install(models, name, sources, pair, f"{s1.name}, {s2.name}")
    return name, pair.version


def install_official(models: Models, version: str, sources: Sources, source: str) -> None:
    """Installs the official model of a version under the version's name."""
    models.check_free(version)
    _install(models, version, sources, read_pair(sources.s1, sources.s2, version), source)


def convert_model(out: Path, sources: Sources, version: str = "") -> Version:
    """Writes a model's folder anywhere, complete in itself -> its version."""
    if out.exists():
        raise UserError(f"{out} exists; give a folder that is not there yet.")
    pair = read_pair(sources.s1, sources.s2, version)
    temporary = out.with_name(f".{out.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        names = f"{sources.s1.name}, {sources.s2.name}"
        put_together(temporary, Extras(temporary, ""), sources, pair, names)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return pair.version


def _install(models: Models, name: str, sources: Sources, pair: Pair, source: str) -> None:
    with models.staging() as staged:
        extras = Extras(staged / SHARED, SHARED_PREFIX)
        put_together(staged / "model", extras, sources, pair, source)
        models.install(name, staged)


def _base_for(models: Models, pair: Pair) -> str:
    """An installed model that has what the pair lacks, the official one first; else UserError."""
    needed = {*needed_parts(pair.version), "hubert"}
    for name in sorted(models, key=lambda name: (name != pair.version, name)):
        manifest = read_manifest(models.path(name))
        same = manifest.version == pair.version
        if needed <= manifest.parts.keys() and (
            same or (pair.s2.kind == "s2" and "vocoder" not in needed)
        ):
            return name
    lacks = " and ".join(sorted(needed - {"s1", "s2"})).replace("hubert", ENCODERS["hubert"])
    why = f"it is a LoRA of {pair.version}" if pair.s2.kind == "lora" else f"it needs {lacks}"
    raise UserError(
        f"{pair.s2.path} can't be imported alone: {why}, and no installed model has that; get it "
        f"with: voxloom models pull {pair.version}"
    )
