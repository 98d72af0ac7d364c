"""What the voice benchmark judges: samples, lines, and the clips that were spoken for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from configs.errors import UsageError, UserError
from tasks.audio_in import load_sample
from tasks.beside import disk_error, written_beside


@dataclass(frozen=True)
class Sample:
    """A voice to clone: its name in the tables, and its sound as the product reads it."""

    name: str
    audio: np.ndarray
    sample_rate: int


@dataclass(frozen=True)
class Output:
    """What was spoken in one voice: a clip a line, each mono float32 (samples,).

    cut: indices of the lines that ended at the length bound. render_seconds: wall time, None for
    WAVs that existed.
    """

    voice: str
    clips: tuple[np.ndarray, ...]
    sample_rate: int
    cut: tuple[int, ...] = ()
    render_seconds: float | None = None

    @property
    def seconds(self) -> float:
        """Length of all clips together."""
        return sum(clip.size for clip in self.clips) / self.sample_rate


@dataclass(frozen=True)
class Model:
    """What rendered: its identity, how long it loads, the process's peak memory with it."""

    content_hash: str
    load_seconds: float
    peak_memory_mb: int


def read_lines(path: Path, count: int | None = None) -> tuple[str, ...]:
    """The first `count` lines of a UTF-8 text file that are not blank."""
    try:
        lines = tuple(line.strip() for line in path.read_text("utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the lines in {path}: {error}") from error
    if not lines:
        raise UserError(f"{path} has no lines to speak; put one sentence on each line")
    if count is not None and count > len(lines):
        raise UsageError(f"{path} has only {len(lines)} lines, not {count}; lower --sentences")
    return lines[:count]


def read_samples(paths: Sequence[Path]) -> tuple[Sample, ...]:
    """Voice samples, named after their files."""
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        raise UsageError("two voice samples have the same file name; rename one")
    return tuple(Sample(name, *load_sample(path)) for name, path in zip(names, paths, strict=True))


def read_clips(folder: Path, voices: Sequence[str], count: int) -> list[Output]:
    """WAVs that exist: in folders named after the voices, or all in `folder`, the first voice's.

    The WAVs' sorted names follow the lines, as `voxloom speak --lines` numbers them.
    """
    folders = {voice: folder / voice for voice in voices if (folder / voice).is_dir()}
    outputs = []
    for voice, place in (folders or {voices[0]: folder}).items():
        paths = sorted(place.glob("*.wav"))[:count]
        if len(paths) < count:
            raise UserError(
                f"{place} has {len(paths)} WAVs for {count} lines; "
                "name the spoken lines with --lines and their number with --sentences"
            )
        clips, rates = zip(*(_read_clip(path) for path in paths), strict=True)
        if len(set(rates)) > 1:
            raise UserError(f"the WAVs in {place} have different sample rates; convert them to one")
        outputs.append(Output(voice, clips, rates[0]))
    return outputs


def _read_clip(path: Path) -> tuple[np.ndarray, int]:
    try:
        audio, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    return audio.mean(axis=1), sample_rate


def write_clips(outputs: Sequence[Output], folder: Path) -> None:
    """Keep what was rendered, where `read_clips` finds it again."""
    for output in outputs:
        place = folder / output.voice
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, place) from error
        for number, clip in enumerate(output.clips):
            with written_beside(place / f"{number:03}.wav") as part:
                soundfile.write(part, clip, output.sample_rate, "PCM_16", format="WAV")
