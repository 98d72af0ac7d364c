"""Files that are either whole or not there."""

import os
import secrets
from pathlib import Path

TEMPORARY = ".tmp-"


def write_whole(path: Path, data: bytes) -> None:
    """Writes beside the path, flushes to the disk, renames; the folder is created if need be.

    A killed writer leaves at most a file whose name begins with TEMPORARY.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Makes the renames in a folder survive a crash of the machine."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
