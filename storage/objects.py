"""The object store: bytes under content keys, on a folder or anything else that fsspec reaches.

An object is a file `ab/cd/abcd...` of a magic number, the sha256 of its payload and the payload.
It appears under its name at once and whole, so a killed writer leaves nothing but a temporary
file; a reader verifies it, and what does not verify counts as missing, is reported and moved
aside.
"""

import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from configs.errors import UsageError
from storage.files import TEMPORARY, write_whole
from storage.keys import is_key

MAGIC = b"VXO1"
HEADER_BYTES = len(MAGIC) + hashlib.sha256().digest_size
CORRUPT = "corrupt"
STALE_SECONDS = 3600.0  # a temporary file older than this belongs to a writer that is gone

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Usage:
    """What the store holds; `bytes` as on the disk, headers included."""

    objects: int
    bytes: int
    corrupt_objects: int
    corrupt_bytes: int


class ObjectStore:
    """`url` is a folder or an fsspec URL; `on_corrupt(key, reason)` hears of damaged objects."""

    def __init__(self, url: str, on_corrupt: Callable[[str, str], None] | None = None) -> None:
        try:
            self._fs, self._root = fsspec.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise UsageError(f"The store {url} can't be used: {error}") from error
        self.url = url
        self._local = isinstance(self._fs, LocalFileSystem)
        self._on_corrupt = on_corrupt or _warn

    def get(self, key: str) -> bytes | None:
        """The object's bytes, verified; None when it is missing or corrupt."""
        path = self._path(key)
        try:
            raw = self._fs.cat_file(path)
        except FileNotFoundError:
            return None
        payload = raw[HEADER_BYTES:]
        if raw[:HEADER_BYTES] == _header(payload):
            return payload
        reason = _damage(raw)
        self._fs.makedirs(f"{self._root}/{CORRUPT}", exist_ok=True)
        self._fs.pipe_file(f"{self._root}/{CORRUPT}/{key}-{secrets.token_hex(4)}", raw)
        self.delete(key)
        self._on_corrupt(key, reason)
        return None

    def put(self, key: str, data: bytes) -> None:
        """Stores the bytes; when this returns they survive a crash of the machine."""
        path = self._path(key)
        raw = _header(data) + data
        if self._local:
            write_whole(Path(path), raw)
        else:
            # Object stores publish an upload at once and whole.
            self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            self._fs.pipe_file(path, raw)

    def has(self, key: str) -> bool:
        """Whether an object of that name exists; its content is not verified."""
        return bool(self._fs.exists(self._path(key)))

    def missing(self, keys: Iterable[str]) -> list[str]:
        """The keys that `get` would not return, each once, in the order given."""
        return [key for key in dict.fromkeys(keys) if self.get(key) is None]

    def delete(self, key: str) -> None:
        """Removes an object; one that does not exist is no error."""
        try:
            self._fs.rm_file(self._path(key))
        except FileNotFoundError:
            return

    def __iter__(self) -> Iterator[str]:
        """Every key, in order."""
        for path in sorted(self._files()):
            name = path.rsplit("/", 1)[-1]
            if is_key(name) and path == self._path(name):
                yield name

    def du(self) -> Usage:
        """Count and size of the objects and of those set aside as corrupt."""
        objects = bytes_ = corrupt = corrupt_bytes = 0
        for path, size in self._files().items():
            if path.startswith(f"{self._root}/{CORRUPT}/"):
                corrupt, corrupt_bytes = corrupt + 1, corrupt_bytes + size
            elif is_key(path.rsplit("/", 1)[-1]):
                objects, bytes_ = objects + 1, bytes_ + size
        return Usage(objects, bytes_, corrupt, corrupt_bytes)

    def gc(self, keep: Iterable[str]) -> Usage:
        """Deletes every object not in `keep`, those set aside, and stale temporary files.

        Returns what was deleted.
        """
        kept = set(keep)
        objects = bytes_ = corrupt = corrupt_bytes = 0
        for path, size in self._files().items():
            name = path.rsplit("/", 1)[-1]
            if path.startswith(f"{self._root}/{CORRUPT}/"):
                corrupt, corrupt_bytes = corrupt + 1, corrupt_bytes + size
            elif is_key(name) and name not in kept:
                objects, bytes_ = objects + 1, bytes_ + size
            elif not (name.startswith(TEMPORARY) and self._stale(path)):
                continue
            self._fs.rm_file(path)
        return Usage(objects, bytes_, corrupt, corrupt_bytes)

    def verify(self) -> list[str]:
        """Reads every object; returns the keys of those that were corrupt (now set aside)."""
        return self.missing(self)

    def _path(self, key: str) -> str:
        if not is_key(key):
            raise ValueError(f"not a content key: {key!r}")
        return f"{self._root}/{key[:2]}/{key[2:4]}/{key}"

    def _files(self) -> dict[str, int]:
        if not self._fs.exists(self._root):
            return {}
        found = self._fs.find(self._root, detail=True)
        return {path: int(facts["size"] or 0) for path, facts in found.items()}

    def _stale(self, path: str) -> bool:
        return self._local and time.time() - Path(path).stat().st_mtime > STALE_SECONDS


def _header(payload: bytes) -> bytes:
    return MAGIC + hashlib.sha256(payload).digest()


def _damage(raw: bytes) -> str:
    if len(raw) < HEADER_BYTES:
        return f"cut off after {len(raw)} bytes"
    if not raw.startswith(MAGIC):
        return "does not begin as an object does"
    return "checksum differs"


def _warn(key: str, reason: str) -> None:
    log.warning("object %s is corrupt (%s); it is set aside and counts as missing", key, reason)
