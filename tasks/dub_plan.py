"""Plan what is spoken of a subtitle file: lines of one speaker over cue borders, with phones."""

import logging
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from model.speaking import spoken_line
from model.text import Reading, speak_text
from model.text.abbreviations import stop_ends_sentence
from tasks.dub_types import DubLine, Part, SubtitleCue, Subtitles
from tasks.lexicon import Lexicon
from tasks.plan import (
    LEAST_DENSE,
    LONGEST,
    LONGEST_PHONES,
    NO_LEXICON,
    Utterance,
    at_end,
    check_readable,
    going_on,
    tokens_of,
)
from tasks.read_book import Block
from tasks.readings import block_readings, masked, within
from tasks.sentences import Span, halve

log = logging.getLogger(__name__)

# Half of the cues of real subtitle files do not end a sentence, and most follow each other without
# a gap: a sentence is spoken at once and split back, so that its melody goes over cue borders.
_NEAR_MS = 600  # from the end of a cue to the next one of its sentence
_FARTHEST_MS = 1000  # the same, where the next one goes on in small letters
_LONGEST_MS = 12_000  # from the beginning of a line to its end
_AIMED_MS = 8_000  # of a line that must be cut where no sentence ends
_PAUSE_MS = 200  # a gap that is heard; cues are kept 80 ms apart only to be seen
_TURN_MS = 100  # others may begin so long before a cue ends and still come after it

_CLOSERS = "\"'”’»)]」』）】》"
_ENDS = frozenset(".!?。！？؟｡．")
_ELLIPSIS = ("..", "…", "⋯")
_GOES_ON = re.compile(r"[\s\"'“‘(\[—–…⋯.-]*[a-zà-ÿ]")
_CLAUSE_ENDS = frozenset(",;:—–、，；：-")


@dataclass(frozen=True)
class _Unit:
    """A cue, or a part of one that is too long to be spoken at once."""

    cue: SubtitleCue
    text: str
    phones: int
    start_ms: int
    end_ms: int


def plan_dub(
    subtitles: Subtitles,
    language: str,
    version: str = "",
    *,
    lexicon: Lexicon = NO_LEXICON,
    warn: Callable[[str], None] = log.warning,
) -> list[DubLine]:
    """Lines to speak, in the order of their first cues.

    A line has the cues of one speaker that make up a sentence: at most `LONGEST` characters,
    `LONGEST_PHONES` phones, and 12 s from the start of its first cue to the end of its last. A text
    without ends of sentences is cut where it lets one breathe. No line goes over a gap of more than
    a second, or over a turn of somebody else. A cue that is longer than a line has parts in
    several.

    `version` and `lexicon` are as for `tasks.plan.plan_chapter`. `warn` is given a sentence for
    each cue of which nothing can be spoken; such a cue is in no line. Another text of a cue changes
    its own line, and a line beside it only where it begins or ceases to end a sentence. Raises
    UserError for a language that has no text front-end.
    """
    check_readable(language)
    reader = _Reader(language, version, lexicon, warn)
    lines = [line for run in _runs(subtitles.cues, reader) for line in _lines(run)]
    lines.sort(key=lambda line: line[0].cue.index)
    goes_on = _unfinished(lines)
    return [reader.line(number, units, goes_on[number]) for number, units in enumerate(lines)]


