"""Long recordings to learn a voice from: decoded once, block by block, and where somebody speaks.

Hours of sound never lie in memory: a recording becomes a mono FLAC file of its own rate, which is
read a minute at a time.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from configs.errors import UserError
from tasks.audio_in import check_file, open_blocks
from tasks.beside import written_beside
from tasks.ffmpeg import SOUND_FORMATS, FfmpegError, input_arguments, run_ffmpeg
from tasks.reference import speech_probabilities
from tasks.takes import quantize

LONGEST_SECONDS = 24 * 3600.0
_MAX_BYTES = 32 << 30
_DECODE_TIMEOUT = 4 * 3600.0
_HEARD_SECONDS = 60.0  # at once, by the voice activity detector


def check_recording(path: Path) -> None:
    """Raises UserError for what is no file that could hold sound."""
    check_file(path, _MAX_BYTES)


def decode_recording(path: Path, target: Path) -> float:
    """Writes a recording as mono FLAC of 16 bits in its own rate -> its seconds.

    Reads what libsndfile or ffmpeg can read, at most 24 hours. The channels are mixed; of a file
    that breaks off, what comes before is taken. Raises UserError for what is no sound.
    """
    check_recording(path)
    try:
        return _decode(path, target)
    except (soundfile.LibsndfileError, TypeError):  # TypeError: headerless .raw
        pass
    with tempfile.TemporaryDirectory(prefix=".decoding-", dir=target.parent) as folder:
        decoded = Path(folder) / "recording.flac"
        try:
            run_ffmpeg(
                [
                    *input_arguments(path, SOUND_FORMATS),
                    *("-map", "0:a:0", "-vn", "-sn", "-dn", "-t", f"{LONGEST_SECONDS:.0f}"),
                    *("-ac", "1", "-c:a", "flac", "-sample_fmt", "s16", "-y", str(decoded)),
                ],
                timeout=_DECODE_TIMEOUT,
            )
            return _decode(decoded, target)
        except (FfmpegError, soundfile.LibsndfileError) as error:
            raise UserError(
                f"{path} is not audio that can be read ({error}): give a WAV, FLAC, MP3, M4A or "
                "OGG file."
            ) from error


def _decode(path: Path, target: Path) -> float:
    # A float file may go beyond full scale: then all of it is lowered.
    peak = 1.0
    if "FLOAT" in (subtype := soundfile.info(path).subtype) or subtype == "DOUBLE":
        _, blocks = open_blocks(path, LONGEST_SECONDS)
        peak = max(1.0, *(float(np.abs(_finite(path, block)).max()) for block in blocks))
    rate, blocks = open_blocks(path, LONGEST_SECONDS)
    samples = 0
    with (
        written_beside(target) as part,
        soundfile.SoundFile(part, "w", rate, 1, "PCM_16", format="FLAC") as sound,
    ):
        for block in blocks:
            sound.write(quantize(_finite(path, block) / peak))
            samples += len(block)
    return samples / rate


def _finite(path: Path, block: np.ndarray) -> np.ndarray:
    if not np.isfinite(block).all():
        raise UserError(
            f"{path} holds values that are no numbers (NaN or infinity): the file is broken. "
            "Export the recording again."
        )
    return block


def speech_in(decoded: Path, on_fraction: Callable[[float], None]) -> np.ndarray:
    """How likely somebody speaks in each frame (of `tasks.reference.FRAME_SECONDS`) of a decoded
    recording -> (frames,) float32."""
    found = [np.zeros(0, np.float32)]
    with soundfile.SoundFile(decoded) as sound:
        while len(block := sound.read(round(_HEARD_SECONDS * sound.samplerate), dtype="float32")):
            found.append(speech_probabilities(block, sound.samplerate).astype(np.float32))
            on_fraction(sound.tell() / max(sound.frames, 1))
    return np.concatenate(found)


def cut(decoded: Path, stretches: list[tuple[float, float]]) -> Iterator[tuple[np.ndarray, int]]:
    """Each stretch (start, stop) in seconds of a decoded recording -> (samples,) float32 without an
    offset, and the rate."""
    with soundfile.SoundFile(decoded) as sound:
        for start, stop in stretches:
            first = round(start * sound.samplerate)
            sound.seek(min(first, sound.frames))
            audio = sound.read(round(stop * sound.samplerate) - first, dtype="float32")
            yield audio - (audio.mean(dtype=np.float64) if audio.size else 0.0), sound.samplerate
