"""Fit speech to subtitles: which speed a line is spoken at, how far its pieces are stretched, and
where on the grid they are heard. Numbers only, no audio.

Speech is fitted in four steps, each only for what the one before leaves: the take that is nearest
in length among several, the model's own speed, time stretching, and a start that is not the
subtitle's. Starts are shifted so that the sum of squared errors is the least that leaves room for
every piece: isotonic regression, solved by pooling adjacent violators (Ayer et al. 1955; with
bounds Best and Chakravarti 1990). Every start is a sample of one grid, so nothing adds up.
"""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, get_args

import numpy as np

from tasks.dub_types import RATE, Part, Piece, Placement, SubtitleCue

Mode = Literal["dub", "voice-over", "free"]
MODES: tuple[Mode, ...] = get_args(Mode)

# How fast the model itself may speak, and how fast speech may be with time stretching on top.
SLOWEST, FASTEST = 0.92, 1.15
SOFT_LIMIT, HARD_LIMIT = 1.25, 1.4

_MS = RATE // 1000
_GUARD = 50 * _MS  # between two pieces of one speaker
_TURN = 150 * _MS  # how long two speakers may overlap though their subtitles don't
_EARLY = 40 * _MS  # what viewers don't notice yet (ITU-R BT.1359: 45 ms)
_EARLY_AT_END = 1000 * _MS  # better early than cut off by the end of the video
_DELAY = 400 * _MS  # a voice-over lets the original be heard first
_LAST_BORROWS = 10_000 * _MS  # the last line, where no video ends
_LATE = 60 * _MS  # a start later than this is a problem
_LEAST_PAUSE, _PAUSE = 80 * _MS, 200 * _MS  # between two pieces of one cue
_NEVER = 1 << 62
_ROUNDS = 4  # of choosing rates, since a late start leaves less room

# What is worse than what. A second too long costs `_LONG` and its square `_LONGER`; the costs of
# rates are for the logarithm of a rate. So a piece is stretched up to the soft limit before the
# next one starts late or is interrupted, and past that limit only once the next would be some 50 ms
# late.
_LONG, _LONGER = 20.0, 200.0
_INTERRUPTING = 3.0  # a second of another speaker's turn
_STRETCHED = 4.0  # its square
_PAST_COMFORT = 4.0  # its square, from the model's fastest on
_PAST_SOFT = 60.0
_JUMP = 0.8  # what two neighbours of one speaker differ by beyond `_SMOOTH`
_SMOOTH = math.log(1.1)
_UNLIKE = math.log(1.1)  # how much longer or shorter than its subtitle speech may be
_RATES = np.arange(round(100 * SLOWEST), round(100 * HARD_LIMIT) + 1) / 100
_SPEEDS = np.arange(round(100 * SLOWEST), round(100 * FASTEST) + 1) / 100


@dataclass(frozen=True)
class Room:
    """When a cue's speech should begin, when its subtitle goes, when the speech should be over, and
    when it must be unless something else gives way; in samples of the grid."""

    start: int
    shown_until: int
    latest: int
    limit: int


@dataclass(frozen=True)
class LineRoom:
    """How many seconds the subtitles of a line are shown for, and how many fit at most."""

    shown: float
    most: float


@dataclass(frozen=True)
class Choice:
    """Which of the candidates is spoken, and how fast."""

    candidate: int
    speed: float


@dataclass(frozen=True)
class Measure:
    """How long a piece is without stretching: `samples` of the grid from its first sound on, of a
    take that was spoken at the model speed `speed`."""

    line: int
    cue: int
    speaker: str
    samples: int
    speed: float = 1.0


def measure_piece(piece: Piece, speaker: str, sample_rate: int, speed: float = 1.0) -> Measure:
    """The length of a piece whose audio has `sample_rate`; at least one sample."""
    samples = round((piece.audio.size - piece.lead) * RATE / sample_rate)
    return Measure(piece.line, piece.cue, speaker, max(1, samples), speed)


