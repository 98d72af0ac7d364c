"""Subtitles of a book: printed text with the times at which it is heard, as SRT and WebVTT."""

import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pysrt

from tasks.assemble import ChapterAudio
from tasks.beside import write_bytes

if TYPE_CHECKING:
    from tasks.plan import Utterance

LINE_COLUMNS = 42
LINES = 2

# Where a cue should rather end, best first: after a sentence, after a clause, between words.
_SENTENCE_END = re.compile(r"[.!?…]['\"’”»)\]]*$|[。！？]['\"’”»）」』]*$")
_CLAUSE_END = re.compile(r"[,;:–—]['\"’”»)\]]*$|[、，；：][」』]*$")


@dataclass(frozen=True)
class Cue:
    """Text on the screen, its lines split by "\\n", from `start_ms` to before `end_ms`."""

    start_ms: int
    end_ms: int
    text: str


def book_cues(utterances: Iterable["Utterance"], chapters: Sequence[ChapterAudio]) -> list[Cue]:
    """The cues of a whole book, in order, never overlapping.

    `chapters` in the order in which they are packed; their spans are found again in `utterances`
    by chapter and index. A long utterance becomes several cues whose times are proportional to
    their characters. An utterance of which nothing is heard has no cue.
    """
    texts = {(utterance.chapter, utterance.index): utterance.text for utterance in utterances}
    offsets = accumulate((chapter.samples for chapter in chapters), initial=0)
    cues: list[Cue] = []
    for chapter, offset in zip(chapters, offsets, strict=False):
        for span in chapter.spans:
            pieces = fold(texts[span.chapter, span.index])
            if not pieces or span.end <= span.start:
                continue
            shares = accumulate((_columns(piece) for piece in pieces), initial=0)
            whole = max(1, sum(map(_columns, pieces)))
            bounds = [
                (offset + span.start + (span.end - span.start) * share // whole)
                * 1000
                // chapter.sample_rate
                for share in shares
            ]
            for piece, (start, end) in zip(pieces, pairwise(bounds), strict=True):
                start = max(start, cues[-1].end_ms if cues else 0)
                cues.append(Cue(start, max(end, start + 1), piece))
    return cues


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


def write_vtt(cues: Sequence[Cue], out: Path) -> None:
    """Writes WebVTT, in which `&`, `<` and `>` are escaped."""
    lines = ["WEBVTT", ""]
    for cue in cues:
        text = cue.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        lines += [f"{_clock(cue.start_ms)} --> {_clock(cue.end_ms)}", text, ""]
    write_bytes(out, "\n".join(lines).encode())


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