class _Reader:
    """The text front-end, with all that decides how a text is read."""

    def __init__(
        self, language: str, version: str, lexicon: Lexicon, warn: Callable[[str], None]
    ) -> None:
        self._language = language
        self._version = version
        self._lexicon = lexicon
        self._warn = warn

    def units(self, cue: SubtitleCue) -> list[_Unit]:
        """A cue in parts that can be spoken at once; none where nothing of it can be spoken."""
        text = " ".join(cue.text.split())
        length = cue.end_ms - cue.start_ms
        units = []
        for (start, end), phones in self._parts(text):
            first, last = (cue.start_ms + length * place // len(text) for place in (start, end))
            units.append(_Unit(cue, text[start:end], phones, first, last))
        if text and not units:
            self._warn(
                f"Nothing of cue {cue.number} (“{text[:40]}”) can be spoken in "
                f"{self._language!r}: it is left out."
            )
        return units

    def line(self, number: int, units: Sequence[_Unit], unfinished: bool) -> DubLine:
        """The line of some units, with its number."""
        text, spans = _joined_text(units)
        readings = self._readings(text)
        spoken = speak_text(text, self._language, self._version, readings)
        phones, characters = spoken_line(spoken, going_on if unfinished else at_end)
        utterance = Utterance(
            0,
            number,
            text,
            phones,
            self._language,
            0.0,
            "paragraph",
            characters,
            tokens=tokens_of(spoken, 0),
            speaker=units[0].cue.speaker,
        )
        parts: list[Part] = []
        for unit, (start, end) in zip(units, spans, strict=True):
            if parts and parts[-1].cue == unit.cue.index:
                parts[-1] = Part(unit.cue.index, parts[-1].start, end)
            else:
                parts.append(Part(unit.cue.index, start, end))
        return DubLine(utterance, tuple(parts))

    def _readings(self, text: str) -> list[Reading]:
        block = Block("paragraph", text)
        return block_readings(block, self._language, self._version, self._lexicon, self._warn)

    def _parts(self, text: str) -> list[tuple[Span, int]]:
        """Parts of a text that are no longer than a line may be, each with its number of phones;
        what makes no sound belongs to a neighbour."""
        readings = self._readings(text)
        uncut = masked(text, readings)
        parts: list[tuple[Span, int]] = []
        waiting = [(0, len(text))]
        silent: int | None = None  # where text begins that makes no sound, before the first part
        while waiting:
            start, end = waiting.pop()
            inside = within(readings, start, end)
            spoken = speak_text(text[start:end], self._language, self._version, inside)
            phones = len(spoken.phones)
            too_long = phones > LONGEST_PHONES or end - start > LONGEST
            if too_long and (halves := halve(uncut, (start, end), LEAST_DENSE)):
                waiting += reversed(halves)
            elif not spoken.is_silent:
                parts.append(((start if silent is None else silent, end), phones))
                silent = None
            elif parts:
                parts[-1] = (parts[-1][0][0], end), parts[-1][1] + phones
            elif silent is None:
                silent = start
        return parts


def _runs(cues: Iterable[SubtitleCue], reader: _Reader) -> list[list[_Unit]]:
    """What each speaker says without a long gap, and without a turn of anybody else."""
    lanes: dict[str, list[list[_Unit]]] = {}
    newest: SubtitleCue | None = None  # the last cue that is spoken,
    other: SubtitleCue | None = None  # and the last one of another speaker than that
    for cue in cues:
        units = reader.units(cue)
        if not units:
            continue
        if newest and newest.speaker != cue.speaker:
            other = newest
        newest = cue
        runs = lanes.setdefault(cue.speaker, [])
        last = runs[-1][-1] if runs else None
        turn = last and other and last.end_ms - _TURN_MS <= other.start_ms < cue.start_ms
        if last and not turn and _adjoin(last, units[0]):
            runs[-1] += units
        else:
            runs.append(units)
    return [run for runs in lanes.values() for run in runs]


def _adjoin(before: _Unit, after: _Unit) -> bool:
    """Whether two units of a speaker could be spoken at once: one after the other, and near. Two
    people may share a cue, or speak at the same time, without a name."""
    if before.cue is after.cue:
        return True
    apart = before.cue.number != after.cue.number or not after.cue.number
    begins_later = 2 * after.start_ms >= before.start_ms + before.end_ms
    return apart and begins_later and after.start_ms - before.end_ms <= _FARTHEST_MS


def _continues(before: _Unit, after: _Unit) -> bool:
    """Whether the sentence of a unit goes on in the next one."""
    if before.cue is after.cue:
        return True
    small = _GOES_ON.match(after.text) is not None
    near = after.start_ms - before.end_ms <= (_FARTHEST_MS if small else _NEAR_MS)
    return near and not _ends_sentence(before.text, after.text)


def _ends_sentence(text: str, following: str) -> bool:
    """Whether a sentence ends where a text does; whether an ellipsis ends one, only what follows
    can tell."""
    bare = text.rstrip(_CLOSERS)
    if bare.endswith(_ELLIPSIS):
        return not (_GOES_ON.match(following) or following.startswith(_ELLIPSIS))
    if bare[-1:] == ".":
        return stop_ends_sentence(bare[:-1], f" {following}")
    return bare[-1:] in _ENDS


def _lines(run: Sequence[_Unit]) -> list[list[_Unit]]:
    """The lines of a run: its sentences, cut where they are too long."""
    sentences = [[run[0]]]
    for before, after in pairwise(run):
        if _continues(before, after):
            sentences[-1].append(after)
        else:
            sentences.append([after])
    return [line for sentence in sentences for part in _by_time(sentence) for line in _fit(part)]


def _by_time(units: list[_Unit]) -> Iterator[list[_Unit]]:
    """Units in parts of at most 12 s, from the first on: what comes later, or another text, does
    not move where they are cut."""
    while units[-1].end_ms - units[0].start_ms > _LONGEST_MS and len(units) > 1:
        cut = _place_to_breathe(units)
        yield units[:cut]
        units = units[cut:]
    yield units


def _place_to_breathe(units: Sequence[_Unit]) -> int:
    """How many of the units, of which all would be too long, the first line best has."""
    start = units[0].start_ms
    best, least = 1, float("inf")
    for cut in range(1, len(units)):
        length_ms = units[cut - 1].end_ms - start
        if length_ms > _LONGEST_MS:
            break
        aside = abs(length_ms - _AIMED_MS) / _AIMED_MS
        cost = aside + _reluctance(units[cut - 1], units[cut])
        if cost < least:
            best, least = cut, cost
    return best


def _fit(units: list[_Unit]) -> list[list[_Unit]]:
    """Units cut in halves until no part has too many characters or phones for a line."""
    if len(units) == 1 or _fits(units):
        return [units]
    ends = list(accumulate(len(unit.text) for unit in units))

    def cost(cut: int) -> float:
        aside = abs(2 * ends[cut - 1] / ends[-1] - 1.0)
        # Beyond three quarters only where there is no other place.
        return aside + _reluctance(units[cut - 1], units[cut]) + (aside > 0.5)

    cut = min(range(1, len(units)), key=cost)
    return [*_fit(units[:cut]), *_fit(units[cut:])]


def _fits(units: Sequence[_Unit]) -> bool:
    # Between two units may come a comma and a space.
    characters = sum(len(unit.text) + 2 for unit in units) - 2
    return characters <= LONGEST and sum(unit.phones + 1 for unit in units) - 1 <= LONGEST_PHONES


def _reluctance(before: _Unit, after: _Unit) -> float:
    """How much is against a cut between two units of a sentence."""
    bare = before.text.rstrip(_CLOSERS)
    if after.start_ms - before.end_ms >= _PAUSE_MS or bare[-1:] in _ENDS:
        return 0.0
    return 0.15 if bare[-1:] in _CLAUSE_ENDS or bare.endswith(_ELLIPSIS) else 0.5


def _unfinished(lines: Sequence[Sequence[_Unit]]) -> list[bool]:
    """Of each line, whether its sentence goes on in the next line of its speaker."""
    goes_on = [False] * len(lines)
    latest: dict[str, int] = {}
    for number, line in enumerate(lines):
        speaker = line[0].cue.speaker
        if speaker in latest:
            before = lines[latest[speaker]][-1]
            goes_on[latest[speaker]] = _adjoin(before, line[0]) and _continues(before, line[0])
        latest[speaker] = number
    return goes_on


def _joined_text(units: Sequence[_Unit]) -> tuple[str, list[Span]]:
    """The text of units, and where each of them stands in it. Where a gap is heard and no mark is
    printed, there is a comma."""
    text = units[0].text
    spans = [(0, len(text))]
    for before, after in pairwise(units):
        wide = _is_wide(text[-1]) and _is_wide(after.text[0])
        if after.start_ms - before.end_ms >= _PAUSE_MS and text[-1].isalnum():
            text += "，" if wide else ","
            spans[-1] = (spans[-1][0], len(text))
        text += "" if wide else " "
        spans.append((len(text), len(text) + len(after.text)))
        text += after.text
    return text, spans


def _is_wide(char: str) -> bool:
    return unicodedata.east_asian_width(char) in "WF"
