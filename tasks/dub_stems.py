"""Voices of a dubbed track: clips at their places on one absolute grid, one level per speaker."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np

from configs.errors import UserError
from tasks.beside import disk_error, written_beside
from tasks.dub_types import RATE
from tasks.ffmpeg import FfmpegError, run_ffmpeg
from tasks.levels import FRAME_SECONDS, amplitude, decibels, sound_frames
from tasks.master import (
    Progress,
    book_gain,
    integrated_loudness,
    loudness_filter,
    pcm_input_arguments,
    read_loudness,
)
from tasks.names import file_stem

# (first sample on the grid, mono float32 (samples,) at RATE, speaker)
Clip = tuple[int, np.ndarray, str]
# Samples on the grid, from and to before.
Interval = tuple[int, int]

BLOCK = 1 << 16
# ffmpeg's arguments that say in a file what it is.
SYNTHETIC = (
    *("-metadata", "NARRATION=synthetic"),
    *("-metadata", "COMMENT=The voices are synthetic: spoken by a computer, made with Voxloom."),
)
FADE_SECONDS = 0.005

# As in tasks/split_back.py, where the edges are trimmed: sound is what is less than this under the
# loudest 10 ms of its clip, and above the floor.
_BELOW_PEAK_DB = 40.0
_FLOOR_DB = -66.0
# BS.1770 measures 400 ms at a time; a shorter voice is measured as if it went on and on.
_LEAST_SAMPLES = RATE


@dataclass(frozen=True)
class Cut:
    """So many samples of a clip that begins at `start` lie before or after the track and are not
    heard."""

    speaker: str
    start: int
    samples: int


@dataclass(frozen=True)
class Stem:
    """A speaker's file, how loud the speech was, and the one gain that it got."""

    speaker: str
    path: Path
    lufs: float
    gain_db: float


@dataclass(frozen=True)
class _Place:
    start: int
    size: int
    speaker: str
    offset: int  # in the tape, in samples

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass(frozen=True)
class Voices:
    """All clips of a track of so many samples, faded, on a tape that is on disk; what is in memory
    are their places, ordered by start, and where they sound."""

    samples: int
    places: tuple[_Place, ...]
    sounding: tuple[Interval, ...]
    cut: tuple[Cut, ...]
    peaks: dict[str, float]  # of the speakers, in the order of their first words
    tape: IO[bytes]

    def read(self, place: _Place, first: int, last: int) -> np.ndarray:
        """Samples `first` to before `last` of the grid, which must be in the clip."""
        self.tape.seek(4 * (place.offset + first - place.start))
        return np.frombuffer(self.tape.read(4 * (last - first)), np.float32)


@contextmanager
def collected(clips: Iterable[Clip], samples: int, folder: Path) -> Iterator[Voices]:
    """Takes clips in, in any order, and gives the voices of a track of `samples` samples.

    Each clip gets 5 ms fades; what lies outside the track is cut off and named. The tape is a
    nameless file in `folder` that goes with the process.
    """
    places: list[_Place] = []
    sounding: list[Interval] = []
    cut: list[Cut] = []
    peaks: dict[str, float] = {}
    offset = 0
    with _tape(folder) as tape:
        for start, audio, speaker in clips:
            if audio.ndim != 1 or not np.isfinite(audio).all():
                raise ValueError(f"a clip at {start} is not finite mono audio ({audio.shape})")
            first, last = max(0, start), min(samples, start + audio.size)
            kept = _faded(audio[first - start : max(first, last) - start])
            if kept.size < audio.size:
                cut.append(Cut(speaker, start, audio.size - kept.size))
            if not kept.size:
                continue
            try:
                tape.write(kept.tobytes())
                tape.flush()
            except OSError as error:
                raise disk_error(error, folder / "dub.flac") from error
            places.append(_Place(first, kept.size, speaker, offset))
            offset += kept.size
            sounding += _sounding(kept, first)
            peaks[speaker] = max(peaks.get(speaker, 0.0), float(np.abs(kept).max()))
        places.sort(key=lambda place: (place.start, place.speaker, place.size))
        order = dict.fromkeys(place.speaker for place in places)
        yield Voices(
            samples,
            tuple(places),
            tuple(merged(sounding, 0)),
            tuple(sorted(cut, key=lambda one: one.start)),
            {speaker: peaks[speaker] for speaker in order},
            tape,
        )


def voice_blocks(
    voices: Voices, gains_db: dict[str, float], speaker: str | None = None
) -> Iterator[np.ndarray]:
    """The sum of all clips with their speakers' gains, or of one speaker's: float32 blocks that
    together have exactly the track's samples."""
    gains = {name: np.float32(amplitude(gain)) for name, gain in gains_db.items()}
    waiting = (place for place in voices.places if speaker in (None, place.speaker))
    following = next(waiting, None)
    active: list[_Place] = []
    for begin in range(0, voices.samples, BLOCK):
        end = min(begin + BLOCK, voices.samples)
        block = np.zeros(end - begin, np.float32)
        while following and following.start < end:
            active.append(following)
            following = next(waiting, None)
        for place in active:
            first, last = max(begin, place.start), min(end, place.end)
            part = voices.read(place, first, last)
            block[first - begin : last - begin] += part * gains[place.speaker]
        active = [place for place in active if place.end > end]
        yield block


