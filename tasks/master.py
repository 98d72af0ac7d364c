"""Mastering of a book: measured, brought to its level by one gain with small trims, limited.

A static gain keeps the reading as it was spoken: normalising sentence by sentence, or with a gain
that moves, makes the level jump. A chapter may get a little more or less than the book, as its own
loudness asks. Loudness is EBU R128 / ITU-R BS.1770 as ffmpeg measures it.
"""

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import soundfile

from configs.errors import UserError
from tasks.ffmpeg import FfmpegError, run_ffmpeg
from tasks.levels import amplitude

ROOM_TONE_DB = -70.0

# The encoder lets peaks rise again, measured by up to 0.8 dB.
_HEADROOM_DB = 1.5
_OVERSAMPLING = 4
_MAX_GAIN_DB = 30.0
# R128 gates what is quieter than this; a book that measures so holds no speech.
_NOTHING_HEARD_LUFS = -69.0
_LEAST_SECONDS = 3.0  # of sound; the loudness of less says little, and nothing is trimmed by it
_HOP_SECONDS = 0.1  # between the 400 ms blocks of BS.1770
_BLOCK = 1 << 16

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Mastering:
    """What a book shall sound like: its loudness (None: as it was spoken), the peak that nothing
    goes over, and how far a chapter's gain may be from the book's."""

    loudness: float | None
    peak_db: float
    trim_db: float


@dataclass(frozen=True)
class Stretch:
    """Samples `first` to before `last` of a chapter's FLAC file as they are delivered: with a gain,
    and so many samples of room before and after. `seed` is that of the room tone."""

    path: Path
    first: int
    last: int
    gain_db: float = 0.0
    lead: int = 0
    trail: int = 0
    seed: int = 0

    @property
    def samples(self) -> int:
        return self.lead + self.last - self.first + self.trail


@dataclass(frozen=True)
class BookLevel:
    """How loud a book is before mastering, the gain that brings it to its target, and what each
    chapter gets on top of that."""

    lufs: float
    gain_db: float
    trims_db: tuple[float, ...] = ()

    @property
    def gains_db(self) -> list[float]:
        """The gain of each chapter."""
        return [round(self.gain_db + trim, 2) for trim in self.trims_db]


def book_level(
    chapters: Sequence[Stretch],
    sample_rate: int,
    mastering: Mastering,
    on_progress: Progress | None = None,
) -> BookLevel:
    """Measures the chapters together and finds their gains.

    The limiter takes away some of what the gain adds, the more the peakier the voice. So the book
    is measured once more as it will sound, and the gain corrected by what is missing.
    """
    report = on_progress or (lambda done: None)
    momentary = momentary_loudness(chapters, sample_rate, lambda done: report(0.4 * done))
    lufs = integrated_loudness(momentary)
    if mastering.loudness is None:
        return BookLevel(lufs, 0.0, (0.0,) * len(chapters))
    gain_db = book_gain(lufs, mastering.loudness)
    trims = chapter_trims(chapters, momentary, sample_rate, lufs, mastering.trim_db)
    if gain_db + max(trims, default=0.0) <= 0.0:
        return BookLevel(lufs, gain_db, trims)
    louder = [
        Stretch(one.path, one.first, one.last, gain_db + trim)
        for one, trim in zip(chapters, trims, strict=True)
    ]
    limiter = limiting_filter(mastering, sample_rate, sample_rate)
    limited = momentary_loudness(
        louder, sample_rate, lambda done: report(0.4 + 0.6 * done), limiter
    )
    correction = max(0.0, mastering.loudness - integrated_loudness(limited))
    return BookLevel(lufs, min(_MAX_GAIN_DB, round(gain_db + correction, 1)), trims)


