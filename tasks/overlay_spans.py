"""Where the spans around narrated lines go, so that the markup stays valid and says the same."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lxml import etree

from tasks.book import Origin
from tasks.epub_fold import fold_text
from tasks.epub_markup import local_name
from tasks.overlay_markup import Source, Tag

XHTML = "http://www.w3.org/1999/xhtml"
# Whole pictures and formulas may stand inside a span; no span may stand inside them.
_FOREIGN = ("http://www.w3.org/2000/svg", "http://www.w3.org/1998/Math/MathML")
_RUBY_PARTS = {"rb", "rbc", "rp", "rt", "rtc"}
_PHRASING = _RUBY_PARTS | set(
    """
    a abbr acronym area audio b bdi bdo big br button canvas cite code data del dfn em embed font
    i iframe img input ins kbd label link map mark meta meter noscript object output param picture
    progress q ruby s samp script small source span strike strong sub sup template time track tt
    u var video wbr
    """.split()  # noqa: SIM905
)
# Elements with text that may hold a span; not those whose content is bound to be something else,
# such as a list, a table, or a time that is to be read as one.
_HOLDERS = set(
    """
    a abbr acronym address article aside b bdi bdo big blockquote body caption center cite code dd
    del details dfn div dt em fieldset figcaption figure font footer form h1 h2 h3 h4 h5 h6 header
    i ins kbd label legend li main mark nav p pre q rb rt ruby s samp section small span strike
    strong sub summary sup td th tt u var
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Run:
    """Characters `start` to `end` of text node number `node` that a line says; they are `letters`
    of the line's characters, as (first, last + 1) of its text."""

    node: int
    start: int
    end: int
    letters: tuple[int, int]


@dataclass(frozen=True)
class Piece:
    """One span: characters `start` to `end` of the source belong to line number `line`.

    `parent` is the tag of the element that gets the span, `letters` which of the line's characters
    are in it, in stretches.
    """

    line: int
    start: int
    end: int
    parent: Tag
    letters: tuple[tuple[int, int], ...]


def runs_of(origins: Sequence[Origin], start: int, end: int) -> list[Run]:
    """Where characters `start` to `end` of a block stand: a run for each text node, in order.

    `letters` count from `start`.
    """
    found: dict[int, Run] = {}
    for origin in origins:
        first, last = max(start, origin.start), min(end, origin.start + origin.length)
        if first >= last:
            continue
        begin, stop = (origin.offset + at - origin.start for at in (first, last))
        before = found.get(origin.node)
        letters = (first - start, last - start)
        if before:
            begin, stop = min(before.start, begin), max(before.end, stop)
            letters = (before.letters[0], letters[1])
        found[origin.node] = Run(origin.node, begin, stop, letters)
    return [found[node] for node in sorted(found)]


def place_spans(source: Source, lines: Sequence[Sequence[Run]]) -> list[Piece]:
    """The spans of all lines in order of the source: disjoint, as few for each line as nest.

    A line gets one span where that can go around all of it; elements that it only partly covers
    part it. A line has no span where its elements can't hold one, or where an earlier line has
    its characters already.
    """
    kept = _kept(source, lines)
    placer = _Placer(source, kept)
    pieces = [piece for line in range(len(lines)) if kept[line] for piece in placer.place(line)]
    return sorted(pieces, key=lambda piece: piece.start)


def wrap_spans(source: Source, spans: Iterable[tuple[Piece, str]]) -> str:
    """The source with a span of this id around each of the pieces, which come in order."""
    parts: list[str] = []
    at = 0
    for piece, name in spans:
        tag = f"{piece.parent.prefix}span"
        parts += [source.text[at : piece.start], f'<{tag} id="{name}">']
        parts += [source.text[piece.start : piece.end], f"</{tag}>"]
        at = piece.end
    return "".join([*parts, source.text[at:]])


def _kept(source: Source, lines: Sequence[Sequence[Run]]) -> list[list[Run]]:
    """Runs without white space at their ends, without what is written together with a character
    of another line, and without characters that an earlier line has."""
    taken: dict[int, list[tuple[int, int]]] = {}
    kept: list[list[Run]] = []
    for runs in lines:
        mine: list[Run] = []
        for run in runs:
            if run.node >= len(source.nodes):
                continue
            node = source.nodes[run.node]
            start, end = run.start, min(run.end, len(node.text))
            while 0 < start < end and node.starts[start] == node.starts[start - 1]:
                start += 1
            while start < end < len(node.text) and node.starts[end] == node.starts[end - 1]:
                end += 1
            others = taken.setdefault(run.node, [])
            at = bisect_right(others, start, key=lambda stretch: stretch[0])
            if at and others[at - 1][1] > start:
                start = others[at - 1][1]
            while start < end and not fold_text(node.text[start]):
                start += 1
            while start < end and not fold_text(node.text[end - 1]):
                end -= 1
            if start < end and (at == len(others) or end <= others[at][0]):
                others.insert(at, (start, end))
                mine.append(Run(run.node, start, end, run.letters))
        kept.append(mine)
    return kept


