"""Reads a voice sample: any common audio file becomes clean mono sound, or one clear sentence."""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from configs.errors import UserError
from tasks.ffmpeg import SOUND_FORMATS, FfmpegError, input_arguments, run_ffmpeg
from tasks.levels import FRAME_SECONDS, sound_bounds, sound_frames

MIN_SECONDS = 3.0
MAX_SECONDS = 300.0
_MAX_BYTES = 2 << 30
_MIN_RATE, _MAX_RATE = 8_000, 192_000
_MAX_CHANNELS = 32
_DECODE_TIMEOUT = 60.0

# Sound is what lies less than this under the loudest 10 ms: speech spans about 30 dB, a quiet
# room lies 50 dB under it.
_BELOW_PEAK_DB = 40.0
_SILENT_DB = -60.0
# Shorter gaps belong to speech (stops, breaths); longer ones are silence.
_GAP_SECONDS = 0.5
_KEEP_SECONDS = 0.05
CLIPPED_SHARE = 0.005
_CLIPPED_PEAK = 0.9

log = logging.getLogger(__name__)


def load_sample(path: Path) -> tuple[np.ndarray, int]:
    """Reads a voice sample -> (mono float32 (samples,) in [-1, 1], sample rate in Hz).

    Reads the first five minutes, mixes the channels, removes the offset and the silence at both
    ends; the same file gives the same samples. Raises `UserError` for a file that is missing, not
    audio, broken, silent, or holds less than 3 s of sound. Heavy clipping is only logged.
    """
    check_file(path)
    audio, sample_rate = _decode(path)
    if not np.isfinite(audio).all():
        raise UserError(
            f"{path} holds values that are no numbers (NaN or infinity): the file is broken. "
            "Export the voice sample again."
        )
    _warn_if_clipped(path, audio)
    if audio.size:
        audio = audio - audio.mean(dtype=np.float64)
    peak = float(np.abs(audio).max(initial=0.0))
    if peak > 1.0:  # a float file may go beyond full scale
        audio = audio / peak
    frames = sound_frames(audio, sample_rate, _BELOW_PEAK_DB, _SILENT_DB)
    _check_sound(path, frames, audio.size / sample_rate)
    kept = audio[sound_bounds(frames, audio.size, sample_rate, _KEEP_SECONDS)]
    return np.ascontiguousarray(kept, dtype=np.float32), sample_rate


def check_file(path: Path, most_bytes: int = _MAX_BYTES) -> None:
    """Raises UserError for what is no file that could hold sound."""
    try:
        if path.is_dir():
            raise UserError(
                f"{path} is a folder: give the path of one audio file with the voice sample."
            )
        if not path.exists():
            raise UserError(f"There is no file {path}: check the path of the voice sample.")
        if not path.is_file():
            raise UserError(f"{path} is not a regular file: copy the voice sample to a file first.")
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except OSError as error:
        raise UserError(
            f"Cannot read the voice sample {path}: {error.strerror}. Check its permissions."
        ) from error
    if size == 0:
        raise UserError(f"{path} is empty: give an audio file with at least 3 seconds of speech.")
    if size > most_bytes:
        raise UserError(
            f"{path} is larger than {most_bytes >> 30} GiB: cut out up to five minutes of clear "
            "speech."
        )


def _decode(path: Path) -> tuple[np.ndarray, int]:
    """The first five minutes of `path` -> (mono float32, rate); libsndfile first, else ffmpeg."""
    try:
        return _read(path)
    except (soundfile.LibsndfileError, TypeError):  # TypeError: headerless .raw
        pass
    with tempfile.TemporaryDirectory(prefix="voxloom-") as folder:
        decoded = Path(folder) / "sample.wav"
        try:
            run_ffmpeg(
                [
                    *input_arguments(path, SOUND_FORMATS),
                    *("-map", "0:a:0", "-vn", "-sn", "-dn", "-t", f"{MAX_SECONDS:.0f}"),
                    *("-ac", "1", "-c:a", "pcm_f32le", "-f", "wav", "-y", str(decoded)),
                ],
                timeout=_DECODE_TIMEOUT,
            )
            return _read(decoded)
        except (FfmpegError, soundfile.LibsndfileError) as error:
            raise UserError(
                f"{path} is not audio that can be read ({error}): give a WAV, FLAC, MP3, M4A or "
                "OGG file."
            ) from error
        except OSError as error:
            raise UserError(
                f"{path} could not be decoded: {error.strerror} in {tempfile.gettempdir()}. Free "
                "some space there and run the same command again."
            ) from error