def cue_rooms(
    cues: Iterable[SubtitleCue], mode: Mode = "dub", total: int | None = None
) -> dict[int, Room]:
    """The room of each cue with something to speak, by its index.

    It depends on the times and speakers of the cues, never on what they say. Speech should be over
    before the next cue of its speaker begins, and when the next of another speaker begins unless
    their subtitles overlap; and at sample `total`, where the video ends.
    """
    delay = _delay(mode)
    spoken = sorted((cue for cue in cues if cue.text), key=lambda cue: (cue.start_ms, cue.index))
    starts = [cue.start_ms for cue in spoken]
    rooms: dict[int, Room] = {}
    following: dict[str, Room] = {}  # of each speaker, without the delay
    for cue in reversed(spoken):
        start, shown_until = cue.start_ms * _MS, max(cue.start_ms + 1, cue.end_ms) * _MS
        latest = shown_until + _LAST_BORROWS if total is None else total - delay
        if cue.speaker in following:
            latest = min(latest, _until_next(start, shown_until, following[cue.speaker]))
        limit = latest
        after = bisect_left(starts, max(cue.start_ms + 1, cue.end_ms))
        if after < len(starts):
            latest = min(latest, starts[after] * _MS)
            limit = min(limit, starts[after] * _MS + _TURN)
        following[cue.speaker] = Room(start, shown_until, latest, limit)
        rooms[cue.index] = Room(start + delay, shown_until + delay, latest + delay, limit + delay)
    return rooms


