"""An EPUB's package: metadata, spine and cover, read by ebooklib from a repaired copy in memory."""

import base64
import posixpath
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import unquote

from ebooklib import epub
from lxml import etree

from configs.errors import UserError
from tasks.epub_guard import CONTAINER, READ_AGAIN, Archive
from tasks.epub_markup import XML, local_name, named, parse

CONTAINER_NS = "urn:oasis:names:tc:opendocument:xmlns:container"
OPF = "http://www.idpf.org/2007/opf"
DC = "http://purl.org/dc/elements/1.1/"
DC_NAMES = {"creator", "date", "description", "identifier", "language", "publisher", "title"}
METADATA_ATTRIBUTES = {"content", "event", "id", "name", "property", "refines", "role"}
LONGEST_VALUE = 100_000
IMAGE_MARKS = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"))
DOCUMENT_TYPES = {"application/xhtml+xml", "text/html", "text/x-oeb1-document", "application/xml"}
DOCUMENT_ENDINGS = (".xhtml", ".html", ".htm", ".xht")
SVG_TYPE = "image/svg+xml"
NCX_TYPE = "application/x-dtbncx+xml"


@dataclass(frozen=True)
class Item:
    """One manifest entry; `path` is its name in the archive."""

    id: str
    path: str
    media_type: str
    properties: frozenset[str]
    fallback: str

    @property
    def is_document(self) -> bool:
        """Whether this is text to read, by its media type or its ending."""
        return self.media_type in DOCUMENT_TYPES or self.path.lower().endswith(DOCUMENT_ENDINGS)


@dataclass(frozen=True)
class SpineEntry:
    """One place in the reading order."""

    item: Item
    linear: bool


@dataclass(frozen=True)
class Package:
    """What the package document says, in the book's own words.

    `guide` has (type, path, fragment) of EPUB 2's guide; `nav` and `ncx` are the navigation
    document and the NCX where the book has them.
    """

    title: str
    authors: tuple[str, ...]
    language: str
    identifier: str
    publisher: str
    date: str
    description: str
    series: str
    series_part: str
    spine: tuple[SpineEntry, ...]
    items: tuple[Item, ...]
    nav: Item | None
    ncx: Item | None
    guide: tuple[tuple[str, str, str], ...]
    cover_ids: tuple[str, ...]


