"""Video files of a dub: what is in them, their sound, and the dubbed track put beside it.

The picture and the original sound are copied packet by packet. What was written is read back.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import langcodes
import pysrt
import soundfile

from configs.errors import UserError
from tasks.beside import written_beside
from tasks.dub_mix import LAYOUTS
from tasks.dub_stems import flac_arguments
from tasks.dub_subtitles import one_at_a_time
from tasks.dub_types import RATE
from tasks.ffmpeg import SOUND_FORMATS, FfmpegError, input_arguments, run_ffmpeg
from tasks.subtitles import Cue, write_srt

Container = Literal["mp4", "mov", "webm", "matroska"]
Kind = Literal["audio", "subtitle"]
Seconds = Callable[[float], None]

# A header may claim anything; what is written is as long as it says.
_MOST_SECONDS = 24 * 3600
_LEAST_SECONDS = 0.5
_TAIL_SECONDS = 10

# Codecs that a player of the container knows, and of which the decoder gives back exactly the
# samples that were encoded: AAC has edit lists for that in MP4 only, so Matroska gets FLAC.
_AUDIO_CODECS: Mapping[Container, str] = {
    "mp4": "aac",
    "mov": "aac",
    "webm": "libopus",
    "matroska": "flac",
}
_TEXT_CODECS: Mapping[Container, str] = {
    "mp4": "mov_text",
    "mov": "mov_text",
    "webm": "webvtt",
    "matroska": "subrip",
}
# As libavcodec calls their decoders. Teletext and captions within the picture can't be copied.
_MATROSKA_SUBTITLES = {
    "srt",
    "subrip",
    "ass",
    "ssa",
    "webvtt",
    "dvdsub",
    "dvbsub",
    "pgssub",
    "mov_text",
}
_SUFFIXES: Mapping[Container, tuple[str, ...]] = {
    "mp4": (".mp4", ".m4v", ".m4a"),
    "mov": (".mov",),
    "webm": (".webm",),
    "matroska": (".mkv", ".mka"),
}


@dataclass(frozen=True)
class Track:
    """A stream of sound or subtitles; `number` counts those of its kind from 0. `language` is as
    the file has it, "" where it does not say; `channels` is 0 for subtitles."""

    kind: Kind
    number: int
    codec: str
    language: str
    title: str
    default: bool
    channels: int = 0


@dataclass(frozen=True)
class Video:
    """A video or audio file: how many samples of the grid it lasts, and its tracks.

    The grid begins where the file begins, and ends with the picture, or with the sound where there
    is no picture. `container` is None for one that no track is added to (AVI, MPEG-TS, ...).
    """

    path: Path
    samples: int
    container: Container | None
    picture: bool
    tracks: tuple[Track, ...]
    comment: str = ""

    @property
    def audio(self) -> tuple[Track, ...]:
        return tuple(track for track in self.tracks if track.kind == "audio")

    @property
    def subtitles(self) -> tuple[Track, ...]:
        return tuple(track for track in self.tracks if track.kind == "subtitle")

    @property
    def seconds(self) -> float:
        return self.samples / RATE


def probe(path: Path) -> Video:
    """Looks into a video or audio file without decoding it.

    Raises `UserError` for a file that is missing, no video or audio, broken, or said to be longer
    than a day.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}: check the path of the video.")
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": SOUND_FORMATS,
        "fflags": "+genpts",  # MPEG has pictures without times
    }
    try:
        with av.open(f"file:{path.absolute()}", options=options) as file:
            return _video(path, file)
    except av.FFmpegError as error:
        raise UserError(
            f"{path} is no video or audio file that can be read ({error.strerror}): give an MP4, "
            "MKV, WebM, MOV, AVI or MPEG file."
        ) from error


