"""Where a book's chapters begin and what they are called; what is no narrative is left out."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tasks.book import LeftOut
from tasks.epub_fold import fold_text
from tasks.epub_text import Extract, Passage
from tasks.epub_toc import TocEntry
from tasks.matter import (
    AS_USUAL,
    LONG_LABELS,
    NARRATIVE_LABELS,
    SHORT_LABELS,
    SKIPPED,
    Reading,
)

# A table of contents that names fewer of the files with text is no guide to the chapters alone.
LEAST_COVERAGE = 0.3
DENSE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
TITLE_PAGE_WORDS = 150
# Lines on a title page may be long or end in a full stop, but hardly both and in small letters.
SENTENCE_WORDS = 8
SHORT_MATTER_WORDS = 1500
LEAST_PRINTED_LINKS = 5
TITLE_CHARACTERS = 120
HEADER_PASSAGES = 40

NUMBER_WORDS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen twenty thirty forty first second third last"
)
NUMBER = re.compile(
    r"(?:\w+\s+(?:the\s+)?)?(?:\d+|[ivxlcdm]+|第\w{1,5}|"
    + NUMBER_WORDS.replace(" ", "|")
    + r")(?:[\s-]\w+)?\s*[.:]?",
    re.I,
)

GUTENBERG = r"\s+(?:OF\s+)?(?:TH(?:E|IS)\s+)?PROJECT\s+GUTENBERG"
GUTENBERG_START = re.compile(
    r"\*\*\*\s*START" + GUTENBERG + r"|\*\s?END[\s*]*THE SMALL PRINT", re.I
)
GUTENBERG_END = re.compile(
    r"(?:\*\*\*\s*END" + GUTENBERG + r"|End of (?:the )?Project Gutenberg)", re.I
)


@dataclass
class Document:
    """One file of the reading order after extraction."""

    path: str
    extract: Extract


@dataclass
class Section:
    """Passages that belong together: a chapter, or something that is none."""

    label: str
    parents: tuple[str, ...]
    passages: list[Passage]
    title: str = ""


@dataclass
class Division:
    """The chapters in order, everything that was left out, and what was odd."""

    sections: list[Section] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def words_in(texts: Sequence[str]) -> int:
    """About how many words; ideographs and kana count as half a word each, and other scripts
    without spaces by their length."""
    return sum(max(_words(text), len(text) // 12) for text in texts)


def _words(text: str) -> int:
    spaced, dense = DENSE.subn(" ", text)
    return len(spaced.split()) + dense // 2


def plain(text: str) -> str:
    """A text's letters and digits in lower case, for comparing labels."""
    return "".join(character for character in text.casefold() if character.isalnum())


def divide(
    documents: Sequence[Document],
    toc: Sequence[TocEntry],
    book_title: str,
    reading: Reading = AS_USUAL,
) -> Division:
    """Cut the reading order into chapters.

    The table of contents says where chapters begin; files that it does not name continue the
    chapter before them, unless they begin with a heading as high as a chapter's. Without a table
    of contents, files and the highest repeated heading begin chapters.
    """
    result = Division()
    stream = [passage for document in documents for passage in document.extract.passages]
    if not stream:
        return result
    left_out = {
        at: reason for at, reason in _boilerplate(stream).items() if reading.leaves_out(reason)
    }
    openings = _openings(documents, toc, result.warnings)
    places = sorted(openings)
    sections = []
    for place, end in zip(places, [*places[1:], len(stream)], strict=True):
        kept = [stream[at] for at in range(place, end) if at not in left_out]
        sections.append(Section(openings[place].label, openings[place].parents, _trim(kept)))
    for reason in sorted(set(left_out.values())):
        texts = [stream[at].text for at, told in left_out.items() if told == reason]
        result.left_out.append(LeftOut(reason, "", words_in(texts)))
    sections = [section for section in sections if section.passages]
    for section in sections:
        section.title = _title_of(section)
    sections = _split_title_section(sections, book_title)
    sections = _without_matter(sections, book_title, reading, result.left_out)
    if sections and not sections[0].title and len(sections) > 1:
        sections[0].title = book_title  # what stands before the first chapter
    result.sections = _named_apart(_with_part_headings(sections))
    return result


