"""Read a book: its chapters in reading order, the text of each once, metadata and cover."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from lxml import etree

from configs.errors import UsageError, UserError
from tasks.book import Block, Book, Chapter, LeftOut, Origin, Remark
from tasks.epub_chapters import Division, Document, Section, divide, words_in
from tasks.epub_guard import Archive, check_file, open_archive
from tasks.epub_lexicon import PrintedLexicon, lexicon_remarks, read_lexicon
from tasks.epub_markup import XML, decode, named, parse
from tasks.epub_notes import Place, note_bodies, note_targets
from tasks.epub_package import Package, find_cover, fold, read_package, resolve
from tasks.epub_styles import hidden_elements
from tasks.epub_text import DESCRIPTIONS, Extract, Passage, extract
from tasks.epub_toc import TocEntry, read_landmarks, read_toc
from tasks.matter import AS_USUAL, FILE_NAMES, MATTER, SKIPPED, Reading
from tasks.plain_book import read_plain

__all__ = [
    "Block",
    "Book",
    "Chapter",
    "LeftOut",
    "Origin",
    "Remark",
    "read_book",
    "select_chapters",
]

# Only a page as short as this is front matter by its file name, its landmark or its wording.
SHORT_PAGE_WORDS = 600
# What may be long and is still no narrative when landmarks or the guide say so.
LONG_MATTER = {SKIPPED[name] for name in ("notes", "index", "bibliography")}
FILE_ROLE = re.compile(r"(?:\w*[-_])?(?P<role>" + "|".join(FILE_NAMES) + r")[-_]?\d*")
COPYRIGHT = re.compile(r"©|\(c\)|\bcopyright\b", re.I)
IMPRINT = re.compile(
    r"all rights reserved|\bISBN\b|library of congress|first published|published (?:by|in)", re.I
)
NO_LANGUAGE = "The book does not say its language; it is read as English."
PLS_TYPE = "application/pls+xml"


def read_book(path: Path, reading: Reading = AS_USUAL) -> Book:
    """Read an EPUB 2 or 3, a plain text, a Markdown or an HTML file, or what `reading` says of it.

    What a file is, its content decides. Raises UserError with one sentence for whatever cannot
    become a book: no such file, another format, damaged, protected by DRM, unsafe, or without
    readable text.
    """
    path = Path(path)
    check_file(path)
    with path.open("rb") as stream:
        packed = stream.read(2) == b"PK"
    if packed or path.suffix.lower() == ".epub":
        return _read_epub(path, reading)
    return _read_plain(path, reading)


def _read_epub(path: Path, reading: Reading) -> Book:
    with open_archive(path) as archive:
        package = read_package(archive)
        toc = read_toc(archive, package)
        reader = _Reader(archive, package, toc, reading)
        reader.read()
        division = divide(reader.documents, toc, package.title, reading)
        chapters = _chapters(path, division, reader.notes, reading, reader.left_out)
        cover, cover_type = find_cover(archive, package)
        left_out = (*reader.left_out, *division.left_out, *_untold(division, reader.notes))
        warnings = [*archive.warnings, *map(_not_read, left_out), *division.warnings]
    language = package.language or reader.language
    if not language:
        warnings.append(NO_LANGUAGE)
    return Book(
        title=package.title or path.stem,
        authors=package.authors,
        language=language or "en",
        identifier=package.identifier,
        publisher=package.publisher,
        date=package.date,
        description=package.description,
        chapters=chapters,
        cover=cover,
        cover_type=cover_type,
        warnings=tuple(dict.fromkeys(warnings)),
        left_out=left_out,
        series=package.series,
        series_part=package.series_part,
    )


def _read_plain(path: Path, reading: Reading) -> Book:
    plain = read_plain(path)
    name = plain.path
    found = extract(
        plain.root,
        {entry.fragment for entry in plain.toc},
        path=name,
        language=plain.language,
        reading=reading,
        bodies=note_bodies(plain.root, name, note_targets(plain.root, name)),
        hidden=hidden_elements(plain.root, lambda link: None),
    )
    notes = {(name, mark): passages for mark, passages in found.notes.items()}
    division = divide([Document(name, found)], plain.toc, plain.title, reading)
    left_out = (
        *(LeftOut(reason, "", words_in(texts)) for reason, texts in found.skipped.items()),
        *division.left_out,
        *_untold(division, notes),
    )
    warnings = [*plain.warnings, *map(_not_read, left_out), *division.warnings]
    if not plain.language:
        warnings.append(NO_LANGUAGE)
    return Book(
        title=plain.title or path.stem,
        authors=plain.authors,
        language=plain.language or "en",
        identifier="",
        publisher="",
        date=plain.date,
        description=plain.description,
        chapters=_chapters(path, division, notes, reading, left_out),
        cover=None,
        cover_type="",
        warnings=tuple(dict.fromkeys(warnings)),
        left_out=left_out,
    )


def select_chapters(book: Book, ranges: str) -> list[int]:
    """0-based numbers of the chapters in ranges such as "1-3,5" (1-based, ends included).

    They come in the book's order, each once; "3-" runs to the end. Raises UsageError.
    """
    total = len(book.chapters)
    chosen: set[int] = set()
    for part in ranges.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(\s*-\s*(\d{1,9})?)?\s*", part, re.ASCII)
        if match is None:
            raise UsageError(
                f"--chapters does not understand {part.strip()!r}; give numbers and ranges such"
                " as 1-3,5."
            )
        first = int(match[1])
        last = first if match[2] is None else int(match[3]) if match[3] else total
        if not 1 <= first <= total or last > total:
            raise UsageError(
                f"--chapters asks for {part.strip()!r}, but the book has chapters 1 to {total}."
            )
        if last < first:
            raise UsageError(
                f"--chapters has the range {part.strip()!r} backwards; give {last}-{first}."
            )
        chosen.update(range(first - 1, last))
    return sorted(chosen)


class _Reader:
    """Reads the documents of an EPUB one after the other; one tree is in memory at a time."""

    def __init__(
        self, archive: Archive, package: Package, toc: list[TocEntry], reading: Reading
    ) -> None:
        self.archive = archive
        self.package = package
        self.toc = toc
        self.reading = reading
        self.landmarks = read_landmarks(archive, package)
        self.language = ""  # that the first document declares
        self.targets: set[Place] = set()
        self.sheets: dict[str, str | None] = {}
        self.lexicons: dict[str, PrintedLexicon] = {}
        self.documents: list[Document] = []
        self.notes: dict[Place, list[Passage]] = {}
        self.left_out: list[LeftOut] = []

    def read(self) -> None:
        """Read the linear reading order, then the notes that stand outside of it."""
        aside = []
        contents = SKIPPED["contents"]
        for entry in self.package.spine:
            path = entry.item.path
            if not entry.linear and self.reading.leaves_out(SKIPPED["nonlinear"]):
                aside.append(path)
            elif self.package.nav is not None and path == self.package.nav.path:
                if self.reading.leaves_out(contents):
                    self.left_out.append(LeftOut(contents, path, 0))
                    continue
                self._read_document(path)
            else:
                self._read_document(path)
        for path in dict.fromkeys(aside):
            found = self._extract(path)
            texts = [] if found is None else [passage.text for passage in found.passages]
            self.left_out.append(LeftOut(SKIPPED["nonlinear"], path, words_in(texts)))

    def _read_document(self, path: str) -> None:
        found = self._extract(path)
        if found is None:
            return
        for reason, texts in found.skipped.items():
            self.left_out.append(LeftOut(reason, path, words_in(texts)))
        reason = _page_reason(path, found, self.landmarks.get((path, ""), ""))
        if self.reading.leaves_out(reason):
            texts = [passage.text for passage in found.passages]
            self.left_out.append(LeftOut(reason, path, words_in(texts)))
            found = Extract(skipped={reason: texts})
        self.documents.append(Document(path, found))

    def _extract(self, path: str) -> Extract | None:
        """A document's passages; None where the book has no such file."""
        content = self.archive.read(path)
        if content is None:
            self.archive.warnings.append(
                f"The file {path} is missing from the book; its text is lost."
            )
            return None
        root, well_formed = parse(content)
        if not well_formed:
            self.archive.warnings.append(
                f"{path} is not well-formed; it is read as browsers read it."
            )
        declared = root.get(f"{{{XML}}}lang") or root.get("lang") or ""
        self.language = self.language or declared
        language = self.package.language or self.language
        self.targets |= set(map(self._found, note_targets(root, path)))
        told = {mark: kind for (file, mark), kind in self.landmarks.items() if file == path}
        found = extract(
            root,
            {line.fragment for line in self.toc if line.path == path},
            {mark: kind for mark, kind in told.items() if mark},
            path=path,
            language=language,
            reading=self.reading,
            bodies=note_bodies(root, path, self.targets),
            hidden=hidden_elements(root, lambda link: self._sheet(resolve(path, link)[0])),
        )
        place = self.archive.find(path) or path
        lexicons = self._lexicons(root, path)

        def finished(passage: Passage) -> Passage:
            more = lexicon_remarks(passage.text, declared or language, passage.remarks, lexicons)
            remarks = sorted([*passage.remarks, *more], key=lambda one: (one.start, -one.end))
            notes = tuple(map(self._found, passage.notes))
            return replace(passage, document=place, remarks=tuple(remarks), notes=notes)

        found.passages = list(map(finished, found.passages))
        for mark, passages in found.notes.items():
            self.notes[path, mark] = list(map(finished, passages))
        return found

    def _found(self, place: Place) -> Place:
        """A place by the name that its document really has."""
        return self.archive.find(place[0]) or place[0], place[1]

    def _sheet(self, path: str) -> str | None:
        """A style sheet's text, each read once."""
        if path and path not in self.sheets:
            content = self.archive.read(path)
            self.sheets[path] = None if content is None else decode(content)
        return self.sheets.get(path)

    def _lexicons(self, root: etree._Element, path: str) -> list[PrintedLexicon]:
        """The lexicons that a document links to, else those in the manifest."""
        links = [
            resolve(path, link.get("href", ""))[0]
            for link in named(root, "link")
            if "pronunciation" in link.get("rel", "").lower().split()
        ]
        listed = [item.path for item in self.package.items if item.media_type == PLS_TYPE]
        found = []
        for link in dict.fromkeys(links or listed):
            if link not in self.lexicons and (content := self.archive.read(link)) is not None:
                self.lexicons[link] = read_lexicon(content)
            if link in self.lexicons:
                found.append(self.lexicons[link])
        return found


