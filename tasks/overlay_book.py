"""A read-along book: the original EPUB 3 with the narration in it as Media Overlays.

Pages keep their bytes but for a `<span>` around each narrated line and a link to a style sheet.
"""

import posixpath
import shutil
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from configs.errors import UserError
from tasks.beside import written_beside
from tasks.book import Book
from tasks.epub_guard import Archive, open_archive
from tasks.epub_markup import local_name, types_of
from tasks.epub_package import package_path
from tasks.overlay_check import same_page
from tasks.overlay_markup import Source, read_markup, scan
from tasks.overlay_package import (
    STYLE,
    Clip,
    Overlay,
    PackageFile,
    package_text,
    read_package_file,
    smil_text,
    style_link,
)
from tasks.overlay_spans import (
    Piece,
    Run,
    free_prefix,
    place_spans,
    runs_of,
    wrap_spans,
)
from tasks.plan import Utterance

# What EPUB 3.3 says every reading system plays, as the manifest writes it.
AUDIO_TYPES = {
    "audio/mpeg": "audio/mpeg",
    "audio/mp4": "audio/mp4",
    "audio/ogg": "audio/ogg; codecs=opus",
}
NOTE_ROLES = {"footnote": "footnote", "endnote": "endnote", "rearnote": "endnote"}
_FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a ZIP can say


@dataclass(frozen=True)
class NarratedLine:
    """An utterance and its seconds in the chapter's audio file."""

    utterance: Utterance
    start: float
    end: float


@dataclass(frozen=True)
class NarratedChapter:
    """A delivered audio file of `seconds`, and the lines in it in order of time.

    `number` names the file in the book; `media_type` is audio/mpeg, audio/mp4 (AAC), or audio/ogg
    (Opus).
    """

    number: int
    audio: Path
    media_type: str
    seconds: float
    lines: tuple[NarratedLine, ...]


@dataclass(frozen=True)
class Overlaid:
    """What was written: how many pages have a narration, how many lines are shown while they are
    heard, how long these are, and what could not be done, in sentences."""

    path: Path
    pages: int
    lines: int
    seconds: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Timed:
    """A line with its clip, and the part of it in which there is speech, in milliseconds."""

    utterance: Utterance
    audio: str
    begin: int
    end: int
    speech: tuple[int, int]


@dataclass
class _Page:
    """What is to be shown in a page: its lines in order of reading, and where each stands."""

    lines: list[_Timed] = field(default_factory=list)
    runs: list[list[Run]] = field(default_factory=list)


def check_source(source: Path) -> None:
    """Raises UserError with one sentence if this EPUB cannot become a read-along book."""
    with open_archive(source) as archive:
        read_package_file(archive, package_path(archive))


def overlay_book(
    source: Path,
    book: Book,
    chapters: Sequence[NarratedChapter],
    narrator: str,
    notice: str,
    out: Path,
) -> Overlaid:
    """Write the EPUB `source`, which `book` was read from, with its narration to `out`.

    `narrator` is who speaks, as readers show it; `notice` says that the narration is synthetic.
    Each page with narrated lines gets one media overlay in the order of the page. A line's clip
    lasts until the next line begins, so that pauses are heard. The same inputs give the same bytes.
    Raises UserError for a book that is no EPUB 3, has a narration already, or where no line finds
    its place.
    """
    for chapter in chapters:
        if chapter.media_type not in AUDIO_TYPES:
            raise UserError(
                f"a read-along book cannot hold {chapter.media_type}: make its audio MP3, AAC or"
                " Opus"
            )
    with open_archive(source) as archive:
        package = read_package_file(archive, package_path(archive))
        folder = _free_folder(archive, package.folder)
        style = f"{folder}/overlay.css"
        audio = {
            f"{folder}/audio/{chapter.number:03}{chapter.audio.suffix.lower()}": chapter
            for chapter in chapters
        }
        if len(audio) != len(chapters):
            raise ValueError("two chapters have one number")
        pages, lost = _pages(book, audio)
        contents: dict[str, bytes] = {}
        overlays: list[Overlay] = []
        warnings: list[str] = []
        shown = 0
        for path, page in pages.items():
            smil = f"{folder}/{len(overlays) + 1:03}.smil"
            made = _overlaid(archive, package, path, page, smil, style)
            if isinstance(made, str):
                warnings.append(f"No narration in {path}: {made}.")
                continue
            contents[path], overlay, count = made
            overlays.append(overlay)
            shown += count
            lost += len(page.lines) - count
        if lost:
            warnings.append(f"{lost} lines of the narration have no place in the book's pages.")
        if not overlays:
            raise UserError(
                f"no line of the narration has a place in {source.name}, so there is no read-along"
                f" book: {' '.join(warnings[:1]) or 'give the EPUB that was narrated'}"
            )
        heard = {clip.audio for overlay in overlays for clip in overlay.clips}
        audio = {path: chapter for path, chapter in audio.items() if path in heard}
        types = [(path, AUDIO_TYPES[chapter.media_type]) for path, chapter in audio.items()]
        text = package_text(package, overlays, types, style, narrator, notice)
        contents[package.path] = package.mark + text.encode(package.encoding)
        added = {style: STYLE.encode()}
        added |= {overlay.smil: smil_text(overlay).encode() for overlay in overlays}
        _write(archive, contents, added, audio, out)
    return Overlaid(
        path=out,
        pages=len(overlays),
        lines=shown,
        seconds=sum(overlay.milliseconds for overlay in overlays) / 1000,
        warnings=tuple(warnings),
    )


