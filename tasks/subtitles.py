"""Subtitles of a book: printed text with the times at which it is heard, as SRT, WebVTT, LRC."""

import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pysrt

from tasks.assemble import ChapterAudio, Span
from tasks.beside import write_bytes
from tasks.word_times import WordTime, word_times

if TYPE_CHECKING:
    from tasks.plan import Utterance

LINE_COLUMNS = 42
LINES = 2

# Where a cue should rather end, best first: after a sentence, after a clause, between words.
_SENTENCE_END = re.compile(r"[.!?…]['\"’”»)\]]*$|[。！？]['\"’”»）」』]*$")
_CLAUSE_END = re.compile(r"[,;:–—]['\"’”»)\]]*$|[、，；：][」』]*$")


@dataclass(frozen=True)
class Cue:
    """Text on the screen, its lines split by "\\n", from `start_ms` to before `end_ms`.

    `words` are the places in the text where words begin, with the times at which they are heard.
    """

    start_ms: int
    end_ms: int
    text: str
    words: tuple[tuple[int, int], ...] = ()


# The times of an utterance's phones in its take, by chapter and index; see tasks/word_times.py.
Times = Mapping[tuple[int, int], np.ndarray]


def book_cues(
    utterances: Iterable["Utterance"], chapters: Sequence[ChapterAudio], times: Times
) -> list[Cue]:
    """The cues of a whole book, in order, never overlapping.

    `chapters` in the order in which they are packed; their spans are found again in `utterances`
    by chapter and index. A long utterance becomes several cues, each from its first word to the
    next cue's. An utterance of which nothing is heard has no cue.
    """
    named = {(utterance.chapter, utterance.index): utterance for utterance in utterances}
    offsets = accumulate((chapter.samples for chapter in chapters), initial=0)
    cues: list[Cue] = []
    for chapter, offset in zip(chapters, offsets, strict=False):
        cues += span_cues(
            named, chapter.spans, chapter.sample_rate, times, offset, cues[-1].end_ms if cues else 0
        )
    return cues


