"""Installed models, each a folder, and beside them what several of them share.

    models/NAME/config.json, s1.safetensors, s2.safetensors
    models/shared/TITLE-HASH/            HuBERT, RoBERTa, vocoders ...: named by what they hold

This module knows folders and names; what is in the files is `model.official`'s business.
"""

import json
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from configs.errors import UsageError, UserError
from storage.files import TEMPORARY, flush_folder

SHARED = "shared"
CONFIG = "config.json"
BUILT_IN = "built-in"
_NAME = re.compile(r"\w[\w .-]{0,62}\w|\w")
_STALE_SECONDS = 86_400.0
_RESERVED = {SHARED, BUILT_IN}


class Models:
    """The models in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __contains__(self, name: str) -> bool:
        named = _NAME.fullmatch(name) is not None and name not in _RESERVED
        return named and (self._folder / name / CONFIG).is_file()

    def __iter__(self) -> Iterator[str]:
        """The names, in order."""
        if self._folder.is_dir():
            yield from sorted(path.name for path in self._folder.iterdir() if path.name in self)

    def path(self, name: str) -> Path:
        """The folder of an installed model; UserError, with the names there are, where none is."""
        if name not in self:
            known = ", ".join(self) or "none yet"
            raise UserError(
                f"There is no model named {name}; installed models: {known}. Get one with: "
                "voxloom models pull NAME, or voxloom models import"
            )
        return self._folder / name

    def size(self, name: str) -> int:
        """Bytes of a model's own files, without what it shares."""
        return sum(file.stat().st_size for file in self.path(name).rglob("*") if file.is_file())

    def check_free(self, name: str) -> None:
        """UsageError where the name can't be a model's, UserError where it is taken."""
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise UsageError(
                f"{name!r} can't name a model: use 1 to 64 letters, digits, spaces, dots, dashes "
                f"and underscores (and neither {SHARED} nor {BUILT_IN})"
            )
        if (self._folder / name).exists():
            raise UserError(
                f"A model named {name} exists; choose another name with --name, or remove it first "
                f"with: voxloom models remove {name}"
            )

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder on the same disk to put a model together in; gone at the end."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for stale in self._folder.glob(f"{TEMPORARY}*"):  # of processes that were killed
            if time.time() - stale.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(stale, ignore_errors=True)
        folder = self._folder / f"{TEMPORARY}{secrets.token_hex(8)}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def install(self, name: str, staged: Path) -> Path:
        """Moves a staged folder, `staged/model` and `staged/shared/*`, in -> the model's folder.

        Shared parts go first: whenever this stops, every model that is there is whole.
        """
        self.check_free(name)
        shared = self._folder / SHARED
        shared.mkdir(exist_ok=True)
        parts = staged / SHARED
        for part in sorted(parts.iterdir()) if parts.is_dir() else ():
            if not (shared / part.name).exists():
                part.rename(shared / part.name)
        flush_folder(shared)
        (staged / "model").rename(self._folder / name)
        flush_folder(self._folder)
        return self._folder / name

    def remove(self, name: str) -> int:
        """Removes a model and the shared parts that no other needs -> bytes freed."""
        folder = self.path(name)
        before = self._bytes()
        temporary = self._folder / f"{TEMPORARY}{secrets.token_hex(8)}"
        folder.rename(temporary)
        shutil.rmtree(temporary)
        used = {part for other in self for part in self._shared_by(other)}
        shared = self._folder / SHARED
        for part in shared.iterdir() if shared.is_dir() else ():
            if part.name not in used:
                shutil.rmtree(part)
        return before - self._bytes()

    def _shared_by(self, name: str) -> set[str]:
        """Names of the shared parts that a model's config.json refers to."""
        try:
            record = json.loads((self._folder / name / CONFIG).read_bytes())
            paths = [PurePosixPath(entry["path"]).parts for entry in record["parts"].values()]
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(
                f"The model {name} is damaged ({error!r}): nothing shared was removed; remove the "
                "damaged model's folder first."
            ) from error
        return {parts[2] for parts in paths if parts[:2] == ("..", SHARED) and len(parts) > 2}

    def _bytes(self) -> int:
        return sum(file.stat().st_size for file in self._folder.rglob("*") if file.is_file())
