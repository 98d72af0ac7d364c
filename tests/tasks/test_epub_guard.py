"""Files that are no book: each gets one sentence, and none gets through or crashes the reader."""

import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from tasks.epub_guard import open_archive
from tasks.read_book import read_book

Epub = Callable[..., Path]

JPEG = b"\xff\xd8\xff\xe0" + bytes(60) + b"\xff\xd9"
PROSE = "<p>She walked down to the water.</p>"


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_book(path)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    assert type(caught.value).exit_status == 1
    return message


def test_missing_folder_empty(tmp_path: Path) -> None:
    assert "no file" in refused(tmp_path / "none.epub")
    assert "folder" in refused(tmp_path)
    (tmp_path / "empty.epub").touch()
    assert "empty" in refused(tmp_path / "empty.epub")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"Just some text", "not an EPUB"),
        (b"%PDF-1.7\n", "PDF"),
        (bytes(60) + b"BOOKMOBI" + bytes(20), "Kindle"),
        (b"PK\x03\x04 and nothing more", "cut off"),
        (bytes(range(256)) * 40, "not an EPUB"),
    ],
)
def test_other_files(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "book.epub"
    path.write_bytes(content)
    assert words in refused(path)


def test_another_zip(tmp_path: Path) -> None:
    path = tmp_path / "photos.epub"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photo.jpg", JPEG)
    assert "not an EPUB" in refused(path)


def test_a_book_without_text(epub: Epub) -> None:
    assert "no text" in refused(epub({"a.xhtml": "<img src='scan.png' alt='scan'/>"}))
    assert "no text" in refused(epub({}))


def test_a_truncated_book(epub: Epub, tmp_path: Path) -> None:
    whole = epub({"a.xhtml": PROSE * 50}).read_bytes()
    path = tmp_path / "cut.epub"
    for end in (len(whole) // 2, len(whole) - 30, 40):
        path.write_bytes(whole[:end])
        assert "cut off or damaged" in refused(path)


def test_a_damaged_chapter(epub: Epub) -> None:
    path = epub({"a.xhtml": "<p>text</p>" * 30})
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("OEBPS/a.xhtml").header_offset + 30 + len("OEBPS/a.xhtml") + 4
    content = bytearray(path.read_bytes())
    content[at : at + 8] = b"\xff" * 8
    path.write_bytes(content)
    assert "damaged" in refused(path)


def test_a_package_that_is_no_package(epub: Epub) -> None:
    assert "damaged" in refused(epub({"a.xhtml": ""}, files={"OEBPS/package.opf": "nonsense"}))
    assert "damaged" in refused(epub({"a.xhtml": ""}, leave_out=["OEBPS/package.opf"]))


ENCRYPTION = """<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"
 xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptedData>
<enc:EncryptionMethod Algorithm="{}"/></enc:EncryptedData></encryption>"""


@pytest.mark.parametrize(
    "files",
    [
        {
            "META-INF/encryption.xml": ENCRYPTION.format(
                "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
            )
        },
        {"META-INF/rights.xml": "<rights/>"},
        {"META-INF/license.lcpl": "{}"},
    ],
)
def test_drm_is_refused(epub: Epub, files: dict[str, str]) -> None:
    assert "DRM" in refused(epub({"a.xhtml": PROSE}, files=files))


@pytest.mark.parametrize(
    "algorithm", ["http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"]
)
def test_scrambled_fonts_are_no_drm(epub: Epub, algorithm: str) -> None:
    files = {"META-INF/encryption.xml": ENCRYPTION.format(algorithm)}
    assert len(read_book(epub({"a.xhtml": PROSE}, files=files)).chapters) == 1


def test_a_zip_bomb(epub: Epub) -> None:
    assert "bomb" in refused(epub({"a.xhtml": b"<p>" + bytes(30_000_000)}))
    many = {f"OEBPS/{number}.css": bytes(4_000_000) for number in range(20)}
    assert "bomb" in refused(epub({"a.xhtml": PROSE}, files=many))


def test_a_member_that_lies_about_its_size(epub: Epub) -> None:
    path = epub({"a.xhtml": b"<p>" + bytes(9_000_000)})
    content = path.read_bytes().replace(struct.pack("<I", 9_000_003), struct.pack("<I", 200))
    path.write_bytes(content)
    refused(path)


def test_too_many_members(epub: Epub) -> None:
    many = {f"OEBPS/{number}.css": b"" for number in range(10_001)}
    assert "files" in refused(epub({"a.xhtml": PROSE}, files=many))


@pytest.mark.parametrize("name", ["../evil.xhtml", "a/../../evil", "C:\\evil", "x" * 2000])
def test_unsafe_names(epub: Epub, name: str) -> None:
    path = epub({"a.xhtml": PROSE})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"")
    assert "unsafe" in refused(path)


@pytest.fixture(scope="module")
def whole_book(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("fuzz") / "book.epub"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr(
            "META-INF/container.xml", '<container><rootfile full-path="p.opf"/></container>'
        )
        archive.writestr(
            "p.opf",
            '<package xmlns="http://www.idpf.org/2007/opf"><metadata/><manifest><item id="a"'
            ' href="a.xhtml" media-type="application/xhtml+xml"/></manifest><spine>'
            '<itemref idref="a"/></spine></package>',
        )
        archive.writestr("a.xhtml", "<html><body><p>One</p></body></html>", zipfile.ZIP_DEFLATED)
    return path.read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    damage=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=8)
)
def test_any_damage_is_a_sentence_not_a_crash(
    whole_book: bytes, tmp_path: Path, damage: list[tuple[int, int]]
) -> None:
    content = bytearray(whole_book)
    for place, value in damage:
        content[place % len(content)] = value
    path = tmp_path / "damaged.epub"
    path.write_bytes(content)
    try:
        book = read_book(path)
    except UserError as error:
        assert str(error).endswith(".")
    else:
        assert book.chapters


@pytest.mark.parametrize("unit", ["<!-- ", "<![CDATA[", "<!DOCTYPE [", '<a x="', "<p>", "<b"])
def test_markup_that_never_ends_takes_no_time(epub: Epub, unit: str) -> None:
    started = time.process_time()
    refused(epub({"a.xhtml": f"<html>{unit * (100_000 // len(unit))}".encode()}))
    assert time.process_time() - started < 5


def test_no_more_is_read_than_a_book_can_hold(epub: Epub, monkeypatch: pytest.MonkeyPatch) -> None:
    path = epub({"a.xhtml": PROSE, "b.xhtml": PROSE})
    monkeypatch.setattr("tasks.epub_guard.MAX_READ_BYTES", 100)
    with open_archive(path) as archive, pytest.raises(UserError, match="bomb"):
        archive.read("OEBPS/a.xhtml")