class _GuardedReader(epub.EpubReader):
    """ebooklib's reader on two repaired files; contents stay in the archive until someone reads.

    ebooklib would load every member without limits, give up on a missing one and stumble over
    navigation without a list, so it sees the container and package documents only.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__("")
        self.files = files

    def _load(self) -> None:
        self._load_container()
        self._load_opf_file()

    def read_file(self, name: str) -> bytes:
        return self.files.get(name, b"")

    def _parse_nav(self, data: bytes, base_path: str, navtype: str = "toc") -> None:
        """The table of contents is read by `tasks.epub_toc`."""


def fold(text: str | None) -> str:
    """Text with every run of white space as one space."""
    return " ".join((text or "").split())


def resolve(base: str, href: str) -> tuple[str, str]:
    """(archive path, fragment) of a link in the file `base`; the path is "" for a web address."""
    path, _, fragment = href.strip().partition("#")
    if "://" in path or path.startswith(("data:", "mailto:", "javascript:")):
        return "", ""
    if not path:
        return base, unquote(fragment)
    joined = posixpath.join(posixpath.dirname(base), unquote(path.partition("?")[0]))
    return posixpath.normpath(joined.replace("\\", "/")).lstrip("/"), unquote(fragment)


def read_package(archive: Archive) -> Package:
    """Read the package document through ebooklib. Raises UserError when there is none to read."""
    opf_path = package_path(archive)
    root = _repaired_package(archive, opf_path)
    container = etree.Element(f"{{{CONTAINER_NS}}}container", nsmap={None: CONTAINER_NS})
    files = etree.SubElement(container, f"{{{CONTAINER_NS}}}rootfiles")
    kind = {"full-path": "package.opf", "media-type": "application/oebps-package+xml"}
    etree.SubElement(files, f"{{{CONTAINER_NS}}}rootfile", kind)
    ncx_id = _spine_of(root).attrib.pop("toc", "")
    reader = _GuardedReader(
        {CONTAINER: etree.tostring(container), "package.opf": etree.tostring(root)}
    )
    book = reader.load()

    elements = {element.get("id"): element for element in named(root, "item")}
    items = {
        entry.get_id(): Item(
            entry.get_id(),
            _locate(archive, resolve(opf_path, elements[entry.get_id()].get("href"))[0]),
            (elements[entry.get_id()].get("media-type") or "").strip().lower(),
            frozenset(elements[entry.get_id()].get("properties", "").split()),
            elements[entry.get_id()].get("fallback", ""),
        )
        for entry in book.get_items()
    }
    spine = []
    for idref, linear in book.spine:
        item = _readable(items, idref)
        if item is None:
            archive.warnings.append(
                f"The reading order names {idref!r}, which is no text; left out."
            )
        else:
            spine.append(SpineEntry(item, linear != "no"))
    if not spine:
        archive.warnings.append("The book has no reading order; its files are read as listed.")
        spine = [
            SpineEntry(item, True)
            for item in items.values()
            if item.is_document and "nav" not in item.properties
        ]
    ncx = items.get(ncx_id) or next((i for i in items.values() if i.media_type == NCX_TYPE), None)
    return Package(
        **_metadata(book, root),
        spine=tuple(spine),
        items=tuple(items.values()),
        nav=next((item for item in items.values() if "nav" in item.properties), None),
        ncx=ncx,
        guide=tuple(
            (entry["type"].lower(), *resolve(opf_path, entry["href"]))
            for entry in book.guide
            if entry["href"] and entry["type"]
        ),
        cover_ids=tuple(
            fields.get("content", "")
            for _, fields in _values(book, OPF, "meta")
            if fields.get("name") == "cover"
        ),
    )


def package_path(archive: Archive) -> str:
    """The first rendition's package document, as EPUB demands (ebooklib would take the last)."""
    content = archive.read(CONTAINER)
    paths = []
    if content is not None:
        root = parse(content, is_html=False)[0]
        paths = [file.get("full-path") or "" for file in named(root, "rootfile")]
    paths += [name for name in archive.members if name.lower().endswith(".opf")]
    found = next((member for path in paths if path and (member := archive.find(path))), None)
    if found is None:
        raise UserError(
            f"{archive.path.name} is damaged (it has no package document); {READ_AGAIN}."
        )
    if paths[0] not in (found, ""):
        archive.warnings.append(f"The package document {paths[0]} is missing; {found} is read.")
    return found


def _repaired_package(archive: Archive, path: str) -> etree._Element:
    """The package document in the shape that ebooklib expects; defects become warnings."""
    source, well_formed = parse(archive.read(path) or b"", is_html=False)
    if not well_formed:
        archive.warnings.append(f"{path} is not well-formed XML; it is read as far as it goes.")
    package = next(iter(named(source, "package")), None)
    if package is None:
        raise UserError(
            f"{archive.path.name} is damaged (its package document {path} is unreadable);"
            f" {READ_AGAIN}."
        )
    root = etree.Element(f"{{{OPF}}}package", nsmap={None: OPF, "dc": DC})
    for name in ("version", "unique-identifier", f"{{{XML}}}lang"):
        if package.get(name):
            root.set(name, package.get(name))
    metadata = etree.SubElement(root, f"{{{OPF}}}metadata")
    for element in named(package, "metadata")[:1]:
        _copy_metadata(element, metadata)
    numbers = count(1)
    manifest = etree.SubElement(root, f"{{{OPF}}}manifest")
    known: set[str] = set()
    for element in named(package, "item"):
        href, number = (element.get("href") or "").strip(), next(numbers)
        name = (element.get("id") or "").strip() or f"item-{number}"
        if not href or name in known or len(href) > LONGEST_VALUE:
            archive.warnings.append(f"A manifest entry ({name}) is without a file or doubled.")
            continue
        known.add(name)
        item = etree.SubElement(manifest, f"{{{OPF}}}item", {"id": name, "href": href})
        item.set("media-type", (element.get("media-type") or "").strip())
        item.set("fallback", (element.get("fallback") or "").strip())
        # ebooklib forgets the id and the file of what has the property "cover" (not cover-image).
        told = [word for word in (element.get("properties") or "").split() if word != "cover"]
        item.set("properties", " ".join(told))
    spine = etree.SubElement(root, f"{{{OPF}}}spine")
    for element in named(package, "spine")[:1]:
        spine.set("toc", element.get("toc", ""))
    for element in named(package, "itemref"):
        if element.get("idref"):
            place = etree.SubElement(spine, f"{{{OPF}}}itemref")
            place.set("idref", element.get("idref").strip())
            place.set("linear", element.get("linear", "yes").strip().lower())
    guide = etree.SubElement(root, f"{{{OPF}}}guide")
    for element in named(package, "reference"):
        etree.SubElement(
            guide,
            f"{{{OPF}}}reference",
            {name: element.get(name, "") for name in ("type", "title", "href")},
        )
    return root


