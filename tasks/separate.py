"""Removes the voice from a film's sound with demucs, where that is installed."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from configs.errors import UserError
from tasks.beside import written_beside
from tasks.dub_stems import flac_arguments
from tasks.dub_types import RATE
from tasks.ffmpeg import FfmpegError, run_ffmpeg
from tasks.master import Progress

# demucs holds all that it separates in memory several times.
_STRETCH = 120 * RATE
_JOINT = RATE  # two stretches fade into each other for a second
# Of silence demucs makes values that are no numbers.
_SILENT = 1e-4


def separator() -> str | None:
    """The demucs program on the PATH; None where there is none."""
    return shutil.which("demucs")


def remove_voice(
    original: Path, out: Path, program: str, on_progress: Progress | None = None
) -> Path:
    """Writes a FLAC file at RATE of one or two channels again, without its voice: as long, 24 bits.

    `program` is demucs, which is run on two minutes at a time, so that memory does not grow with
    the length. Raises `UserError` where it fails (it may lack its weights) or there are more
    channels.
    """
    with soundfile.SoundFile(original) as sound, written_beside(out) as part:
        if sound.samplerate != RATE:
            raise ValueError(f"{original} is not at {RATE} Hz but {sound}")
        if sound.channels > 2:
            raise UserError(
                f"{original} has {sound.channels} channels: the voice can only be removed from one "
                "or two."
            )
        source = ["-f", "f32le", "-ar", str(RATE), "-ac", str(sound.channels), "-i", "pipe:0"]
        try:
            run_ffmpeg(
                [*source, *flac_arguments(part)],
                feed=(
                    np.ascontiguousarray(block, "<f4").tobytes()
                    for block in _without_voice(sound, program, on_progress or (lambda done: None))
                ),
            )
        except FfmpegError as error:
            raise UserError(
                f"{out} could not be written (ffmpeg: {error}): run the same command again."
            ) from error
    return out


def _without_voice(
    sound: soundfile.SoundFile, program: str, on_progress: Progress
) -> Iterator[np.ndarray]:
    """Blocks (samples, channels) that together are as long as the sound."""
    ramp = ((np.arange(_JOINT) + 0.5) / _JOINT)[:, None]
    tail = np.zeros((0, sound.channels))  # the end of the stretch before, to be faded out
    for start in range(0, sound.frames, _STRETCH):
        sound.seek(start)
        block = sound.read(_STRETCH + _JOINT, dtype="float32", always_2d=True)
        bed = _separated(block, program) if np.abs(block).max() > _SILENT else block
        joint = len(tail)
        bed[:joint] = tail * (1 - ramp[:joint]) + bed[:joint] * ramp[:joint]
        tail = bed[_STRETCH:].copy()
        yield bed[:_STRETCH]
        on_progress(min(1.0, (start + _STRETCH) / sound.frames))


def _separated(block: np.ndarray, program: str) -> np.ndarray:
    with tempfile.TemporaryDirectory(prefix="voxloom-") as folder:
        given, made = Path(folder) / "stretch.wav", Path(folder) / "made"
        soundfile.write(given, block, RATE, subtype="FLOAT")
        command = [program, "--two-stems", "vocals", "--float32", "--clip-mode", "clamp"]
        done = subprocess.run(
            [*command, "-o", str(made), str(given)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        found = next(made.glob("**/no_vocals.wav"), None)
        if done.returncode or found is None:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise UserError(
                f"demucs can't remove the voice ({said[-1] if said else 'it said nothing'}): see "
                "that it has its weights, or dub with the original's voice ducked."
            )
        bed, rate = soundfile.read(found, dtype="float32", always_2d=True)
    if block.shape[1] == 1:
        bed = bed.mean(axis=1, keepdims=True)
    bed = soxr.resample(bed, rate, RATE)
    whole = np.zeros_like(block)
    whole[: len(bed)] = bed[: len(block)]
    return whole
