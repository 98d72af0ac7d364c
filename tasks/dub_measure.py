"""Measures a dubbed track as it was rendered: when each cue is heard, and what is wrong with that.

Files are read in blocks; what is kept of a film are some numbers for each cue, and a few bytes for
each 10 ms.
"""

import math
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from scipy.stats import theilslopes

from configs.errors import UserError
from tasks.dub_fit import HARD_LIMIT, SOFT_LIMIT, Mode, Room, cue_rooms
from tasks.dub_types import RATE, Placement, SubtitleCue
from tasks.ffmpeg import FfmpegError, input_arguments, run_ffmpeg
from tasks.levels import amplitude
from tasks.master import integrated_loudness, loudness_filter, read_loudness

EARLY_MS = -45.0  # earlier is noticed, ITU-R BT.1359

_MS = RATE // 1000
_FRAME = RATE // 100
_BLOCK = 10 * RATE
_BELOW_DB = -40.0  # relative to the loudest: the first sound, or none
_FLOOR_DB = -70.0  # nothing is heard
_WINDOW = 5  # milliseconds of a level
_REACH = 300 * _MS  # around a placement, in which its sound is looked for
_TURN_MS = 200  # speakers may overlap so long though their subtitles don't
_FEWEST_POINTS = 5  # of four, one order in twelve is as perfect; of five, one in sixty
_PAUSE_FRAMES = 30  # that belong to speech
_LEAST_RATE = 0.9
_MOST_POINTS = 2000  # of a robust regression, which takes their square
_MOMENTARY_MS, _MOMENTARY_HOP_MS = 400, 100  # of a block of loudness, ITU-R BS.1770


@dataclass(frozen=True)
class HeardCue:
    """A cue in the track. Times are milliseconds of the video; `onset_ms` and `end_ms` are
    measured, None where nothing is heard. `error_ms` is positive where it is late; `overrun_ms` is
    how long it is heard after both its subtitle and the silence that it may borrow. `rate` is how
    many times as fast as the voice by itself it is, `stretch` what of that is time stretching."""

    cue: int
    number: int
    speaker: str
    text: str
    wanted_ms: float
    shown_until_ms: float
    onset_ms: float | None
    end_ms: float | None
    error_ms: float | None
    overrun_ms: float
    rate: float
    stretch: float
    lufs: float | None
    problem: str


@dataclass(frozen=True)
class Bar:
    """A measured value, what is asked of it, and whether it is so; `excellent` where it is better
    than asked. `value` is None where there was nothing to measure."""

    name: str
    value: float | None
    unit: str
    wanted: str
    passed: bool
    excellent: bool


@dataclass(frozen=True)
class DubMeasured:
    """All cues with speech in order, and what they measure together.

    `overlaps` are where speakers are heard at once though their subtitles are not shown at once,
    (from, to) in ms. `drift_ms_per_hour` is the slope of the onset errors over time (Theil-Sen) and
    `drift_interval` where it lies at 95 %. `iou` is the share of the time with speech or a subtitle
    that has both, `alike_share` that of cues whose speech is as long as their subtitle within 20 %.
    """

    cues: tuple[HeardCue, ...]
    overlaps: tuple[tuple[float, float], ...]
    drift_ms_per_hour: float | None
    drift_interval: tuple[float, float] | None
    iou: float | None
    alike_share: float | None
    lufs: float
    samples: int
    bars: tuple[Bar, ...]

    @property
    def passed(self) -> bool:
        return all(bar.passed for bar in self.bars)


class _Span(NamedTuple):
    """Where a placement is looked for and found, in samples; `onset` is None where nothing is."""

    onset: int | None
    end: int | None