def _copy_metadata(source: etree._Element, target: etree._Element) -> None:
    """Flatten wrappers such as dc-metadata, settle namespaces, and keep markup as text."""
    for element in named(source, *DC_NAMES, "meta"):
        name = local_name(element)
        copy = etree.SubElement(target, f"{{{OPF if name == 'meta' else DC}}}{name}")
        for key, value in element.items():
            key = key.rpartition("}")[2].rpartition(":")[2]
            if key in METADATA_ATTRIBUTES:
                copy.set(key, value[:LONGEST_VALUE])
        inner = list(element.itertext())
        if name == "description":
            inner = [etree.tostring(child, encoding="unicode") for child in element]
            inner.insert(0, element.text or "")
        copy.text = "".join(inner)[:LONGEST_VALUE]


def _spine_of(root: etree._Element) -> etree._Element:
    return named(root, "spine")[0]


def _locate(archive: Archive, path: str) -> str:
    """The member's real name where the manifest writes it in another case or encoding."""
    return archive.find(path) or path


def _readable(items: dict[str, Item], idref: str) -> Item | None:
    """The item to read at a place of the spine, following its fallbacks to a text.

    The words of a picture (SVG) are read where there is no text in its place.
    """
    seen: dict[str, Item] = {}
    while idref in items and idref not in seen:
        seen[idref] = items[idref]
        if items[idref].is_document:
            return items[idref]
        idref = items[idref].fallback
    return next((item for item in seen.values() if item.media_type == SVG_TYPE), None)


def _values(book: epub.EpubBook, namespace: str, name: str) -> list[tuple[str, dict[str, str]]]:
    return [
        (value or "", fields) for value, fields in book.metadata.get(namespace, {}).get(name, [])
    ]


def _metadata(book: epub.EpubBook, root: etree._Element) -> dict[str, Any]:
    """Title, authors and the rest of what a tag can carry."""
    refined: dict[str, list[tuple[str, str]]] = {}
    for value, fields in _values(book, OPF, "meta"):
        if fields.get("refines"):
            pair = (fields.get("property", ""), fold(value))
            refined.setdefault(fields["refines"].lstrip("#"), []).append(pair)

    def about(fields: dict[str, str], name: str) -> set[str]:
        told = {value for key, value in refined.get(fields.get("id", ""), []) if key == name}
        return told | ({fields[name]} if fields.get(name) else set())

    def all_of(name: str) -> list[tuple[str, dict[str, str]]]:
        pairs = [(fold(value), fields) for value, fields in _values(book, DC, name)]
        return [(value, fields) for value, fields in pairs if value]

    def first_of(name: str, best: tuple[str, str] = ("", "")) -> str:
        pairs = all_of(name)
        chosen = [value for value, fields in pairs if best[1] in about(fields, best[0])]
        return [*chosen, *(value for value, _ in pairs), ""][0]

    creators = all_of("creator")
    authors = [
        name
        for name, fields in creators
        if not (roles := {role.lower() for role in about(fields, "role")}) or "aut" in roles
    ]
    unique = root.get("unique-identifier")
    identifiers = [value for value, fields in all_of("identifier") if fields.get("id") == unique]
    description = parse(f"<div>{first_of('description')}</div>")[0]
    for element in named(description, "p", "br", "div", "li"):
        element.tail = " " + (element.tail or "")
    return {
        "title": first_of("title", ("title-type", "main")),
        "authors": tuple(dict.fromkeys(authors or [name for name, _ in creators])),
        "language": first_of("language") or root.get(f"{{{XML}}}lang", ""),
        "identifier": [*identifiers, first_of("identifier")][0],
        "publisher": first_of("publisher"),
        "date": first_of("date", ("event", "publication")),
        "description": fold("".join(description.itertext())),
        **_series(book, refined),
    }


