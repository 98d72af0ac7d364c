"""The object store: bytes under content keys, on a folder or anything else that fsspec reaches.

An object is a file `ab/cd/abcd...` of a magic number, the sha256 of its payload and the payload.
It appears under its name at once and whole, so a killed writer leaves nothing but a temporary
file; a reader verifies it, and what does not verify counts as missing, is reported and moved
aside. Whatever else lies in the same folder (the pool's jobs) is left alone.
"""

import contextlib
import hashlib
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from storage.files import TEMPORARY, write_whole
from storage.keys import is_key
from storage.remote import PATIENCE_SECONDS, open_place

MAGIC = b"VXO1"
HEADER_BYTES = len(MAGIC) + hashlib.sha256().digest_size
CORRUPT = "corrupt"
STALE_SECONDS = 3600.0  # a temporary file older than this belongs to a writer that is gone
REQUESTS = 16  # at a time, to a store on the network
# A request for one object costs about as much as this many objects do in a listing (measured).
LISTED_PER_REQUEST = 12
FEWEST_LISTED = 256  # keys; fewer are asked for one by one
PARTS = 256  # folders at the top
FEW = 10_000  # objects, that one listing after the other finds as fast as many at once

_PLACE = re.compile(r"(?P<place>[0-9a-f]{2}/[0-9a-f]{2})/(?P<name>[^/]+)")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Usage:
    """What the store holds; `bytes` as on the disk, headers included."""

    objects: int
    bytes: int
    corrupt_objects: int
    corrupt_bytes: int