def measure_dub(
    dub: Path,
    stems: Mapping[str, Path],
    placements: Sequence[Placement],
    cues: Sequence[SubtitleCue],
    speeds: Mapping[int, float],
    samples: int,
    mode: Mode = "dub",
    words_lost: float | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> DubMeasured:
    """Measures the rendered voices.

    `dub` is the file with all voices, `stems` those of each speaker of the placements, all mono at
    `RATE` from the beginning of the video. `speeds` are the model speeds by line, 1 where a line is
    not in them. `samples` is how long the files should be. `words_lost` is the share of words that
    a recogniser missed, None where none has listened. `on_progress` hears the share that is done.
    Raises UserError when a file can't be read.
    """
    report = on_progress or (lambda done: None)
    rooms = cue_rooms(cues, mode, samples)
    spans = _find_spans(stems, placements)
    report(0.2)
    overlapping, speaking, length = _who_speaks(dub, stems, report)
    momentary = _momentary(dub)
    report(1.0)
    heard = _heard_cues(placements, spans, cues, rooms, speeds, momentary)
    shown, at_once = _shown(heard, mode, len(speaking))
    overlaps = [
        (start * 10.0, end * 10.0)
        for start, end in _runs(overlapping & ~at_once)
        if (end - start) * 10 > _TURN_MS
    ]
    overlaps += _self_overlaps(placements)
    drift = _drift(heard)
    either = np.count_nonzero(shown | speaking)
    errors = np.array([cue.error_ms for cue in heard if cue.error_ms is not None])
    lengths = [
        (cue.end_ms - cue.onset_ms) / (cue.shown_until_ms - cue.wanted_ms)
        for cue in heard
        if cue.end_ms is not None and cue.onset_ms is not None
    ]
    bars = [
        _none("cues_not_heard", sum(cue.onset_ms is None for cue in heard), "cues"),
        _none("overlaps", len(overlaps), "places"),
        _none("overlap_ms", sum(end - start for start, end in overlaps), "ms"),
        *([] if mode == "free" else _onset_bars(errors, heard, drift)),
        *_rate_bars(heard),
        _most("loudness_spread_lu", _spread(heard), 3.0, 1.5, "LU"),
        _none("length_error", abs(length - samples), "samples"),
    ]
    if words_lost is not None:
        bars.append(_most("words_lost", 100.0 * words_lost, 3.0, 1.0, "%"))
    return DubMeasured(
        tuple(heard),
        tuple(sorted(overlaps)),
        drift[0] if drift else None,
        drift[1:] if drift else None,
        np.count_nonzero(shown & speaking) / either if either else None,
        float(np.mean([0.8 <= one <= 1.2 for one in lengths])) if lengths else None,
        integrated_loudness(momentary),
        length,
        tuple(bars),
    )


def _onset_bars(
    errors: np.ndarray, heard: Sequence[HeardCue], drift: tuple[float, float, float] | None
) -> list[Bar]:
    early = 100.0 * float(np.mean(errors < EARLY_MS)) if errors.size else None
    # A short film can't tell so small a slope from chance: what counts is whether it may be none.
    slope = drift and drift[0]
    near = drift is not None and drift[1] <= 1.0 and drift[2] >= -1.0
    return [
        _most("onset_error_p50_ms", _percentile(np.abs(errors), 50), 15.0, 10.0, "ms"),
        _most("onset_error_p95_ms", _percentile(np.abs(errors), 95), 60.0, 45.0, "ms"),
        _most("early_share", early, 2.0, 0.0, "%"),
        _most("overrun_p95_ms", _percentile([cue.overrun_ms for cue in heard], 95), 300, 120, "ms"),
        Bar("drift_ms_per_hour", slope, "ms/h", "±1", slope is None or near, near),
    ]


def _rate_bars(heard: Sequence[HeardCue]) -> list[Bar]:
    rates = np.array([cue.rate for cue in heard])
    if not rates.size:
        return []
    within = (rates >= _LEAST_RATE - 1e-9) & (rates <= SOFT_LIMIT + 1e-9)
    share = 100.0 * float(np.mean(within))
    return [
        Bar("unhurried_share", share, "%", "at least 95", share >= 95.0, share >= 99.0),
        _most("rate_max", float(rates.max()), HARD_LIMIT, SOFT_LIMIT, "×"),
        _most("rate_jump_p95", _percentile(_jumps(heard), 95), 1.25, 1.12, "×"),
    ]


def _none(name: str, value: float, unit: str) -> Bar:
    return Bar(name, float(value), unit, "0", value == 0, value == 0)


def _most(name: str, value: float | None, most: float, excellent: float, unit: str) -> Bar:
    """What could not be measured does not fail, but is not excellent either."""
    if value is None:
        return Bar(name, None, unit, f"at most {most:g}", True, False)
    good, better = value <= most + 1e-9, value <= excellent + 1e-9
    return Bar(name, value, unit, f"at most {most:g}", good, better)


def _percentile(values: np.ndarray | Sequence[float], share: float) -> float | None:
    return float(np.percentile(values, share)) if len(values) else None


def _jumps(heard: Sequence[HeardCue]) -> list[float]:
    """How many times faster or slower each cue is than the one before of its speaker."""
    lanes: dict[str, list[float]] = defaultdict(list)
    for cue in heard:
        lanes[cue.speaker].append(math.log(cue.rate))
    return [math.exp(abs(b - a)) for lane in lanes.values() for a, b in pairwise(lane)]


def _spread(heard: Sequence[HeardCue]) -> float | None:
    """How far 95 % of the cues are at most from the median loudness, LU."""
    levels = np.array([cue.lufs for cue in heard if cue.lufs is not None])
    return _percentile(np.abs(levels - np.median(levels)), 95) if levels.size else None


def _drift(heard: Sequence[HeardCue]) -> tuple[float, float, float] | None:
    """The slope of the onset errors over time in ms/h, and its 95 % interval (Sen 1968); robust, so
    that a line that had to start late is not taken for drift. None for so few cues that even errors
    in perfect order would be no evidence at 95 %."""
    points = [(cue.wanted_ms / 3.6e6, cue.error_ms) for cue in heard if cue.error_ms is not None]
    points = points[:: math.ceil(len(points) / _MOST_POINTS) or 1]
    if len({hours for hours, _ in points}) < _FEWEST_POINTS:
        return None
    hours, errors = zip(*points, strict=True)
    found = theilslopes(errors, hours)
    return float(found.slope), float(found.low_slope), float(found.high_slope)


def _find_spans(stems: Mapping[str, Path], placements: Sequence[Placement]) -> list[_Span]:
    """The first and last sound of each placement, looked for between its neighbours in its stem."""
    spans: list[_Span] = [_Span(None, None)] * len(placements)
    lanes: dict[str, list[int]] = defaultdict(list)
    for number, placement in enumerate(placements):
        lanes[placement.speaker].append(number)
    for speaker, lane in lanes.items():
        if speaker not in stems:
            continue
        lane.sort(key=lambda number: placements[number].start)
        with _opened(stems[speaker]) as file:
            for before, number, after in zip([None, *lane], lane, [*lane[1:], None], strict=False):
                own = placements[number]
                first, last = own.start - _REACH, own.start + own.samples + _REACH
                if before is not None:
                    first = max(first, placements[before].start + placements[before].samples)
                if after is not None:
                    last = min(last, placements[after].start - 30 * _MS)
                spans[number] = _sounding_span(file, min(first, own.start), max(last, own.start))
    return spans


def _sounding_span(file: soundfile.SoundFile, first: int, last: int) -> _Span:
    """The first and last millisecond of sound: what brings the level of 5 ms to less than 40 dB
    under the loudest 5 ms."""
    first, last = max(0, first), min(last, file.frames)
    if last - first < _MS:
        return _Span(None, None)
    file.seek(first)
    audio = file.read(last - first, dtype="float32")
    audio = audio[: len(audio) // _MS * _MS].reshape(-1, _MS)
    powers = np.mean(np.square(audio, dtype=np.float64), axis=1)
    # The window's last millisecond is the one that a number stands for, and its first at the end.
    levels = np.sqrt(np.convolve(powers, np.full(_WINDOW, 1 / _WINDOW)))
    loudest = float(levels.max(initial=0.0))
    if loudest <= amplitude(_FLOOR_DB):
        return _Span(None, None)
    sounding = np.flatnonzero(levels > loudest * amplitude(_BELOW_DB))
    end = max(int(sounding[0]), int(sounding[-1]) - _WINDOW + 1) + 1
    return _Span(first + int(sounding[0]) * _MS, first + end * _MS)


def _heard_cues(
    placements: Sequence[Placement],
    spans: Sequence[_Span],
    cues: Sequence[SubtitleCue],
    rooms: Mapping[int, Room],
    speeds: Mapping[int, float],
    momentary: np.ndarray,
) -> list[HeardCue]:
    """One for each cue with speech; those that nothing was made for are not heard."""
    by_cue: dict[int, list[int]] = defaultdict(list)
    for number, placement in enumerate(placements):
        by_cue[placement.cue].append(number)
    heard = []
    for cue in cues:
        if cue.index not in rooms:
            continue
        room, numbers = rooms[cue.index], by_cue[cue.index]
        numbers.sort(key=lambda number: placements[number].start)
        found = [spans[number] for number in numbers if spans[number].onset is not None]
        onset = found[0].onset if found else None
        end = found[-1].end if found else None
        stretch = placements[numbers[0]].rate if numbers else 1.0
        speed = speeds.get(placements[numbers[0]].line, 1.0) if numbers else 1.0
        borrowed = max(room.shown_until, room.latest)
        heard.append(
            HeardCue(
                cue.index,
                cue.number,
                cue.speaker,
                cue.text,
                room.start / _MS,
                room.shown_until / _MS,
                None if onset is None else onset / _MS,
                None if end is None else end / _MS,
                None if onset is None else (onset - room.start) / _MS,
                0.0 if end is None else max(0, end - borrowed) / _MS,
                speed * stretch,
                stretch,
                _loudness(momentary, onset, end),
                placements[numbers[0]].problem if numbers else "is not heard",
            )
        )
    return heard


def _loudness(momentary: np.ndarray, onset: int | None, end: int | None) -> float | None:
    """LUFS between two samples; None where no whole block of 400 ms lies there."""
    if onset is None or end is None:
        return None
    first = -(-onset // (_MOMENTARY_HOP_MS * _MS))
    last = (end - _MOMENTARY_MS * _MS) // (_MOMENTARY_HOP_MS * _MS)
    level = integrated_loudness(momentary[first : last + 1])
    return level if math.isfinite(level) else None


def _who_speaks(
    dub: Path, stems: Mapping[str, Path], report: Callable[[float], None]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Each 10 ms, whether several stems sound and whether any does, short pauses counted as
    speech, (frames,) bool; and how many samples `dub` has."""
    with _opened(dub) as file:
        length = file.frames
    frames = -(-length // _FRAME)
    speakers = np.zeros(frames, np.uint8)
    for number, path in enumerate(stems.values()):
        with _opened(path) as file:
            levels = np.concatenate([*_frame_powers(file), np.zeros(0, np.float32)])
        loudest = float(levels.max(initial=0.0))
        sounding = levels > max(loudest * amplitude(2 * _BELOW_DB), amplitude(2 * _FLOOR_DB))
        speakers[: len(sounding)] += sounding[:frames]
        report(0.2 + 0.6 * (number + 1) / len(stems))
    speaking = speakers > 0
    for start, end in _runs(~speaking):
        if start > 0 and end < frames and end - start <= _PAUSE_FRAMES:
            speaking[start:end] = True
    return speakers > 1, speaking, length


def _frame_powers(file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    for block in file.blocks(_BLOCK, dtype="float32"):
        whole = np.pad(block, (0, -len(block) % _FRAME)).reshape(-1, _FRAME)
        yield np.mean(np.square(whole), axis=1)


def _shown(heard: Sequence[HeardCue], mode: Mode, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Each 10 ms, whether a subtitle with speech is shown, and whether those of several speakers
    are, (frames,) bool. In mode `free` subtitles move with their speech."""
    lanes: dict[str, list[HeardCue]] = defaultdict(list)
    for cue in heard:
        lanes[cue.speaker].append(cue)
    speakers = np.zeros(frames, np.uint8)
    for lane in lanes.values():
        shown = np.zeros(frames, dtype=bool)
        for cue in lane:
            moved = (cue.error_ms or 0.0) if mode == "free" else 0.0
            first, last = (cue.wanted_ms + moved) // 10, -(-(cue.shown_until_ms + moved) // 10)
            shown[max(0, int(first)) : max(0, int(last))] = True
        speakers += shown
    return speakers > 0, speakers > 1


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """From where to where a mask (frames,) is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _self_overlaps(placements: Sequence[Placement]) -> list[tuple[float, float]]:
    """Where two pieces of one speaker are placed over each other, in ms."""
    lanes: dict[str, list[Placement]] = defaultdict(list)
    for placement in sorted(placements, key=lambda one: one.start):
        lanes[placement.speaker].append(placement)
    return [
        (b.start / _MS, (a.start + a.samples) / _MS)
        for lane in lanes.values()
        for a, b in pairwise(lane)
        if a.start + a.samples > b.start
    ]


def _momentary(path: Path) -> np.ndarray:
    """LUFS of each 400 ms of a file, 100 ms apart."""
    with tempfile.TemporaryDirectory(prefix="voxloom-") as folder:
        listing = Path(folder) / "momentary.txt"
        try:
            run_ffmpeg(
                [*input_arguments(path), "-af", loudness_filter("M", listing), "-f", "null", "-"]
            )
        except FfmpegError as error:
            raise _broken(path) from error
        return read_loudness(listing)[_MOMENTARY_MS // _MOMENTARY_HOP_MS - 1 :]


def _opened(path: Path) -> soundfile.SoundFile:
    try:
        file = soundfile.SoundFile(path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise _broken(path) from error
    if file.samplerate != RATE or file.channels != 1:
        file.close()
        raise _broken(path)
    return file


def _broken(path: Path) -> UserError:
    return UserError(
        f"{path} could not be measured, it is missing or broken: run the same command again; what "
        "is finished is kept."
    )
