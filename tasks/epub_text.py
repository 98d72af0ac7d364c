"""From one XHTML document to the passages that are read aloud: every text once, nothing added."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from lxml import etree

from tasks.epub_fold import fold_text, folded_offsets
from tasks.epub_markup import classes_of, local_name, text_nodes, types_of

BLOCKS = set(
    """
    address article aside blockquote body caption center dd details dialog dir div dl dt fieldset
    figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu
    ol optgroup option p pre section summary table tbody td tfoot th thead tr ul
    """.split()  # noqa: SIM905
)
HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
# Never text, or text for machines only. `rt` repeats what the ruby base says; `case` of an
# epub:switch needs a renderer, its `default` is plain XHTML.
SILENT = set(
    """
    audio button canvas case datalist head iframe map math nav noscript object rp rt rtc script
    select style svg template textarea title video
    """.split()  # noqa: SIM905
)

# What a listener does not want by default: epub:type and DPUB-ARIA roles, guide types, and what
# to call them.
MATTER = {
    "bibliography": "bibliography",
    "colophon": "colophon",
    "contributors": "list of contributors",
    "copyright": "copyright page",
    "copyright-page": "copyright page",
    "cover": "cover",
    "credits": "credits",
    "endnote": "notes",
    "endnotes": "notes",
    "footnote": "notes",
    "footnotes": "notes",
    "halftitle": "half title page",
    "halftitlepage": "half title page",
    "imprimatur": "imprint",
    "imprint": "imprint",
    "index": "index",
    "landmarks": "navigation",
    "loa": "list of audio clips",
    "loi": "list of illustrations",
    "lot": "list of tables",
    "lov": "list of video clips",
    "notes": "notes",
    "other-credits": "credits",
    "page-list": "navigation",
    "pagelist": "navigation",
    "rearnote": "notes",
    "rearnotes": "notes",
    "seriespage": "series page",
    "title-page": "title page",
    "titlepage": "title page",
    "toc": "table of contents",
}
# The author's words even where they stand on a title page.
NARRATIVE = {
    "afterword": "Afterword",
    "dedication": "Dedication",
    "epigraph": "Epigraph",
    "epilogue": "Epilogue",
    "foreword": "Foreword",
    "introduction": "Introduction",
    "preface": "Preface",
    "prologue": "Prologue",
}
VERSE_TYPES = {"z3998:hymn", "z3998:poem", "z3998:song", "z3998:verse"}
VERSE_CLASS = re.compile(r"(poem|poetry|verse|stanza|line-?group)[-_\w]*|lg")
BREAK_CLASS = re.compile(
    r"(scene|section|thought|text|space|context)[-_]?break|asterism|fleuron|ornament|tb|dinkus"
)
NUMBER_CLASS = re.compile(
    r"(page-?(num(ber)?|no)|pagenum|x-ebookmaker-pageno|l-?num|line-?num(ber)?)s?"
)
NOTE_CLASS = re.compile(r"(foot|end)?note-?(ref|mark|anchor|number)|fnanchor|fnref")
PART_OF_TITLE = re.compile(r"(.*[:_-])?(label|ordinal|title|subtitle|number|num|chapnum)")
# Ornaments that stand for a scene break. Lone dashes and points may be speech, so they count in
# a row only.
ORNAMENT = re.compile(r"(?:[*⁂•·∙⋅※❦❧☙✦✧✶★☆◆◇◊○●■□▪~#]|[-–—―+=_]{3,}|\s)+")
NOTE_MARK = re.compile(
    r"[\[(（［]?\s*(?:\w{0,3}\d+\w?|[*†‡§‖¶#]+|[a-z]|[ivxlc]+)\s*[\])）］]?", re.I
)
ARROWS = re.compile(r"[\^↑↩↵⏎⤴⬆\ufe0e\ufe0f\s]+")
HEADING_TYPES = {"covertitle", "fulltitle", "heading", "subtitle", "title"}
HEADING_CLASS = re.compile(r"(chap(ter)?|part|book)[-_]?(title|head(ing)?|num(ber)?|no)")
BRACKETED = re.compile(r"[\[［][^\[\]［］]{1,12}[\]］](?:\s*[\[(［][^\[\]［］()]{1,12}[\])］])*")
HIDING = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.I)
BLOCK_STYLE = re.compile(r"(?:^|;)\s*display\s*:\s*(?:block|list-item|table)", re.I)
# Ebookmaker's editions without images print an image's alternative text in such spans; where the
# image was a letter, the word needs it.
PRINTED_ALT = re.compile(r"img_images_")
LONGEST_INITIAL = 3


@dataclass(frozen=True)
class Origin:
    """Where characters of a block's text stand in their document: `length` of them from `start` are
    those from `offset` on of its text node number `node`, counted in document order (see
    `tasks.epub_markup.text_nodes`). White space may be another there; the letters of a ligature
    have an origin each, which is the ligature."""

    start: int
    length: int
    node: int
    offset: int


class _Piece(NamedTuple):
    """Text on its way into a passage, and its text node's number, -1 where it has none."""

    text: str
    node: int = -1