def _free_folder(archive: Archive, beside: str) -> str:
    """A folder for our files beside the package document, under a name that nobody has."""
    taken = {name.casefold() for name in archive.members}
    for number in range(1, len(taken) + 2):
        name = posixpath.join(beside, "voxloom" if number == 1 else f"voxloom-{number}")
        if not any(member == name or member.startswith(f"{name}/") for member in taken):
            break
    return name


def _pages(book: Book, audio: dict[str, NarratedChapter]) -> tuple[dict[str, _Page], int]:
    """The narrated pages in order of reading, and how many lines have no place in any."""
    pages: defaultdict[str, _Page] = defaultdict(_Page)
    lost = 0
    for path, chapter in audio.items():
        length = int(chapter.seconds * 1000)
        begins = [min(round(line.start * 1000), length) for line in chapter.lines]
        ends = [*begins[1:], length][: len(begins)]
        begins[:1] = [0][: len(begins)]
        for line, begin, end in zip(chapter.lines, begins, ends, strict=True):
            utterance = line.utterance
            if utterance.block < 0:
                continue  # a title that the book does not print
            block = book.chapters[utterance.chapter].blocks[utterance.block]
            stop = utterance.start + len(utterance.text)
            if block.text[utterance.start : stop] != utterance.text:
                raise ValueError(f"the block does not say {utterance.text!r} there")
            runs = runs_of(block.origins, utterance.start, stop)
            if end <= begin or not runs or not block.document:
                lost += 1
                continue
            speech = (round(line.start * 1000), min(round(line.end * 1000), end))
            page = pages[block.document]
            page.lines.append(_Timed(utterance, path, begin, end, speech))
            page.runs.append(runs)
    return dict(pages), lost


