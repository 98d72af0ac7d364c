"""Reads a read-along book back: nothing of the original changed, and every clip has its text."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import mutagen

from tasks.epub_guard import Archive, open_archive
from tasks.epub_markup import local_name, named, parse
from tasks.epub_package import package_path, resolve
from tasks.overlay_markup import read_markup, scan

_PIECE = 1 << 20  # bytes
_SLACK_SECONDS = 0.1  # a lossy file's header may round its length to a frame or two


def same_page(before: str, after: str, mark: str) -> bool:
    """Whether a page without the spans and links whose ids begin with `mark` and a hyphen is the
    page before, character by character of its source."""
    source = scan(after)
    if source is None:
        return False
    kept, at = [], 0
    for tag in source.tags:
        added = (tag.element.get("id") or "").startswith(f"{mark}-")
        if added and local_name(tag.element) in ("span", "link"):
            kept.append(after[at : tag.start])
            at = tag.end
    return "".join([*kept, after[at:]]) == before


def check_overlays(source: Path, made: Path) -> list[str]:
    """What is wrong with a read-along book made from `source`, in sentences; [] if nothing is.

    Every text of the overlays is in its page, in the page's order; every clip lies in its audio
    file; pages without the added spans are the original's, character by character of their
    source; every other file of the original, images above all, has the original's bytes.
    """
    with open_archive(source) as original, open_archive(made) as book:
        problems = _overlay_problems(book)
        pages = set(_overlaid_pages(book))
        opf = package_path(original)
        for name in original.members:
            if name == "mimetype":
                continue
            if name not in book.members:
                problems.append(f"{name} is lost.")
            elif name in pages:
                if not _same_but_marks(original.read(name) or b"", book.read(name) or b""):
                    problems.append(f"{name} is not the page it was.")
            elif name != opf and not _same_bytes(original, book, name):
                problems.append(f"{name} has changed.")
    with zipfile.ZipFile(made) as opened:
        first = opened.infolist()[0]
        if first.filename != "mimetype" or first.compress_type or first.extra:
            problems.append("mimetype does not come first and plain.")
    return problems


def _same_bytes(original: Archive, book: Archive, name: str) -> bool:
    """Whether both have the same file, which may be too large to be held."""
    with (
        original.zip.open(original.members[name]) as before,
        book.zip.open(book.members[name]) as after,
    ):
        while True:
            piece = before.read(_PIECE)
            if piece != after.read(_PIECE):
                return False
            if not piece:
                return True


def _same_but_marks(before: bytes, after: bytes) -> bool:
    old, new = read_markup(before), read_markup(after)
    if old is None or new is None or old[1:] != new[1:]:
        return False
    marks = re.findall(r'<(?:[\w.-]+:)?link id="(vxx*)-style"', new[0])
    return bool(marks) and same_page(old[0], new[0], marks[-1])


def _overlaid_pages(book: Archive) -> Iterator[str]:
    opf = package_path(book)
    for item in named(parse(book.read(opf) or b"", is_html=False)[0], "item"):
        if item.get("media-overlay"):
            path = resolve(opf, item.get("href", ""))[0]
            yield book.find(path) or path


def _overlay_problems(book: Archive) -> list[str]:
    opf = package_path(book)
    root = parse(book.read(opf) or b"", is_html=False)[0]
    items = {item.get("id"): item for item in named(root, "item")}
    durations = {
        (meta.get("refines") or "").removeprefix("#"): _milliseconds(meta.text or "")
        for meta in named(root, "meta")
        if meta.get("property") == "media:duration"
    }
    problems: list[str] = []
    lengths: dict[str, float] = {}
    total = 0
    for item in items.values():
        name = item.get("media-overlay")
        if not name:
            continue
        if name not in items:
            problems.append(f"The package does not say what {name} is.")
            continue
        page, smil = (resolve(opf, it.get("href", ""))[0] for it in (item, items[name]))
        found, lasts = _page_problems(book, page, smil, lengths)
        problems += found
        if durations.get(name) != lasts:
            problems.append(f"{smil} lasts {lasts} ms, which the package does not say.")
        total += lasts
    if durations.get("") != total:
        problems.append(f"The narration lasts {total} ms, which the package does not say.")
    return problems


def _page_problems(
    book: Archive, page: str, smil: str, lengths: dict[str, float]
) -> tuple[list[str], int]:
    """What is wrong with one overlay, and its milliseconds; `lengths` are those of audio files."""
    elements = parse(book.read(page) or b"")[0].iter()
    places = {element.get("id"): at for at, element in enumerate(elements) if element.get("id")}
    problems: list[str] = []
    last, lasts = -1, 0
    for par in named(parse(book.read(smil) or b"", is_html=False)[0], "par"):
        texts, sounds = named(par, "text"), named(par, "audio")
        if (len(texts), len(sounds)) != (1, 1):
            problems.append(f"{smil}: {par.get('id')} is not one text and one sound.")
            continue
        target, fragment = resolve(smil, texts[0].get("src", ""))
        sound = resolve(smil, sounds[0].get("src", ""))[0]
        begin, end = (_milliseconds(sounds[0].get(side, "")) for side in ("clipBegin", "clipEnd"))
        if sound not in lengths:
            lengths[sound] = _seconds(book, sound)
        if not 0 <= begin < end <= (lengths[sound] + _SLACK_SECONDS) * 1000:
            problems.append(f"{smil}: the clip of {fragment} is not in {sound}.")
        lasts += end - begin
        if target != page or fragment not in places:
            problems.append(f"{smil}: {texts[0].get('src')} leads nowhere.")
            continue
        if places[fragment] <= last:
            problems.append(f"{smil}: {fragment} is out of the page's order.")
        last = places[fragment]
    return problems, lasts


def _seconds(book: Archive, path: str) -> float:
    """How long an audio file of the book is; -1 where there is none."""
    name = book.find(path)
    if name is None:
        return -1.0
    with book.zip.open(book.members[name]) as sound:
        read = mutagen.File(sound)
    return float(read.info.length) if read else -1.0


def _milliseconds(clock: str) -> int:
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d)\.(\d{3})", clock)
    if match is None:
        return -1
    hours, minutes, seconds, rest = map(int, match.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + rest
