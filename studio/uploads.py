"""Uploaded files: taken in pieces up to a limit, told by their content, kept where nobody serves.

uploads/ID/upload.json, and beside it the file. Its name is ours: letters and digits of what the
client calls it, because a plain text's title is its file's name, and an ending that we choose.
"""

import json
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
from fastapi import HTTPException
from pydantic import ValidationError

from configs.errors import UserError
from storage.files import TEMPORARY, write_whole
from studio.models import Upload, UploadKind
from tasks.beside import disk_error
from tasks.names import file_stem
from tasks.read_subtitles import SUBTITLE_NAMES, VIDEO_NAMES
from tasks.subtitle_encoding import is_text

LIMITS: dict[UploadKind, int] = {
    "book": 300 << 20,
    "subtitles": 32 << 20,
    "video": 16 << 30,
    "voice": 1 << 30,
}
ACCEPTED: dict[UploadKind, tuple[str, ...]] = {
    "book": (".epub", ".txt", ".md", ".markdown", ".html", ".htm", ".xhtml"),
    "subtitles": tuple(sorted(SUBTITLE_NAMES)),
    "video": tuple(sorted(VIDEO_NAMES)),
    "voice": (".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".webm", ".mp4", ".aac"),
}
FORGOTTEN_SECONDS = 7 * 86400.0  # an upload that no job needs is kept so long
_FACTS = "upload.json"
_HEAD = 8192
_ID = re.compile(r"[0-9a-f]{32}")
_NO_NAME = re.compile(r"[^\w .'-]+")

log = logging.getLogger(__name__)


class Uploads:
    """The uploaded files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def take(
        self, kind: UploadKind, name: str, pieces: AsyncIterator[bytes], said_bytes: int = 0
    ) -> Upload:
        """Keeps the bytes of a file; nothing stays of one that is too large or of another kind."""
        limit = LIMITS[kind]
        if said_bytes > limit:
            raise _too_large(kind)
        id = secrets.token_hex(16)
        arriving = self._folder / f"{TEMPORARY}{id}"
        try:
            arriving.mkdir(parents=True)
            part = arriving / "part"
            count = 0
            async with await anyio.open_file(part, "xb") as file:
                async for piece in pieces:
                    count += len(piece)
                    if count > limit:
                        raise _too_large(kind)
                    await file.write(piece)
                await file.flush()
                await anyio.to_thread.run_sync(os.fsync, file.wrapped.fileno())
            file_name = await anyio.to_thread.run_sync(self._named, kind, name, part)
            part.rename(arriving / file_name)
            upload = Upload(
                id=id, name=_shown(name) or file_name, kind=kind, bytes=count, added=time.time()
            )
            facts = upload.model_dump() | {"file": file_name}
            write_whole(arriving / _FACTS, json.dumps(facts, ensure_ascii=False).encode())
            arriving.rename(self._folder / id)
        except OSError as error:
            raise disk_error(error, self._folder) from error
        finally:
            shutil.rmtree(arriving, ignore_errors=True)
        return upload

    def get(self, id: str, *kinds: UploadKind) -> Upload:
        """What is known of an upload, which is of one of the kinds; 404 where there is none."""
        return self._read(id, kinds)[0]

    def path(self, id: str, *kinds: UploadKind) -> Path:
        """Where the file of an upload lies."""
        return self._read(id, kinds)[1]

    def remove(self, id: str) -> None:
        self._read(id, ())
        shutil.rmtree(self._folder / id)

    def forget(self, needed: Iterable[str]) -> None:
        """Removes what nobody has needed for a week, and what killed uploads left."""
        kept = set(needed)
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            old = time.time() - folder.stat().st_mtime > FORGOTTEN_SECONDS
            if folder.name not in kept and (old or folder.name.startswith(TEMPORARY)):
                shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def told(self, *ids: str) -> Iterator[None]:
        """In what goes wrong within, files are called as the client calls them, without folders."""
        try:
            yield
        except UserError as error:
            raise type(error)(self.without_paths(str(error), ids)) from error

    def without_paths(self, message: str, ids: Iterable[str]) -> str:
        """A message with the names of uploads instead of their paths."""
        for id in filter(None, ids):
            upload, path = self._read(id, ())
            message = message.replace(str(path), upload.name).replace(path.name, upload.name)
        return message

    def _read(self, id: str, kinds: tuple[UploadKind, ...]) -> tuple[Upload, Path]:
        try:
            if not _ID.fullmatch(id):
                raise FileNotFoundError(id)
            facts = json.loads((self._folder / id / _FACTS).read_bytes())
            path = self._folder / id / facts.pop("file")
            upload = Upload.model_validate(facts)
        except (OSError, ValueError, KeyError, ValidationError) as error:
            raise HTTPException(404, "That file is not here any more; upload it again.") from error
        if kinds and upload.kind not in kinds:
            raise HTTPException(409, f"{upload.name} is no {' or '.join(kinds)}.")
        return upload, path

    @staticmethod
    def _named(kind: UploadKind, name: str, part: Path) -> str:
        """The name of a file that has arrived: 415 where its content is not of its kind."""
        with part.open("rb") as file:
            head = file.read(_HEAD)
        if not head:
            raise HTTPException(415, "The file is empty.")
        given = Path(name).suffix.lower()
        suffix = given if given in ACCEPTED[kind] else ""
        if kind == "book":
            suffix = _book_suffix(head, suffix)
        elif kind == "subtitles":
            suffix = (suffix or ".srt") if is_text(head) else ""
        elif kind == "video":
            suffix = _video_suffix(part, suffix)
        else:
            suffix = _voice_suffix(part, _shown(name), suffix)
        if not suffix:
            raise HTTPException(415, _WRONG[kind])
        stem = _NO_NAME.sub(" ", Path(_shown(name)).stem)
        return file_stem(stem, kind, most_bytes=80) + suffix


_WRONG: dict[UploadKind, str] = {
    "book": "This is no book that can be read; give an EPUB, a plain text, Markdown or HTML file.",
    "subtitles": "This is no subtitle file; give an SRT, WebVTT, ASS or SSA file.",
    "video": "This is no video that can be read; give an MP4, MKV, WebM, MOV, AVI or MPEG file.",
    "voice": "This is no sound that can be read; give a WAV, FLAC, MP3, M4A or OGG file.",
}


def _book_suffix(head: bytes, suffix: str) -> str:
    if head.startswith(b"PK\x03\x04"):
        return ".epub"
    if not is_text(head) or head.startswith(b"%PDF"):
        return ""
    return suffix if suffix not in ("", ".epub") else ".txt"


def _video_suffix(part: Path, suffix: str) -> str:
    from tasks.dub_video import probe

    try:
        container = probe(part).container
    except UserError:
        return ""
    known = {"mp4": ".mp4", "mov": ".mov", "webm": ".webm", "matroska": ".mkv"}
    return suffix or known.get(container or "", ".video")


def _voice_suffix(part: Path, name: str, suffix: str) -> str:
    """A sample is listened to at once, so that a bad one is told at once."""
    from tasks.audio_in import load_sample

    try:
        load_sample(part)
    except UserError as error:
        raise HTTPException(415, str(error).replace(str(part), name or "The file")) from error
    return suffix or ".sound"


def _shown(name: str) -> str:
    """The last part of a client's name, without what can't be shown."""
    last = re.split(r"[/\\]", name)[-1]
    return " ".join("".join(char if char.isprintable() else " " for char in last).split())[:120]


def _too_large(kind: UploadKind) -> HTTPException:
    megabytes = LIMITS[kind] >> 20
    return HTTPException(413, f"The file is too large: at most {megabytes:,} MB are taken here.")