class ObjectStore:
    """`url` is a folder or an fsspec URL; `on_corrupt(key, reason)` hears of damaged objects.

    On a network, an outage of `patience` seconds is waited for; then it is a UserError.
    """

    def __init__(
        self,
        url: str,
        on_corrupt: Callable[[str, str], None] | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._place = open_place(url, patience)
        self._fs, self._root, self._local = self._place.fs, self._place.root, self._place.local
        self.url = url
        self._on_corrupt = on_corrupt or _warn

    def get(self, key: str) -> bytes | None:
        """The object's bytes, verified; None when it is missing or corrupt."""
        raw = self._read(key)
        if raw is not None and not self._local and not _sound(raw):
            raw = self._read(key)  # it may have been damaged on its way
        if raw is None:
            return None
        if _sound(raw):
            return raw[HEADER_BYTES:]
        reason = _damage(raw)
        self._write(f"{self._root}/{CORRUPT}/{key}-{secrets.token_hex(4)}", raw)
        self.delete(key)
        self._on_corrupt(key, reason)
        return None

    def put(self, key: str, data: bytes) -> None:
        """Stores the bytes; when this returns they survive a crash of the machine."""
        self._write(self._path(key), _header(data) + data)

    def has(self, key: str) -> bool:
        """Whether an object of that name exists; its content is not verified."""
        path = self._path(key)
        try:
            # Not `exists`, which takes an outage for an answer.
            self._place.patiently(lambda: self._fs.info(path))
        except FileNotFoundError:
            return False
        return True

    def missing(self, keys: Iterable[str]) -> list[str]:
        """The keys that are not there, each once, in the order given.

        In a local folder every object is verified, so that these are the keys `get` would not
        return. On a network, where that would be a download of the book, they are asked for.
        """
        wanted = list(dict.fromkeys(keys))
        if self._local:
            return [key for key in wanted if self.get(key) is None]
        there = self._existing(wanted)
        return [key for key in wanted if key not in there]

    def delete(self, key: str) -> None:
        """Removes an object; one that does not exist is no error."""
        self._delete(self._path(key))

    def __iter__(self) -> Iterator[str]:
        """Every key, in order."""
        yield from sorted(self._keys(self._files(self._root)))

    def du(self) -> Usage:
        """Count and size of the objects and of those set aside as corrupt."""
        return _usage(self._files(self._root).values())

    def gc(self, keep: Iterable[str], spare_seconds: float = 0.0) -> Usage:
        """Deletes every object not in `keep`, those set aside, and stale temporary files.

        Objects younger than `spare_seconds` stay: somebody may just be making what no record names
        yet. Returns what was deleted.
        """
        kept = set(keep)
        now = time.time()
        doomed = [
            file
            for file in self._files(self._root).values()
            if file.kind == "corrupt"
            or (
                file.kind == "object"
                and file.name not in kept
                and now - file.modified >= spare_seconds
            )
            or (file.kind == "temporary" and now - file.modified > STALE_SECONDS)
        ]
        with ThreadPoolExecutor(1 if self._local else REQUESTS) as pool:
            list(pool.map(self._delete, [file.path for file in doomed]))
        return _usage(doomed)

    def verify(self) -> list[str]:
        """Reads every object; returns the keys of those that were corrupt (now set aside)."""
        keys = list(self)
        with ThreadPoolExecutor(1 if self._local else REQUESTS) as pool:
            sound = pool.map(lambda key: self.get(key) is not None, keys)
            return [key for key, whole in zip(keys, sound, strict=True) if not whole]

    def _existing(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that are there.

        Many are found by listing the store, unless it holds so many more that asking for each is
        less work. How many it holds is told by one of its 256 parts.
        """
        parts: dict[str, list[str]] = {}
        for key in keys:
            parts.setdefault(self._path(key)[: len(self._root) + 3], []).append(key)
        with ThreadPoolExecutor(REQUESTS) as pool:
            if len(keys) >= FEWEST_LISTED:
                sample = max(parts, key=lambda part: len(parts[part]))
                listed = self._keys(self._files(sample))
                if PARTS * len(listed) <= FEW:
                    return self._keys(self._files(self._root))
                if len(listed) <= LISTED_PER_REQUEST * len(parts.pop(sample)):
                    return listed.union(*map(self._keys, pool.map(self._files, parts)))
            there = pool.map(self.has, keys)
            return {key for key, found in zip(keys, there, strict=True) if found}

    def _path(self, key: str) -> str:
        if not is_key(key):
            raise ValueError(f"not a content key: {key!r}")
        return f"{self._root}/{key[:2]}/{key[2:4]}/{key}"

    def _read(self, key: str) -> bytes | None:
        path = self._path(key)
        try:
            raw: bytes = self._place.patiently(lambda: self._fs.cat_file(path))
        except FileNotFoundError:
            return None
        return raw

    def _write(self, path: str, raw: bytes) -> None:
        if self._local:
            write_whole(Path(path), raw)
        else:
            # Object stores publish an upload at once and whole.
            self._place.write(path, raw)

    def _files(self, top: str) -> "dict[str, _File]":
        """The store's files below a path, by their paths."""
        found = self._place.find(top)
        files = (_file(path, path[len(self._root) + 1 :], facts) for path, facts in found.items())
        return {file.path: file for file in files if file}

    def _keys(self, files: "dict[str, _File]") -> set[str]:
        return {file.name for file in files.values() if file.kind == "object"}

    def _delete(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._place.patiently(partial(self._fs.rm_file, path))


@dataclass(frozen=True)
class _File:
    """A file of the store; `modified` in Unix time (seconds)."""

    path: str
    name: str
    kind: str  # "object" | "corrupt" | "temporary"
    size: int
    modified: float


def _file(path: str, place: str, facts: dict[str, Any]) -> _File | None:
    """What a listing says of a file; None for one that is not the store's."""
    name = place.rsplit("/", 1)[-1]
    found = _PLACE.fullmatch(place)
    if place.startswith(f"{CORRUPT}/"):
        kind = "corrupt"
    elif found and is_key(name) and found["place"] == f"{name[:2]}/{name[2:4]}":
        kind = "object"
    elif found and name.startswith(TEMPORARY):
        kind = "temporary"
    else:
        return None
    # Local folders tell a Unix time, S3 and the memory a date.
    modified = next(facts[one] for one in ("mtime", "LastModified", "created") if one in facts)
    seconds = modified if isinstance(modified, float) else modified.timestamp()
    return _File(path, name, kind, int(facts["size"] or 0), seconds)


def _usage(files: Iterable[_File]) -> Usage:
    sizes: dict[str, list[int]] = {"object": [], "corrupt": [], "temporary": []}
    for file in files:
        sizes[file.kind].append(file.size)
    objects, corrupt = sizes["object"], sizes["corrupt"]
    return Usage(len(objects), sum(objects), len(corrupt), sum(corrupt))


def _header(payload: bytes) -> bytes:
    return MAGIC + hashlib.sha256(payload).digest()


def _sound(raw: bytes) -> bool:
    return raw[:HEADER_BYTES] == _header(raw[HEADER_BYTES:])


def _damage(raw: bytes) -> str:
    if len(raw) < HEADER_BYTES:
        return f"cut off after {len(raw)} bytes"
    if not raw.startswith(MAGIC):
        return "does not begin as an object does"
    return "checksum differs"


def _warn(key: str, reason: str) -> None:
    log.warning("object %s is corrupt (%s); it is set aside and counts as missing", key, reason)