def span_cues(
    utterances: Mapping[tuple[int, int], "Utterance"],
    spans: Iterable[Span],
    sample_rate: int,
    times: Times,
    offset: int = 0,
    begin_ms: int = 0,
) -> list[Cue]:
    """The cues of some utterances' spans, which begin `offset` samples later than they say; none
    begins before `begin_ms`."""
    cues: list[Cue] = []
    for span in spans:
        place = span.chapter, span.index
        utterance = utterances[place]
        known = times.get(place, np.zeros((0, 2), np.int16))
        words = [
            replace(word, start=word.start + offset, end=word.end + offset)
            for word in word_times(utterance, known, span.cut, span, sample_rate)
        ]
        if not words:
            continue
        pieces = fold(utterance.text)
        bounds = [(first, last) for first, last in _places(utterance.text, pieces)]
        starts = [_heard_at(first, words) for first, _ in bounds]
        ends = [*starts[1:], words[-1].end]
        for piece, (first, last), start, end in zip(pieces, bounds, starts, ends, strict=True):
            start_ms = max(start * 1000 // sample_rate, cues[-1].end_ms if cues else begin_ms)
            end_ms = max(end * 1000 // sample_rate, start_ms + 1)
            shown = [
                (place, max(start_ms, _heard_at(where, words) * 1000 // sample_rate))
                for place, where in _word_places(utterance.text, piece, first, last, words)
            ]
            cues.append(Cue(start_ms, end_ms, piece, tuple(shown)))
    return cues


def _places(text: str, pieces: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The characters of `text`, from and to before, that the pieces of it hold."""
    solid = [place for place, char in enumerate(text) if not char.isspace()]
    begin = 0
    for piece in pieces:
        count = len("".join(piece.split()))
        yield solid[begin], solid[begin + count - 1] + 1
        begin += count


def _word_places(
    text: str, piece: str, first: int, last: int, words: Sequence[WordTime]
) -> Iterator[tuple[int, int]]:
    """(place in the piece, place in the text) of the words that begin in a piece."""
    begins = {word.first for word in words if first <= word.first < last}
    where = first
    for place, char in enumerate(piece):
        if char.isspace():
            continue
        while text[where].isspace():
            where += 1
        if where in begins:
            yield place, where
        where += 1


def _heard_at(place: int, words: Sequence[WordTime]) -> int:
    """The sample at which the character at `place` is heard."""
    word = max((word for word in words if word.first <= place), key=_first, default=words[0])
    within = min(max(place - word.first, 0), word.last - word.first)
    return word.start + (word.end - word.start) * within // max(1, word.last - word.first)


def _first(word: WordTime) -> int:
    return word.first


def fold(text: str) -> list[str]:
    """Splits text into pieces of at most two lines of 42 columns, joined by "\\n".

    No character but white space is lost or added. Pieces end at sentences or clauses where they
    can, and the two lines of a piece are about equally long. East Asian characters take two
    columns and may be split anywhere, as may a word that is longer than a line.
    """
    words = [part for word in text.split() for part in _breakable(word)]
    pieces = []
    while words:
        count = _fitting(words)
        if count < len(words):
            count = _better_end(words, count)
        pieces.append("\n".join(_lines(words[:count])))
        words = words[count:]
    return pieces


def write_srt(cues: Sequence[Cue], out: Path) -> None:
    """Writes SubRip: UTF-8, numbered from 1."""
    items = (
        pysrt.SubRipItem(
            index=number,
            start=pysrt.SubRipTime.from_ordinal(cue.start_ms),
            end=pysrt.SubRipTime.from_ordinal(cue.end_ms),
            text=cue.text.replace("-->", "→"),
        )
        for number, cue in enumerate(cues, 1)
    )
    text = io.StringIO()
    pysrt.SubRipFile(items=items, eol="\n").write_into(text)
    write_bytes(out, text.getvalue().encode())


def write_vtt(cues: Sequence[Cue], out: Path, notice: str = "") -> None:
    """Writes WebVTT: `&`, `<` and `>` are escaped, and a time stands before each word that begins
    after its cue. `notice` is a comment at the top."""
    lines = ["WEBVTT", ""]
    if notice:
        lines += [f"NOTE {_escaped(' '.join(notice.split()))}", ""]
    for cue in cues:
        lines += [f"{_clock(cue.start_ms)} --> {_clock(cue.end_ms)}", _timed(cue), ""]
    write_bytes(out, "\n".join(lines).encode(errors="replace"))


def write_lrc(cues: Sequence[Cue], out: Path, tags: Mapping[str, str], words: bool) -> None:
    """Writes LRC, lines of a song's text with their times: here a line is a cue.

    `tags` are the ID tags at the top ("ti": the title ...). With `words` a time stands before each
    word, too (the "enhanced" or A2 format). Minutes go beyond 99 where the sound is longer.
    """
    lines = [f"[{name}:{_plain(value)}]" for name, value in tags.items() if value]
    for cue in cues:
        text = "".join(
            f"<{_short_clock(time)}> {part}" if words and time is not None else part
            for time, part in _parts(cue)
        )
        lines.append(f"[{_short_clock(cue.start_ms)}] {_plain(text)}")
        if words:
            lines[-1] += f" <{_short_clock(cue.end_ms)}>"
    write_bytes(out, ("\n".join(lines) + "\n").encode(errors="replace"))


def _parts(cue: Cue) -> Iterator[tuple[int | None, str]]:
    """The cue's text in parts, each with the time at which its word is heard, or None."""
    begin = cue.words[0][0] if cue.words else len(cue.text)
    if begin:
        yield None, cue.text[:begin]
    ends = [*(place for place, _ in cue.words), len(cue.text)][1:]
    for (place, time), end in zip(cue.words, ends, strict=True):
        yield time, cue.text[place:end]


def _timed(cue: Cue) -> str:
    """A cue's text as WebVTT; times must lie within the cue and grow."""
    text, latest = "", cue.start_ms
    for time, part in _parts(cue):
        if time is not None and latest < time < cue.end_ms:
            text += f"<{_clock(time)}>"
            latest = time
        text += _escaped(part)
    return text


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _plain(value: str) -> str:
    """On one line, without the brackets that LRC's tags are made of."""
    return " ".join(value.replace("[", "(").replace("]", ")").split())


def _short_clock(ms: int) -> str:
    minutes, ms = divmod(ms, 60_000)
    return f"{minutes:02d}:{ms // 1000:02d}.{ms % 1000 // 10:02d}"


def _clock(ms: int) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{ms:03d}"


@dataclass(frozen=True)
class _Part:
    """What is not split across lines, and whether a space stands before it."""

    text: str
    spaced: bool
    columns: int


def _breakable(word: str) -> Iterator[_Part]:
    """A word; or its characters one by one where East Asian; or slices of an endless one."""
    held, columns, spaced = "", 0, True
    for char in word:
        width = _columns(char)
        closing = unicodedata.category(char) in ("Pe", "Pf", "Po", "Mn", "Mc", "Lm")
        # Punctuation and marks stay with what they follow.
        breaks = held and not closing and (width == 2 or _columns(held[-1]) == 2)
        if breaks or columns + width > LINE_COLUMNS:
            yield _Part(held, spaced, columns)
            held, columns, spaced = "", 0, False
        held += char
        columns += width
    yield _Part(held, spaced, columns)


def _columns(text: str) -> int:
    """How wide the text is, in columns of a Latin letter."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def _lines(words: Sequence[_Part]) -> list[str]:
    """The words on one line, or on two about equally long ones, the lower rather longer."""
    if _width(words) <= LINE_COLUMNS:
        return [_joined(words)]
    cuts = [
        cut
        for cut in range(1, len(words))
        if max(_width(words[:cut]), _width(words[cut:])) <= LINE_COLUMNS
    ]
    cut = min(cuts, key=lambda cut: abs(_width(words[:cut]) - _width(words[cut:])))
    return [_joined(words[:cut]), _joined(words[cut:])]


def _fitting(words: Sequence[_Part]) -> int:
    """How many words from the beginning fit on the lines of one cue."""
    count = 0
    for _ in range(LINES):
        begin = count
        while count < len(words) and _width(words[begin : count + 1]) <= LINE_COLUMNS:
            count += 1
    return count


def _better_end(words: Sequence[_Part], count: int) -> int:
    """An earlier end of the cue after a sentence or clause, unless the cue gets too short."""
    for end, least in ((_SENTENCE_END, 0.3), (_CLAUSE_END, 0.45)):
        for cut in range(count, 0, -1):
            if _width(words[:cut]) < least * LINES * LINE_COLUMNS:
                break
            # A closing mark of East Asian text may be followed by a word without a space.
            if end.search(words[cut - 1].text):
                return cut
    return count


def _width(words: Sequence[_Part]) -> int:
    return sum(word.columns for word in words) + sum(word.spaced for word in words[1:])


def _joined(words: Sequence[_Part]) -> str:
    return "".join(
        " " * (word.spaced and place > 0) + word.text for place, word in enumerate(words)
    )