def _until_next(start: int, shown_until: int, following: Room) -> int:
    """Until when a cue may be spoken for the sake of the one that follows of its speaker: two that
    are shown at the same time can't both begin on time, and share the time of both."""
    until = following.start - _GUARD
    if 2 * (following.start - start) >= shown_until - start:
        return until
    return max(until, min(start + (following.latest - start) // 2, shown_until))


def line_room(
    parts: Sequence[Part], cues: Mapping[int, SubtitleCue], rooms: Mapping[int, Room]
) -> LineRoom:
    """The room of a line's parts together; of a cue that several lines share, each has the share of
    its characters."""
    shown = most = 0.0
    for part in parts:
        room, text = rooms[part.cue], cues[part.cue].text
        share = min(1.0, (part.end - part.start) / max(1, len(text)))
        shown += share * (room.shown_until - room.start) / RATE
        most += share * max(0, room.latest - room.start) / RATE
    return LineRoom(shown, most)


def choose_speed(seconds: Sequence[float], room: LineRoom, mode: Mode = "dub") -> Choice:
    """Which of several candidates for a line is spoken, and at which model speed, in hundredths.

    `seconds` are their lengths at speed 1, at least one. What does not fit costs most; then a speed
    other than the model's own, then speech that is longer or shorter than its subtitles are shown.
    The first of equals is taken. In mode `free` that is the first one, as it comes. Nothing but
    this line's own candidates and times is looked at, so that an edited line leaves the takes of
    its neighbours as they are. Raises ValueError without candidates.
    """
    if not seconds:
        raise ValueError("a line needs a candidate")
    if mode == "free":
        return Choice(0, 1.0)
    lengths = np.maximum(0.01, np.asarray(seconds))[:, None] / _SPEEDS
    too_long = np.maximum(0.0, np.log(lengths / max(0.05, room.most)))
    unlike_shown = np.maximum(0.0, np.abs(np.log(lengths / max(0.05, room.shown))) - _UNLIKE)
    cost = 100.0 * too_long + np.log(_SPEEDS) ** 2 + 0.2 * unlike_shown**2
    candidate, speed = np.unravel_index(int(np.argmin(np.round(cost, 9))), cost.shape)
    return Choice(int(candidate), float(_SPEEDS[speed]))


def place(
    measures: Sequence[Measure],
    cues: Sequence[SubtitleCue],
    mode: Mode = "dub",
    total: int | None = None,
) -> list[Placement]:
    """Where each piece is heard, in the order of `measures` by their cues' starts.

    Pieces of one speaker never overlap, those of two overlap no more than their subtitles do, but
    for some 150 ms. Pieces of one cue follow one another. What does not fit has a `problem`, and is
    placed all the same: late, or fast. `total` is the video's length in samples. In mode `free`
    nothing is stretched and starts move as they must, `voice-over` begins 400 ms after the
    subtitle. The work is linear in the number of pieces.
    """
    by_index = {cue.index: cue for cue in cues}
    rooms = cue_rooms(cues, mode, total)
    order = sorted(measures, key=lambda one: (by_index[one.cue].start_ms, one.cue, one.line))
    groups = [
        _group(list(members), by_index[cue], rooms[cue])
        for cue, members in groupby(order, key=lambda one: one.cue)
    ]
    stretches = [1.0] * len(groups)
    distances = _distances(groups, stretches)
    starts = _starts(groups, stretches, distances, total)
    if mode != "free":
        for _ in range(_ROUNDS):
            stretches = _stretches(groups, starts)
            distances = _distances(groups, stretches)
            starts = _starts(groups, stretches, distances, total)
    return [
        placement
        for group, stretch, start in zip(groups, stretches, starts, strict=True)
        for placement in _placements(group, stretch, start, mode, total)
    ]


@dataclass(frozen=True)
class _Group:
    """The pieces of one cue, which are heard one after the other."""

    pieces: tuple[Measure, ...]
    speaker: str  # of the cue, who may have another name in the cast
    room: Room
    pause: int

    @property
    def speed(self) -> float:
        return self.pieces[0].speed

    def samples(self, stretch: float) -> int:
        return sum(_stretched(piece.samples, stretch) for piece in self.pieces) + self.pauses

    @property
    def pauses(self) -> int:
        return self.pause * (len(self.pieces) - 1)


def _group(pieces: Sequence[Measure], cue: SubtitleCue, room: Room) -> _Group:
    """Pauses shrink before speech is stretched."""
    spare = room.latest - room.start - sum(piece.samples for piece in pieces)
    pause = spare // max(1, len(pieces) - 1)
    pause = min(_PAUSE, max(_LEAST_PAUSE, pause))
    return _Group(tuple(pieces), cue.speaker, room, pause)


def _stretched(samples: int, stretch: float) -> int:
    return max(1, round(samples / stretch))


def _delay(mode: Mode) -> int:
    return _DELAY if mode == "voice-over" else 0


def _stretches(groups: Sequence[_Group], starts: Sequence[int]) -> list[float]:
    """How far each group is stretched when it begins at `starts`: the least cost of too long, too
    fast and too uneven together, found by dynamic programming over each speaker's groups."""
    lanes: dict[str, list[int]] = defaultdict(list)
    for number, group in enumerate(groups):
        lanes[group.speaker].append(number)
    stretches = [1.0] * len(groups)
    for lane in lanes.values():
        rates = [_rates(groups[number]) for number in lane]
        costs = [
            _costs(groups[number], own, starts[number])
            for number, own in zip(lane, rates, strict=True)
        ]
        choices = _cheapest_path(costs, [np.log(own) for own in rates])
        for number, own, choice in zip(lane, rates, choices, strict=True):
            stretches[number] = float(own[choice]) / groups[number].speed
    return stretches


def _rates(group: _Group) -> np.ndarray:
    """How fast a group may be, model and stretching together, (rates,): always as it comes, too."""
    return np.append(_RATES, group.speed)


def _costs(group: _Group, rates: np.ndarray, start: int) -> np.ndarray:
    """What each of the rates costs, (rates,)."""
    stretches = rates / group.speed
    spoken = sum(piece.samples for piece in group.pieces) / stretches
    ends = max(start, group.room.start) + spoken + group.pauses
    interrupting = np.maximum(0, np.minimum(ends, group.room.limit) - group.room.latest) / RATE
    too_long = np.maximum(0, ends - group.room.limit) / RATE
    return np.asarray(
        _INTERRUPTING * interrupting
        + _LONG * too_long
        + _LONGER * too_long**2
        + _STRETCHED * np.log(stretches) ** 2
        + _PAST_COMFORT * np.log(np.maximum(1.0, rates / FASTEST)) ** 2
        + _PAST_SOFT * np.log(np.maximum(1.0, rates / SOFT_LIMIT))
    )


def _cheapest_path(costs: Sequence[np.ndarray], rates: Sequence[np.ndarray]) -> list[int]:
    """The choices that make costs and jumps of the logarithmic rates least (Viterbi)."""
    least, came_from = costs[0], []
    for number in range(1, len(costs)):
        jumps = np.abs(rates[number][:, None] - rates[number - 1][None, :])
        through = least[None, :] + _JUMP * np.maximum(0.0, jumps - _SMOOTH)
        best = through.argmin(axis=1)
        came_from.append(best)
        least = costs[number] + through[np.arange(best.size), best]
    path = [int(least.argmin())]
    for best in reversed(came_from):
        path.append(int(best[path[-1]]))
    return path[::-1]


def _distances(groups: Sequence[_Group], stretches: Sequence[float]) -> list[int]:
    """How many samples after the group before it each one starts at the earliest; 0 for the first.

    Where people talk at once by the source, the distance between their starts is kept as long as
    one of them still talks: so one chain of starts stands for all that must not overlap.
    """
    distances: list[int] = []
    talking: list[tuple[_Group, int]] = []  # and how long still, after the start of the last one
    for number, group in enumerate(groups):
        if number == 0:
            distance = 0
        else:
            distance = free = 0
            for other, left in talking:
                if other.speaker == group.speaker:
                    distance = max(distance, left + _GUARD)
                elif other.room.shown_until > group.room.start:
                    free = max(free, left)
                else:
                    distance = max(distance, left - _TURN)
            apart = group.room.start - groups[number - 1].room.start
            distance = max(distance, min(apart, free))
        distances.append(distance)
        talking = [(other, left - distance) for other, left in talking]
        talking = [(other, left) for other, left in talking if left > -_GUARD]
        talking.append((group, group.samples(stretches[number])))
    return distances


def _starts(
    groups: Sequence[_Group],
    stretches: Sequence[float],
    distances: Sequence[int],
    total: int | None,
) -> list[int]:
    """The sample at which each group begins: as near to its cue as all the distances allow."""
    offsets = np.cumsum(np.asarray(distances, dtype=np.int64)).tolist()
    wanted, lowest, highest = [], [], []
    for number, group in enumerate(groups):
        start = group.room.start
        low, high = start - _EARLY, _NEVER
        if total is not None and start < total:
            end = total - group.samples(stretches[number])
            if end < start:
                # Not before what comes first has had its room.
                high = max(offsets[number], end, start - _EARLY_AT_END)
        wanted.append(start - offsets[number])
        lowest.append(max(0, low) - offsets[number])
        highest.append(high - offsets[number])
    values = isotonic(wanted, lowest, highest)
    return [value + offset for value, offset in zip(values, offsets, strict=True)]


def isotonic(wanted: Sequence[int], lowest: Sequence[int], highest: Sequence[int]) -> list[int]:
    """Values that never fall and are nearest to `wanted` (least sum of squares), each between its
    `lowest` and `highest`, rounded. Where these bounds can't all be kept, the highest are."""
    lows, cap = list(lowest), _NEVER
    for number in range(len(lows) - 1, -1, -1):
        cap = min(cap, highest[number])
        lows[number] = min(lows[number], cap)
    blocks: list[_Block] = []
    for want, low, high in zip(wanted, lows, highest, strict=True):
        block = _Block(want, 1, low, high)
        while blocks and blocks[-1].value > block.value:
            block = blocks.pop().with_next(block)
        blocks.append(block)
    return [round(block.value) for block in blocks for _ in range(block.count)]


@dataclass(frozen=True)
class _Block:
    """Neighbours that have one value: `sum` and `count` of what they want, and their bounds."""

    sum: int
    count: int
    low: int
    high: int

    @property
    def value(self) -> float:
        return min(max(self.sum / self.count, self.low), self.high)

    def with_next(self, block: "_Block") -> "_Block":
        return _Block(
            self.sum + block.sum,
            self.count + block.count,
            max(self.low, block.low),
            min(self.high, block.high),
        )


def _placements(
    group: _Group, stretch: float, start: int, mode: Mode, total: int | None
) -> Iterable[Placement]:
    problem = _problem(group, stretch, start, mode, total)
    for piece in group.pieces:
        samples = _stretched(piece.samples, stretch)
        yield Placement(piece.line, piece.cue, piece.speaker, start, samples, stretch, problem)
        start += samples + group.pause


def _problem(group: _Group, stretch: float, start: int, mode: Mode, total: int | None) -> str:
    late, rate = start - group.room.start, stretch * group.speed
    problems = []
    if rate > SOFT_LIMIT + 1e-9:
        problems.append(f"is spoken {rate:.2f} times as fast")
    if late > _LATE and mode != "free":
        problems.append(f"starts {late / RATE:.2f} s late")
    if late < -_EARLY:
        problems.append(f"starts {-late / RATE:.2f} s early, for the video ends")
    if total is not None and start + group.samples(stretch) > total:
        over = (start + group.samples(stretch) - total) / RATE
        problems.append(f"ends {over:.2f} s after the video, which cuts it off")
    return "; ".join(problems)
