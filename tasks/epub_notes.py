"""Footnotes and endnotes: the marks that refer to them, and the elements that hold them."""

import re
from collections.abc import Iterator
from itertools import islice

from lxml import etree

from tasks.epub_fold import fold_text
from tasks.epub_markup import classes_of, local_name, types_of
from tasks.epub_package import resolve

# Where a note is: a document's path and an id in it.
Place = tuple[str, str]

NOTE_TYPES = {"endnote", "footnote", "note", "rearnote"}
NOTE_GROUPS = {"endnotes", "footnotes", "notes", "rearnotes"}
NOTE_CLASS = re.compile(r"(foot|end)?note-?(ref|mark|anchor|number)|fnanchor|fnref")
NOTE_BODY_CLASS = re.compile(r"(foot|end|rear)notes?|fn|fnote|note-?(body|content|text)")
NOTE_MARK = re.compile(
    r"[\[(（［]?\s*(?:\w{0,3}\d+\w?|[*†‡§‖¶#]+|[a-z]|[ivxlc]+)\s*[\])）］]?", re.I
)
ARROWS = re.compile(r"[\^↑↩↵⏎⤴⬆\ufe0e\ufe0f\s]+")
BRACKETED = re.compile(r"[\[［][^\[\]［］]{1,12}[\]］](?:\s*[\[(［][^\[\]［］()]{1,12}[\])］])*")
HOLDERS = {"aside", "blockquote", "dd", "div", "dt", "li", "p", "section", "td", "tr"}
# How far up from its id a note's element is, and how much markup is looked at.
MAX_CLIMB = 6
MAX_INSIDE = 400
# A mark holds no more than this.
MAX_MARK = 12


def is_note_mark(element: etree._Element, name: str, types: set[str], classes: set[str]) -> bool:
    """Whether an inline element is a note's number or the way back from a note, not words."""
    if "backlink" in types:
        return True
    if name not in ("a", "sup", "span", "small"):
        return False
    told = "noteref" in types or any(map(NOTE_CLASS.fullmatch, classes))
    link = name == "a" and "#" in element.get("href", "")
    if not (told or link or name == "sup"):
        return False
    text = _short_text(element)
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


def _short_text(element: etree._Element) -> str:
    """An element's text if it can be a mark, else something that is none."""
    texts = list(islice(element.itertext(), MAX_MARK + 1))
    return fold_text("".join(texts)) if len(texts) <= MAX_MARK else "no mark"


def is_note_number(element: etree._Element, name: str) -> bool:
    """Whether a link at the beginning of a note is only its number, which leads back."""
    if name != "a" or "#" not in element.get("href", ""):
        return False
    return NOTE_MARK.fullmatch(_short_text(element).rstrip(".:")) is not None


def note_target(element: etree._Element, path: str) -> Place | None:
    """Where a link in the document `path` finds its note; None where it refers to none."""
    href = element.get("href", "")
    if local_name(element) != "a" or "#" not in href:
        return None
    types = types_of(element)
    if "backlink" in types:
        return None
    if "noteref" in types or is_note_mark(element, "a", types, classes_of(element)):
        target = resolve(path, href)
        return target if target[0] and target[1] else None
    return None


def note_targets(root: etree._Element, path: str) -> set[Place]:
    """All places that a document's note marks refer to; ways back are among them."""
    links = (element for element in root.iter() if local_name(element) == "a")
    return {target for link in links if (target := note_target(link, path)) is not None}


def note_bodies(root: etree._Element, path: str, targets: set[Place]) -> dict[etree._Element, str]:
    """The elements of a document that hold a note that marks refer to, each with its id.

    An element holds a note if its type or class says so, if it stands in a list of notes, or if it
    begins with a link back to a document with marks.
    """
    ids = {mark for file, mark in targets if file == path}
    sources = {file for file, _ in targets}
    found: dict[etree._Element, str] = {}
    if not ids:
        return found
    seen: set[str] = set()
    for element in root.iter():
        marks = {element.get("id", ""), element.get("name", "")} - {""}
        seen |= marks
        for mark in sorted(marks & ids):
            if (body := _holder(element, seen, path, sources)) is not None:
                found.setdefault(body, mark)
    return found


def _holder(
    element: etree._Element, seen: set[str], path: str, sources: set[str]
) -> etree._Element | None:
    """The element of the note that begins at `element`, or None if that is no note.

    `seen` are the document's ids up to there, `sources` the paths of documents with marks.
    """
    climbed = list(_upwards(element))
    for above in climbed:
        if types_of(above) & NOTE_TYPES or _is_classed(above):
            return above
    block = next((above for above in climbed if local_name(above) in HOLDERS), None)
    if block is None or _begins_late(block, element):
        return None
    if any(types_of(above) & NOTE_GROUPS for above in islice(block.iterancestors(), MAX_INSIDE)):
        return block
    return block if _leads_back(block, seen, path, sources) else None


def _upwards(element: etree._Element) -> Iterator[etree._Element]:
    """The element and what it begins, up to a list of notes."""
    above: etree._Element | None = element
    for _ in range(MAX_CLIMB):
        if above is None or local_name(above) in ("body", "html"):
            return
        if types_of(above) & NOTE_GROUPS or local_name(above) in ("ol", "ul", "table"):
            return
        yield above
        above = above.getparent()


def _is_classed(element: etree._Element) -> bool:
    if local_name(element) not in HOLDERS:
        return False
    return any(map(NOTE_BODY_CLASS.fullmatch, classes_of(element)))


def _begins_late(block: etree._Element, element: etree._Element) -> bool:
    """Whether words of the block stand before the element, so that its id is not the block's."""
    if block is element:
        return False
    said = block.text or ""
    for number, inner in enumerate(block.iter()):
        if inner is element or number > MAX_INSIDE:
            break
        if inner is not block:
            said += (inner.text or "") + (inner.tail or "")
    return len(said.strip()) > MAX_MARK


def _leads_back(block: etree._Element, seen: set[str], path: str, sources: set[str]) -> bool:
    """Whether a block's first or last link is a way back, and looks like one.

    A mark refers to what follows it, a note's way back to what stands before.
    """
    inside = islice(block.iter(), MAX_INSIDE)
    links = [inner for inner in inside if local_name(inner) == "a"]
    for link in links[:1] + links[-1:]:
        target = resolve(path, link.get("href", ""))
        text = _short_text(link)
        mark = NOTE_MARK.fullmatch(text) or ARROWS.fullmatch(text) or BRACKETED.fullmatch(text)
        before = target[1] in seen if target[0] == path else target[0] in sources
        if mark and link.get("href") and target[1] and before:
            return True
    return False
