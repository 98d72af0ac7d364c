"""Judges a long recording, such as a chapter of an audiobook, against its text."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from faster_whisper import decode_audio

from benchmarks.judges import JUDGE_RATE, Listener
from benchmarks.scores import Errors, character_errors, word_errors
from configs.errors import UserError


@dataclass(frozen=True)
class BookErrors:
    """What was heard of a long recording, in edits of the whole text."""

    words: Errors
    characters: Errors
    seconds: float
    heard: str


def book_errors(
    recording: Path,
    text: Path,
    chapter: int | None,
    listener: Listener,
    on_heard: Callable[[float], None],
) -> BookErrors:
    """Write a recording down and align it as one text with what it should say.

    chapter: from 1, the part of `recording` (by its chapter marks) and of an EPUB to compare;
    None: all. on_heard is told how many seconds are done, about once a minute.
    """
    written = read_text(text, chapter)
    audio = read_recording(recording, chapter)
    heard, told = [], 0.0
    for end, part in listener.book(audio):
        heard.append(part)
        if end - told >= 60:
            told = end
            on_heard(end)
    transcript = " ".join(heard)
    return BookErrors(
        words=word_errors(written, transcript),
        characters=character_errors(written, transcript),
        seconds=audio.size / JUDGE_RATE,
        heard=transcript,
    )


def read_text(path: Path, chapter: int | None) -> str:
    """Plain UTF-8 text, or the text of an EPUB or of one of its chapters (from 1)."""
    if path.suffix.lower() == ".epub":
        from tasks.read_book import read_book

        chapters = read_book(path).chapters
        if chapter is not None:
            if chapter > len(chapters):
                raise UserError(f"{path} has only {len(chapters)} chapters, not {chapter}")
            chapters = chapters[chapter - 1 : chapter]
        return "\n".join(block.text for part in chapters for block in part.blocks)
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the text in {path}: {error}") from error


def read_recording(path: Path, chapter: int | None) -> np.ndarray:
    """Mono float32 (samples,) at `JUDGE_RATE` of a recording or of its Nth chapter (from 1)."""
    try:
        with av.open(str(path)) as container:
            chapters = container.chapters()
        audio = decode_audio(str(path), sampling_rate=JUDGE_RATE)
    except (OSError, av.FFmpegError, IndexError) as error:
        raise UserError(f"cannot read the recording {path}: {error}") from error
    if chapter is None:
        return audio
    if chapter > len(chapters):
        raise UserError(f"{path} has only {len(chapters)} chapter marks, not {chapter}")
    mark = chapters[chapter - 1]
    start, end = (_samples(mark[edge], mark["time_base"]) for edge in ("start", "end"))
    return audio[start:end]


def _samples(position: int, unit: Fraction | None) -> int:
    """A chapter mark's edge, in `unit` seconds (ffmpeg's own unit where none is given)."""
    return round(position * (unit or Fraction(1, av.time_base)) * JUDGE_RATE)