def _trim(passages: list[Passage]) -> list[Passage]:
    """Passages without scene breaks that separate nothing: at the ends, after headings, doubled."""
    kept: list[Passage] = []
    for passage in passages:
        needless = not kept or kept[-1].kind in ("scene_break", "heading")
        if passage.kind != "scene_break" or not needless:
            kept.append(passage)
    while kept and kept[-1].kind == "scene_break":
        kept.pop()
    return kept


def _boilerplate(stream: Sequence[Passage]) -> dict[int, str]:
    """Numbers of the passages that are Gutenberg's words or a printed table of contents."""
    found: dict[int, str] = {}
    # Old editions have the whole header, mark and all, in one passage.
    starts = [
        at
        for at, passage in enumerate(stream)
        if GUTENBERG_START.match(passage.text)
        or (at < HEADER_PASSAGES and GUTENBERG_START.search(passage.text))
    ]
    ends = [at for at, passage in enumerate(stream) if GUTENBERG_END.match(passage.text)]
    licence, contents = SKIPPED["licence"], SKIPPED["contents"]
    if starts:
        found |= dict.fromkeys(range(starts[-1] + 1), licence)
    if ends and (not starts or ends[0] > starts[0]):
        found |= dict.fromkeys(range(ends[0], len(stream)), licence)
    at = 0
    while at < len(stream):
        end = at
        while end < len(stream) and (stream[end].linked or stream[end].kind == "scene_break"):
            end += 1
        run = [place for place in range(at, end) if stream[place].kind != "scene_break"]
        if sum(stream[place].links for place in run) >= LEAST_PRINTED_LINKS:
            found |= dict.fromkeys(run, contents)
            if at and SHORT_LABELS.get(plain(stream[at - 1].text)) == contents:
                found[at - 1] = contents
        at = max(end, at + 1)
    return found


def _openings(
    documents: Sequence[Document], toc: Sequence[TocEntry], warnings: list[str]
) -> dict[int, TocEntry]:
    """Where chapters begin: number of a passage in the stream -> what the contents say of it."""
    stream = [passage for document in documents for passage in document.extract.passages]
    offsets, total = [], 0
    for document in documents:
        offsets.append(total)
        total += len(document.extract.passages)
    openings = _listed_openings(documents, offsets, stream, toc, warnings)
    spans = [
        range(offset, offset + len(document.extract.passages))
        for document, offset in zip(documents, offsets, strict=True)
        if document.extract.passages
    ]
    listed = [any(place in span for place in openings) for span in spans]
    levels = [stream[place].level for place in openings if stream[place].level]
    sparse = sum(listed) < LEAST_COVERAGE * len(spans)
    highest = 6 if sparse else min(levels, default=0)
    if not openings:
        # Without any list, the highest heading that occurs twice is that of the chapters.
        counts = Counter(passage.level for passage in stream if passage.level)
        repeated = min((level for level, count in counts.items() if count > 1), default=0)
        for place, passage in enumerate(stream):
            if repeated and passage.level == repeated:
                openings[place] = TocEntry("", "", "")
    first = min(openings, default=total)
    for span, named in zip(spans, listed, strict=True):
        begins = next((at for at in span if stream[at].kind != "scene_break"), span.start)
        heads = stream[begins].level and (stream[begins].level <= highest or not levels)
        if not named and span.start not in openings and (span.start < first or heads):
            openings[span.start] = TocEntry("", "", "")
    openings.setdefault(0, TocEntry("", "", ""))
    return openings


