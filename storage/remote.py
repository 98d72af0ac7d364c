"""File systems by URL, and patience with those that are on the network."""

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from configs.errors import UsageError, UserError

PATIENCE_SECONDS = 180.0  # a storage server's restart takes less
FIRST_PAUSE = 0.2  # seconds; doubled up to LONGEST_PAUSE
LONGEST_PAUSE = 5.0

# What another try does not mend.
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where files are kept: an fsspec file system and the path in it that is the root."""

    fs: Any
    root: str
    url: str
    local: bool
    patience: float

    def patiently(self, action: Callable[[], T]) -> T:
        """What the action returns; on a network, it is begun again while the server is away.

        Raises UserError after `patience` seconds. A local disk's errors are raised at once.
        """
        deadline = time.monotonic() + self.patience
        pause = FIRST_PAUSE
        while True:
            try:
                return action()
            except PermissionError as error:
                if self.local:
                    raise
                raise UserError(
                    f"The store {self.url} refuses the access ({_first_line(error)}); "
                    "are the credentials in the environment right?"
                ) from error
            except _FINAL:
                raise
            except _outages() as error:
                if self.local:
                    raise
                if time.monotonic() + pause > deadline:
                    raise UserError(
                        f"The store {self.url} can't be reached for {self.patience:.0f} seconds "
                        f"({_first_line(error)})"
                    ) from error
                if pause == FIRST_PAUSE:
                    log.warning("the store %s: %s; trying again", self.url, _first_line(error))
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            except _refusals() as error:
                raise UserError(
                    f"The store {self.url} can't be used ({_first_line(error)}); "
                    "is the environment right?"
                ) from error

    def find(self, top: str) -> dict[str, dict[str, Any]]:
        """All files below a path of the file system and what is known of them, by their paths."""

        def find() -> dict[str, dict[str, Any]]:
            try:
                found: dict[str, dict[str, Any]] = self.fs.find(top, detail=True)
            except FileNotFoundError:
                return {}
            return found

        return self.patiently(find)

    def write(self, path: str, data: bytes | Path) -> None:
        """Stores bytes, or a file's content, on a network; a missing bucket is made."""

        def write() -> None:
            if isinstance(data, Path):
                self.fs.put_file(str(data), path)
            else:
                self.fs.pipe_file(path, data)

        try:
            self.patiently(write)
        except FileNotFoundError:
            self.patiently(lambda: self.fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True))
            self.patiently(write)


def open_place(url: str, patience: float = PATIENCE_SECONDS) -> Place:
    """A folder or an fsspec URL; credentials are the environment's, never the URL's."""
    if "@" in url.split("://", 1)[-1].split("/", 1)[0] and "://" in url:
        raise UsageError("Credentials don't belong into a store's URL, but into the environment")
    try:
        # Other processes write there, too: no listing is remembered.
        fs, root = fsspec.url_to_fs(url, use_listings_cache=False)
    except (ValueError, ImportError) as error:
        raise UsageError(f"The store {url} can't be used: {error}") from error
    return Place(fs, root.rstrip("/"), url, isinstance(fs, LocalFileSystem), patience)


def _outages() -> tuple[type[Exception], ...]:
    """The errors of a server that is away, as far as the libraries that raise them are in use."""
    found: tuple[type[Exception], ...] = (OSError,)
    if "botocore" in sys.modules:
        from botocore import exceptions

        found += (exceptions.ConnectionError, exceptions.HTTPClientError, exceptions.ClientError)
    if "aiohttp" in sys.modules:
        from aiohttp import ClientError

        found += (ClientError,)
    return found


def _refusals() -> tuple[type[Exception], ...]:
    """The errors that S3's client has with what it is told, before it asks any server."""
    if "botocore" not in sys.modules:
        return ()
    from botocore.exceptions import BotoCoreError

    return (BotoCoreError,)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n", 1)[0]
