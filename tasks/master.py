"""Loudness of a whole book: measured once, moved by one gain, limited, measured again.

One static gain keeps the reading as it was spoken: normalising sentence by sentence, or with a
gain that moves, makes the level jump. Loudness is EBU R128 / ITU-R BS.1770 as ffmpeg measures it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from configs.errors import UserError
from tasks.ffmpeg import FfmpegError, input_arguments, run_ffmpeg

TARGET_LUFS = -19.0
LOUDNESS_TOLERANCE_LU = 1.0
PEAK_LIMIT_DBTP = -3.0
NOISE_LIMIT_DB = -60.0

# The encoder lets peaks rise again, measured by up to 0.8 dB.
_LIMITER_DB = PEAK_LIMIT_DBTP - 1.5
_OVERSAMPLING = 4
_MAX_GAIN_DB = 30.0
# R128 gates what is quieter than this; a book that measures so holds no speech.
_NOTHING_HEARD_LUFS = -69.0
_BLOCK = 1 << 16

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Loudness:
    """What the delivered file measures after decoding."""

    integrated_lufs: float
    range_lu: float
    true_peak_dbtp: float
    rms_db: float
    noise_floor_db: float  # RMS of the quietest tenth of a second
    seconds: float


@dataclass(frozen=True)
class Verdict:
    """One measured value, what it should be, and whether it is."""

    name: str
    value: float
    wanted: str
    passed: bool


def chapter_blocks(
    paths: Sequence[Path], sample_rate: int, on_progress: Progress | None = None
) -> Iterator[np.ndarray]:
    """The samples of the chapters' FLAC files one after another, int16 blocks (samples,)."""
    lengths = [_flac_length(path, sample_rate) for path in paths]
    total, done = max(1, sum(lengths)), 0
    for path, length in zip(paths, lengths, strict=True):
        read = 0
        try:
            with soundfile.SoundFile(path) as chapter:
                while len(block := chapter.read(_BLOCK, dtype="int16")):
                    yield block
                    read += len(block)
                    done += len(block)
                    if on_progress:
                        on_progress(min(1.0, done / total))
        except soundfile.LibsndfileError as error:
            raise _broken_chapter(path) from error
        if read != length:
            raise _broken_chapter(path)


@dataclass(frozen=True)
class BookLevel:
    """How loud a book is before mastering, and the one gain that brings it to its target."""

    lufs: float
    gain_db: float


def book_level(
    paths: Sequence[Path],
    sample_rate: int,
    target_lufs: float = TARGET_LUFS,
    on_progress: Progress | None = None,
) -> BookLevel:
    """Measures the chapters together and finds their gain.

    The limiter takes away some of what the gain adds, the more the peakier the voice. So the book
    is measured once more as it will sound, and the gain corrected by what is missing.
    """
    lufs = measure_loudness(paths, sample_rate, on_progress)
    gain_db = book_gain(lufs, target_lufs)
    if gain_db <= 0.0:
        return BookLevel(lufs, gain_db)
    chain = master_filter(gain_db, sample_rate, sample_rate)
    limited = measure_loudness(paths, sample_rate, on_progress, chain)
    correction = max(0.0, target_lufs - limited)
    return BookLevel(lufs, min(_MAX_GAIN_DB, round(gain_db + correction, 2)))


def measure_loudness(
    paths: Sequence[Path],
    sample_rate: int,
    on_progress: Progress | None = None,
    chain: str = "anull",
) -> float:
    """Integrated loudness in LUFS of the chapters together, read as a stream, after a chain of
    ffmpeg filters."""
    blocks = chapter_blocks(paths, sample_rate, on_progress)
    try:
        said = run_ffmpeg(
            [
                *pcm_input_arguments(sample_rate),
                *("-af", f"{chain},ebur128=framelog=quiet", "-f", "null", "-"),
            ],
            feed=(block.tobytes() for block in blocks),
        )
    except FfmpegError as error:
        raise _unmeasurable(error) from error
    return _number(r"\bI:\s+(\S+) LUFS", said)


def book_gain(integrated_lufs: float, target_lufs: float = TARGET_LUFS) -> float:
    """The one gain in dB that brings a book to `target_lufs`; 0 for a book without any sound."""
    if integrated_lufs <= _NOTHING_HEARD_LUFS:
        return 0.0
    return max(-_MAX_GAIN_DB, min(_MAX_GAIN_DB, round(target_lufs - integrated_lufs, 2)))


