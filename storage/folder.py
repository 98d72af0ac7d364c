"""Named files on a folder or an fsspec URL, each with its checksum beside it.

A file `a/b.json` has its sha256 in `a/b.json.sha256`, in the format of `sha256sum`. A file that is
replaced has two lines there until the new one is in place, so that a writer may be killed at any
time: whichever of the two is found, whole, is right.
"""

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from configs.errors import UserError
from storage.files import TEMPORARY, flush_folder, write_whole
from storage.remote import PATIENCE_SECONDS, open_place

SUM = ".sha256"
CHUNK_BYTES = 1 << 20
REREADS = 5  # of a file that somebody replaces while it is read
REREAD_SECONDS = 0.2


class Folder:
    """`url` is a folder or an fsspec URL. A name has one writer at a time, and many readers.

    On a network, an outage of `patience` seconds is waited for; then it is a UserError.
    """

    def __init__(self, url: str, patience: float = PATIENCE_SECONDS) -> None:
        self._place = open_place(url, patience)
        self.url = url

    def put(self, name: str, data: bytes | Path) -> None:
        """Stores bytes, or a file's content, under the name; whole or not at all."""
        path = self._path(name)
        now = hash_file(data) if isinstance(data, Path) else hashlib.sha256(data).hexdigest()
        before = [digest for digest in self._sums(name) if digest != now][-1:]
        self._write(path + SUM, _lines(name, [*before, now]))
        self._write(path, data)
        if before:
            self._write(path + SUM, _lines(name, [now]))

    def get(self, name: str) -> bytes | None:
        """The file's bytes, verified; None where there is none, UserError where it is damaged."""
        path = self._path(name)
        for _ in self._rereads(name):
            sums = self._sums(name)
            data = self._read(path)
            if data is None:
                return None
            if hashlib.sha256(data).hexdigest() in sums:
                return data
        raise AssertionError("_rereads raises at its end")

    def fetch(self, name: str, path: Path) -> None:
        """Writes the file, verified, to a path of this machine; UserError if missing or damaged."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}"
        source = self._path(name)
        try:
            for _ in self._rereads(name):
                sums = self._sums(name)
                try:
                    self._place.patiently(lambda: self._place.fs.get_file(source, str(temporary)))
                except FileNotFoundError as error:
                    raise UserError(f"There is no {name} in {self.url}") from error
                if hash_file(temporary) in sums:
                    break
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def names(self, prefix: str = "") -> list[str]:
        """The names of all files, or of those in the folder `prefix`, in order."""
        top = self._path(prefix) if prefix else self._place.root
        start = len(self._place.root) + 1
        names = (path[start:] for path in self._place.find(top))
        return sorted(
            name
            for name in names
            if not name.endswith(SUM) and not name.rsplit("/", 1)[-1].startswith(TEMPORARY)
        )

    def delete(self, name: str) -> None:
        """Removes a file; one that does not exist is no error."""
        path = self._path(name)
        for each in (path, path + SUM):
            with contextlib.suppress(FileNotFoundError):
                self._place.patiently(partial(self._place.fs.rm_file, each))

    def _path(self, name: str) -> str:
        check_name(name)
        return f"{self._place.root}/{name}"

    def _sums(self, name: str) -> list[str]:
        lines = (self._read(self._path(name) + SUM) or b"").decode("ascii", "replace").splitlines()
        return [line.split(" ", 1)[0] for line in lines]

    def _rereads(self, name: str) -> Iterator[None]:
        for number in range(REREADS):
            if number:
                time.sleep(REREAD_SECONDS)
            yield
        raise UserError(f"{name} in {self.url} is damaged: its checksum differs")

    def _read(self, path: str) -> bytes | None:
        try:
            data: bytes = self._place.patiently(lambda: self._place.fs.cat_file(path))
        except FileNotFoundError:
            return None
        return data

    def _write(self, path: str, data: bytes | Path) -> None:
        if self._place.local:
            _write_local(Path(path), data)
        else:
            # Object stores publish an upload at once and whole.
            self._place.write(path, data)


def check_name(name: str) -> None:
    """UserError unless the name is a plain relative path: a/b/c.json."""
    parts = name.split("/")
    if (
        any(part in ("", ".", "..") or part.startswith(TEMPORARY) for part in parts)
        or "\\" in name
        or any(ord(character) < 32 or ord(character) == 127 for character in name)
        or any(len(part.encode("utf-8", "surrogatepass")) > 240 for part in parts)
        or len(name.encode("utf-8", "surrogatepass")) > 700
        or any(0xD800 <= ord(character) <= 0xDFFF for character in name)
        or name.endswith(SUM)
    ):
        raise UserError(f"{name!r} can't be the name of a stored file")


def hash_file(path: Path) -> str:
    """sha256 (hex) of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lines(name: str, digests: list[str]) -> bytes:
    base = name.rsplit("/", 1)[-1]
    return "".join(f"{digest}  {base}\n" for digest in digests).encode()


def _write_local(path: Path, data: bytes | Path) -> None:
    if isinstance(data, bytes):
        write_whole(path, data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with data.open("rb") as source, temporary.open("xb") as target:
            while chunk := source.read(CHUNK_BYTES):
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    flush_folder(path.parent)
