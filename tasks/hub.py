"""Files from a Hugging Face hub: downloads that go on where they stopped, checked when whole."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from configs.errors import UserError

_PART = ".part"


@dataclass(frozen=True)
class HubFile:
    """A file of a repository on the hub."""

    repository: str
    name: str


def fetch(file: HubFile, path: Path) -> None:
    """Downloads a file to `path`; what an earlier, stopped attempt left is not loaded again.

    A progress bar shows on a terminal. The hub's checksum is compared: `path` is the right file or
    not there. UserError, one sentence, where the hub can't be reached or has no such file.
    """
    # Not at the top: a quarter of a second that no other command needs.
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import (
        EntryNotFoundError,
        FileMetadataError,
        HfHubHTTPError,
        HTTPError,
        OfflineModeIsEnabled,
    )
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(file.repository, file.name)
    address = f"{file.name} of {file.repository}"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        facts = get_hf_file_metadata(url)
        if not facts.etag:
            raise UserError(f"{url} can't be checked: the hub gives no checksum; try again later.")
        # Named by its checksum, so that parts of two editions are not sewn together.
        part = path.with_name(f"{path.name}.{facts.etag[:12]}{_PART}")
        with part.open("r+b" if part.exists() else "w+b") as partial:
            there = partial.seek(0, 2)
            http_get(
                url,
                partial,
                resume_size=there,
                headers=build_hf_headers(),
                expected_size=facts.size,
                displayed_filename=file.name,
            )
    except (EntryNotFoundError, FileMetadataError) as error:
        raise UserError(f"The hub has no {address} any more, so this can't be pulled.") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        raise UserError(f"The hub refused {address} (status {status}); try again later.") from error
    except (HTTPError, OfflineModeIsEnabled) as error:
        raise UserError(
            f"Downloading {address} failed: there is no connection to the hub "
            f"({type(error).__name__}); connect to the internet and run the same command again, "
            "it goes on where it stopped."
        ) from error
    if not _matches(part, facts.etag):
        part.unlink()
        raise UserError(f"{address} arrived damaged; run the same command again.")
    part.replace(path)


def _matches(path: Path, etag: str) -> bool:
    """Against the hub's tag: sha256 for large files, git's sha1 of a blob for small ones."""
    with path.open("rb") as file:
        if len(etag) == 64:
            return hashlib.file_digest(file, "sha256").hexdigest() == etag
        data = file.read()
    blob = b"blob %d\0" % len(data) + data
    return hashlib.sha1(blob, usedforsecurity=False).hexdigest() == etag
