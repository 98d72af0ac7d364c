"""Containers and packages with defects, metadata and covers, seen through the book they give."""

import base64
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.read_book import Book, read_book

Epub = Callable[..., Path]

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
JPEG = b"\xff\xd8\xff\xe0" + bytes(60) + b"\xff\xd9"
PROSE = "<p>She walked down to the water.</p>"


def texts(book: Book) -> list[str]:
    return [" ".join(block.text for block in chapter.blocks) for chapter in book.chapters]


def test_one_missing_file_costs_only_itself(epub: Epub) -> None:
    manifest = '<item id="gone" href="gone.xhtml" media-type="application/xhtml+xml"/>'
    manifest += '<item id="font" href="gone.otf" media-type="font/otf"/>'
    book = read_book(epub({"a.xhtml": PROSE}, manifest=manifest, spine=["gone", "a.xhtml"]))
    assert len(book.chapters) == 1
    assert any("gone.xhtml is missing" in warning for warning in book.warnings)


def test_names_in_another_case_or_encoding(epub: Epub) -> None:
    manifest = '<item id="a" href="Text/My%20File.xhtml" media-type="application/xhtml+xml"/>'
    path = epub(
        {}, manifest=manifest, spine=["a"], files={"OEBPS/text/my file.xhtml": "<p>found</p>"}
    )
    assert texts(read_book(path)) == ["found"]


def test_backslashes_in_the_zip(epub: Epub, tmp_path: Path) -> None:
    path = tmp_path / "windows.epub"
    with (
        zipfile.ZipFile(epub({"a.xhtml": "<p>found</p>"})) as old,
        zipfile.ZipFile(path, "w") as new,
    ):
        for info in old.infolist():
            name = info.filename
            info_new = zipfile.ZipInfo("x")
            info_new.filename = name.replace("/", "\\")
            new.writestr(info_new, old.read(name))
    assert texts(read_book(path)) == ["found"]


def test_the_first_of_several_packages_is_read(epub: Epub) -> None:
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/package.opf" media-type="application/oebps-package+xml"/>'
        '<rootfile full-path="other.opf" media-type="application/oebps-package+xml"/>'
        "</rootfiles></container>"
    )
    other = (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata/><manifest><item id="b"'
        ' href="OEBPS/b.xhtml" media-type="application/xhtml+xml"/></manifest><spine>'
        '<itemref idref="b"/></spine></package>'
    )
    path = epub(
        {"a.xhtml": "<p>first</p>"},
        files={"META-INF/container.xml": container, "OEBPS/b.xhtml": "<p>second</p>"},
    )
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other.opf", other)
    assert texts(read_book(path)) == ["first"]


def test_a_package_with_prefixes_comments_and_holes(epub: Epub) -> None:
    opf = (
        '<opf:package xmlns:opf="http://www.idpf.org/2007/opf" version="2.0"><!-- c -->'
        '<opf:metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><opf:dc-metadata>'
        "<dc:title>Old <i>Style</i></dc:title><?pi?></opf:dc-metadata></opf:metadata>"
        '<opf:manifest><!-- c --><opf:item id="a" href="a.xhtml" media-type="text/html"/>'
        '<opf:item id="b"/><opf:item href="c.css" media-type="text/css"/>'
        '<opf:item id=" " href="d.css" media-type=""/><opf:item id="x" href="x.xhtml"'
        ' media-type="application/xhtml+xml" properties="cover"/></opf:manifest>'
        '<opf:spine toc="nothing"><!-- c --><opf:itemref idref="a"/><opf:itemref idref="zz"/>'
        "</opf:spine></opf:package>"
    )
    book = read_book(epub({"a.xhtml": "<p>text</p>"}, files={"OEBPS/package.opf": opf}))
    assert texts(book) == ["text"]
    assert book.title == "Old Style"


def test_without_container_the_only_package_is_read(epub: Epub) -> None:
    path = epub({"a.xhtml": "<p>text</p>"}, leave_out=["META-INF/container.xml", "mimetype"])
    book = read_book(path)
    assert texts(book) == ["text"]
    assert len(book.warnings) == 2


def test_a_spine_item_falls_back_to_text(epub: Epub) -> None:
    manifest = '<item id="pdf" href="a.pdf" media-type="application/pdf" fallback="a.xhtml"/>'
    book = read_book(epub({"a.xhtml": "<p>text</p>"}, manifest=manifest, spine=["pdf"]))
    assert texts(book) == ["text"]


def test_the_words_of_pictures_in_the_spine_where_no_text_stands_for_them(epub: Epub) -> None:
    svg = "<svg xmlns='http://www.w3.org/2000/svg'><text>Words</text></svg>"
    kind = 'media-type="image/svg+xml"'
    manifest = f'<item id="bare" href="x.svg" {kind}/>'
    manifest += f'<item id="told" href="x.svg" {kind} fallback="a.xhtml"/>'
    path = epub(
        {"a.xhtml": "<p>text</p>"},
        manifest=manifest,
        files={"OEBPS/x.svg": svg},
        spine=["bare", "told"],
    )
    assert " ".join(texts(read_book(path))) == "Words text"


