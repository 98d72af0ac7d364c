"""Reads a subtitle file, or the subtitles within a video, into cues to speak; tells what it mended."""

from dataclasses import replace
from pathlib import Path

from configs.errors import UserError
from tasks.dub_types import Repair, SubtitleCue, Subtitles
from tasks.subtitle_encoding import decode_subtitles
from tasks.subtitle_formats import RawCue, format_of, read_ass, read_other, read_srt, read_vtt
from tasks.subtitle_markup import plain_text, voices_of
from tasks.subtitle_times import mend_times

MAX_BYTES = 32 << 20
MAX_CUES = 50_000


def read_subtitles(path: Path, track: int | None = None, language: str = "") -> Subtitles:
    """Read SRT, WebVTT, ASS, SSA and what pysubs2 knows besides, or a video's subtitles.

    `track` is the number of a video's subtitle track (from 1; None: the one in `language`, else
    the one it marks as its own). `language` (BCP 47) is the text's where it is known; it helps to
    tell old encodings apart. Raises UserError with one sentence for what can't be read.
    """
    content = _content(path)
    text, encoding, mended = decode_subtitles(path.name, content, language)
    return subtitles_of(path.name, text, encoding, mended, language)


def subtitles_of(
    name: str, text: str, encoding: str = "utf-8", mended: list[str] = [], language: str = ""
) -> Subtitles:
    kind = format_of(text)
    told = ""
    if not text.strip():
        raise UserError(f"{name} is empty.")
    if kind == "srt":
        raw, repairs = read_srt(text)
    elif kind == "vtt":
        raw, repairs, told = read_vtt(text)
    elif kind in {"ass", "ssa"}:
        raw, repairs = read_ass(text, kind)
    elif kind:
        raw, repairs = read_other(text, kind)
    else:
        raise UserError(f"{name} has no subtitles; give an SRT, WebVTT, ASS or SSA file.")
    if len(raw) > MAX_CUES:
        raise UserError(f"{name} has {len(raw):,} cues, more than {MAX_CUES:,}; cut it into parts.")
    turns: list[RawCue] = []
    for cue in raw:
        turns += [
            replace(cue, text=said, speaker=who or cue.speaker)
            for who, said in voices_of(cue.text) or [("", "")]
        ]
    mended_cues, more = mend_times(turns)
    cues = tuple(
        SubtitleCue(
            index, one.start_ms, one.end_ms, "" if one.why else " ".join(one.text.split()),
            plain_text(one.text), one.speaker, one.number, one.why or ("" if one.text else "empty"),
        )
        for index, one in enumerate(mended_cues)
    )
    repairs = [*(Repair(0, 0, what) for what in mended), *repairs, *more]
    return Subtitles(cues, tuple(repairs), kind, encoding, language or told)


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path.name} is larger than any subtitle file.")
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}.") from error