def momentary_loudness(
    chapters: Sequence[Stretch],
    sample_rate: int,
    on_progress: Progress | None = None,
    chain: str = "anull",
) -> np.ndarray:
    """LUFS of each 400 ms of the chapters, 100 ms apart, (blocks,) float32; read as one stream,
    after a chain of ffmpeg filters."""
    with tempfile.TemporaryDirectory(prefix="voxloom-") as folder:
        listing = Path(folder) / "momentary.txt"
        try:
            run_ffmpeg(
                [
                    *pcm_input_arguments(sample_rate),
                    "-af",
                    f"{chain},{loudness_filter('M', listing)}",
                    *("-f", "null", "-"),
                ],
                feed=_bytes(mastered_blocks(chapters, sample_rate, on_progress, tone=False)),
            )
        except FfmpegError as error:
            raise UserError(
                f"The loudness of the book could not be measured (ffmpeg: {error}): run the same "
                "command again; what is finished is kept."
            ) from error
        # A block counts from the moment when its 400 ms are there.
        return read_loudness(listing)[3:]


def loudness_filter(kind: str, listing: Path, peak: str = "none") -> str:
    """ffmpeg's filters that write the loudness each 100 ms, momentary ("M") or short-term ("S"),
    into a file; `peak` is "true" where the true peak shall be found, too, which takes longer."""
    # Escaped twice: as the value of an option, then as a part of the filter chain.
    option = re.sub(r"([\\':])", r"\\\1", str(listing))
    file = re.sub(r"([\\'\[\],;])", r"\\\1", option)
    return (
        f"ebur128=peak={peak}:metadata=1:framelog=quiet,"
        f"ametadata=mode=print:key=lavfi.r128.{kind}:file={file}"
    )


def read_loudness(listing: Path) -> np.ndarray:
    """The values that `loudness_filter` has written (blocks,) float32."""
    if not listing.exists():
        return np.zeros(0, np.float32)
    with listing.open() as lines:
        values = (float(line.partition("=")[2]) for line in lines if line.startswith("lavfi"))
        return np.nan_to_num(np.fromiter(values, np.float32), nan=-np.inf)


def integrated_loudness(momentary: np.ndarray) -> float:
    """LUFS of 400 ms blocks (blocks,) together, gated twice: ITU-R BS.1770-4, Annex 1."""
    heard = momentary[momentary > -70.0].astype(np.float64)
    if not heard.size:
        return float("-inf")
    power = 10.0 ** (heard / 10.0)
    gate = 10.0 * np.log10(power.mean()) - 10.0
    return float(10.0 * np.log10(power[heard > gate].mean()))


def book_gain(integrated_lufs: float, target_lufs: float) -> float:
    """The one gain in dB that brings a book to `target_lufs`; 0 for a book without any sound.

    It is rounded to a tenth, so that a changed word does not change every chapter's level.
    """
    if integrated_lufs <= _NOTHING_HEARD_LUFS:
        return 0.0
    return max(-_MAX_GAIN_DB, min(_MAX_GAIN_DB, round(target_lufs - integrated_lufs, 1)))


def chapter_trims(
    chapters: Sequence[Stretch],
    momentary: np.ndarray,
    sample_rate: int,
    book_lufs: float,
    most_db: float,
) -> tuple[float, ...]:
    """What each chapter lacks of the book's loudness, in dB, at most `most_db` either way; 0 for a
    chapter with little sound. Steps of half a decibel: a chapter keeps its trim, and so its bytes,
    when another one changes."""
    if book_lufs <= _NOTHING_HEARD_LUFS:
        return (0.0,) * len(chapters)
    bounds = accumulate((one.samples for one in chapters), initial=0)
    places = [round(bound / sample_rate / _HOP_SECONDS) for bound in bounds]
    trims = []
    for first, last in pairwise(places):
        blocks = momentary[first:last]
        heard = np.count_nonzero(blocks > book_lufs - 20.0) * _HOP_SECONDS
        lacking = book_lufs - integrated_loudness(blocks) if heard >= _LEAST_SECONDS else 0.0
        trims.append(max(-most_db, min(most_db, round(2 * lacking) / 2)))
    return tuple(trims)


