"""Packs the chapters of a book into one `.m4b`: AAC, chapter marks, cover and tags.

The sound is mastered and encoded in one go, so there is a single lossy step. The file is read
back before it gets its final name: an audiobook that exists is whole.
"""

import hashlib
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mutagen
from mutagen.mp4 import MP4, AtomDataType, MP4Cover, MP4FreeForm

from configs.errors import UserError
from tasks.beside import written_beside
from tasks.chapters import (
    MAX_NERO_CHAPTERS,
    Mark,
    chapter_marks,
    clean_title,
    ffmetadata,
    read_nero_marks,
    read_quicktime_marks,
)
from tasks.ffmpeg import PICTURE_FORMATS, FfmpegError, input_arguments, run_ffmpeg
from tasks.master import (
    Loudness,
    chapter_blocks,
    master_filter,
    measure_delivered,
    pcm_input_arguments,
)

if TYPE_CHECKING:
    from tasks.read_book import Book

DELIVERED_RATE = 44_100
BITRATE = 64_000

_AUDIOBOOK = 2  # iTunes' media kind
_SECONDS_TOLERANCE = 0.1
_MARK_TOLERANCE_MS = 1
_ENCODING_SHARE = 0.7  # of the progress; the rest is reading back
_PICTURE_TIMEOUT = 30.0

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Packed:
    """A delivered audiobook, as it was read back."""

    path: Path
    seconds: float
    marks: tuple[Mark, ...]
    loudness: Loudness
    sha256: str
    warnings: tuple[str, ...]


def package_m4b(
    book: "Book",
    chapters: Sequence[tuple[str, Path, int]],
    *,
    sample_rate: int,
    gain_db: float,
    voice_name: str,
    model_name: str,
    out: Path,
    on_progress: Progress | None = None,
) -> Packed:
    """Packs `(title, FLAC file, samples)` per chapter into the audiobook `out`.

    `gain_db` is the book's one gain (`master.book_gain`). Chapters without samples are left out
    with their titles. `on_progress` hears the fraction done, 0 to 1. The same inputs give the same
    bytes. Raises `UserError` when the disk or ffmpeg refuses, or when the finished file does not
    read back right; `out` is then what it was before.
    """
    chapters = [chapter for chapter in chapters if chapter[2] > 0]
    marks = chapter_marks([(title, samples) for title, _, samples in chapters], sample_rate)
    if not marks:
        raise UserError("There is nothing to pack: none of the chapters holds any sound.")
    paths = [path for _, path, _ in chapters]
    seconds = sum(samples for _, _, samples in chapters) / sample_rate
    report = on_progress or (lambda fraction: None)
    cover, warnings = _cover(book.cover)
    with written_beside(out) as part:
        try:
            _encode(
                paths,
                marks,
                sample_rate,
                gain_db,
                part,
                lambda fraction: report(_ENCODING_SHARE * fraction),
            )
        except FfmpegError as error:
            raise UserError(
                f"ffmpeg could not pack {out.name}: {error}. Run the same command again; what is "
                "finished is kept."
            ) from error
        _write_tags(part, book, out.stem, voice_name, model_name, cover)
        loudness = measure_delivered(
            part,
            lambda done: report(_ENCODING_SHARE + (1 - _ENCODING_SHARE) * min(1.0, done / seconds)),
        )
        _verify(part, out, marks, seconds, loudness)
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    report(1.0)
    return Packed(out, loudness.seconds, tuple(marks), loudness, digest, warnings)


def synthetic_notice(voice_name: str, model_name: str) -> str:
    """The sentence in the file's tags that says who, or what, is reading."""
    return (
        f"The narration is synthetic: read by a computer in the voice “{voice_name}”, made with "
        f"Voxloom and the model {model_name}."
    )


def _encode(
    paths: Sequence[Path],
    marks: Sequence[Mark],
    sample_rate: int,
    gain_db: float,
    out: Path,
    on_progress: Progress,
) -> None:
    with tempfile.TemporaryDirectory(prefix="voxloom-") as folder:
        listing = Path(folder) / "chapters.txt"
        listing.write_text(ffmetadata(marks), encoding="utf-8")
        flags = "+faststart"
        if len(marks) > MAX_NERO_CHAPTERS:
            # A Nero list would break off after 255; the QuickTime track holds all of them.
            flags += "+disable_chpl"
        run_ffmpeg(
            [
                *pcm_input_arguments(sample_rate),
                *("-f", "ffmetadata", "-i", str(listing)),
                # Titles come from the listing, which holds no other tags; -map_metadata -1 would
                # drop the titles of the chapters as well.
                *("-map", "0:a:0", "-map_metadata", "1", "-map_chapters", "1"),
                *("-af", master_filter(gain_db, sample_rate, DELIVERED_RATE)),
                *("-c:a", "aac", "-b:a", str(BITRATE), "-ac", "1"),
                # No version of the encoder and no time of day in the file.
                *("-flags", "+bitexact", "-fflags", "+bitexact"),
                *("-movflags", flags, "-brand", "M4B ", "-f", "ipod", "-y", f"file:{out}"),
            ],
            feed=(block.tobytes() for block in chapter_blocks(paths, sample_rate, on_progress)),
        )