def _listed_openings(
    documents: Sequence[Document],
    offsets: Sequence[int],
    stream: Sequence[Passage],
    toc: Sequence[TocEntry],
    warnings: list[str],
) -> dict[int, TocEntry]:
    """The places that the table of contents names; two entries for one place become one."""
    numbers: dict[str, int] = {}
    for number, document in enumerate(documents):
        numbers.setdefault(document.path, number)
    openings: dict[int, TocEntry] = {}
    starts = set(offsets)
    for entry in toc:
        if entry.path not in numbers:
            continue
        number = numbers[entry.path]
        extract = documents[number].extract
        if entry.fragment not in extract.anchors:
            if not extract.skipped and extract.passages:
                warnings.append(
                    f"The table of contents points to {entry.fragment!r} in {entry.path}, which"
                    f" is not there ({entry.label})."
                )
            continue
        at = extract.anchors[entry.fragment]
        place = offsets[number] + at
        if at == len(extract.passages):
            # Nothing follows in this file. The next one is meant where a chapter's mark stands
            # at a file's end; where the file was an image or was left out, nothing is.
            if extract.skipped or not extract.passages or place >= len(stream):
                continue
            openings.setdefault(place, entry)
            continue
        place = _before_headings(place, stream, openings, starts)
        above = openings.get(place)
        if above is not None and above.label and above.label in entry.parents:
            entry = replace(entry, label=_joined(above.label, entry.label), parents=above.parents)
        openings[place] = entry
    return openings


def _before_headings(
    place: int,
    stream: Sequence[Passage],
    openings: dict[int, TocEntry],
    starts: set[int],
) -> int:
    """The first of the headings right before `place` that belong to the chapter there.

    It does not go back beyond another chapter or a file's beginning (`starts`).
    """
    while (
        stream[place].kind == "heading"
        and place not in openings
        and place not in starts
        and stream[place - 1].kind == "heading"
        and place - 1 not in openings
    ):
        place -= 1
    return place


def _joined(first: str, second: str) -> str:
    """Two titles as one, the way one says them."""
    if not first or not second or plain(first) == plain(second):
        return second or first
    return f"{first} {second}" if first[-1] in ".:;!?—-" else f"{first}. {second}"


def _leading(section: Section) -> list[Passage]:
    """The headings that a section begins with."""
    heads: list[Passage] = []
    for passage in section.passages:
        if passage.kind != "heading":
            break
        heads.append(passage)
    return heads


def _title_of(section: Section) -> str:
    """The book's own words for a chapter: its entry in the contents, or its heading.

    An entry that copied page numbers, notes or captions with the heading gives way to the clean
    heading; a bare number ("I") or a cut-off entry to a heading that says more.
    """
    heads = _leading(section)[:3]
    label = section.label
    first = heads[0].text if heads else ""
    if _is_numbered_pair(heads, label or first):
        return f"{first} {heads[1].text}"
    if not label:
        return first or section.passages[0].matter
    for last in range(len(heads), 0, -1):
        text = " ".join(head.text for head in heads[:last])
        copied = " ".join(head.label for head in heads[:last])
        if plain(label) == plain(copied) != plain(text):
            return text
    cut_off = label.rstrip(" .…") if label.endswith(("…", "...")) else ""
    longer = cut_off and first.startswith(cut_off) and len(first) <= TITLE_CHARACTERS
    return first if longer else label


def _is_numbered_pair(heads: Sequence[Passage], label: str) -> bool:
    """Whether a heading that is `label` ("I", "Chapter 1") has its title in a smaller one below."""
    if len(heads) < 2 or NUMBER.fullmatch(label) is None:
        return False
    return plain(heads[0].text) == plain(label) and heads[1].level > heads[0].level