def _series(book: epub.EpubBook, refined: dict[str, list[tuple[str, str]]]) -> dict[str, str]:
    """The series that the book belongs to and its number in it: as EPUB 3 says it, else Calibre."""
    metas = _values(book, OPF, "meta")
    for value, fields in metas:
        told = dict(refined.get(fields.get("id", ""), []))
        collection = fields.get("property") == "belongs-to-collection" and fold(value)
        if collection and told.get("collection-type", "series") == "series":
            return {"series": collection, "series_part": told.get("group-position", "")}
    calibre = {fields.get("name", ""): fold(fields.get("content")) for _, fields in metas}
    part = calibre.get("calibre:series_index", "").removesuffix(".0")
    series = calibre.get("calibre:series", "")
    return {"series": series, "series_part": part if series else ""}


def find_cover(archive: Archive, package: Package) -> tuple[bytes | None, str]:
    """(image, media type) of the cover: JPEG or PNG by its bytes; (None, "") without one."""
    by_path = {item.path: item for item in package.items}
    candidates = [item.path for item in package.items if "cover-image" in item.properties]
    for name in package.cover_ids:
        candidates += [item.path for item in package.items if name in (item.id, item.path)]
    pages = [path for kind, path, _ in package.guide if kind in ("cover", "other.ms-coverimage")]
    if package.spine and "cover" in (package.spine[0].item.id + package.spine[0].item.path).lower():
        pages.append(package.spine[0].item.path)
    for path in pages:
        item = by_path.get(path)
        if item is not None and item.is_document:
            candidates += _images_in(archive, path)
        else:
            candidates.append(path)
    candidates += [
        item.path
        for item in package.items
        if item.media_type.startswith("image/") and "cover" in item.id.lower()
    ]
    unusable = []
    for path in dict.fromkeys(candidates):
        try:
            content = archive.read(path) or b""
        except UserError:
            content = b""
        for image in (content, *_images_inside_svg(archive, path, content)):
            media_type = next((kind for mark, kind in IMAGE_MARKS if image.startswith(mark)), "")
            if media_type:
                return image, media_type
        unusable.append(path)
    if unusable:
        archive.warnings.append(
            f"The cover {unusable[0]} is no readable JPEG or PNG image; the book gets no cover."
        )
    return None, ""


def _images_inside_svg(archive: Archive, path: str, content: bytes) -> list[bytes]:
    """The pictures that an SVG cover frames, the largest first."""
    if b"<svg" not in content[:4096]:
        return []
    found = []
    for element in named(parse(content)[0], "image"):
        for key, value in element.items():
            if key.rpartition("}")[2].rpartition(":")[2] != "href":
                continue
            head, comma, data = value.partition(",")
            if head.startswith("data:") and head.endswith(";base64") and comma:
                with suppress(ValueError):
                    found.append(base64.b64decode(data))
            elif target := resolve(path, value)[0]:
                found.append(archive.read(target) or b"")
    return sorted(found, key=len, reverse=True)


def _images_in(archive: Archive, path: str) -> list[str]:
    """Paths of the images on a page, those inside an SVG wrapper too."""
    page = parse(archive.read(path) or b"")[0]
    links = []
    for element in named(page, "img", "image"):
        for key, value in element.items():
            if key.rpartition("}")[2].rpartition(":")[2] in ("src", "href"):
                links.append(resolve(path, value)[0])
    return [link for link in links if link]
