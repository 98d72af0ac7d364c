"""A folder of audio files, one a chapter: MP3, Opus or FLAC, tagged and read back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from configs.errors import UserError
from tasks.assemble import HEAD_SECONDS, TAIL_SECONDS, ChapterAudio, Span
from tasks.beside import written_beside
from tasks.chapters import clean_title
from tasks.cover import Cover
from tasks.ffmpeg import run_ffmpeg
from tasks.master import Mastering, Stretch, master_arguments, master_feed, pcm_input_arguments
from tasks.measure import measure_delivered
from tasks.names import file_stem
from tasks.package import (
    ENCODING_SHARE,
    SECONDS_TOLERANCE,
    Packed,
    Progress,
    encoding,
    reading_back,
)
from tasks.tags import BookTags, Part, write_id3_tags, write_vorbis_comments
from tasks.verdicts import LONGEST_FILE_SECONDS

# Files of longer chapters are cut; parts are about equally long, so none comes near the limit.
_LONGEST_PART_SECONDS = LONGEST_FILE_SECONDS - 120
_TITLE_BYTES = 80


@dataclass(frozen=True)
class Encoder:
    """How a format is written: sample rate, ffmpeg's encoder and container."""

    rate: int
    arguments: tuple[str, ...]


ENCODERS = {
    # A constant bit rate of 192 kb/s at 44.1 kHz is what shops ask for.
    "mp3": Encoder(
        44_100, ("-c:a", "libmp3lame", "-b:a", "192k", "-id3v2_version", "0", "-f", "mp3")
    ),
    "opus": Encoder(48_000, ("-c:a", "libopus", "-b:a", "48k", "-vbr", "on", "-f", "ogg")),
    "flac": Encoder(44_100, ("-c:a", "flac", "-sample_fmt", "s16", "-f", "flac")),
    # Inside a read-along book: every reader plays MP3, and 20 hours of it stay under 600 MB.
    "epub": Encoder(
        44_100, ("-c:a", "libmp3lame", "-b:a", "64k", "-id3v2_version", "0", "-f", "mp3")
    ),
}


@dataclass(frozen=True)
class ChapterFile:
    """A file to be: chapter number `chapter` of the book or a part of it. `spans` are the
    utterances in it, on the file's own timeline."""

    part: Part
    chapter: int
    stretch: Stretch
    spans: tuple[Span, ...]
    stem: str


def plan_files(
    chapters: Sequence[tuple[int, str, ChapterAudio, float]],
) -> list[ChapterFile]:
    """The files for `(number, title, audio, gain in dB)` of each chapter, in order.

    A chapter of more than 118 minutes becomes several files, cut at pauses between utterances,
    each with room before and after.
    """
    pieces = [
        (number, _title(title, place, piece, len(cut)), stretch, spans)
        for place, (number, title, audio, gain_db) in enumerate(chapters, 1)
        if audio.samples
        for cut in [_cut(audio, gain_db, number)]
        for piece, (stretch, spans) in enumerate(cut, 1)
    ]
    digits = max(2, len(str(len(pieces))))
    return [
        ChapterFile(
            Part(title, track, len(pieces)),
            number,
            stretch,
            spans,
            f"{track:0{digits}d} - {file_stem(title, 'Chapter', _TITLE_BYTES)}",
        )
        for track, (number, title, stretch, spans) in enumerate(pieces, 1)
    ]


def package_chapter(
    file: ChapterFile,
    kind: str,
    *,
    sample_rate: int,
    mastering: Mastering,
    tags: BookTags,
    cover: Cover | None,
    out: Path,
    on_progress: Progress | None = None,
) -> Packed:
    """Writes one file, `kind` "mp3", "opus", "flac", or "epub" for an MP3 that goes into a
    read-along book, tags it, decodes and measures it.

    The same inputs give the same bytes. Raises `UserError` when the disk or ffmpeg refuses, or when
    the finished file does not play as long as it should; `out` is then what it was before.
    """
    encoder = ENCODERS[kind]
    report = on_progress or (lambda fraction: None)
    seconds = file.stretch.samples / sample_rate
    with written_beside(out) as part:
        with encoding(out):
            run_ffmpeg(
                [
                    *pcm_input_arguments(sample_rate),
                    *master_arguments(mastering, sample_rate, encoder.rate),
                    # No tags of ffmpeg's own, no version of the encoder, no time of day.
                    *("-map_metadata", "-1", "-flags", "+bitexact", "-fflags", "+bitexact"),
                    *encoder.arguments,
                    *("-y", f"file:{part}"),
                ],
                feed=master_feed(
                    [file.stretch], sample_rate, lambda done: report(ENCODING_SHARE * done)
                ),
            )
        if kind in ("mp3", "epub"):
            write_id3_tags(part, tags, file.part, cover)
        else:
            write_vorbis_comments(part, kind, tags, file.part, cover)
        measured, shape = measure_delivered(part, reading_back(report, seconds))
        if abs(measured.seconds - seconds) > SECONDS_TOLERANCE:
            raise UserError(
                f"{out.name} was written but plays {measured.seconds:.1f} s instead of "
                f"{seconds:.1f} s, so it was not delivered: run the same command again, and report "
                "this if it stays."
            )
    report(1.0)
    return Packed(out, measured, shape)


def _title(title: str, place: int, piece: int, pieces: int) -> str:
    title = clean_title(title) or f"Chapter {place}"
    return f"{title} (part {piece} of {pieces})" if pieces > 1 else title


def _cut(
    audio: ChapterAudio, gain_db: float, number: int
) -> list[tuple[Stretch, tuple[Span, ...]]]:
    """The parts of a chapter: one, or as many as it takes."""
    whole = Stretch(audio.path, 0, audio.samples, gain_db, seed=abs(number))
    longest = _LONGEST_PART_SECONDS * audio.sample_rate
    count = -(-audio.samples // longest)
    if count == 1 or len(audio.spans) < count:
        return [(whole, audio.spans)]
    # The utterances before which a part may begin, and the best of them for each bound.
    starts = [span.start for span in audio.spans]
    bounds = [0]
    for cut in range(1, count):
        wanted = audio.samples * cut // count
        open_to = range(bounds[-1] + 1, len(starts) - (count - cut - 1))
        bounds.append(min(open_to, key=lambda place: abs(starts[place] - wanted)))
    bounds.append(len(starts))
    head, tail = (round(s * audio.sample_rate) for s in (HEAD_SECONDS, TAIL_SECONDS))
    parts = []
    for first, last in pairwise(bounds):
        spans = audio.spans[first:last]
        begins, ends = first == 0, last == len(starts)
        stretch = replace(
            whole,
            first=0 if begins else spans[0].start,
            last=audio.samples if ends else spans[-1].end,
            lead=0 if begins else head,
            trail=0 if ends else tail,
        )
        shift = stretch.lead - stretch.first
        moved = tuple(
            replace(span, start=span.start + shift, end=span.end + shift) for span in spans
        )
        parts.append((stretch, moved))
    return parts