def test_metadata(epub: Epub) -> None:
    metadata = """
    <dc:title id="s">A Subtitle</dc:title><meta refines="#s" property="title-type">subtitle</meta>
    <dc:title id="t">The
       Title</dc:title><meta refines="#t" property="title-type">main</meta>
    <dc:creator id="a">Ann Author</dc:creator><meta refines="#a" property="role">aut</meta>
    <dc:creator>No Role</dc:creator>
    <dc:creator id="i">Ida Ill</dc:creator><meta refines="#i" property="role">ill</meta>
    <dc:creator xmlns:opf="http://www.idpf.org/2007/opf" opf:role="trl">Ted Trl</dc:creator>
    <dc:identifier id="other">999</dc:identifier><dc:identifier id="id">urn:uuid:1</dc:identifier>
    <dc:language>de-AT</dc:language><dc:publisher>House</dc:publisher><dc:date>1900-01-02</dc:date>
    <dc:description>
    &lt;p&gt;About &lt;b&gt;it&lt;/b&gt;.&lt;/p&gt;&lt;p&gt;All.&lt;/p&gt;</dc:description>
    """
    book = read_book(epub({"a.xhtml": PROSE}, metadata=metadata))
    assert (book.title, book.authors) == ("The Title", ("Ann Author", "No Role"))
    assert (book.identifier, book.language, book.publisher) == ("urn:uuid:1", "de-AT", "House")
    assert (book.date, book.description) == ("1900-01-02", "About it. All.")


@pytest.mark.parametrize(
    ("metadata", "series"),
    [
        (
            '<meta property="belongs-to-collection" id="s">A\n Set</meta>'
            '<meta refines="#s" property="collection-type">set</meta>'
            '<meta property="belongs-to-collection" id="c">The Saga</meta>'
            '<meta refines="#c" property="collection-type">series</meta>'
            '<meta refines="#c" property="group-position">2</meta>',
            ("The Saga", "2"),
        ),
        (
            '<meta name="calibre:series" content="The Saga"/>'
            '<meta name="calibre:series_index" content="3.0"/>',
            ("The Saga", "3"),
        ),
        ('<meta name="calibre:series_index" content="1.0"/>', ("", "")),
    ],
)
def test_series(epub: Epub, metadata: str, series: tuple[str, str]) -> None:
    book = read_book(epub({"a.xhtml": PROSE}, metadata=metadata))
    assert (book.series, book.series_part) == series


def test_a_book_that_says_nothing_about_itself(epub: Epub) -> None:
    book = read_book(epub({"a.xhtml": PROSE}, metadata="", name="Nameless.epub"))
    assert (book.title, book.authors, book.language) == ("Nameless", (), "en")
    assert any("language" in warning for warning in book.warnings)


# Covers


def test_cover_of_epub_3(epub: Epub) -> None:
    path = epub({"a.xhtml": PROSE}, files={"x.png": PNG}, properties={"x.png": "cover-image"})
    book = read_book(path)
    assert (book.cover, book.cover_type) == (PNG, "image/png")


def test_cover_of_epub_2_by_its_bytes_not_its_name(epub: Epub) -> None:
    metadata = '<dc:title>T</dc:title><meta name="cover" content="x.png"/>'
    book = read_book(epub({"a.xhtml": PROSE}, metadata=metadata, files={"x.png": JPEG}))
    assert (book.cover, book.cover_type) == (JPEG, "image/jpeg")


def test_cover_by_the_guides_page(epub: Epub) -> None:
    page = "<svg xmlns:xlink='http://www.w3.org/1999/xlink'><image xlink:href='x.jpg'/></svg>"
    book = read_book(
        epub(
            {"c.xhtml": page, "a.xhtml": PROSE},
            guide='<reference type="cover" href="c.xhtml"/>',
            files={"x.jpg": JPEG},
        )
    )
    assert book.cover == JPEG


def test_a_picture_inside_an_svg_cover(epub: Epub) -> None:
    data = base64.b64encode(JPEG).decode()
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<image xlink:href="data:image/jpeg;base64,{data}"/></svg>'
    )
    path = epub({"a.xhtml": PROSE}, files={"x.svg": svg}, properties={"x.svg": "cover-image"})
    assert read_book(path).cover == JPEG


def test_another_image_is_no_cover_but_a_warning(epub: Epub) -> None:
    path = epub({"a.xhtml": PROSE}, files={"x.svg": "<svg/>"}, properties={"x.svg": "cover-image"})
    book = read_book(path)
    assert (book.cover, book.cover_type) == (None, "")
    assert any("x.svg" in warning for warning in book.warnings)
