"""The files around a read-along book's pages: SMIL, style sheet, and what the package says of them.

EPUB 3.3, section 9 (Media Overlays). The package document is edited as text: what is not about the
narration stays as it was, byte by byte.
"""

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from configs.errors import UserError
from tasks.epub_guard import Archive
from tasks.epub_markup import CONTROLS, local_name
from tasks.epub_package import fold, resolve
from tasks.overlay_markup import Source, Tag, read_markup, scan
from tasks.overlay_spans import free_prefix

ACTIVE_CLASS = "-epub-media-overlay-active"
STYLE = f".{ACTIVE_CLASS} {{\n\tbackground-color: rgba(255, 200, 0, 0.35);\n}}\n"
SMIL_TYPE = "application/smil+xml"
_ACCESS = (
    ("schema:accessMode", "auditory"),
    ("schema:accessibilityFeature", "synchronizedAudioText"),
)
DC = "http://purl.org/dc/elements/1.1/"


@dataclass(frozen=True)
class Clip:
    """What is heard while the element `id` of a page is shown: milliseconds `begin` to `end` of the
    archive's file `audio`. `role` is an epub:type such as "footnote", or ""."""

    id: str
    audio: str
    begin: int
    end: int
    role: str = ""


@dataclass(frozen=True)
class Overlay:
    """One page with its clips in order; `path` is the page's and `smil` its overlay's file."""

    path: str
    smil: str
    clips: tuple[Clip, ...]

    @property
    def milliseconds(self) -> int:
        return sum(clip.end - clip.begin for clip in self.clips)


@dataclass(frozen=True)
class PackageFile:
    """A package document that can be added to; `items` has the tag of each archive file's item."""

    path: str
    source: Source
    mark: bytes
    encoding: str
    items: dict[str, Tag]
    prefix: str

    @property
    def folder(self) -> str:
        return posixpath.dirname(self.path)


def read_package_file(archive: Archive, path: str) -> PackageFile:
    """Read a package document for editing. Raises UserError for one that cannot be added to."""
    name = archive.path.name
    markup = read_markup(archive.read(path) or b"")
    source = scan(markup[0], is_html=False) if markup else None
    if markup is None or source is None:
        raise UserError(
            f"{name} cannot become a read-along book: its package document {path} is not"
            " well-formed XML; repair the book first, for example with Sigil or Calibre."
        )
    tags = [tag for tag in source.tags if tag.opening]
    version = tags[0].element.get("version", "")
    if not version.startswith("3"):
        raise UserError(
            f"{name} is an EPUB {version or '2'} book, and only EPUB 3 can hold read-along audio;"
            " convert it to EPUB 3 first, for example with Sigil or Calibre."
        )
    names = {local_name(tag.element) for tag in source.tags if not tag.opening}
    items: dict[str, Tag] = {}
    for tag in tags:
        told = tag.element.get("property", "") if local_name(tag.element) == "meta" else ""
        if tag.element.get("media-overlay") or told.startswith("media:"):
            raise UserError(
                f"{name} has a narration already, which is kept; give an edition of the book"
                " without audio."
            )
        if local_name(tag.element) != "item":
            continue
        target = resolve(path, tag.element.get("href", ""))[0]
        items.setdefault(archive.find(target) or target, tag)
    if not {"metadata", "manifest"} <= names:
        raise UserError(
            f"{name} cannot become a read-along book: its package document {path} lists no files."
        )
    return PackageFile(path, source, markup[1], markup[2], items, free_prefix(source.text))


def smil_text(overlay: Overlay) -> str:
    """The media overlay document of one page."""
    page = _link(overlay.path, overlay.smil)
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<smil xmlns="http://www.w3.org/ns/SMIL" xmlns:epub="http://www.idpf.org/2007/ops"'
        ' version="3.0">',
        "\t<body>",
        f'\t\t<seq id="page" epub:textref={page}>',
    ]
    for number, clip in enumerate(overlay.clips, start=1):
        role = f" epub:type={quoteattr(clip.role)}" if clip.role else ""
        audio = _link(clip.audio, overlay.smil)
        times = f'clipBegin="{_clock(clip.begin)}" clipEnd="{_clock(clip.end)}"'
        lines += [
            f'\t\t\t<par id="par-{number}"{role}>',
            f"\t\t\t\t<text src={_link(overlay.path, overlay.smil, clip.id)}/>",
            f"\t\t\t\t<audio src={audio} {times}/>",
            "\t\t\t</par>",
        ]
    return "\n".join([*lines, "\t\t</seq>", "\t</body>", "</smil>", ""])


