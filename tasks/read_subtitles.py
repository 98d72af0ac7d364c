"""Reads a subtitle file, or a video's subtitles, into cues to speak; tells what it mended."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from configs.errors import UserError
from tasks.dub_types import Repair, Subtitles
from tasks.subtitle_encoding import decode_subtitles, is_text
from tasks.subtitle_formats import RawCue, format_of, read_ass, read_other, read_srt, read_vtt
from tasks.subtitle_markup import voices_of
from tasks.subtitle_speech import spoken
from tasks.subtitle_stream import LANGUAGES, choose_track, subtitle_tracks, track_text
from tasks.subtitle_times import mend_times

# What a file is called that is read as subtitles and not as a book.
SUBTITLE_NAMES = {".ass", ".dfxp", ".sami", ".sbv", ".smi", ".srt", ".ssa", ".sub", ".ttml", ".vtt"}
VIDEO_NAMES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".ts", ".webm", ".wmv"}
MAX_BYTES = 32 << 20
MAX_CUES = 50_000
# So much can't be said while one subtitle is shown: it is no subtitle. So much of it is shown.
LONGEST_CUE = 5_000
_SHOWN = 200
# What is mended more often than this is told once.
MANY = 8
_HEAD = 8192
# Codes of languages that are words, too, with which a name may end.
_WORDS = {"he", "id", "is", "it", "no"}


def read_subtitles(path: Path, track: int | None = None, language: str = "") -> Subtitles:
    """Read SRT, WebVTT, ASS, SSA and what pysubs2 knows besides, or a video's subtitles.

    `track` is the number of a video's subtitle track (from 1; None: the one in `language`, else
    the one it marks as its own). `language` (BCP 47) is the text's where it is known; it helps to
    tell old encodings apart. Raises UserError with one sentence for what can't be read.
    """
    try:
        with path.open("rb") as file:
            text_within = is_text(file.read(_HEAD))
        if text_within:
            return _of_file(path, language)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}.") from error
    chosen = choose_track(path.name, subtitle_tracks(path), track, language)
    text, encoding, mended = decode_subtitles(path.name, track_text(path, chosen, MAX_BYTES))
    return subtitles_of(path.name, text, encoding, mended, language or chosen.language)


def _of_file(path: Path, language: str) -> Subtitles:
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path.name} is larger than any subtitle file.")
    language = language or _language_of(path)
    text, encoding, mended = decode_subtitles(path.name, path.read_bytes(), language)
    return subtitles_of(path.name, text, encoding, mended, language)


def _language_of(path: Path) -> str:
    """The language that a name such as `film.pt-BR.srt` tells, "" where it tells none."""
    told = Path(path.stem).suffix.removeprefix(".").replace("_", "-").casefold()
    code, dash, region = told.partition("-")
    code = LANGUAGES.get(code, code)
    if code not in LANGUAGES.values() or code in _WORDS:
        return ""
    return f"{code}{dash}{region.upper()}"


def subtitles_of(
    name: str, text: str, encoding: str = "utf-8", mended: Sequence[str] = (), language: str = ""
) -> Subtitles:
    """The cues of a subtitle file's text, whatever format it is in; `mended` is what was done to
    get the text. Raises UserError with one sentence, which names the file `name`."""
    kind = format_of(text)
    told = ""
    if kind == "srt":
        raw, repairs = read_srt(text)
    elif kind == "vtt":
        raw, repairs, told = read_vtt(text)
    elif kind in {"ass", "ssa"}:
        raw, repairs = read_ass(text, kind)
    elif kind:
        raw, repairs = read_other(name, text, kind)
    else:
        raise UserError(f"{name} has no subtitles; give an SRT, WebVTT, ASS or SSA file.")
    if not raw:
        raise UserError(f"{name} has no subtitles in it.")
    if len(raw) > MAX_CUES:
        raise UserError(f"{name} has {len(raw):,} cues, more than {MAX_CUES:,}; cut it into parts.")
    timed, more = mend_times([_plain(cue) for cue in raw])
    repairs = [*(Repair(0, 0, what) for what in mended), *repairs, *more]
    return Subtitles(
        tuple(spoken(timed)), tuple(_condensed(repairs)), kind, encoding, language or told
    )


def _condensed(repairs: Sequence[Repair]) -> Iterator[Repair]:
    """Repairs with what was mended in many cues told once, at the first of them."""
    kinds = [repair.what.partition(";")[0] for repair in repairs]
    counts = Counter(kinds)
    told = set()
    for kind, repair in zip(kinds, repairs, strict=True):
        if counts[kind] <= MANY:
            yield repair
        elif kind not in told:
            told.add(kind)
            yield replace(repair, what=f"{repair.what} ({counts[kind]} times in all)")


def _plain(cue: RawCue) -> RawCue:
    """A cue without markup; voice tags are its speaker, or its voices if there are several."""
    if len(cue.text) > LONGEST_CUE:
        why = f"too long for a subtitle ({len(cue.text):,} characters)"
        return replace(cue, text=" ".join(cue.text[:_SHOWN].split()), why=why)
    voices = voices_of(cue.text)
    text = "\n".join(said for _, said in voices)
    if len(voices) == 1:
        return replace(cue, text=text, speaker=voices[0][0] or cue.speaker)
    return replace(cue, text=text, voices=tuple(voices))
