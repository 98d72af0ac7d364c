"""Files that can be made again from what is stored, kept under the key of what they hold.

KEY.suffix is the file, KEY.suffix.json says what is known of it and its hash. The second is written
last: a file without it is not finished, and one that does not match it is made again.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from storage.files import write_whole
from storage.keys import is_key

FACTS = ".json"
STALE_SECONDS = 3600.0  # a run may just be making what no record names yet

log = logging.getLogger(__name__)


class DerivedFiles:
    """The files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str, suffix: str) -> tuple[Path, dict[str, Any]] | None:
        """The file of a key and what is known of it, verified; None where it must be made."""
        path = self._path(key, suffix)
        try:
            record = json.loads(_facts(path).read_bytes())
            if record["sha256"] != _hash(path):
                raise ValueError("its checksum differs")
            facts = record["facts"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warning("%s is damaged (%s) and made again", path, error)
            return None
        return path, facts

    def look(self, key: str, suffix: str) -> tuple[Path, dict[str, Any]] | None:
        """The same without reading the whole file, for who only wants to see or hear it."""
        path = self._path(key, suffix)
        try:
            facts = json.loads(_facts(path).read_bytes())["facts"]
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return (path, facts) if path.is_file() else None

    def make(
        self, key: str, suffix: str, make: Callable[[Path], dict[str, Any]]
    ) -> tuple[Path, dict[str, Any]]:
        """The file of a key, made if need be. `make` writes the path that it gets, whole or not at
        all, and returns what shall be known of it, as JSON values."""
        found = self.get(key, suffix)
        if found is None:
            path = self._path(key, suffix)
            _facts(path).unlink(missing_ok=True)
            facts = make(path)
            record = {"sha256": _hash(path), "facts": facts}
            write_whole(_facts(path), json.dumps(record, sort_keys=True).encode())
            found = path, facts
        return found

    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self._files())

    def gc(self, keep: Iterable[str]) -> int:
        """Deletes the files of all keys but those to `keep`, and of killed writers; files younger
        than an hour stay. Returns the bytes freed."""
        kept, freed, now = set(keep), 0, time.time()
        for path in self._files():
            stat = path.stat()
            if path.name.split(".")[0] not in kept and now - stat.st_mtime > STALE_SECONDS:
                path.unlink()
                freed += stat.st_size
        return freed

    def _files(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return [path for path in sorted(self._folder.iterdir()) if path.is_file()]

    def _path(self, key: str, suffix: str) -> Path:
        if not is_key(key):
            raise ValueError(f"not a content key: {key!r}")
        return self._folder / f"{key}{suffix}"


def _facts(path: Path) -> Path:
    return path.with_name(path.name + FACTS)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