class _Placer:
    """Finds the spans of one line at a time; knows where all lines stand."""

    def __init__(self, source: Source, lines: Sequence[Sequence[Run]]) -> None:
        self.source = source
        self.lines = lines
        self.tag_starts = [tag.start for tag in source.tags]
        places = sorted(self._place(run) for runs in lines for run in runs)
        self.begins = [start for start, _ in places]
        self.ends = [end for _, end in places]

    def place(self, line: int) -> list[Piece]:
        runs = self.lines[line]
        start, end = self._place(runs[0])[0], self._place(runs[-1])[1]
        start, end = self._around_whole(runs, start, end)
        start, end, cuts = self._lifted(start, end)
        edges = [start, *(edge for tag in cuts for edge in (tag.start, tag.end)), end]
        pieces: list[Piece] = []
        for first, last in zip(edges[::2], edges[1::2], strict=True):
            inside = [run for run in runs if first <= self._place(run)[0] < last]
            if inside:
                pieces += self._segment(line, inside, first, last)
        return pieces

    def _place(self, run: Run) -> tuple[int, int]:
        node = self.source.nodes[run.node]
        return node.starts[run.start], node.ends[run.end - 1]

    def _narrated(self, start: int, end: int) -> int:
        """How many runs, of any line, stand between two places."""
        return max(0, bisect_left(self.begins, end) - bisect_right(self.ends, start))

    def _tags(self, start: int, end: int) -> range:
        return range(bisect_left(self.tag_starts, start), bisect_left(self.tag_starts, end))

    def _around_whole(self, runs: Sequence[Run], start: int, end: int) -> tuple[int, int]:
        """The stretch with all of the ruby that it begins or ends in, so that base and reading are
        highlighted together, or of another element in which no span can be."""
        first, last = self._whole(runs[0]), self._whole(runs[-1])
        if first and not self._narrated(first.start, start):
            start = first.start
        if last and not self._narrated(end, close := self.source.tags[last.partner].end):
            end = close
        return start, end

    def _whole(self, run: Run) -> Tag | None:
        """The outermost inline element around a run that had better not be parted."""
        found = None
        number = self.source.nodes[run.node].parent
        while number >= 0 and _is_phrasing((tag := self.source.tags[number]).element):
            if local_name(tag.element) == "ruby" or not _holds(tag.element):
                found = tag
            number = tag.parent
        return found

    def _lifted(self, start: int, end: int) -> tuple[int, int, list[Tag]]:
        """The stretch, grown over inline elements that hold nothing else at its ends, and the tags
        in it whose partners are outside all the same."""
        tags = self.source.tags
        inside = self._tags(start, end)
        closing = [tags[at] for at in inside if tags[at].partner < inside.start]
        opening = [tags[at] for at in inside if tags[at].partner >= inside.stop]
        while closing:
            first = tags[closing[0].partner]
            if not _is_phrasing(first.element) or self._narrated(first.start, start):
                break
            start = first.start
            closing.pop(0)
        while opening:
            last = tags[opening[-1].partner]
            if not _is_phrasing(last.element) or self._narrated(end, last.end):
                break
            end = last.end
            opening.pop()
        return start, end, closing + opening

    def _segment(self, line: int, runs: Sequence[Run], start: int, end: int) -> list[Piece]:
        """One span for these runs, between whose places every element is whole; or one for each."""
        tags = self.source.tags
        first, last = self._place(runs[0])[0], self._place(runs[-1])[1]
        parent = tags[self.source.nodes[runs[0].node].parent]
        whole, bare_ruby = self._tags(start, end), False
        at = whole.start
        start, end = first, last
        while at < whole.stop:
            tag, close = tags[at], tags[tags[at].partner]
            if tag.start < last and first < close.end:
                if tag.start < first:
                    parent = tags[tag.parent]
                start, end = min(start, tag.start), max(end, close.end)
                bare_ruby = bare_ruby or local_name(tag.element) in _RUBY_PARTS
            at = tag.partner + 1
        fits = (
            _holds(parent.element)
            and not bare_ruby
            and all(_is_phrasing(tags[at].element) for at in self._tags(start, end))
            and self._narrated(start, end) == len(runs)
        )
        if fits:
            return [Piece(line, start, end, parent, tuple(run.letters for run in runs))]
        pieces = []
        for run in runs:
            parent = tags[self.source.nodes[run.node].parent]
            if _holds(parent.element):
                pieces.append(Piece(line, *self._place(run), parent, (run.letters,)))
        return pieces


def _namespace(element: etree._Element) -> str:
    return element.tag[1:].partition("}")[0] if element.tag.startswith("{") else ""


def _is_phrasing(element: etree._Element) -> bool:
    if _namespace(element) in _FOREIGN:
        return True
    return _namespace(element) == XHTML and local_name(element) in _PHRASING


def _holds(element: etree._Element) -> bool:
    return _namespace(element) == XHTML and local_name(element) in _HOLDERS


def free_prefix(text: str, prefix: str = "vx") -> str:
    """The prefix, made longer until no id in this markup begins with it and a hyphen."""
    while re.search(rf"""["']\s*{prefix}-""", text):
        prefix += "x"
    return prefix