def _split_title_section(sections: list[Section], book_title: str) -> list[Section]:
    """Cut up a title page that the contents let run into prefaces and lists, at its headings."""
    if len(sections) < 2 or plain(sections[0].title) != plain(book_title):
        return sections
    first = sections[0]
    pieces: list[list[Passage]] = [[]]
    for passage in first.passages:
        top = passage.kind == "heading" and passage.level <= 2
        if top and any(other.kind != "heading" for other in pieces[-1]):
            pieces.append([])
        pieces[-1].append(passage)
    split = [Section(first.label, first.parents, _trim(pieces[0]), first.title)]
    for piece in pieces[1:]:
        section = Section("", (), _trim(piece))
        section.title = _title_of(section)
        split.append(section)
    return split + sections[1:]


def _without_matter(
    sections: list[Section], book_title: str, reading: Reading, left_out: list[LeftOut]
) -> list[Section]:
    """The sections that are narrative by what they are called and how they look, or asked for."""
    reasons = [_short_reason(section) for section in sections]
    for number, section in enumerate(sections):
        first = all(reasons[:number]) and number + 1 < len(sections)
        if first and not reasons[number] and _is_title_page(section, book_title):
            reasons[number] = SKIPPED["titlepage"]
    for number in reversed(range(len(sections))):
        if all(reasons[number + 1 :]):
            told = LONG_LABELS.get(plain(sections[number].title), "")
            reasons[number] = reasons[number] or told
    for number, section in enumerate(sections):
        reasons[number] = reasons[number] or NARRATIVE_LABELS.get(plain(section.title), "")
    reasons = [reason if reading.leaves_out(reason) else "" for reason in reasons]
    if all(reasons):
        return sections
    for section, reason in zip(sections, reasons, strict=True):
        if reason:
            size = words_in([passage.text for passage in section.passages])
            left_out.append(LeftOut(reason, f"“{section.title}”", size))
    return [section for section, reason in zip(sections, reasons, strict=True) if not reason]


def _short_reason(section: Section) -> str:
    size = words_in([passage.text for passage in section.passages])
    if size > SHORT_MATTER_WORDS:
        return ""
    heads = [section.title, section.label, *(head.text for head in _leading(section)[:1])]
    told = (SHORT_LABELS.get(plain(head).replace("™", "")) for head in heads)
    return next(filter(None, told), "")


def _is_title_page(section: Section, book_title: str) -> bool:
    texts = [passage.text for passage in section.passages]
    names = [section.title, *(head.text for head in _leading(section)[:1]), *texts[:1]]
    return (
        bool(plain(book_title))
        and any(plain(name) == plain(book_title) for name in names)
        and words_in(texts) <= TITLE_PAGE_WORDS
        and not any(map(_is_prose, texts))
    )


def _is_prose(text: str) -> bool:
    """Whether a passage is a sentence rather than a line on a title page."""
    words = text.split()
    small = sum(word[:1].islower() for word in words)
    ended = text.rstrip("\"'”’)»").endswith((".", "!", "?", "…", "。"))
    return len(words) >= SENTENCE_WORDS and ended and small >= len(words) / 2


def _with_part_headings(sections: list[Section]) -> list[Section]:
    """Sections that are a heading only ("Part One") go to the chapter that follows them."""
    result: list[Section] = []
    held: list[Section] = []
    for section in sections:
        if all(passage.kind == "heading" for passage in section.passages):
            held.append(section)
            continue
        if held:
            passages = [passage for part in held for passage in part.passages]
            title = section.title
            for part in reversed(held):
                title = _joined(part.title, title)
            if len(title) > TITLE_CHARACTERS:
                title = section.title
            section = Section(section.label, (), passages + section.passages, title)
            held = []
        result.append(section)
    return result + held


def _named_apart(sections: list[Section]) -> list[Section]:
    """Chapters of one name in several parts ("I" of each part) carry the part's name too."""
    titles = Counter(section.title for section in sections)
    for section in sections:
        if section.parents and titles[section.title] > 1:
            section.title = fold_text(_joined(section.parents[-1], section.title))
    return sections