def extract_audio(
    video: Video, out: Path, track: int | None = None, on_seconds: Seconds | None = None
) -> Path:
    """Writes an audio track as a 24-bit FLAC file on the grid, exactly as long as the video.

    All channels stay (up to eight); sound that begins later than the file does so here, too. By
    default it is the track that players play. Raises `UserError` where it can't be decoded.
    """
    if track is None:
        track = next((one.number for one in video.audio if one.default), 0)
    layouts = "|".join(name for name, _ in LAYOUTS.values())
    chain = (
        f"aresample={RATE}:async=1:first_pts=0,aformat=channel_layouts={layouts},"
        f"apad=whole_len={video.samples},atrim=end_sample={video.samples}"
    )
    with written_beside(out) as part:
        try:
            run_ffmpeg(
                [
                    *input_arguments(video.path, SOUND_FORMATS),
                    *("-map", f"0:a:{track}", "-af", chain, *flac_arguments(part)),
                ],
                on_seconds=on_seconds,
            )
        except FfmpegError as error:
            raise UserError(
                f"The sound of {video.path} can't be decoded ({error}): convert the video with "
                "another program, or dub without --video."
            ) from error
    return out


def language_code(tag: str, container: Container) -> str:
    """The ISO 639-2 code (ISO 639-3 where that has none) of a BCP 47 tag for a container's tags;
    "und" where the language is not known. MP4 has the terminological codes ("deu"), the others the
    bibliographic ones ("ger")."""
    try:
        language = langcodes.Language.get(tag)
        return language.to_alpha3(variant="T" if container == "mp4" else "B")
    except (LookupError, ValueError):  # LanguageTagError is a ValueError
        return "und"


def dub_notice(voices: Sequence[str], model_name: str) -> str:
    """The sentence that says whose voices they are."""
    named = ", ".join(f"“{voice}”" for voice in voices)
    return (
        f"The dubbed voices are synthetic: spoken by a computer in the voice"
        f"{'s' if len(voices) > 1 else ''} {named}, made with Voxloom and the model {model_name}."
    )


def mux(
    video: Video,
    sound: Path,
    folder: Path,
    language: str,
    notice: str,
    subtitles: Path | None = None,
    title: str = "Dub (synthetic voices)",
    on_seconds: Seconds | None = None,
) -> Path:
    """Puts `sound`, a FLAC file exactly as long as the video, beside the video's own tracks.

    All that the file has is copied but data streams (time codes, GPS): picture, sound, subtitles,
    attachments, chapters, tags. The new track, with the `language` (BCP 47) and `title`, is the one
    that players choose; `subtitles` (SRT) becomes a track of the same language. The `notice` joins
    the comment. The container is the same where it takes all of this, else Matroska. The result
    `NAME.LANGUAGE.SUFFIX` is read back before it gets its name. Raises `UserError` where it can't
    be written or is not what it should be.
    """
    channels = _checked_sound(sound, video)
    with_text = subtitles is not None

    def copied(container: Container) -> Path:
        out = folder / _name(video, language, container)
        if out.absolute() == video.path.absolute():
            raise UserError(f"{out} is the video itself: choose another output folder.")
        with tempfile.TemporaryDirectory(prefix="voxloom-") as scratch, written_beside(out) as part:
            text = subtitles
            if text and container in ("mp4", "mov"):
                text = _one_at_a_time(text, Path(scratch) / "dub.srt")
            run_ffmpeg(
                [
                    *("-fflags", "+genpts"),  # as in `probe`
                    *input_arguments(video.path, SOUND_FORMATS),
                    *input_arguments(sound, "flac"),
                    *(input_arguments(text, "srt") if text else ()),
                    *_mapping(video, container, with_text),
                    *_tags(video, container, language, notice, title, with_text),
                    *_encoding(container, channels),
                    *("-bitexact", "-f", container, "-y", f"file:{part.absolute()}"),
                ],
                on_seconds=on_seconds,
            )
            _check(video, part, container, language, with_text)
        return out

    try:
        return copied(video.container or "matroska")
    except FfmpegError as error:
        problem = error
    try:
        return copied("matroska")
    except FfmpegError as error:
        raise UserError(
            f"The dubbed track can't be put into a copy of {video.path} ({problem}): convert the "
            "video to MKV with another program and dub that."
        ) from error