def _page_reason(path: str, found: Extract, landmark: str) -> str:
    """Why a whole file is no narrative, by its landmark, its file name or its wording; or ""."""
    texts = [passage.text for passage in found.passages]
    if not texts:
        return ""
    told = MATTER.get(landmark, "")
    if words_in(texts) > SHORT_PAGE_WORDS:
        return told if told in LONG_MATTER else ""
    if told:
        return told
    role = FILE_ROLE.fullmatch(PurePosixPath(path).stem.lower())
    if role and not any(passage.matter for passage in found.passages):
        return SKIPPED[FILE_NAMES[role["role"]]]
    text = " ".join(texts)
    return SKIPPED["copyright"] if COPYRIGHT.search(text) and IMPRINT.search(text) else ""


def _not_read(one: LeftOut) -> str:
    where = f" {one.place}" if one.place.startswith("“") else f" in {one.place}" * bool(one.place)
    return f"Not read: {one.reason}{where} ({one.words} words)."


def _chapters(
    path: Path,
    division: Division,
    notes: Mapping[Place, Sequence[Passage]],
    reading: Reading,
    left_out: Sequence[LeftOut],
) -> tuple[Chapter, ...]:
    sections = enumerate(division.sections, start=1)
    told: set[Place] = set()
    chapters = tuple(
        _chapter(section, number, notes, reading, told) for number, section in sections
    )
    if not chapters:
        if any(one.reason == DESCRIPTIONS for one in left_out):
            raise UserError(
                f"{path.name} has no text to read, only pictures; --images reads their"
                " descriptions."
            )
        raise UserError(
            f"{path.name} has no text to read (perhaps its pages are images); give a book with"
            " text."
        )
    return chapters


