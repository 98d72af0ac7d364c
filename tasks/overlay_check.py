"""Reads a read-along book back: nothing of the original changed, and every clip has its text."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import mutagen
from lxml import etree

from tasks.epub_guard import Archive, open_archive
from tasks.epub_markup import decode, named, parse
from tasks.epub_package import package_path, resolve

_SLACK_SECONDS = 0.1  # a lossy file's header may round its length to a frame or two
_MARKED = re.compile(r"vxx*-(\d+(-\d+)?|style)")


def same_page(before: str, after: str, mark: str) -> bool:
    """Whether a page without the elements whose ids begin with `mark` and a hyphen is the page
    before: the same elements with the same attributes around the same characters."""
    old, was = parse(before)
    new, well_formed = parse(after)
    return was and well_formed and list(_events(old, "")) == list(_events(new, f"{mark}-"))


def check_overlays(source: Path, made: Path) -> list[str]:
    """What is wrong with a read-along book made from `source`, in sentences; [] if nothing is.

    Every text of the overlays is in its page, in the page's order; every clip lies in its audio
    file; pages without the added spans are the original's, character by character and element by
    element; every other file of the original, images above all, has the original's bytes.
    """
    with open_archive(source) as original, open_archive(made) as book:
        problems = _overlay_problems(book)
        pages = set(_overlaid_pages(book))
        opf = package_path(original)
        for name in original.members:
            if name == "mimetype":
                continue
            before, after = original.read(name) or b"", book.read(name)
            original.bytes_read = book.bytes_read = 0  # one at a time is in memory
            if after is None:
                problems.append(f"{name} is lost.")
            elif name in pages:
                if not _same_but_marks(decode(before), decode(after)):
                    problems.append(f"{name} is not the page it was.")
            elif name != opf and before != after:
                problems.append(f"{name} has changed.")
    with zipfile.ZipFile(made) as opened:
        first = opened.infolist()[0]
        if first.filename != "mimetype" or first.compress_type or first.extra:
            problems.append("mimetype does not come first and plain.")
    return problems


def _same_but_marks(before: str, after: str) -> bool:
    ids = re.findall(r'<(?:[\w.-]+:)?link id="(vxx*)-style"', after)
    return bool(ids) and same_page(before, after, ids[-1])


def _events(root: etree._Element, mark: str) -> Iterator[tuple[object, ...]]:
    """The tree as a stream in which elements with marked ids are only their content."""
    texts: list[str] = []
    for event, element in etree.iterwalk(root, events=("start", "end")):
        starts = event == "start"
        if not (mark and (element.get("id") or "").startswith(mark)):
            if text := "".join(texts):
                yield ("text", text)
            texts.clear()
            yield (event, element.tag, tuple(sorted(element.attrib.items())) if starts else ())
        texts.append((element.text if starts else element.tail) or "")


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
        if not item.get("media-overlay"):
            continue
        page = resolve(opf, item.get("href", ""))[0]
        smil = resolve(opf, items[item.get("media-overlay")].get("href", ""))[0]
        sum_ = 0
        ids = {
            name: at
            for at, name in enumerate(
                element.get("id") for element in parse(book.read(page) or b"")[0].iter()
            )
            if name
        }
        last = -1
        for par in named(parse(book.read(smil) or b"", is_html=False)[0], "par"):
            (text,), (audio,) = named(par, "text"), named(par, "audio")
            target, fragment = resolve(smil, text.get("src", ""))
            if target != page or fragment not in ids:
                problems.append(f"{smil}: {text.get('src')} leads nowhere.")
                continue
            if ids[fragment] <= last:
                problems.append(f"{smil}: {fragment} is out of the page's order.")
            last = ids[fragment]
            begin, end = (_milliseconds(audio.get(name, "")) for name in ("clipBegin", "clipEnd"))
            sound = resolve(smil, audio.get("src", ""))[0]
            if sound not in lengths:
                lengths[sound] = _seconds(book, sound)
            if not 0 <= begin < end <= (lengths[sound] + _SLACK_SECONDS) * 1000:
                problems.append(f"{smil}: the clip of {fragment} is not in {sound}.")
            sum_ += end - begin
        if durations.get(item.get("media-overlay")) != sum_:
            problems.append(f"{smil} lasts {sum_} ms, which the package does not say.")
        total += sum_
    if durations.get("") != total:
        problems.append(f"The narration lasts {total} ms, which the package does not say.")
    return problems


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
