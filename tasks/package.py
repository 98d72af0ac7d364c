"""Packs the chapters of a book into one `.m4b`: AAC, chapter marks, cover and tags.

The sound is mastered and encoded in one go, so there is a single lossy step. The file is read
back before it gets its final name: an audiobook that exists is whole.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mutagen.mp4 import MP4, MP4Tags

from configs.errors import UserError
from tasks.beside import written_beside
from tasks.chapters import (
    MAX_NERO_CHAPTERS,
    Mark,
    chapter_marks,
    ffmetadata,
    read_nero_marks,
    read_quicktime_marks,
)
from tasks.cover import Cover
from tasks.ffmpeg import FfmpegError, run_ffmpeg
from tasks.master import (
    Mastering,
    Stretch,
    master_arguments,
    master_feed,
    pcm_input_arguments,
)
from tasks.measure import Measured, Shape, measure_delivered
from tasks.tags import BookTags, write_mp4_tags

DELIVERED_RATE = 44_100
BITRATE = 64_000
SECONDS_TOLERANCE = 0.1
ENCODING_SHARE = 0.7  # of the progress; the rest is reading back

_MARK_TOLERANCE_MS = 1

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Packed:
    """A delivered audio file, as it was read back."""

    path: Path
    measured: Measured
    shape: Shape
    marks: tuple[Mark, ...] = ()

    @property
    def seconds(self) -> float:
        return self.measured.seconds


def package_m4b(
    chapters: Sequence[tuple[str, Stretch]],
    *,
    sample_rate: int,
    mastering: Mastering,
    tags: BookTags,
    cover: Cover | None,
    out: Path,
    on_progress: Progress | None = None,
) -> Packed:
    """Packs `(title, stretch)` per chapter into the audiobook `out`.

    Chapters without samples are left out with their titles. `on_progress` hears the fraction done,
    0 to 1. The same inputs give the same bytes. Raises `UserError` when the disk or ffmpeg refuses,
    or when the finished file does not read back right; `out` is then what it was before.
    """
    marks = m4b_marks(chapters, sample_rate)
    if not marks:
        raise UserError("There is nothing to pack: none of the chapters holds any sound.")
    stretches = [stretch for _, stretch in chapters if stretch.samples > 0]
    seconds = sum(stretch.samples for stretch in stretches) / sample_rate
    report = on_progress or (lambda fraction: None)
    with written_beside(out) as part:
        with encoding(out):
            _encode(
                stretches,
                marks,
                sample_rate,
                mastering,
                part,
                lambda fraction: report(ENCODING_SHARE * fraction),
            )
        write_mp4_tags(part, tags, cover)
        measured, shape = measure_delivered(part, reading_back(report, seconds))
        _verify(part, out, marks, seconds, measured, tags)
    report(1.0)
    return Packed(out, measured, shape, tuple(marks))


def m4b_marks(chapters: Sequence[tuple[str, Stretch]], sample_rate: int) -> list[Mark]:
    """The chapter marks of an audiobook of these chapters."""
    return chapter_marks([(title, stretch.samples) for title, stretch in chapters], sample_rate)


@contextmanager
def encoding(out: Path) -> Iterator[None]:
    """Around ffmpeg's work at a file: what goes wrong with it comes out as a `UserError`."""
    try:
        yield
    except FfmpegError as error:
        raise UserError(
            f"ffmpeg could not pack {out.name}: {error}. Run the same command again; what is "
            "finished is kept."
        ) from error


def reading_back(report: Progress, seconds: float) -> Progress:
    """Tells how far reading back is, after the encoding, from the seconds that are decoded."""
    return lambda done: report(
        ENCODING_SHARE + (1 - ENCODING_SHARE) * min(1.0, done / max(seconds, 1e-3))
    )


def _encode(
    stretches: Sequence[Stretch],
    marks: Sequence[Mark],
    sample_rate: int,
    mastering: Mastering,
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
                *master_arguments(mastering, sample_rate, DELIVERED_RATE),
                *("-c:a", "aac", "-b:a", str(BITRATE)),
                # No version of the encoder and no time of day in the file.
                *("-flags", "+bitexact", "-fflags", "+bitexact"),
                *("-movflags", flags, "-brand", "M4B ", "-f", "ipod", "-y", f"file:{out}"),
            ],
            feed=master_feed(stretches, sample_rate, on_progress),
        )


def _verify(
    part: Path, out: Path, marks: Sequence[Mark], seconds: float, measured: Measured, tags: BookTags
) -> None:
    """Raises `UserError` unless the packed file holds what was meant to be in it."""
    wrong = ""
    quicktime = read_quicktime_marks(part)
    nero = read_nero_marks(part)
    if abs(measured.seconds - seconds) > SECONDS_TOLERANCE:
        wrong = f"it plays {measured.seconds:.1f} s instead of {seconds:.1f} s"
    elif not _same_marks([(mark.title, mark.start_ms) for mark in quicktime], marks):
        wrong = f"its chapter track does not hold the {len(marks)} chapters"
    elif len(marks) <= MAX_NERO_CHAPTERS and not _same_marks(nero, marks):
        wrong = f"its chapter list does not hold the {len(marks)} chapters"
    elif not _has_tags(MP4(part).tags, tags):
        wrong = "its tags are missing"
    if wrong:
        raise UserError(
            f"{out.name} was packed but does not read back right ({wrong}), so it was not "
            "delivered: run the same command again, and report this if it stays."
        )


def _has_tags(found: MP4Tags | None, tags: BookTags) -> bool:
    """Whether the title and the sentence on the narration can be read."""
    wanted = {"©nam": [tags.title], "©cmt": [tags.notice]}
    return found is not None and all(found.get(key) == value for key, value in wanted.items())


def _same_marks(found: Sequence[tuple[str, int]], marks: Sequence[Mark]) -> bool:
    return len(found) == len(marks) and all(
        title == mark.title and abs(start - mark.start_ms) <= _MARK_TOLERANCE_MS
        for (title, start), mark in zip(found, marks, strict=True)
    )