def _untold(division: Division, notes: Mapping[Place, Sequence[Passage]]) -> Iterator[LeftOut]:
    """Notes that nothing refers to which is read, by document."""
    told = {
        place
        for section in division.sections
        for passage in section.passages
        for place in passage.notes
    }
    left: dict[str, list[str]] = {}
    for place, passages in notes.items():
        if place not in told:
            left.setdefault(place[0], []).extend(passage.text for passage in passages)
    for path, texts in left.items():
        yield LeftOut(SKIPPED["notes"], path, words_in(texts))


def _chapter(
    section: Section,
    number: int,
    notes: Mapping[Place, Sequence[Passage]],
    reading: Reading,
    told: set[Place],
) -> Chapter:
    """A chapter with the notes that it refers to and no chapter before it has `told`, where
    `reading` wants them."""
    blocks: list[Block] = []
    held: list[Block] = []
    for passage in section.passages:
        blocks.append(_block(passage))
        for place in passage.notes:
            if place not in told:
                told.add(place)
                held += map(_block, notes.get(place, ()))
        if reading.notes == "inline":
            blocks, held = blocks + held, []
    return Chapter(fold(section.title) or f"Chapter {number}", (*blocks, *held))


def _block(passage: Passage) -> Block:
    return Block(passage.kind, passage.text, passage.remarks, passage.document, passage.origins)