@dataclass(frozen=True)
class Passage:
    """One block of text in reading order.

    `level` is a heading's 1 to 6, `label` its text with page numbers, notes and captions as a
    table of contents may have copied it; `links` counts links into the book and `linked` says
    that the passage is nothing but such links; `matter` is the author's front or back matter
    that it belongs to, such as "Epigraph". `origins` and `document` say where the text stands, as
    in `tasks.read_book.Block`.
    """

    kind: str
    text: str
    level: int = 0
    label: str = ""
    links: int = 0
    linked: bool = False
    matter: str = ""
    origins: tuple[Origin, ...] = ()
    document: str = ""


@dataclass
class Extract:
    """A document's passages, where its ids point to, and what was left out.

    `anchors` maps an id to the number of the passage that begins there ("" is the first; ids of
    what was left out are not in it); `skipped` maps a reason to the texts that nobody hears.
    """

    passages: list[Passage] = field(default_factory=list)
    anchors: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Context:
    """What an element's ancestors say about the text in it."""

    level: int = 0
    heading_group: bool = False
    verse: bool = False
    silent: bool = False
    caption: bool = False
    linked: bool = False
    reason: str = ""
    matter: str = ""


def is_ornament(text: str) -> bool:
    """Whether a passage is only asterisks, flowers or rules: a scene break."""
    return bool(text) and ORNAMENT.fullmatch(text) is not None


def extract(
    root: etree._Element,
    starts: Iterable[str] = (),
    matter: dict[str, str] | None = None,
) -> Extract:
    """The passages of a document in order.

    `starts` are the ids where a chapter begins, so a passage is cut there; `matter` maps ids to
    what landmarks say stands there (a key of MATTER). Every character of visible text that is
    not skipped for a reason occurs in exactly one passage.
    """
    walker = _Walker(set(starts) - {""}, matter or {})
    walker.walk(root)
    return walker.result


