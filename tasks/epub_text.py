"""From one XHTML document to the passages that are read aloud: every text once, nothing added."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import accumulate, count, groupby
from typing import NamedTuple

from lxml import etree

from tasks.book import Origin, Remark
from tasks.epub_elements import (
    BLOCKS,
    Mark,
    Ruby,
    breaks_scene,
    has_words,
    in_note_mark,
    in_ornament,
    is_block,
    is_heading,
    is_hidden,
    is_initial,
    is_internal,
    is_printed_alt,
    is_printed_number,
    is_verse,
    mark_of,
    read_ruby,
    speaker_of,
    ssml,
    touches_title,
)
from tasks.epub_fold import fold_text, folded_offsets
from tasks.epub_markup import XML, classes_of, local_name, named, text_nodes, types_of
from tasks.epub_notes import (
    NOTE_GROUPS,
    NOTE_TYPES,
    Place,
    is_note_mark,
    is_note_number,
    note_target,
)
from tasks.epub_writing import (
    NO_LANGUAGE,
    is_rare_character,
    is_reading,
    is_written_in,
    primary_language,
)
from tasks.matter import AS_USUAL, MATTER, NARRATIVE, SKIPPED, Reading

HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
# Never text, or text for machines only. `rt` says what the ruby base says; `case` of an
# epub:switch needs a renderer, its `default` is plain XHTML.
SILENT = set(
    """
    audio button canvas case datalist head iframe map math nav noscript object rp rt rtc script
    select style svg template textarea title video
    """.split()  # noqa: SIM905
)
# Ornaments that stand for a scene break. Lone dashes and points may be speech, so they count in
# a row only.
ORNAMENT = re.compile(r"(?:[*⁂•·∙⋅※❦❧☙✦✧✶★☆◆◇◊○●■□▪~#]|[-–—―+=_]{3,}|\s)+")
NOTE_CLASSES = {"endnote", "endnotes", "footnote", "footnotes", "rearnote", "rearnotes"}
FILE_NAME = re.compile(r"\S+\.(?:jpe?g|png|gif|svg|webp|tiff?|bmp)", re.I)
IMAGE_WORDS = {"image", "img", "picture", "illustration", "cover", "*"}
DESCRIPTIONS = "pictures' descriptions"
FORMULAS = "formulas without a text"


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
    in `tasks.book.Block`. `remarks` are what the markup says of its words, `notes` the places of
    the notes that it refers to.
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
    remarks: tuple[Remark, ...] = ()
    notes: tuple[Place, ...] = ()


@dataclass
class Extract:
    """A document's passages, where its ids point to, and what was left out.

    `anchors` maps an id to the number of the passage that begins there ("" is the first; ids of
    what was left out are not in it); `skipped` maps a reason to the texts that nobody hears,
    `notes` an id to the passages of the note there, unless notes are skipped.
    """

    passages: list[Passage] = field(default_factory=list)
    anchors: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    notes: dict[str, list[Passage]] = field(default_factory=dict)


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
    note: str = ""
    language: str = ""
    speaker: str = ""
    alphabet: str = ""
    mark: Mark | None = None
    ruby: Ruby | None = None
    wordless: bool = False


def is_ornament(text: str) -> bool:
    """Whether a passage is only asterisks, flowers or rules: a scene break."""
    return bool(text) and ORNAMENT.fullmatch(text) is not None


def extract(
    root: etree._Element,
    starts: Iterable[str] = (),
    matter: Mapping[str, str] | None = None,
    *,
    path: str = "",
    language: str = "",
    reading: Reading = AS_USUAL,
    bodies: Mapping[etree._Element, str] | None = None,
    hidden: Collection[etree._Element] = (),
) -> Extract:
    """The passages of the document `path` in order.

    `starts` are the ids where a chapter begins, so a passage is cut there; `matter` maps ids to
    what landmarks say stands there (a key of MATTER). `language` is the book's: only what is in
    another one gets a remark. `bodies` are the elements that hold notes, with their ids, `hidden`
    those that style sheets hide. Every character of visible text that is not skipped for a reason
    occurs in exactly one passage.
    """
    if local_name(root) == "svg":
        return _of_picture(root)
    walker = _Walker(
        set(starts) - {""}, matter or {}, path, language, reading, bodies or {}, hidden
    )
    walker.walk(root)
    return walker.result


def _of_picture(root: etree._Element) -> Extract:
    """The texts of an SVG document, a passage each."""
    found = Extract(anchors={"": 0})
    for element in named(root, "text"):
        found.anchors.setdefault(element.get("id", ""), len(found.passages))
        pieces = []
        for inner in element.iter():
            placed = any(inner.get(name) for name in ("x", "y", "dx", "dy"))
            pieces += [" " if placed else "", inner.text or ""]
            pieces.append("" if inner is element else inner.tail or "")
        if text := fold_text("".join(pieces)):
            found.passages.append(Passage("paragraph", text))
    return found


class _Walker:
    """Walks a tree without recursion, collecting text until a block begins or ends."""

    def __init__(
        self,
        starts: set[str],
        matter: Mapping[str, str],
        path: str,
        language: str,
        reading: Reading,
        bodies: Mapping[etree._Element, str],
        hidden: Collection[etree._Element],
    ) -> None:
        self.starts = starts
        self.matter = matter
        self.path = path
        self.language = primary_language(language)
        self.reading = reading
        self.bodies = bodies
        self.hidden = hidden
        self.silent = SILENT if reading.leaves_out(SKIPPED["contents"]) else SILENT - {"nav"}
        self.numbers = count(1)
        self.result = Extract()
        self._begin_remarks()
        self._clear(_Context())

    def _begin_remarks(self) -> None:
        # What the text since the last passage carries: raw start and end of each part of
        # `self.parts`, its context and mark; the notes that it refers to; notes in its middle.
        self.told: list[tuple[int, int, _Context, Mark | None]] = []
        self.raw_length = 0
        self.references: list[Place] = []
        self.asides: dict[str, list[_Piece]] = {}

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
                self._text(element.tail, parent_context, self.nodes[element, True])
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
        elif context.level and touches_title(element):
            self._text(" ", context)
        for mark in marks:
            if not context.reason:
                self.result.anchors.setdefault(mark, len(self.result.passages))
        if name == "br":
            self._break_line(context)
        elif name == "hr" and not context.silent and not context.reason:
            if "pagebreak" not in types_of(element):
                self._scene_break()
        elif name == "a" and (not outer.silent or in_note_mark(element)):
            if is_internal(element) and not context.silent:
                self.links += 1
            if (target := note_target(element, self.path)) is not None:
                self.references.append(target)
        elif name in ("img", "math") and not outer.silent:
            self._describe(element, name, context, outer)
        elif name in ("rt", "rtc") and outer.ruby is not None:
            read_ruby(element, name, outer.ruby)
        stack.append((element, context, iter(element)))
        if element.text:
            self._text(element.text, context, self.nodes[element, False])

    def _leave(self, element: etree._Element, context: _Context, outer: _Context) -> None:
        name = local_name(element)
        if not _ends_passage(element, name, context, outer):
            return
        self._flush(outer)
        breaks = name != "hr" and breaks_scene(element)
        if breaks and not context.silent and not fold_text("".join(element.itertext())):
            self._scene_break()

    def _inside(self, element: etree._Element, name: str, outer: _Context) -> _Context:
        """The context of an element's text."""
        if outer.silent:
            return outer
        types, classes = types_of(element), classes_of(element)
        silent = (
            name in self.silent
            or (element not in self.bodies and (is_hidden(element) or element in self.hidden))
            or "pagebreak" in types
            or is_printed_number(classes)
            or is_note_mark(element, name, types, classes)
            or (outer.note != "" and self._begins() and is_note_number(element, name))
            or (not outer.level and is_printed_alt(element))
        )
        reason, note = self._reason(element, name, types, classes, outer)
        narrative = next((NARRATIVE[kind] for kind in sorted(types) if kind in NARRATIVE), "")
        level = HEADINGS.get(name, outer.level)
        if not level and is_heading(element, name, types, classes, outer.heading_group):
            level = 6
        group = outer.heading_group or name == "hgroup"
        language = (element.get(f"{{{XML}}}lang") or element.get("lang") or "").strip()
        alphabet = ssml(element, "alphabet").strip().lower() or outer.alphabet
        return _Context(
            level=level,
            heading_group=group,
            verse=outer.verse or is_verse(name, types, classes),
            silent=silent,
            caption=outer.caption or (level > 0 and "caption" in classes),
            linked=outer.linked or (name == "a" and is_internal(element)),
            reason=reason,
            matter=narrative or outer.matter,
            note=note,
            language=language or outer.language,
            speaker=speaker_of(element, name, types, classes, outer.speaker),
            alphabet=alphabet,
            mark=mark_of(element, types, alphabet, outer.mark),
            ruby=Ruby() if name == "ruby" else outer.ruby,
            wordless=outer.wordless or (level > outer.level and not has_words(element)),
        )

    def _reason(
        self,
        element: etree._Element,
        name: str,
        types: set[str],
        classes: set[str],
        outer: _Context,
    ) -> tuple[str, str]:
        """Why the text of an element is not read, or ""; and the id of the note that it is in."""
        told = types | {self.matter.get(element.get("id", ""), "")}
        notes = SKIPPED["notes"]
        note = self.bodies.get(element, "")
        if note:
            return (notes, note) if self.reading.leaves_out(notes) else (outer.reason, "")
        if narrative := next((NARRATIVE[kind] for kind in sorted(types) if kind in NARRATIVE), ""):
            return (narrative if self.reading.leaves_out(narrative) else ""), ""
        reason = ""
        if "pg-boilerplate" in classes:
            reason = SKIPPED["licence"]
        elif found := sorted(told & MATTER.keys()):
            reason = MATTER[found[0]]
        elif name in BLOCKS and classes & NOTE_CLASSES:
            reason = notes
        if not reason:
            return outer.reason, outer.note
        if not self.reading.leaves_out(reason):
            return "", ""
        if reason == notes and outer.note:
            return reason, outer.note
        if reason == notes and types & (NOTE_TYPES | NOTE_GROUPS) and name not in BLOCKS:
            # A note that stands where others have their mark.
            note = f" {next(self.numbers)}"
            self.references.append((self.path, note))
        return reason, note

    def _describe(
        self, element: etree._Element, name: str, context: _Context, outer: _Context
    ) -> None:
        """Read what stands for a picture or a formula, where it is meant to be read."""
        if context.reason or (context.silent and name == "img"):
            return
        if name == "math":
            said = fold_text(element.get("alttext", ""))
            if said and "\\" not in said:  # which would be TeX
                self._text(f" {said} ", outer)
            else:
                texts = fold_text(" ".join(element.itertext()))
                self.result.skipped.setdefault(FORMULAS, []).append(texts)
            return
        said = fold_text(element.get("alt", ""))
        if not said or element.get("role", "").lower() in ("presentation", "none"):
            return
        if is_rare_character(said) or (self._begins() and is_initial(element, said)):
            self._text(said, context)
        elif FILE_NAME.fullmatch(said) or said.casefold() in IMAGE_WORDS or is_ornament(said):
            return
        elif context.wordless or (self.reading.images and not in_ornament(element)):
            self._text(f" {said} ", context)
        elif not in_ornament(element):
            self.result.skipped.setdefault(DESCRIPTIONS, []).append(said)

    def _begins(self) -> bool:
        """Whether the passage at hand has no letters yet."""
        return not any(character.isalnum() for piece in self.parts for character in piece.text)

    def _text(self, text: str, context: _Context, node: int = -1) -> None:
        """Add text, and keep what its context says of it; `node` as in `_add`."""
        inside = context.note and not context.silent and context.reason != self.context.reason
        if inside and self.reading.notes != "skip":
            self.asides.setdefault(context.note, []).append(_Piece(text, node))
            return
        before = len(self.parts)
        self._add(text, context, node)
        if len(self.parts) == before:
            return
        mark = context.mark
        if context.ruby is not None and (mark is None or not mark.phonemes) and text.strip():
            mark = context.ruby.base()
        start, self.raw_length = self.raw_length, self.raw_length + len(text)
        self.told.append((start, self.raw_length, context, mark))

    def _remarks(self) -> tuple[Remark, ...]:
        """What was told of the text at hand, by the characters of its folded form."""
        found: list[tuple[int, int, Remark]] = []
        kinds: list[tuple[str, Callable[[_Context], str]]] = [
            ("language", self._foreign),
            ("speaker", lambda context: context.speaker),
        ]
        for name, value_of in kinds:
            for value, run in groupby(self.told, key=lambda part: value_of(part[2])):
                if value:
                    parts = list(run)
                    found.append((parts[0][0], parts[-1][1], Remark(0, 0, **{name: value})))
        for mark, run in groupby(self.told, key=lambda part: part[3]):
            if mark is not None:
                parts = list(run)
                told = {one.name: getattr(mark, one.name) for one in fields(Mark)}
                found.append((parts[0][0], parts[-1][1], Remark(0, 0, **told)))
        if not found:
            return ()
        text, offsets = folded_offsets("".join(piece.text for piece in self.parts))
        merged: dict[tuple[int, int], dict[str, str]] = {}
        for first, last, remark in found:
            start, end = bisect_left(offsets, first), bisect_left(offsets, last)
            start += text[start : start + 1] == " "
            end -= text[end - 1 : end] == " "
            told = {
                name: value
                for name, value in vars(remark).items()
                if name not in ("start", "end") and value
            }
            if not is_reading(told.get("said", ""), text[start:end]):
                told.pop("said", "")
            if not is_written_in(told.get("language", ""), text[start:end]):
                told.pop("language", "")
            if start < end and told:
                merged.setdefault((start, end), {}).update(told)
        return tuple(Remark(start, end, **told) for (start, end), told in sorted(merged.items()))

    def _foreign(self, context: _Context) -> str:
        """The language of a text where it is not the book's."""
        primary = primary_language(context.language)
        if primary in NO_LANGUAGE or primary == self.language:
            return ""
        return context.language

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
            self._text(" ", context)
            if self.captions:
                self.captions.append(_Piece(" "))

    def _scene_break(self) -> None:
        self._flush(self.context)
        if not self.context.reason:
            self._append(Passage("scene_break", "", matter=self.context.matter))

    def _flush(self, following: _Context) -> None:
        """End the passage at hand; what comes next belongs to `following`."""
        context = self.context
        remarks, asides, notes = self._remarks(), self.asides, tuple(self.references)
        self._begin_remarks()
        (text, origins), (caption, beside) = _folded(self.parts), _folded(self.captions)
        label = fold_text("".join(self.label))
        letters = sum(len("".join(piece.text.split())) for piece in self.parts)
        links, linked = self.links, letters > 0 and self.linked_letters >= 0.8 * letters
        self._clear(following)
        if caption and not text:
            text, origins, caption = caption, beside, ""
        told = Passage("", text, origins=origins, remarks=remarks, matter=context.matter)
        if not text:
            self.references.extend(notes)
        elif context.reason:
            self._leave_out(context, told)
        elif is_ornament(text):
            self._append(Passage("scene_break", "", matter=context.matter))
        else:
            kind = "heading" if context.level else "verse" if context.verse else "paragraph"
            self._append(
                replace(
                    told,
                    kind=kind,
                    level=context.level,
                    label=label,
                    links=links,
                    linked=linked,
                    notes=notes,
                )
            )
            if caption:
                matter = context.matter
                self._append(Passage("paragraph", caption, matter=matter, origins=beside))
        for mark, pieces in asides.items():
            note, origins = _folded(pieces)
            if note:
                found = Passage("note", note, origins=origins)
                self.result.notes.setdefault(mark, []).append(found)

    def _leave_out(self, context: _Context, told: Passage) -> None:
        """Keep a note for its place; anything else is not read, and why is kept."""
        if context.note and self.reading.notes != "skip":
            note = replace(told, kind="note", matter="")
            self.result.notes.setdefault(context.note, []).append(note)
        else:
            self.result.skipped.setdefault(context.reason, []).append(told.text)

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


def _ends_passage(element: etree._Element, name: str, context: _Context, outer: _Context) -> bool:
    """Whether an element's edges are edges of passages."""
    return is_block(element, name) or context.matter != outer.matter