def master_filter(gain_db: float, sample_rate: int, delivered_rate: int) -> str:
    """ffmpeg's filter chain: gain, a limiter at four times the rate (so that it sees the peaks
    between samples), then the rate of the delivered file."""
    ceiling = 10.0 ** (_LIMITER_DB / 20.0)
    return (
        f"volume={gain_db:.2f}dB,aresample={sample_rate * _OVERSAMPLING},"
        f"alimiter=level=false:limit={ceiling:.6f}:attack=5:release=50:latency=true,"
        f"aresample={delivered_rate}"
    )


def measure_delivered(path: Path, on_seconds: Progress | None = None) -> Loudness:
    """Decodes the whole of `path` and measures it. Raises `UserError` when it does not decode.

    `on_seconds` hears how many seconds have been decoded.
    """
    try:
        said = run_ffmpeg(
            [
                # Stop at the first decoding error instead of playing over it.
                *("-xerror", "-err_detect", "explode"),
                *input_arguments(path),
                *("-map", "0:a:0", "-af"),
                "ebur128=peak=true:framelog=quiet,astats=length=0.1:measure_perchannel=none",
                *("-f", "null", "-"),
            ],
            on_seconds=on_seconds,
        )
    except FfmpegError as error:
        raise UserError(
            f"{path.name} does not play through ({error}): run the same command again; what is "
            "finished is kept."
        ) from error
    rate = _number(r"Stream #0:0.*Audio: .*?(\d+) Hz", said)
    return Loudness(
        integrated_lufs=_number(r"\bI:\s+(\S+) LUFS", said),
        range_lu=_number(r"\bLRA:\s+(\S+) LU", said),
        true_peak_dbtp=_number(r"True peak:\s+Peak:\s+(\S+) dBFS", said),
        rms_db=_number(r"RMS level dB: (\S+)", said),
        noise_floor_db=_number(r"RMS th?rough dB: (\S+)", said),
        seconds=_number(r"Number of samples: (\S+)", said) / rate,
    )


def verdicts(loudness: Loudness, target_lufs: float = TARGET_LUFS) -> tuple[Verdict, ...]:
    """Whether the delivered file is as loud as asked for, and keeps what audiobook listeners and
    shops expect of peaks and noise."""
    low, high = target_lufs - LOUDNESS_TOLERANCE_LU, target_lufs + LOUDNESS_TOLERANCE_LU
    lufs, peak, noise = (
        loudness.integrated_lufs,
        loudness.true_peak_dbtp,
        loudness.noise_floor_db,
    )
    return (
        Verdict("integrated_lufs", lufs, f"{low:g} to {high:g}", low <= lufs <= high),
        Verdict("true_peak_dbtp", peak, f"at most {PEAK_LIMIT_DBTP:g}", peak <= PEAK_LIMIT_DBTP),
        Verdict("noise_floor_db", noise, f"at most {NOISE_LIMIT_DB:g}", noise <= NOISE_LIMIT_DB),
    )


def pcm_input_arguments(sample_rate: int) -> list[str]:
    """ffmpeg arguments for mono 16-bit samples on its standard input."""
    return ["-f", "s16le", "-ar", str(sample_rate), "-ac", "1", "-i", "pipe:0"]


def _flac_length(path: Path, sample_rate: int) -> int:
    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        raise _broken_chapter(path) from error
    if info.samplerate != sample_rate or info.channels != 1:
        raise ValueError(f"{path} is not mono at {sample_rate} Hz but {info}")
    frames: int = info.frames
    return frames


def _broken_chapter(path: Path) -> UserError:
    return UserError(
        f"The chapter {path} is missing or broken: delete it and run the same command again, "
        "which makes it anew."
    )


def _unmeasurable(error: FfmpegError) -> UserError:
    return UserError(
        f"The loudness of the book could not be measured (ffmpeg: {error}): run the same command "
        "again; what is finished is kept."
    )


def _number(pattern: str, said: str) -> float:
    """The last number that `pattern` finds; -inf where ffmpeg says so, or that it is none."""
    found = re.findall(pattern, said)
    if not found:
        raise UserError(
            f"ffmpeg did not report a measurement that is needed ({pattern}): remove the ffmpeg "
            "on the PATH to use the one that comes with Voxloom."
        )
    value = float(found[-1])
    return value if value == value else float("-inf")