def _write_tags(
    path: Path, book: "Book", stem: str, voice_name: str, model_name: str, cover: MP4Cover | None
) -> None:
    title = clean_title(book.title) or stem
    authors = ", ".join(filter(None, map(clean_title, book.authors)))
    notice = synthetic_notice(voice_name, model_name)
    tags = {
        "©nam": title,
        "©alb": title,
        "©ART": authors,
        "aART": authors,
        "©wrt": voice_name,  # players show the composer as the narrator
        "©gen": "Audiobook",
        "©day": book.date,
        "©cmt": notice,
        "desc": f"{book.description.strip()}\n\n{notice}".strip(),
    }
    isbn = _isbn(book.identifier)
    freeform = {
        "LANGUAGE": book.language,
        "PUBLISHER": book.publisher,
        "ISBN": isbn,
        "IDENTIFIER": "" if isbn else book.identifier,
    }
    try:
        audio = MP4(path)
        for key, value in tags.items():
            if value:
                audio[key] = [_storable(value)]
        audio["stik"] = [_AUDIOBOOK]
        for name, value in freeform.items():
            if value:
                audio[f"----:com.apple.iTunes:{name}"] = [
                    MP4FreeForm(_storable(value).encode(), dataformat=AtomDataType.UTF8)
                ]
        if cover:
            audio["covr"] = [cover]
        audio.save()
    except mutagen.MutagenError as error:
        # mutagen wraps what the system said.
        if error.args and isinstance(error.args[0], OSError):
            raise error.args[0] from error
        raise


def _storable(value: str) -> str:
    """Without NUL and lone surrogates, which end a tag early or cannot be written."""
    return value.replace("\0", "").encode(errors="ignore").decode()


def _isbn(identifier: str) -> str:
    digits = re.sub(r"^(urn:)?isbn:|[\s-]", "", identifier.strip().lower())
    return digits.upper() if re.fullmatch(r"(97[89])?\d{9}[\dx]", digits) else ""


def _cover(picture: bytes | None) -> tuple[MP4Cover | None, tuple[str, ...]]:
    """The cover as MP4 can carry it, JPEG or PNG; other pictures are converted."""
    if not picture:
        return None, ()
    if picture.startswith(b"\xff\xd8\xff"):
        return MP4Cover(picture, imageformat=MP4Cover.FORMAT_JPEG), ()
    if picture.startswith(b"\x89PNG\r\n\x1a\n"):
        return MP4Cover(picture, imageformat=MP4Cover.FORMAT_PNG), ()
    with tempfile.TemporaryDirectory(prefix="voxloom-") as folder:
        source, target = Path(folder) / "cover", Path(folder) / "cover.png"
        try:
            source.write_bytes(picture)
            run_ffmpeg(
                [
                    *input_arguments(source, PICTURE_FORMATS),
                    *("-map", "0:v:0", "-frames:v", "1", "-c:v", "png", "-flags", "+bitexact"),
                    *("-f", "image2", "-update", "1", "-y", str(target)),
                ],
                timeout=_PICTURE_TIMEOUT,
            )
            return MP4Cover(target.read_bytes(), imageformat=MP4Cover.FORMAT_PNG), ()
        except (FfmpegError, OSError) as error:
            return None, (f"The cover is left out: its picture cannot be read ({error}).",)


def _verify(
    part: Path, out: Path, marks: Sequence[Mark], seconds: float, loudness: Loudness
) -> None:
    """Raises `UserError` unless the packed file holds what was meant to be in it."""
    wrong = ""
    quicktime = read_quicktime_marks(part)
    nero = read_nero_marks(part)
    if abs(loudness.seconds - seconds) > _SECONDS_TOLERANCE:
        wrong = f"it plays {loudness.seconds:.1f} s instead of {seconds:.1f} s"
    elif not _same_marks([(mark.title, mark.start_ms) for mark in quicktime], marks):
        wrong = f"its chapter track does not hold the {len(marks)} chapters"
    elif len(marks) <= MAX_NERO_CHAPTERS and not _same_marks(nero, marks):
        wrong = f"its chapter list does not hold the {len(marks)} chapters"
    elif not MP4(part).tags:
        wrong = "its tags are missing"
    if wrong:
        raise UserError(
            f"{out.name} was packed but does not read back right ({wrong}), so it was not "
            "delivered: run the same command again, and report this if it stays."
        )


def _same_marks(found: Sequence[tuple[str, int]], marks: Sequence[Mark]) -> bool:
    return len(found) == len(marks) and all(
        title == mark.title and abs(start - mark.start_ms) <= _MARK_TOLERANCE_MS
        for (title, start), mark in zip(found, marks, strict=True)
    )