def limiting_filter(mastering: Mastering, sample_rate: int, delivered_rate: int) -> str:
    """ffmpeg's filter chain: a limiter at four times the rate (so that it sees the peaks between
    samples), then the rate of the delivered file. A book that stays as it was spoken has none."""
    if mastering.loudness is None:
        return f"aresample={delivered_rate}"
    ceiling = amplitude(mastering.peak_db - _HEADROOM_DB)
    return (
        f"aresample={sample_rate * _OVERSAMPLING},"
        f"alimiter=level=false:limit={ceiling:.6f}:attack=5:release=50:latency=true,"
        f"aresample={delivered_rate}"
    )


def mastered_blocks(
    chapters: Sequence[Stretch],
    sample_rate: int,
    on_progress: Progress | None = None,
    tone: bool = True,
) -> Iterator[np.ndarray]:
    """The chapters one after another with their gains, float32 blocks (samples,).

    Room tone at -70 dBFS lies under everything, since players and checkers stumble over digital
    silence. Raises `UserError` for a FLAC file that is missing or broken.
    """
    total, done = max(1, sum(one.samples for one in chapters)), 0
    for one in chapters:
        noise = np.random.default_rng(one.seed)
        gain = np.float32(amplitude(one.gain_db))
        for block in _samples(one, sample_rate):
            sound = block * gain
            if tone:
                hiss = noise.standard_normal(block.size, dtype=np.float32)
                sound += hiss * np.float32(amplitude(ROOM_TONE_DB))
            yield sound
            done += block.size
            if on_progress:
                on_progress(min(1.0, done / total))


def master_arguments(mastering: Mastering, sample_rate: int, delivered_rate: int) -> list[str]:
    """ffmpeg's arguments between its input, which is `mastered_blocks`, and the encoder's."""
    return ["-af", limiting_filter(mastering, sample_rate, delivered_rate), "-ac", "1"]


def master_feed(
    chapters: Sequence[Stretch], sample_rate: int, on_progress: Progress | None = None
) -> Iterator[bytes]:
    """What is fed to ffmpeg."""
    return _bytes(mastered_blocks(chapters, sample_rate, on_progress))


def pcm_input_arguments(sample_rate: int) -> list[str]:
    """ffmpeg arguments for mono float samples on its standard input."""
    return ["-f", "f32le", "-ar", str(sample_rate), "-ac", "1", "-i", "pipe:0"]


def _bytes(blocks: Iterator[np.ndarray]) -> Iterator[bytes]:
    return (block.astype("<f4", copy=False).tobytes() for block in blocks)


def _samples(one: Stretch, sample_rate: int) -> Iterator[np.ndarray]:
    """A stretch as it lies in its file, with the room around it, float32 blocks."""
    yield from _room(one.lead)
    try:
        with soundfile.SoundFile(one.path) as chapter:
            if chapter.samplerate != sample_rate or chapter.channels != 1:
                raise ValueError(f"{one.path} is not mono at {sample_rate} Hz but {chapter}")
            if chapter.frames < one.last:
                raise _broken_chapter(one.path)
            chapter.seek(one.first)
            left = one.last - one.first
            while left:
                block = chapter.read(min(_BLOCK, left), dtype="float32")
                if not len(block):
                    raise _broken_chapter(one.path)
                left -= len(block)
                yield block
    except soundfile.LibsndfileError as error:
        raise _broken_chapter(one.path) from error
    yield from _room(one.trail)


def _room(samples: int) -> Iterator[np.ndarray]:
    for start in range(0, samples, _BLOCK):
        yield np.zeros(min(_BLOCK, samples - start), np.float32)


def _broken_chapter(path: Path) -> UserError:
    return UserError(
        f"The chapter {path} is missing or broken: delete it and run the same command again, "
        "which makes it anew."
    )


def number_in(pattern: str, said: str) -> float:
    """The last number that `pattern` finds in what ffmpeg said; -inf where it says so, or that it
    is none."""
    found = re.findall(pattern, said)
    if not found:
        raise UserError(
            f"ffmpeg did not report a measurement that is needed ({pattern}): remove the ffmpeg "
            "on the PATH to use the one that comes with Voxloom."
        )
    value = float(found[-1])
    return value if value == value else float("-inf")