def _overlaid(
    archive: Archive, package: PackageFile, path: str, page: _Page, smil: str, style: str
) -> tuple[bytes, Overlay, int] | str:
    """The page with its spans, its overlay, and how many lines are shown; or why there is none."""
    if path not in package.items:
        return "the book's list of files does not name it"
    if package.items[path].element.get("media-type", "").strip() != "application/xhtml+xml":
        return "it is not XHTML"
    markup = read_markup(archive.read(path) or b"")
    if markup is None:
        return "it is not in UTF-8 or UTF-16"
    source = scan(markup[0])
    if source is None:
        return "it is not well-formed XHTML"
    head = next((t for t in source.tags if not t.opening and local_name(t.element) == "head"), None)
    pieces = place_spans(source, page.runs)
    if head is None or not pieces:
        return "it has no place for spans" if head else "it has no head"
    mark = free_prefix(source.text)
    spans: list[tuple[Piece, str]] = []
    clips: list[Clip] = []
    of_line: defaultdict[int, list[Piece]] = defaultdict(list)
    for piece in pieces:
        of_line[piece.line].append(piece)
    for number, (line, found) in enumerate(of_line.items(), start=1):
        timed = page.lines[line]
        shares = _shares(timed, found)
        for part, (piece, begin, end) in enumerate(shares, start=1):
            name = f"{mark}-{number}" if len(shares) == 1 else f"{mark}-{number}-{part}"
            spans.append((piece, name))
            role = _note_role(source, piece) if timed.utterance.kind == "note" else ""
            clips.append(Clip(name, timed.audio, begin, end, role))
    order = sorted(range(len(spans)), key=lambda at: spans[at][0].start)
    text = wrap_spans(source, [spans[at] for at in order])
    link = style_link(path, style, f"{mark}-style", head.prefix)
    text = text[: head.start] + link + text[head.start :]
    if not same_page(source.text, text, mark):
        return "spans would change what it says"
    overlay = Overlay(path, smil, tuple(clips[at] for at in order))
    return markup[1] + text.encode(markup[2]), overlay, len(of_line)


def _shares(line: _Timed, pieces: Sequence[Piece]) -> list[tuple[Piece, int, int]]:
    """The line's pieces that have words, each with its part of the clip by what is said in it."""
    weights = [_weight(line.utterance, piece) for piece in pieces]
    said = [(piece, weight) for piece, weight in zip(pieces, weights, strict=True) if weight]
    said = said or [(pieces[0], 1.0)]
    total = sum(weight for _, weight in said)
    first, last = line.speech
    bounds, done = [line.begin], 0.0
    for _, weight in said[:-1]:
        done += weight
        bounds.append(round(first + (last - first) * done / total))
    bounds.append(line.end)
    if any(end <= begin for begin, end in pairwise(bounds)):
        return [(said[0][0], line.begin, line.end)]
    parts = zip(said, pairwise(bounds), strict=True)
    return [(piece, begin, end) for (piece, _), (begin, end) in parts]


def _weight(utterance: Utterance, piece: Piece) -> float:
    """How much of the utterance is said in a piece: phones where they are known, else letters."""
    by_phones = any(token.phones for token in utterance.tokens)
    weight = 0.0
    for first, last in piece.letters:
        if not by_phones:
            weight += sum(map(str.isalnum, utterance.text[first:last]))
            continue
        for token in utterance.tokens:
            common = min(last, token.end) - max(first, token.start)
            if common > 0:
                weight += token.phones * common / (token.end - token.start)
    return weight


def _note_role(source: Source, piece: Piece) -> str:
    """The epub:type of the note that a piece stands in, so that readers can skip notes."""
    element = piece.parent.element
    for around in (element, *element.iterancestors()):
        for kind in sorted(types_of(around) & NOTE_ROLES.keys()):
            return NOTE_ROLES[kind]
    return "footnote"


def _write(
    archive: Archive,
    contents: dict[str, bytes],
    added: dict[str, bytes],
    audio: dict[str, NarratedChapter],
    out: Path,
) -> None:
    """The original's files in their order with these contents, then ours."""
    with written_beside(out) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(zipfile.ZipInfo("mimetype", _FIRST_DATE), b"application/epub+zip")
        for name, info in archive.members.items():
            if name == "mimetype":
                continue
            copy = zipfile.ZipInfo(info.filename, info.date_time)
            copy.compress_type = zipfile.ZIP_DEFLATED if info.compress_type else 0
            copy.external_attr = info.external_attr
            copy.file_size = len(contents[name]) if name in contents else info.file_size
            with made.open(copy, "w") as target:
                if name in contents:
                    target.write(contents[name])
                    continue
                with archive.zip.open(info) as original:
                    shutil.copyfileobj(original, target)
        for name, content in added.items():
            entry = zipfile.ZipInfo(name, _FIRST_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            made.writestr(entry, content)
        for name, chapter in audio.items():
            entry = zipfile.ZipInfo(name, _FIRST_DATE)  # sound does not get smaller
            entry.file_size = chapter.audio.stat().st_size
            with chapter.audio.open("rb") as sound, made.open(entry, "w") as target:
                shutil.copyfileobj(sound, target)