def _read(path: Path) -> tuple[np.ndarray, int]:
    rate, blocks = open_blocks(path, MAX_SECONDS)
    pieces = list(blocks)
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.float32), rate


def open_blocks(path: Path, longest_seconds: float) -> tuple[int, Iterator[np.ndarray]]:
    """A file's sample rate, and its beginning in mono blocks of about a second, float32.

    Raises UserError for a rate or a number of channels that no recording of speech has, and what
    libsndfile raises for a file that it can't read.
    """
    sound = soundfile.SoundFile(path)
    rate: int = sound.samplerate
    if not _MIN_RATE <= rate <= _MAX_RATE:
        sound.close()
        raise UserError(
            f"{path} has a sample rate of {rate} Hz: give a voice sample between "
            f"{_MIN_RATE} and {_MAX_RATE} Hz, best 16000 Hz or more."
        )
    if sound.channels > _MAX_CHANNELS:
        sound.close()
        raise UserError(
            f"{path} has {sound.channels} channels: mix the voice sample down to one or two."
        )
    return rate, _blocks(sound, round(longest_seconds * rate))


def _blocks(sound: soundfile.SoundFile, left: int) -> Iterator[np.ndarray]:
    # In pieces: what a header claims decides nothing about memory, and a compressed file may break
    # off in the middle, after enough speech.
    started = False
    with sound:
        while left > 0:
            try:
                block = sound.read(min(left, sound.samplerate), dtype="float32", always_2d=True)
            except soundfile.LibsndfileError:
                if not started:
                    raise
                return
            if len(block) == 0:
                return
            started = True
            yield block.mean(axis=1)
            left -= len(block)


def clipped_share(audio: np.ndarray) -> float:
    """The share of audio (samples,) that stays at its limit; a merely loud wave only touches it."""
    magnitude = np.abs(audio)
    peak = float(magnitude.max(initial=0.0))
    if peak < _CLIPPED_PEAK:
        return 0.0
    at_limit = magnitude >= 0.999 * peak
    return float((at_limit[1:] & at_limit[:-1]).sum() / audio.size)


def _warn_if_clipped(path: Path, audio: np.ndarray) -> None:
    if clipped_share(audio) > CLIPPED_SHARE:
        log.warning(
            "%s is heavily clipped (recorded too loud): the voice will sound rough. A cleaner "
            "sample gives a better voice.",
            path,
        )


def _check_sound(path: Path, frames: np.ndarray, seconds: float) -> None:
    if not frames.any():
        if seconds < MIN_SECONDS:
            raise UserError(
                f"{path} is only {seconds:.1f} s long and silent: give at least "
                f"{MIN_SECONDS:.0f} s of clear speech."
            )
        raise UserError(
            f"{path} is silent: give a recording with at least {MIN_SECONDS:.0f} s of clear "
            "speech (of a longer file the first five minutes count)."
        )
    sound = _sound_seconds(frames)
    if sound >= MIN_SECONDS:
        return
    if seconds < MIN_SECONDS + 1.0:
        raise UserError(
            f"{path} is too short: it holds {sound:.1f} s of sound, and a voice needs at least "
            f"{MIN_SECONDS:.0f} s of clear speech."
        )
    raise UserError(
        f"{path} is mostly silence: only {sound:.1f} s of its {seconds:.1f} s hold sound, and a "
        f"voice needs at least {MIN_SECONDS:.0f} s of clear speech."
    )


def _sound_seconds(frames: np.ndarray) -> float:
    """Seconds of sound with the short gaps inside it."""
    sounding = np.flatnonzero(frames)
    steps = np.diff(sounding) * FRAME_SECONDS
    return float(steps[steps <= _GAP_SECONDS].sum() + FRAME_SECONDS)
