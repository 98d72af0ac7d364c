"""Fixtures for the tests of steps: small EPUBs built on the spot."""

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

CONTAINER = """<?xml version="1.0"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles>{}</rootfiles></container>"""
ROOTFILE = '<rootfile full-path="{}" media-type="application/oebps-package+xml"/>'
TITLE = "<dc:title>A Test</dc:title><dc:language>en</dc:language>"
MEDIA_TYPES = {
    "xhtml": "application/xhtml+xml",
    "html": "application/xhtml+xml",
    "ncx": "application/x-dtbncx+xml",
    "png": "image/png",
    "jpg": "image/jpeg",
    "svg": "image/svg+xml",
    "css": "text/css",
}


def page(body: str, attributes: str = "") -> str:
    """An XHTML document around a body."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<html xmlns="http://www.w3.org/1999/xhtml"'
        ' xmlns:epub="http://www.idpf.org/2007/ops"><head><title>Head title</title></head>'
        f"<body {attributes}>{body}</body></html>"
    )


def nav(entries: str, more: str = "") -> str:
    """A navigation document; `entries` are the `li` elements of the table of contents."""
    return page(f'<nav epub:type="toc"><h1>Contents</h1><ol>{entries}</ol></nav>{more}')


def ncx(points: str) -> str:
    """An EPUB 2 table of contents."""
    return (
        '<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/" version="2005-1"><navMap>'
        f"{points}</navMap><pageList><pageTarget><navLabel><text>99</text></navLabel>"
        '<content src="a.xhtml"/></pageTarget></pageList></ncx>'
    )


@dataclass
class EpubBuilder:
    """Writes an EPUB: `pages` by file name in spine order, and every part open to damage."""

    folder: Path
    number: int = field(default=0)

    page = staticmethod(page)
    nav = staticmethod(nav)
    ncx = staticmethod(ncx)

    def __call__(
        self,
        pages: Mapping[str, str | bytes],
        *,
        toc: str = "",
        landmarks: str = "",
        points: str = "",
        metadata: str = TITLE,
        properties: Mapping[str, str] | None = None,
        spine: Sequence[str] | str | None = None,
        manifest: str = "",
        guide: str = "",
        files: Mapping[str, str | bytes] | None = None,
        opf: str = "OEBPS/package.opf",
        leave_out: Sequence[str] = (),
        name: str = "",
    ) -> Path:
        files = dict(files or {})
        folder = opf.rpartition("/")[0]
        contents: dict[str, str | bytes] = {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": CONTAINER.format(ROOTFILE.format(opf)),
        }
        parts = {file: text if _whole(text) else page(text) for file, text in pages.items()}
        listed = dict(parts)
        if toc or landmarks:
            marks = f'<nav epub:type="landmarks"><ol>{landmarks}</ol></nav>' if landmarks else ""
            listed["nav.xhtml"] = nav(toc, marks)
        if points:
            listed["toc.ncx"] = ncx(points)
        properties = {"nav.xhtml": "nav", **(properties or {})}
        items = "".join(
            f'<item id="{file}" href="{file}" media-type="{MEDIA_TYPES[file.rpartition(".")[2]]}"'
            f' properties="{properties.get(file, "")}"/>'
            for file in {**listed, **{file: "" for file in files if "/" not in file}}
        )
        places = spine if spine is not None else list(parts)
        if not isinstance(places, str):
            places = "".join(f'<itemref idref="{place}"/>' for place in places)
        contents[opf] = (
            '<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">'
            f'<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">{metadata}</metadata>'
            f'<manifest>{items}{manifest}</manifest><spine toc="toc.ncx">{places}</spine>'
            f"<guide>{guide}</guide></package>"
        )
        for file, content in {**listed, **files}.items():
            inside = file if "/" in file else f"{folder}/{file}".lstrip("/")
            contents[inside] = content
        self.number += 1
        path = self.folder / (name or f"book-{self.number}.epub")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file, content in contents.items():
                if file not in leave_out:
                    archive.writestr(file, content)
        return path


def _whole(text: str | bytes) -> bool:
    return isinstance(text, bytes) or text.lstrip().startswith(("<?xml", "<!DOCTYPE", "<html"))


@pytest.fixture
def epub(tmp_path: Path) -> Callable[..., Path]:
    """Builds small EPUBs: `epub({"a.xhtml": "<p>Body</p>"}, toc="<li>...</li>")` -> path."""
    return EpubBuilder(tmp_path)