class _Walker:
    """Walks a tree without recursion, collecting text until a block begins or ends."""

    def __init__(self, starts: set[str], matter: dict[str, str]) -> None:
        self.starts = starts
        self.matter = matter
        self.result = Extract()
        self._clear(_Context())

    def _clear(self, context: _Context) -> None:
        self.context = context
        self.parts: list[_Piece] = []
        self.label: list[str] = []
        self.captions: list[_Piece] = []
        self.links = 0
        self.linked_letters = 0

    def walk(self, root: etree._Element) -> None:
        """Visit every element below `root` (and `root`) and every text between them."""
        stack: list[tuple[etree._Element, _Context, Iterator[etree._Element]]] = []
        outer = _Context()
        self.nodes = {(at, tail): node for node, (at, tail, _) in enumerate(text_nodes(root))}
        self._enter(root, outer, stack)
        while stack:
            element, context, children = stack[-1]
            child = next(children, None)
            if child is not None:
                self._enter(child, context, stack)
                continue
            stack.pop()
            parent_context = stack[-1][1] if stack else outer
            self._leave(element, context, parent_context)
            if stack and element.tail:
                self._add(element.tail, parent_context, self.nodes[element, True])
        self._flush(outer)

    def _enter(
        self,
        element: etree._Element,
        outer: _Context,
        stack: list[tuple[etree._Element, _Context, Iterator[etree._Element]]],
    ) -> None:
        name = local_name(element)
        context = self._inside(element, name, outer)
        marks = {element.get("id", ""), element.get("name", "") if name == "a" else ""}
        begins = not outer.level and not self.starts.isdisjoint(marks)
        if begins or _ends_passage(element, name, context, outer):
            self._flush(context)
        elif context.level and _touches_title(element):
            self._add(" ", context)
        for mark in marks:
            if not context.reason:
                self.result.anchors.setdefault(mark, len(self.result.passages))
        if name == "br":
            self._break_line(context)
        elif name == "hr" and not context.silent and not context.reason:
            if "pagebreak" not in types_of(element):
                self._scene_break()
        elif name == "a" and _is_internal(element) and not context.silent:
            self.links += 1
        stack.append((element, context, iter(element)))
        if element.text:
            self._add(element.text, context, self.nodes[element, False])

    def _leave(self, element: etree._Element, context: _Context, outer: _Context) -> None:
        name = local_name(element)
        if not _ends_passage(element, name, context, outer):
            return
        self._flush(outer)
        breaks = name != "hr" and any(map(BREAK_CLASS.fullmatch, classes_of(element)))
        if breaks and not context.silent and not fold_text("".join(element.itertext())):
            self._scene_break()

    def _inside(self, element: etree._Element, name: str, outer: _Context) -> _Context:
        """The context of an element's text."""
        if outer.silent:
            return outer
        types, classes = types_of(element), classes_of(element)
        style = element.get("style", "")
        silent = (
            name in SILENT
            or element.get("hidden") is not None
            or element.get("aria-hidden", "").lower() == "true"
            or HIDING.search(style) is not None
            or "pagebreak" in types
            or any(map(NUMBER_CLASS.fullmatch, classes))
            or _is_note_mark(element, name, types, classes)
            or (not outer.level and _is_printed_alt(element))
        )
        reason = outer.reason
        narrative = next((NARRATIVE[kind] for kind in sorted(types) if kind in NARRATIVE), "")
        told = types | {self.matter.get(element.get("id", ""), "")}
        if narrative:
            reason = ""
        elif "pg-boilerplate" in classes:
            reason = "Project Gutenberg's header and licence"
        elif found := sorted(told & MATTER.keys()):
            reason = MATTER[found[0]]
        level = HEADINGS.get(name, outer.level)
        if not level and _is_heading(element, name, types, classes, outer):
            level = 6
        group = outer.heading_group or name == "hgroup"
        block = name in BLOCKS
        verse = outer.verse or bool(types & VERSE_TYPES)
        verse = verse or (block and any(map(VERSE_CLASS.fullmatch, classes)))
        return _Context(
            level=level,
            heading_group=group,
            verse=verse,
            silent=silent,
            caption=outer.caption or (level > 0 and "caption" in classes),
            linked=outer.linked or (name == "a" and _is_internal(element)),
            reason=reason,
            matter=narrative or outer.matter,
        )

    def _add(self, text: str, context: _Context, node: int = -1) -> None:
        """Text of the passage at hand; `node` is its text node's number, -1 if it is in none."""
        if context.level:
            self.label.append(text)
        if context.silent:
            return
        if context.reason and context.reason != self.context.reason:
            # A note in the middle of a sentence: the sentence goes on after it.
            self.result.skipped.setdefault(context.reason, []).append(fold_text(text))
            return
        if context.caption:
            self.captions.append(_Piece(text, node))
            return
        self.parts.append(_Piece(text, node))
        if context.linked:
            self.linked_letters += len("".join(text.split()))

    def _break_line(self, context: _Context) -> None:
        """A line break is white space; in verse it ends the line, which is a passage."""
        if context.verse and not context.level and not context.silent:
            self._flush(context)
        else:
            self._add(" ", context)
            if self.captions:
                self.captions.append(_Piece(" "))

    def _scene_break(self) -> None:
        self._flush(self.context)
        if not self.context.reason:
            self._append(Passage("scene_break", "", matter=self.context.matter))

    def _flush(self, following: _Context) -> None:
        """End the passage at hand; what comes next belongs to `following`."""
        context = self.context
        (text, origins), (caption, beside) = _folded(self.parts), _folded(self.captions)
        label = fold_text("".join(self.label))
        letters = sum(len("".join(piece.text.split())) for piece in self.parts)
        links, linked = self.links, letters > 0 and self.linked_letters >= 0.8 * letters
        self._clear(following)
        if caption and not text:
            text, origins, caption = caption, beside, ""
        if not text:
            return
        if context.reason:
            self.result.skipped.setdefault(context.reason, []).append(text)
        elif is_ornament(text):
            self._append(Passage("scene_break", "", matter=context.matter))
        else:
            kind = "heading" if context.level else "verse" if context.verse else "paragraph"
            matter = context.matter
            self._append(Passage(kind, text, context.level, label, links, linked, matter, origins))
            if caption:
                self._append(Passage("paragraph", caption, matter=matter, origins=beside))

    def _append(self, passage: Passage) -> None:
        self.result.passages.append(passage)


