"""Measures a delivered file: decoded as a whole, as a player would, without holding it."""

import tempfile
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import mutagen
import numpy as np
from mutagen.mp3 import MPEGInfo

from configs.errors import UserError
from tasks.ffmpeg import FfmpegError, input_arguments, run_ffmpeg
from tasks.levels import decibels
from tasks.master import loudness_filter, number_in, read_loudness

SHAPE_SECONDS = 0.1  # of each value of a shape

# Louder than this within 10 ms is speech and not the room; weak consonants lie around it.
_SOUND_DB = -50.0
_FRAMES_PER_SECOND = 100
_FLOOR_FRAMES = 10
_OPUS_RATE = 48_000  # of what its decoder gives, always

# kb/s of MPEG-1 Layer III, ISO/IEC 11172-3, 2.4.2.3, and the rates in Hz.
_MP3_KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MP3_RATES = (44_100, 48_000, 32_000)


@dataclass(frozen=True)
class Measured:
    """What a delivered file measures after decoding. The noise floor is the RMS of its quietest
    tenth of a second; head and tail are what is before and after all speech."""

    integrated_lufs: float
    range_lu: float
    true_peak_dbtp: float
    sample_peak_db: float
    rms_db: float
    noise_floor_db: float
    head_seconds: float
    tail_seconds: float
    seconds: float
    sample_rate: int
    channels: int
    kbits: float  # kb/s of the sound
    constant_rate: bool  # every frame has the same bit rate (only MP3 is looked into)


@dataclass(frozen=True)
class Shape:
    """What a file looks like: peaks (tenths of a second,) in 0 to 1, and short-term loudness in
    LUFS at the same times."""

    peaks: np.ndarray
    loudness: np.ndarray

    def part(self, start: float, end: float) -> "Shape":
        """From one second to another."""
        first, last = round(start / SHAPE_SECONDS), round(end / SHAPE_SECONDS)
        return Shape(self.peaks[first:last], self.loudness[first:last])


def measure_delivered(
    path: Path, on_seconds: Callable[[float], None] | None = None
) -> tuple[Measured, Shape]:
    """Decodes the whole of `path`, an audio file of one channel, and measures it.

    `on_seconds` hears how many seconds have been decoded. Raises `UserError` when the file does not
    decode.
    """
    found = mutagen.File(path)
    if found is None:
        raise UserError(f"{path.name} is no audio file that could be measured.")
    info = found.info
    rate = getattr(info, "sample_rate", _OPUS_RATE)
    meter = _Meter(rate, on_seconds)
    with tempfile.TemporaryDirectory(prefix="voxloom-") as folder:
        listing = Path(folder) / "short-term.txt"
        try:
            said = run_ffmpeg(
                [
                    # Stop at the first decoding error instead of playing over it.
                    *("-xerror", "-err_detect", "explode"),
                    *input_arguments(path),
                    *("-map", "0:a:0", "-af", loudness_filter("S", listing, "true")),
                    *("-c:a", "pcm_f32le", "-f", "f32le", "pipe:1"),
                ],
                on_output=meter.hear,
            )
        except FfmpegError as error:
            raise UserError(
                f"{path.name} does not play through ({error}): run the same command again; what is "
                "finished is kept."
            ) from error
        loudness = read_loudness(listing)
    levels = meter.levels()
    constant_rate = isinstance(info, MPEGInfo) and len(set(mp3_kbits(path))) == 1
    measured = Measured(
        integrated_lufs=number_in(r"\bI:\s+(\S+) LUFS", said),
        range_lu=number_in(r"\bLRA:\s+(\S+) LU", said),
        true_peak_dbtp=number_in(r"True peak:\s+Peak:\s+(\S+) dBFS", said),
        **levels,
        sample_rate=rate,
        channels=info.channels,
        kbits=getattr(info, "bitrate", 0) / 1000,
        constant_rate=constant_rate,
    )
    return measured, Shape(meter.peaks(), loudness)


class _Meter:
    """Measures what it hears, block by block, one channel of float32."""

    def __init__(self, sample_rate: int, on_seconds: Callable[[float], None] | None) -> None:
        self._rate = sample_rate
        self._on_seconds = on_seconds
        self._frame = sample_rate // _FRAMES_PER_SECOND
        self._rest = np.zeros(0, np.float32)  # less than a tenth of a second
        self._samples = 0
        self._power = 0.0
        self._peaks = array("f")  # of each tenth of a second
        self._floor = float("inf")
        self._first = self._last = -1  # samples at which speech begins, and where it ends

    def hear(self, data: bytes) -> None:
        audio = np.concatenate([self._rest, np.frombuffer(data, "<f4")])
        size = self._frame * _FLOOR_FRAMES
        whole = len(audio) // size * size
        self._take(audio[:whole].reshape(-1, _FLOOR_FRAMES, self._frame))
        self._rest = audio[whole:]

    def levels(self) -> dict[str, float]:
        """All that can be said at the end."""
        rest = self._rest
        samples, power, peak = self._samples + rest.size, self._power, max(self._peaks, default=0)
        if rest.size:
            power += float(np.sum(np.square(rest, dtype=np.float64)))
            peak = max(peak, float(np.abs(rest).max()))
        silent = self._first < 0
        return {
            "sample_peak_db": decibels(peak),
            "rms_db": decibels((power / max(1, samples)) ** 0.5),
            "noise_floor_db": decibels(self._floor**0.5 if self._floor < float("inf") else 0.0),
            "head_seconds": (samples if silent else self._first) / self._rate,
            "tail_seconds": (samples if silent else samples - self._last) / self._rate,
            "seconds": samples / self._rate,
        }

    def peaks(self) -> np.ndarray:
        return np.asarray(self._peaks, np.float32)

    def _take(self, tenths: np.ndarray) -> None:
        """Tenths of seconds (tenths, frames, samples)."""
        if not len(tenths):
            return
        power = np.einsum("tfs,tfs->tf", tenths, tenths, dtype=np.float64) / self._frame
        sounding = np.flatnonzero(power > 10.0 ** (_SOUND_DB / 10.0))
        if sounding.size:
            if self._first < 0:
                self._first = self._samples + int(sounding[0]) * self._frame
            self._last = self._samples + (int(sounding[-1]) + 1) * self._frame
        self._floor = min(self._floor, float(power.mean(axis=1).min()))
        self._peaks.extend(np.abs(tenths).max(axis=(1, 2)).tolist())
        self._power += float(power.sum()) * self._frame
        self._samples += tenths.size
        if self._on_seconds:
            self._on_seconds(self._samples / self._rate)


def mp3_kbits(path: Path) -> Iterator[int]:
    """The bit rate in kb/s of each frame of an MP3 file after its tag."""
    with path.open("rb") as file:
        start = file.read(10)
        size = 0
        if start[:3] == b"ID3":
            size = 10 + sum(
                (byte & 0x7F) << shift
                for byte, shift in zip(start[6:], (21, 14, 7, 0), strict=True)
            )
        file.seek(size)
        yield from _frame_kbits(file)


def _frame_kbits(file: BinaryIO) -> Iterator[int]:
    while len(header := file.read(4)) == 4 and header[0] == 0xFF and header[1] & 0xFE == 0xFA:
        kbits, rate = _MP3_KBITS[header[2] >> 4], _MP3_RATES[header[2] >> 2 & 3]
        yield kbits
        file.seek(144_000 * kbits // rate + (header[2] >> 1 & 1) - 4, 1)