def style_link(page: str, style: str, name: str, prefix: str) -> str:
    """The `<link>` from a page to the style sheet of the narration; `name` is its id."""
    return f'<{prefix}link id="{name}" rel="stylesheet" type="text/css" href={_link(style, page)}/>'


def package_text(
    package: PackageFile,
    overlays: Sequence[Overlay],
    audio: Sequence[tuple[str, str]],
    style: str,
    narrator: str,
    notice: str,
) -> str:
    """The package document with the narration in it.

    `audio` has (archive file, media type). The moment of modification moves on by a second: the
    book is another, and the same inputs still give the same bytes.
    """
    mark = package.prefix
    narrator = fold(CONTROLS.sub("", narrator)) or "A synthetic voice"
    notice = fold(CONTROLS.sub("", notice)) or "The narration is synthetic."
    manifest, metadata = (_closing(package.source, name) for name in ("manifest", "metadata"))
    edits: list[tuple[int, int, str]] = []
    items: list[str] = []
    metas = [
        f'<dc:contributor xmlns:dc="{DC}" id="{mark}-narrator">{escape(narrator)}</dc:contributor>',
        _meta(metadata, "role", "nrt", f"{mark}-narrator", ' scheme="marc:relators"'),
        _meta(metadata, "schema:description", notice, f"{mark}-narrator"),
        _meta(metadata, "media:narrator", narrator),
        _meta(metadata, "media:active-class", ACTIVE_CLASS),
    ]
    said = {
        (tag.element.get("property"), (tag.element.text or "").strip())
        for tag in package.source.tags
        if local_name(tag.element) == "meta"
    }
    metas += [_meta(metadata, *access) for access in _ACCESS if access not in said]
    for number, overlay in enumerate(overlays, start=1):
        name = f"{mark}-overlay-{number}"
        tag = package.items[overlay.path]
        after_name = tag.start + 1 + len(tag.name)
        edits.append((after_name, after_name, f' media-overlay="{name}"'))
        items.append(_item(manifest, package, name, overlay.smil, SMIL_TYPE))
        length = _clock(overlay.milliseconds)
        metas.append(_meta(metadata, "media:duration", length, name))
    total = sum(overlay.milliseconds for overlay in overlays)
    metas.append(_meta(metadata, "media:duration", _clock(total)))
    for number, (path, media_type) in enumerate(audio, start=1):
        items.append(_item(manifest, package, f"{mark}-audio-{number}", path, media_type))
    items.append(_item(manifest, package, f"{mark}-style", style, "text/css"))
    for tag, lines in ((metadata, metas), (manifest, items)):
        edits.append((tag.start, tag.start, "".join(f"\t{line}\n\t" for line in lines)))
    edits += _modified_later(package.source)
    text = package.source.text
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _closing(source: Source, name: str) -> Tag:
    return next(tag for tag in source.tags if not tag.opening and local_name(tag.element) == name)


def _item(beside: Tag, package: PackageFile, name: str, path: str, media_type: str) -> str:
    link = _link(path, package.path)
    return f'<{beside.prefix}item id="{name}" href={link} media-type="{media_type}"/>'


def _meta(beside: Tag, name: str, value: str, refines: str = "", more: str = "") -> str:
    tag = f"{beside.prefix}meta"
    about = f' refines="#{refines}"' if refines else ""
    return f'<{tag}{about} property="{name}"{more}>{escape(value)}</{tag}>'


def _modified_later(source: Source) -> list[tuple[int, int, str]]:
    for tag in source.tags:
        element = tag.element
        if not tag.opening or local_name(element) != "meta" or element.get("refines"):
            continue
        if element.get("property") != "dcterms:modified":
            continue
        start, end = tag.end, source.tags[tag.partner].start
        told = source.text[start:end]
        if re.fullmatch(r"\s*\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\s*", told, re.ASCII):
            try:
                moment = datetime.fromisoformat(told.strip()) + timedelta(seconds=1)
            except (ValueError, OverflowError):
                return []
            return [(start, end, moment.strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20))]
    return []


def _link(target: str, base: str, fragment: str = "") -> str:
    """The quoted URL of an archive file as seen from the archive file `base`."""
    path = posixpath.relpath(target, posixpath.dirname(base) or ".")
    return quoteattr(quote(path) + (f"#{fragment}" if fragment else ""))


def _clock(milliseconds: int) -> str:
    """A SMIL clock value, h:mm:ss.mmm."""
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.{milliseconds:03}"
