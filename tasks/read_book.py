"""Read an EPUB: its chapters in reading order, the text of each once, metadata and cover."""

import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from configs.errors import UsageError, UserError
from tasks.epub_chapters import Document, Section, divide, words_in
from tasks.epub_guard import Archive, open_archive
from tasks.epub_markup import XML, parse
from tasks.epub_package import Package, find_cover, fold, read_package
from tasks.epub_text import MATTER, Extract, Origin, extract
from tasks.epub_toc import TocEntry, read_landmarks, read_toc

# Only a page as short as this is front matter by its file name, its landmark or its wording.
SHORT_PAGE_WORDS = 600
# What may be long and is still no narrative when landmarks or the guide say so.
LONG_MATTER = {"notes", "index", "bibliography"}
FILE_ROLE = re.compile(
    r"(?:\w*[-_])?(?P<role>cover|title[-_]?page|title|half[-_]?title(?:[-_]?page)?|imprint"
    r"|copyright(?:[-_]?page)?|colophon|uncopyright|toc|contents|nav|wrap)[-_]?\d*"
)
COPYRIGHT = re.compile(r"©|\(c\)|\bcopyright\b", re.I)
IMPRINT = re.compile(
    r"all rights reserved|\bISBN\b|library of congress|first published|published (?:by|in)", re.I
)


@dataclass(frozen=True)
class Remark:
    """What the book itself says of the characters `start` to `end` of a block's text.

    `language` is a BCP 47 tag, `said` is what is said in their place (a ruby's reading, an alias of
    a lexicon), `phonemes` are in the `alphabet` "ipa" or "x-sampa", `role` is "letters" (said
    letter by letter) or "roman" (a Roman numeral), `speaker` is who says it. "" where the book says
    nothing.
    """

    start: int
    end: int
    language: str = ""
    said: str = ""
    phonemes: str = ""
    alphabet: str = ""
    role: str = ""
    speaker: str = ""


@dataclass(frozen=True)
class Block:
    """One block of text: `kind` is "heading", "paragraph", "verse" (one line), "note" or
    "scene_break".

    `text` is as printed with white space folded; "" for a scene break. `document` is the file of
    the book that it stands in; `origins`, in order of `start`, say where exactly.
    """

    kind: str
    text: str
    remarks: tuple[Remark, ...] = ()
    document: str = ""
    origins: tuple[Origin, ...] = ()


@dataclass(frozen=True)
class Chapter:
    """A chapter as a listener counts them; its heading, where it has one, is its first block."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Book:
    """A whole book. `cover` is JPEG or PNG bytes with `cover_type` as media type, or None and "".

    `warnings` says in sentences what was left out and what was odd about the file.
    """

    title: str
    authors: tuple[str, ...]
    language: str
    identifier: str
    publisher: str
    date: str
    description: str
    chapters: tuple[Chapter, ...]
    cover: bytes | None
    cover_type: str
    warnings: tuple[str, ...]


def read_book(path: Path) -> Book:
    """Read an EPUB 2 or 3.

    Raises UserError with one sentence for whatever cannot become a book: no such file, not an
    EPUB, damaged, protected by DRM, unsafe, or without readable text.
    """
    path = Path(path)
    with open_archive(path) as archive:
        package = read_package(archive)
        toc = read_toc(archive, package)
        documents, language = _read_documents(archive, package, toc)
        division = divide(documents, toc, package.title)
        chapters = tuple(
            _chapter(section, number) for number, section in enumerate(division.sections, start=1)
        )
        if not chapters:
            raise UserError(
                f"{path.name} has no text to read (perhaps its pages are images); give an EPUB"
                " with text."
            )
        cover, cover_type = find_cover(archive, package)
        warnings = [*archive.warnings, *division.warnings]
    if not (package.language or language):
        warnings.append("The book does not say its language; it is read as English.")
    return Book(
        title=package.title or path.stem,
        authors=package.authors,
        language=package.language or language or "en",
        identifier=package.identifier,
        publisher=package.publisher,
        date=package.date,
        description=package.description,
        chapters=chapters,
        cover=cover,
        cover_type=cover_type,
        warnings=tuple(dict.fromkeys(warnings)),
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


def _read_documents(
    archive: Archive, package: Package, toc: list[TocEntry]
) -> tuple[list[Document], str]:
    """The text of the linear reading order, and the language that its first file declares."""
    landmarks = read_landmarks(archive, package)
    documents: list[Document] = []
    language = ""
    for entry in package.spine:
        path = entry.item.path
        if not entry.linear:
            archive.warnings.append(f"Not read: {path} (outside the linear reading order).")
            continue
        if package.nav is not None and path == package.nav.path:
            archive.warnings.append(f"Not read: table of contents ({path}).")
            continue
        content = archive.read(path)
        if content is None:
            archive.warnings.append(f"The file {path} is missing from the book; its text is lost.")
            continue
        root, well_formed = parse(content)
        if not well_formed:
            archive.warnings.append(f"{path} is not well-formed; it is read as browsers read it.")
        language = language or root.get(f"{{{XML}}}lang") or root.get("lang") or ""
        told = {mark: kind for (file, mark), kind in landmarks.items() if file == path and mark}
        found = extract(root, {line.fragment for line in toc if line.path == path}, told)
        for reason, texts in found.skipped.items():
            archive.warnings.append(f"Not read: {reason} in {path} ({words_in(texts)} words).")
        reason = _page_reason(path, found, landmarks.get((path, ""), ""))
        if reason:
            texts = [passage.text for passage in found.passages]
            archive.warnings.append(f"Not read: {reason} {path} ({words_in(texts)} words).")
            found = Extract(skipped={reason: texts})
        place = archive.find(path) or path
        found.passages = [replace(passage, document=place) for passage in found.passages]
        documents.append(Document(path, found))
    return documents, language


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
        return f"front matter ({role['role']})"
    text = " ".join(texts)
    return "copyright page" if COPYRIGHT.search(text) and IMPRINT.search(text) else ""


def _chapter(section: Section, number: int) -> Chapter:
    blocks = tuple(
        Block(passage.kind, passage.text, document=passage.document, origins=passage.origins)
        for passage in section.passages
    )
    return Chapter(fold(section.title) or f"Chapter {number}", blocks)
