"""Write a file beside its final path, then rename: the final path never holds half a file."""

import errno
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from configs.errors import UserError

_PART = ".part"


@contextmanager
def written_beside(final: Path) -> Iterator[Path]:
    """Yields an empty file in the folder of `final`; when the block ends well it becomes `final`.

    The bytes are on the disk (fsync) before the rename, so a power cut leaves the old file or the
    new one. When the block raises, `final` stays what it was and the part is removed. What went
    wrong with the disk comes out as a `UserError`. Parts of runs that were killed are removed.
    """
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.is_dir():
            raise UserError(
                f"{final} is a folder, not a file: move it away or choose another output folder."
            )
        _remove_orphans(final)
        part = final.parent / f".{_short(final.name)}.{secrets.token_hex(4)}{_PART}"
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise disk_error(error, final) from error
    try:
        # Held until this process is gone: it tells another run that this part is being written.
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield part
        # A second handle: a library may have replaced the file instead of writing into it.
        _sync(part)
        part.replace(final)
        _sync(final.parent)
    except OSError as error:
        raise disk_error(error, final) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        os.close(handle)


def write_bytes(final: Path, data: bytes) -> None:
    """Writes a small file at once or not at all."""
    with written_beside(final) as part:
        part.write_bytes(data)


def write_entries(final: Path, entries: Sequence[dict[str, Any]]) -> None:
    """Writes a list for JSON, at once or not at all; no file where it is empty."""
    if entries:
        text = json.dumps(entries, ensure_ascii=False, indent=1)
        write_bytes(final, (text + "\n").encode())
    else:
        final.unlink(missing_ok=True)


def disk_error(error: OSError, path: Path) -> UserError:
    """The sentence for what the operating system said about writing `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"The disk is full: there was no room for {path}. Free some space and run the same "
            "command again; what is finished is kept."
        )
    if error.errno == errno.EFBIG:
        return UserError(
            f"The system does not allow a file as large as {path}: raise the limit on file sizes "
            "(ulimit -f) or write to another disk."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UserError(
            f"Cannot write in {path.parent}: {error.strerror}. Choose another output folder or "
            "change its permissions."
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return UserError(
            f"Cannot write {path}: a part of this path is a file, not a folder. Choose another "
            "output folder."
        )
    return UserError(f"Cannot write {path}: {error.strerror or error}. Choose another folder.")


def _short(name: str) -> str:
    """A stem for the part's name that stays under the 255 bytes of most file systems."""
    return name.encode()[:200].decode(errors="ignore")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_orphans(final: Path) -> None:
    """Removes the parts of `final` that no living process holds locked."""
    prefix = f".{_short(final.name)}."
    for entry in final.parent.iterdir():
        if not (entry.name.startswith(prefix) and entry.name.endswith(_PART)):
            continue
        with suppress(OSError):
            handle = os.open(entry, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                entry.unlink()
            finally:
                os.close(handle)