def _video(path: Path, file: Any) -> Video:
    pictures = [
        stream
        for stream in file.streams.video
        if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    main = next(iter(pictures or file.streams.audio), None)
    if main is None:
        raise UserError(f"{path} holds neither a picture nor sound: give another video.")
    seconds = _seconds(file, main)
    if not _LEAST_SECONDS <= seconds <= _MOST_SECONDS:
        raise UserError(
            f"{path} is said to last {float(seconds):.1f} s; between half a second and a day can "
            "be dubbed: convert it with another program."
        )
    return Video(
        path,
        round(seconds * RATE),
        _container(path, file.format.name),
        bool(pictures),
        (
            *(_track("audio", number, one) for number, one in enumerate(file.streams.audio)),
            *(_track("subtitle", number, one) for number, one in enumerate(file.streams.subtitles)),
        ),
        next((value for name, value in file.metadata.items() if name.lower() == "comment"), ""),
    )


def _seconds(file: Any, main: Any) -> Fraction:
    """From the beginning of the file to the end of the main stream."""
    whole = Fraction(file.duration or 0, av.time_base)
    begin = Fraction(file.start_time or 0, av.time_base)
    if main.duration and (main.type == "audio" or "mp4" in file.format.name.split(",")):
        start = main.start_time * main.time_base if main.start_time is not None else begin
        return Fraction(max(start - begin, 0) + main.duration * main.time_base)
    # Others only know how long the longest of their streams is, which may be the sound; where the
    # picture ends its last packets tell.
    last = begin
    with suppress(av.FFmpegError):  # where nothing can be sought, all packets are looked at
        file.seek(int(max(begin, begin + whole - _TAIL_SECONDS) * av.time_base))
    with suppress(av.FFmpegError):  # a file that breaks off
        for packet in file.demux(main):
            if packet.pts is not None:
                last = max(last, (packet.pts + (packet.duration or 0)) * packet.time_base)
    return last - begin or whole


def _track(kind: Kind, number: int, stream: Any) -> Track:
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    language = tags.get("language", "")
    return Track(
        kind,
        number,
        stream.codec_context.name if stream.codec_context else "",
        "" if language == "und" else language,
        tags.get("title", "") or tags.get("name", ""),
        bool(stream.disposition & av.stream.Disposition.default),
        stream.channels if kind == "audio" else 0,
    )


def _container(path: Path, formats: str) -> Container | None:
    names = formats.split(",")
    if "mp4" in names:
        return "mov" if path.suffix.lower() == ".mov" else "mp4"
    if "matroska" in names:
        return "webm" if path.suffix.lower() == ".webm" else "matroska"
    return None


def _name(video: Video, language: str, container: Container) -> str:
    suffix = video.path.suffix.lower()
    kept = suffix if suffix in _SUFFIXES[container] else _SUFFIXES[container][0]
    return f"{video.path.stem}.{language or 'dub'}{kept}"


def _checked_sound(sound: Path, video: Video) -> int:
    try:
        info = soundfile.info(sound)
    except soundfile.LibsndfileError as error:
        raise UserError(f"{sound} is missing or broken: run the same command again.") from error
    if info.frames != video.samples:
        raise ValueError(f"{sound} has {info.frames} samples, {video.path} {video.samples}")
    channels: int = info.channels
    return channels


def _one_at_a_time(subtitles: Path, out: Path) -> Path:
    """MP4's timed text would end a subtitle where the next one begins."""
    items = pysrt.open(subtitles, encoding="utf-8")
    cues = [Cue(item.start.ordinal, item.end.ordinal, item.text) for item in items]
    write_srt(one_at_a_time(cues), out)
    return out


def _kept_subtitles(video: Video, container: Container) -> list[Track]:
    """The video's subtitle tracks that the container takes; its own takes all of them."""
    if container == video.container:
        return list(video.subtitles)
    return [track for track in video.subtitles if track.codec in _MATROSKA_SUBTITLES]


def _mapping(video: Video, container: Container, subtitles: bool) -> list[str]:
    kept = ["-map", "0:v?", "-map", "0:a?", "-map", "0:t?", "-c", "copy"]
    for number, track in enumerate(_kept_subtitles(video, container)):
        kept += ["-map", f"0:s:{track.number}"]
        # Timed text of MP4 has no place in Matroska.
        if track.codec == "mov_text" and container == "matroska":
            kept += [f"-c:s:{number}", "subrip"]
    return [*kept, "-map", "1:a:0", *(("-map", "2:s:0") if subtitles else ())]


def _tags(
    video: Video,
    container: Container,
    language: str,
    notice: str,
    title: str,
    subtitles: bool,
) -> list[str]:
    code = language_code(language, container)
    new = len(video.audio)
    comment = "\n\n".join(filter(None, (video.comment, notice)))
    tags = ["-metadata", f"comment={_storable(comment)}", "-metadata", "NARRATION=synthetic"]
    for track in video.audio:
        tags += [f"-disposition:a:{track.number}", "-default"]
    tags += [f"-disposition:a:{new}", "default+dub"]
    text = len(_kept_subtitles(video, container))
    streams = [f"s:a:{new}", *([f"s:s:{text}"] if subtitles else ())]
    for stream in streams:
        for name in ("title", "handler_name"):  # players of MP4 show one or the other
            tags += [f"-metadata:{stream}", f"{name}={_storable(title)}"]
        tags += [f"-metadata:{stream}", f"language={code}"]
    if subtitles:
        tags += [f"-disposition:s:{text}", "0"]
        tags += [f"-c:s:{text}", _TEXT_CODECS[container]]
    return [*tags, f"-c:a:{new}", _AUDIO_CODECS[container]]


def _encoding(container: Container, channels: int) -> list[str]:
    if container == "matroska":
        return []
    rate = ["-b:a", f"{64 * channels + 64}k"]
    # MP4 says in units of this where a track ends, in milliseconds if not told otherwise.
    exact = ["-movie_timescale", str(RATE)] if container in ("mp4", "mov") else []
    return [*rate, *exact]


def _check(
    video: Video, written: Path, container: Container, language: str, subtitles: bool
) -> None:
    """Reads back what was written. Raises `FfmpegError` where this container did not take it, and
    `UserError` where it lost or changed something."""
    found = _probed(written)
    if found is None:
        raise FfmpegError("the file that was written can't be opened")
    counts = len(video.audio) + 1, len(_kept_subtitles(video, container)) + subtitles
    if (len(found.audio), len(found.subtitles)) != counts:
        raise FfmpegError("a track is missing in the file that was written")
    code = language_code(language, container)
    new = [found.audio[-1], *(found.subtitles[-1:] if subtitles else ())]
    if any((track.language or "und") != code for track in new):
        raise FfmpegError(f"the container does not take the language {code}")
    heard = _decoded_samples(written, len(video.audio))
    if heard != video.samples:
        raise FfmpegError(f"the dubbed track has {heard} samples instead of {video.samples}")
    # Other containers pack the same pictures differently.
    if container == video.container and _hashes(written, video) != _hashes(video.path, video):
        raise UserError(
            f"The copy of {video.path} differs from it: its picture or sound may be damaged; "
            "convert the video with another program and dub that."
        )


def _probed(written: Path) -> Video | None:
    try:
        return probe(written)
    except UserError:
        return None


def _decoded_samples(path: Path, track: int) -> int:
    size = 0

    def count(data: bytes) -> None:
        nonlocal size
        size += len(data)

    arguments = [*input_arguments(path), "-map", f"0:a:{track}", "-ac", "1", "-ar", str(RATE)]
    run_ffmpeg([*arguments, "-f", "s16le", "pipe:1"], on_output=count)
    return size // 2


def _hashes(path: Path, video: Video) -> list[str]:
    """MD5 of the packets of each picture and sound of the original, in order."""
    tracks = [argument for track in video.audio for argument in ("-map", f"0:a:{track.number}")]
    found = bytearray()
    run_ffmpeg(
        [
            *input_arguments(path, SOUND_FORMATS),
            *("-map", "0:v?", *tracks, "-c", "copy", "-f", "streamhash", "-hash", "md5", "pipe:1"),
        ],
        on_output=found.extend,
    )
    return found.decode().splitlines()


def _storable(value: str) -> str:
    """Without NUL and lone surrogates, which no command line takes."""
    return value.replace("\0", "").encode(errors="ignore").decode()