def speaker_levels(voices: Voices, target_lufs: float) -> dict[str, tuple[float, float]]:
    """How loud each speaker's speech is, LUFS, and the gain in dB that brings it to the target.

    One gain for all that somebody says: whispers stay whispers, and a short line, whose loudness
    says little, is not lifted. Loudness is that of the clips alone, without the silence between
    them. No gain lifts a peak over full scale.
    """
    levels = {}
    for speaker, peak in voices.peaks.items():
        lufs = _speech_loudness(voices, speaker)
        gain = book_gain(lufs, target_lufs)
        levels[speaker] = lufs, (min(gain, -decibels(peak)) if peak else gain)
    return levels


def write_stems(
    voices: Voices, target_lufs: float, folder: Path, on_progress: Progress | None = None
) -> list[Stem]:
    """Writes one 24-bit FLAC per speaker into `folder`, each as long as the track; together they
    are the dubbed stem before its limiter. Raises `UserError` when one can't be written."""
    levels = speaker_levels(voices, target_lufs)
    gains = {speaker: gain for speaker, (_, gain) in levels.items()}
    stems: list[Stem] = []
    taken: set[str] = set()
    for number, (speaker, (lufs, gain)) in enumerate(levels.items(), 1):
        path = folder / f"{_free_name(speaker, taken)}.flac"
        with written_beside(path) as part:
            try:
                run_ffmpeg(
                    [*pcm_input_arguments(RATE), *flac_arguments(part, *SYNTHETIC)],
                    feed=(block.tobytes() for block in voice_blocks(voices, gains, speaker)),
                )
            except FfmpegError as error:
                raise UserError(
                    f"{path} could not be written (ffmpeg: {error}): run the same command again."
                ) from error
        stems.append(Stem(speaker, path, lufs, gain))
        if on_progress:
            on_progress(number / len(levels))
    return stems


def flac_arguments(path: Path, *tags: str) -> list[str]:
    """ffmpeg's arguments that write a 24-bit FLAC file, the same bytes each time."""
    same = ("-map_metadata", "-1", "-bitexact")
    return [
        *same,
        "-c:a",
        "flac",
        "-sample_fmt",
        "s32",
        "-f",
        "flac",
        *tags,
        "-y",
        f"file:{path.absolute()}",
    ]


def merged(intervals: Iterable[Interval], gap: int) -> list[Interval]:
    """Intervals in order, those that are not more than `gap` samples apart joined, and none that
    is empty."""
    joined: list[Interval] = []
    for start, end in sorted(one for one in intervals if one[0] < one[1]):
        if joined and start - joined[-1][1] <= gap:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return joined


def _tape(folder: Path) -> IO[bytes]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        raise disk_error(error, folder / "dub.flac") from error


def _faded(audio: np.ndarray) -> np.ndarray:
    """A copy that begins and ends softly; what is under 10 ms long has shorter fades."""
    kept = audio.astype(np.float32)
    fade = min(round(FADE_SECONDS * RATE), kept.size // 2)
    if fade:
        # Half a raised cosine, without the zero and the one at its ends.
        ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / fade)).astype(np.float32)
        kept[:fade] *= ramp
        kept[-fade:] *= ramp[::-1]
    return kept


def _sounding(audio: np.ndarray, start: int) -> list[Interval]:
    frames = sound_frames(audio, RATE, _BELOW_PEAK_DB, _FLOOR_DB)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], frames, [False]])))
    hop = round(FRAME_SECONDS * RATE)
    runs = [
        (start + int(first) * hop, start + min(int(last) * hop, audio.size))
        for first, last in edges.reshape(-1, 2)
    ]
    return merged(runs, round(0.1 * RATE))


def _speech_loudness(voices: Voices, speaker: str) -> float:
    own = [place for place in voices.places if place.speaker == speaker]
    times = -(-_LEAST_SAMPLES // sum(place.size for place in own))
    with tempfile.TemporaryDirectory(prefix="voxloom-") as scratch:
        listing = Path(scratch) / "momentary.txt"
        chain = loudness_filter("M", listing)
        try:
            run_ffmpeg(
                [*pcm_input_arguments(RATE), "-af", chain, "-f", "null", "-"],
                feed=(block.tobytes() for block in _speech(voices, own, times)),
            )
        except FfmpegError as error:
            raise UserError(
                f"The loudness of {speaker or 'a voice'} could not be measured (ffmpeg: {error}): "
                "run the same command again."
            ) from error
        return integrated_loudness(read_loudness(listing)[3:])


def _speech(voices: Voices, places: Sequence[_Place], times: int) -> Iterator[np.ndarray]:
    for _ in range(times):
        for place in places:
            bounds = [*range(place.start, place.end, BLOCK), place.end]
            for first, last in pairwise(bounds):
                yield voices.read(place, first, last)


def _free_name(speaker: str, taken: set[str]) -> str:
    """A file name for a speaker that no other one has, on file systems that ignore case, too."""
    stem = name = file_stem(speaker, "speaker")
    number = 2
    while name.casefold() in taken:
        name = f"{stem} {number}"
        number += 1
    taken.add(name.casefold())
    return name
