"""The subtitles within a video: which tracks it has, and the text of one of them."""

import re
from dataclasses import dataclass
from pathlib import Path

from configs.errors import UserError
from tasks.ffmpeg import SOUND_FORMATS, FfmpegError, input_arguments, run_ffmpeg

_PROBE_TIMEOUT = 120.0
_STREAM = re.compile(
    r"Stream #0:\d+(?:\[\w+\])?(?:\((?P<language>[\w-]+)\))?: Subtitle: (?P<codec>\w+)(?P<rest>.*)"
)
_PICTURES = {"dvb_subtitle", "dvd_subtitle", "hdmv_pgs_subtitle", "xsub"}
# The format in which each kind of track is taken out; other kinds become SRT.
_AS_THEY_ARE = {"ass": "ass", "ssa": "ass", "subrip": "srt", "webvtt": "webvtt"}
# Containers tell languages by ISO 639-2's codes, of which some languages have two.
_CODES = """
    ara=ar bul=bg cat=ca ces=cs chi=zh cze=cs dan=da deu=de dut=nl ell=el eng=en est=et fas=fa
    fin=fi fra=fr fre=fr ger=de gre=el heb=he hin=hi hrv=hr hun=hu ice=is ind=id isl=is ita=it
    jpn=ja kor=ko lav=lv lit=lt mac=mk may=ms mkd=mk msa=ms nld=nl nob=nb nor=no per=fa pol=pl
    por=pt ron=ro rum=ro rus=ru slk=sk slo=sk slv=sl spa=es srp=sr swe=sv tha=th tur=tr ukr=uk
    vie=vi yue=yue zho=zh
"""
LANGUAGES = dict(pair.split("=") for pair in _CODES.split())


@dataclass(frozen=True)
class SubtitleTrack:
    """A subtitle track of a video: its number (from 1), its kind as ffmpeg names it, its language
    (BCP 47, "" unknown), and whether the video shows it by itself or only for foreign words."""

    number: int
    codec: str
    language: str
    default: bool
    forced: bool


def subtitle_tracks(path: Path) -> list[SubtitleTrack]:
    """The subtitle tracks of a video. Raises UserError for what is none."""
    every = ["-map", "0:v?", "-map", "0:a?", "-map", "0:s?", "-c", "copy", "-t", "0"]
    try:
        told = run_ffmpeg(
            [*input_arguments(path, SOUND_FORMATS), *every, "-f", "null", "-"],
            timeout=_PROBE_TIMEOUT,
        )
    except FfmpegError as error:
        raise UserError(
            f"{path.name} is neither a subtitle file nor a video that can be read ({error})."
        ) from error
    found: list[SubtitleTrack] = []
    for line in told.partition("Stream mapping:")[0].split("\n"):
        if match := _STREAM.match(line):
            code = (match["language"] or "").lower()
            language = "" if code == "und" else LANGUAGES.get(code, code)
            rest = match["rest"]
            found.append(
                SubtitleTrack(
                    len(found) + 1,
                    match["codec"],
                    language,
                    "(default)" in rest,
                    "(forced)" in rest,
                )
            )
    return found


def choose_track(
    name: str, tracks: list[SubtitleTrack], number: int | None, language: str
) -> SubtitleTrack:
    """The track to read: number `number`, else the one in `language`, else the video's own choice.

    Raises UserError where there is none that holds text.
    """
    if not tracks:
        raise UserError(f"{name} has no subtitles in it; give a subtitle file.")
    if number is not None:
        if not 1 <= number <= len(tracks):
            raise UserError(f"{name} has no subtitle track {number}, but 1 to {len(tracks)}.")
        tracks = [tracks[number - 1]]
    readable = [track for track in tracks if track.codec not in _PICTURES]
    if not readable:
        raise UserError(
            f"The subtitles of {name} are pictures, not text; give a subtitle file, which programs "
            "such as SubtitleEdit can make of them."
        )
    wanted = language.split("-")[0].lower()
    return min(
        readable,
        key=lambda one: (
            bool(wanted) and one.language.split("-")[0] != wanted,
            one.forced,
            not one.default,
        ),
    )


def track_text(path: Path, track: SubtitleTrack, max_bytes: int) -> bytes:
    """A track as a subtitle file in UTF-8. Raises UserError where it can't be taken out."""
    blocks: list[bytes] = []
    size = 0

    def take(block: bytes) -> None:
        nonlocal size
        size += len(block)
        if size <= max_bytes:
            blocks.append(block)

    kind = _AS_THEY_ARE.get(track.codec)
    codec = "copy" if kind else "srt"
    try:
        run_ffmpeg(
            [
                *input_arguments(path, SOUND_FORMATS),
                *("-map", f"0:s:{track.number - 1}", "-c:s", codec, "-f", kind or "srt", "pipe:1"),
            ],
            on_output=take,
        )
    except FfmpegError as error:
        raise UserError(
            f"Subtitle track {track.number} of {path.name} can't be read ({error})."
        ) from error
    if size > max_bytes:
        raise UserError(
            f"Subtitle track {track.number} of {path.name} is larger than any subtitles."
        )
    return b"".join(blocks)