def _folded(pieces: Sequence[_Piece]) -> tuple[str, tuple[Origin, ...]]:
    """The folded text of all pieces, and where its characters stand in their nodes."""
    text, offsets = folded_offsets("".join(piece.text for piece in pieces))
    begins = list(accumulate((len(piece.text) for piece in pieces), initial=0))
    origins: list[Origin] = []
    for at, offset in enumerate(offsets):
        number = bisect_right(begins, offset) - 1
        node, offset = pieces[number].node, offset - begins[number]
        if node < 0:
            continue
        last = origins[-1] if origins else None
        if last and (last.start + last.length, last.node, last.offset + last.length) == (
            at,
            node,
            offset,
        ):
            origins[-1] = Origin(last.start, last.length + 1, node, last.offset)
        else:
            origins.append(Origin(at, 1, node, offset))
    return text, tuple(origins)


def _is_block(element: etree._Element, name: str) -> bool:
    return name in BLOCKS or BLOCK_STYLE.search(element.get("style", "")) is not None


def _is_internal(element: etree._Element) -> bool:
    href = element.get("href", "")
    return bool(href) and "://" not in href and not href.startswith("mailto:")


def _ends_passage(element: etree._Element, name: str, context: _Context, outer: _Context) -> bool:
    """Whether an element's edges are edges of passages."""
    return _is_block(element, name) or context.matter != outer.matter


def _is_heading(
    element: etree._Element, name: str, types: set[str], classes: set[str], outer: _Context
) -> bool:
    """Whether a paragraph is a heading by what it says of itself, though it is no h1 to h6."""
    if name == "p" and outer.heading_group:
        return True
    if name not in ("p", "div") or any(local_name(child) in BLOCKS for child in element):
        return False
    return bool(types & HEADING_TYPES) or any(map(HEADING_CLASS.fullmatch, classes))


def _is_note_mark(element: etree._Element, name: str, types: set[str], classes: set[str]) -> bool:
    """Whether an inline element is a note's number or the way back from a note, not words."""
    if "backlink" in types:
        return True
    if name not in ("a", "sup", "span", "small"):
        return False
    told = "noteref" in types or any(map(NOTE_CLASS.fullmatch, classes))
    link = name == "a" and "#" in element.get("href", "")
    if not (told or link or name == "sup"):
        return False
    text = fold_text("".join(element.itertext()))
    if name == "sup" and (BRACKETED.fullmatch(text) or any("note" in word for word in classes)):
        return True
    if link and ARROWS.fullmatch(text):
        return True
    if NOTE_MARK.fullmatch(text) is None:
        return False
    parent = element.getparent()
    raised = parent is not None and local_name(parent) == "sup"
    raised = raised or any(local_name(child) == "sup" for child in element)
    return told or (link and (raised or BRACKETED.fullmatch(text) is not None))


def _is_printed_alt(element: etree._Element) -> bool:
    if not PRINTED_ALT.match(element.get("id", "")):
        return False
    return len(fold_text("".join(element.itertext()))) > LONGEST_INITIAL


def _touches_title(element: etree._Element) -> bool:
    """Whether a heading's part (label, number, title) follows another with nothing between."""
    before = element.getprevious()
    if before is None or (before.tail or "").strip() or local_name(element) in ("br", "sup"):
        return False
    return any(
        PART_OF_TITLE.fullmatch(kind)
        for part in (before, element)
        for kind in types_of(part) | classes_of(part)
    )
