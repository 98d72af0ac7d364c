"""A book's table of contents and landmarks: EPUB 3 navigation, EPUB 2 NCX and guide."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lxml import etree

from tasks.epub_fold import fold_text
from tasks.epub_guard import Archive
from tasks.epub_markup import local_name, named, parse, types_of
from tasks.epub_package import Package, resolve
from tasks.matter import MATTER

# Lists that are no table of contents, although some tools nest them like one.
OTHER_LISTS = {"landmarks", "loa", "loi", "lot", "lov", "page-list", "pagelist"}


@dataclass(frozen=True)
class TocEntry:
    """One line of the table of contents: where it points, and the labels of its ancestors."""

    label: str
    path: str
    fragment: str
    parents: tuple[str, ...] = ()


def read_toc(archive: Archive, package: Package) -> list[TocEntry]:
    """The entries in the order they are listed, nested ones after their parent.

    The navigation document decides; the NCX is read where that is missing or lists nothing.
    """
    entries: list[TocEntry] = []
    if package.nav is not None:
        entries = list(_from_nav(_tree(archive, package.nav.path), package.nav.path))
    if not entries and package.ncx is not None:
        root = _tree(archive, package.ncx.path, is_html=False)
        entries = list(_from_ncx(root, package.ncx.path))
    return [replace(entry, path=archive.find(entry.path) or entry.path) for entry in entries]


def read_landmarks(archive: Archive, package: Package) -> dict[tuple[str, str], str]:
    """What landmarks and guide say of places: (path, fragment) -> a key of MATTER."""
    told: dict[tuple[str, str], str] = {}
    for kind, path, fragment in package.guide:
        if kind in MATTER:
            told[archive.find(path) or path, fragment] = kind
    if package.nav is not None:
        for nav in named(_tree(archive, package.nav.path), "nav"):
            if "landmarks" not in types_of(nav):
                continue
            for link in named(nav, "a"):
                for kind in sorted(types_of(link) & MATTER.keys()):
                    path, fragment = resolve(package.nav.path, link.get("href", ""))
                    told[archive.find(path) or path, fragment] = kind
    return told


def _tree(archive: Archive, path: str, is_html: bool = True) -> etree._Element:
    return parse(archive.read(path) or b"", is_html)[0]


def _from_nav(root: etree._Element, path: str) -> Iterator[TocEntry]:
    navs = named(root, "nav")
    tocs = [nav for nav in navs if "toc" in types_of(nav)]
    tocs = tocs or [nav for nav in navs if nav.get("id") == "toc"]
    tocs = tocs or [nav for nav in navs if not types_of(nav) & OTHER_LISTS]
    if not tocs:
        return
    # (list item, labels above it), the next one last: no recursion, however deep the list.
    waiting: list[tuple[etree._Element, tuple[str, ...]]]
    waiting = [(item, ()) for item in reversed(_list_items(tocs[0]))]
    while waiting:
        item, parents = waiting.pop()
        label, href = "", ""
        for child in item.iter():
            if child is not item and local_name(child) in ("ol", "ul"):
                break
            if not label and local_name(child) in ("a", "span"):
                label = _label(child)
            if not href and local_name(child) == "a":
                href = child.get("href", "")
        target = resolve(path, href)
        if href and target[0]:
            yield TocEntry(label, *target, parents)
        inside = (*parents, label) if label else parents
        waiting += [(below, inside) for below in reversed(_list_items(item))]


def _list_items(element: etree._Element) -> list[etree._Element]:
    """The items of the first list inside `element`."""
    first = next(iter(named(element, "ol", "ul")), None)
    if first is element:
        first = None
    return [] if first is None else [item for item in first if local_name(item) == "li"]


def _from_ncx(root: etree._Element, path: str) -> Iterator[TocEntry]:
    maps = named(root, "navmap")
    waiting: list[tuple[etree._Element, tuple[str, ...]]]
    waiting = [(point, ()) for point in reversed(_points(maps[0]))] if maps else []
    while waiting:
        point, parents = waiting.pop()
        labels = [child for child in point if local_name(child) == "navlabel"]
        label = _label(labels[0]) if labels else ""
        contents = [child for child in point if local_name(child) == "content"]
        target = resolve(path, contents[0].get("src", "")) if contents else ("", "")
        if target[0]:
            yield TocEntry(label, *target, parents)
        inside = (*parents, label) if label else parents
        waiting += [(below, inside) for below in reversed(_points(point))]


def _points(element: etree._Element) -> list[etree._Element]:
    return [child for child in element if local_name(child) == "navpoint"]


def _label(element: etree._Element) -> str:
    """A label's text, or what its pictures say where it has none."""
    text = fold_text("".join(element.itertext()))
    return text or fold_text(" ".join(image.get("alt", "") for image in named(element, "img")))
