"""Reading whole EPUBs: order, chapters, front matter, markup, and real books."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree

from configs.errors import UsageError, UserError
from tasks.read_book import Book, Chapter, read_book, select_chapters

Epub = Callable[..., Path]

PROSE = "<p>She walked down to the water, and nobody asked her why she went.</p>"
XHTML = "{http://www.w3.org/1999/xhtml}"


def titles(book: Book) -> list[str]:
    return [chapter.title for chapter in book.chapters]


def texts(book: Book) -> list[str]:
    return [" ".join(block.text for block in chapter.blocks) for chapter in book.chapters]


def link(href: str, label: str, inside: str = "") -> str:
    return f'<li><a href="{href}">{label}</a>{f"<ol>{inside}</ol>" if inside else ""}</li>'


def point(href: str, label: str, inside: str = "") -> str:
    return (
        f"<navPoint><navLabel><text>{label}</text></navLabel>"
        f'<content src="{href}"/>{inside}</navPoint>'
    )


# Order and chapters


def test_the_spine_decides_the_order_and_nothing_else(epub: Epub) -> None:
    pages = {"b.xhtml": "<h1>Two</h1><p>b</p>", "a.xhtml": "<h1>One</h1><p>a</p>"}
    toc = link("b.xhtml", "Two") + link("a.xhtml", "One")
    book = read_book(epub(pages, toc=toc, spine=["a.xhtml", "b.xhtml"]))
    assert titles(book) == ["One", "Two"]
    found = [(block.kind, block.text) for block in book.chapters[0].blocks]
    assert found == [("heading", "One"), ("paragraph", "a")]


def test_what_is_not_linear_is_not_read(epub: Epub) -> None:
    spine = '<itemref idref="a.xhtml"/><itemref idref="b.xhtml" linear="no"/>'
    book = read_book(epub({"a.xhtml": "<p>a</p>", "b.xhtml": "<p>b</p>"}, spine=spine))
    assert texts(book) == ["a"]
    assert any("b.xhtml" in warning for warning in book.warnings)


def test_a_document_that_the_spine_names_twice_is_read_twice(epub: Epub) -> None:
    book = read_book(epub({"a.xhtml": "<p>a</p>"}, spine=["a.xhtml", "a.xhtml"]))
    assert " ".join(texts(book)) == "a a"


def test_several_chapters_in_one_file(epub: Epub) -> None:
    body = (
        "<h2 id='one'>I</h2><p>first</p><h2><a id='two'></a>II</h2><p>second</p>"
        "<p>third <a name='three'/>fourth</p>"
    )
    toc = link("a.xhtml#one", "I") + link("a.xhtml#two", "II") + link("a.xhtml#three", "III")
    book = read_book(epub({"a.xhtml": body}, toc=toc))
    assert titles(book) == ["I", "II", "III"]
    assert texts(book) == ["I first", "II second third", "fourth"]


def test_one_chapter_over_several_files(epub: Epub) -> None:
    pages = {
        "a_split_0.xhtml": "<h1>One</h1><p>a</p>",
        "a_split_1.xhtml": "<p>b</p>",
        "a_split_2.xhtml": "<h2>Part of one</h2><p>c</p>",
        "b.xhtml": "<h1>Two</h1><p>d</p>",
    }
    toc = link("a_split_0.xhtml", "One") + link("b.xhtml", "Two")
    book = read_book(epub(pages, toc=toc))
    assert titles(book) == ["One", "Two"]
    assert texts(book)[0] == "One a b Part of one c"


def test_a_file_with_a_chapter_heading_that_the_contents_forgot(epub: Epub) -> None:
    pages = {
        name: f"<h1>{name[0].upper()}</h1>{PROSE}" for name in ("a.xhtml", "b.xhtml", "c.xhtml")
    }
    book = read_book(epub(pages, toc=link("a.xhtml", "A") + link("c.xhtml", "C")))
    assert titles(book) == ["A", "B", "C"]


def test_text_before_the_first_entry_is_not_lost(epub: Epub) -> None:
    pages = {"p.xhtml": f"<h1>Prologue</h1>{PROSE}", "a.xhtml": f"<h1>One</h1>{PROSE}"}
    assert titles(read_book(epub(pages, toc=link("a.xhtml", "One")))) == ["Prologue", "One"]


def test_nested_contents_and_part_pages(epub: Epub) -> None:
    pages = {
        "p1.xhtml": "<h1>Part One</h1>",
        "a.xhtml": f"<h2>I</h2>{PROSE}",
        "b.xhtml": f"<h2>II</h2>{PROSE}",
        "p2.xhtml": "<h1>Part Two</h1>",
        "c.xhtml": f"<h2>I</h2>{PROSE}",
    }
    toc = link("p1.xhtml", "Part One", link("a.xhtml", "I") + link("b.xhtml", "II"))
    toc += link("p2.xhtml", "Part Two", link("c.xhtml", "I"))
    book = read_book(epub(pages, toc=toc))
    assert titles(book) == ["Part One. I", "II", "Part Two. I"]
    assert texts(book)[0].startswith("Part One I She")


def test_a_part_and_its_first_chapter_at_one_place(epub: Epub) -> None:
    toc = link("a.xhtml", "Part One", link("a.xhtml", "1. Home") + link("b.xhtml", "2. Away"))
    pages = {"a.xhtml": PROSE, "b.xhtml": PROSE}
    assert titles(read_book(epub(pages, toc=toc))) == ["Part One. 1. Home", "2. Away"]


def test_equal_names_in_several_parts_are_told_apart(epub: Epub) -> None:
    pages = {"a.xhtml": PROSE, "b.xhtml": PROSE}
    toc = f"<li><span>East</span><ol>{link('a.xhtml', 'I')}</ol></li>"
    toc += f"<li><span>West</span><ol>{link('b.xhtml', 'I')}</ol></li>"
    assert titles(read_book(epub(pages, toc=toc))) == ["East. I", "West. I"]


def test_epub_2_contents_without_its_page_list(epub: Epub) -> None:
    body = f"<h2 id='i'>I</h2>{PROSE}<h2 id='ii'>II</h2>{PROSE}"
    points = point("a.xhtml#i", "I. Home", point("a.xhtml#ii", "II. Away"))
    assert titles(read_book(epub({"a.xhtml": body}, points=points))) == ["I. Home", "II. Away"]


def test_without_contents_every_file_with_a_heading_is_a_chapter(epub: Epub) -> None:
    pages = {
        "a.xhtml": "<h1>Chapter 1</h1><p>a</p>",
        "b.xhtml": "<p>b</p>",
        "c.xhtml": "<h1>Chapter 2</h1><p>c</p>",
    }
    book = read_book(epub(pages))
    assert titles(book) == ["Chapter 1", "Chapter 2"]
    assert texts(book) == ["Chapter 1 a b", "Chapter 2 c"]


def test_without_contents_one_file_is_cut_at_its_headings(epub: Epub) -> None:
    body = f"<h1>A Test of Ours</h1><h2>I</h2>{PROSE}<h3>x</h3>{PROSE}<h2>II</h2>{PROSE}"
    book = read_book(epub({"a.xhtml": body}))
    assert [title.split()[-1] for title in titles(book)] == ["I", "II"]


def test_contents_that_point_nowhere_are_survived(epub: Epub) -> None:
    toc = link("gone.xhtml", "Gone") + link("a.xhtml#gone", "Lost") + link("a.xhtml", "One")
    book = read_book(epub({"a.xhtml": PROSE}, toc=toc + link("http://example.org/", "Web")))
    assert titles(book) == ["One"]
    assert any("'gone'" in warning for warning in book.warnings)


@pytest.mark.parametrize(
    ("label", "body", "title"),
    [
        ("I", "<h2>I</h2><h3>Introduction</h3>", "I Introduction"),
        ("I", "<hgroup><h2>I</h2><p epub:type='title'>Introduction</p></hgroup>", "I Introduction"),
        ("Chapter One", "<h2>Chapter One</h2><h3>Home</h3>", "Chapter One Home"),
        ("History", "<h2>History</h2><h3>Early times</h3>", "History"),
        ("I: Introduction", "<h2>I<br/>Introduction</h2>", "I: Introduction"),
        ("Chapter 1[1]", "<h2>Chapter 1<sup>[1]</sup></h2>", "Chapter 1"),
        ("The long road\n  home", "<h2>THE LONG ROAD HOME</h2>", "The long road home"),
        ("A horse. III", "<h2><span class='caption'>A horse.</span><br/>III</h2>", "III"),
        ("The long…", "<h2>The long road home</h2>", "The long road home"),
        ("Another name", "<h2>Chapter One</h2>", "Another name"),
        ("", "<h2>I</h2><h3>Introduction</h3>", "I Introduction"),
        ("<img src='x.png' alt='One'/>", "", "One"),
    ],
)
def test_chapter_titles_are_the_books_words(epub: Epub, label: str, body: str, title: str) -> None:
    toc = link("a.xhtml", label) if label else ""
    assert titles(read_book(epub({"a.xhtml": body + PROSE}, toc=toc))) == [title]


def test_scene_breaks_stand_between_text_only(epub: Epub) -> None:
    body = "<hr/><h2>I</h2><hr/><p>a</p><hr/><p>* * *</p><p>b</p><hr/>"
    blocks = read_book(epub({"a.xhtml": body})).chapters[0].blocks
    assert [block.kind for block in blocks] == ["heading", "paragraph", "scene_break", "paragraph"]


# Front and back matter


@pytest.mark.parametrize(
    "kind",
    [
        "titlepage",
        "halftitlepage",
        "imprint",
        "colophon",
        "copyright-page",
        "toc",
        "endnotes",
        "index",
    ],
)
def test_pages_that_say_what_they_are_are_not_read(epub: Epub, kind: str) -> None:
    pages = {
        "x.xhtml": epub.page(PROSE, f'epub:type="backmatter {kind}"'),  # type: ignore[attr-defined]
        "a.xhtml": f"<section epub:type='{kind}'><h2>No</h2></section><h2>One</h2>{PROSE}",
    }
    book = read_book(epub(pages, toc=link("x.xhtml", "No") + link("a.xhtml", "One")))
    assert titles(book) == ["One"]
    assert "No" not in texts(book)[0]
    assert sum(warning.startswith("Not read:") for warning in book.warnings) == 2


@pytest.mark.parametrize("kind", ["dedication", "epigraph", "preface", "prologue", "afterword"])
def test_the_authors_front_matter_is_read(epub: Epub, kind: str) -> None:
    pages = {
        "x.xhtml": f"<section epub:type='{kind}'>{PROSE}</section>",
        "a.xhtml": f"<h2>One</h2>{PROSE}",
    }
    assert titles(read_book(epub(pages, toc=link("a.xhtml", "One")))) == [kind.title(), "One"]


@pytest.mark.parametrize(
    "label", ["Title Page", "Contents", "Copyright", "Imprint", "Inhalt", "Table des matières"]
)
def test_pages_are_known_by_their_label(epub: Epub, label: str) -> None:
    pages = {"x.xhtml": "<p>Something</p>", "a.xhtml": PROSE}
    book = read_book(epub(pages, toc=link("x.xhtml", label) + link("a.xhtml", "One")))
    assert titles(book) == ["One"]


@pytest.mark.parametrize(
    "name", ["cover.xhtml", "titlepage.xhtml", "toc.xhtml", "p001_imprint.xhtml"]
)
def test_pages_are_known_by_their_file_name_when_short(epub: Epub, name: str) -> None:
    short = {name: "<p>Something</p>", "a.xhtml": f"<h1>One</h1>{PROSE}"}
    assert titles(read_book(epub(short))) == ["One"]
    long = {name: f"<h1>Long</h1>{PROSE * 60}", "a.xhtml": f"<h1>One</h1>{PROSE}"}
    assert titles(read_book(epub(long))) == ["Long", "One"]


def test_landmarks_and_guide_name_pages(epub: Epub) -> None:
    pages = {
        "x.xhtml": PROSE,
        "y.xhtml": PROSE,
        "a.xhtml": f"<p id='t'>Print</p><h1>One</h1>{PROSE}",
    }
    marks = '<li><a epub:type="copyright-page" href="x.xhtml">C</a></li>'
    marks += '<li><a epub:type="titlepage" href="a.xhtml#t">T</a></li>'
    guide = '<reference type="title-page" href="y.xhtml"/>'
    book = read_book(epub(pages, toc=link("a.xhtml", "One"), landmarks=marks, guide=guide))
    assert len(book.chapters) == 1
    assert texts(book)[0].startswith("One She")


def test_a_copyright_page_is_known_by_its_wording(epub: Epub) -> None:
    pages = {
        "x.xhtml": "<p>Copyright © 2020 by Nobody. All rights reserved. ISBN 123</p>",
        "a.xhtml": f"<h1>One</h1>{PROSE}",
    }
    assert titles(read_book(epub(pages))) == ["One"]


def test_a_printed_title_page_and_contents_in_a_chapters_file(epub: Epub) -> None:
    rows = "".join(f"<p><a href='a.xhtml#c{n}'>Chapter {n}</a></p>" for n in range(6))
    chapters = "".join(f"<h2 id='c{n}'>Chapter {n}</h2>{PROSE}" for n in range(6))
    body = f"<h1 id='t'>A Test</h1><p>by Nobody</p><h2>Contents</h2>{rows}{chapters}"
    toc = link("a.xhtml#t", "A Test")
    toc += "".join(link(f"a.xhtml#c{n}", f"Chapter {n}") for n in range(6))
    book = read_book(epub({"a.xhtml": body}, toc=toc))
    assert titles(book) == [f"Chapter {n}" for n in range(6)]
    assert not any("Nobody" in text or "Contents" in text for text in texts(book))


def test_a_short_first_chapter_named_like_the_book_is_no_title_page(epub: Epub) -> None:
    pages = {"a.xhtml": f"<h1>A Test</h1>{PROSE}", "b.xhtml": f"<h1>Two</h1>{PROSE}"}
    assert titles(read_book(epub(pages))) == ["A Test", "Two"]


def test_gutenberg_boilerplate_old_and_new(epub: Epub) -> None:
    new = f"<div class='pg-boilerplate'><p>Licence</p></div><h2>One</h2>{PROSE}"
    old = (
        "<p>The Project Gutenberg EBook of A Test</p>"
        "<p>*** START OF THIS PROJECT GUTENBERG EBOOK A TEST ***</p>"
        f"<h2>One</h2>{PROSE}<p>*** END OF THE PROJECT GUTENBERG EBOOK A TEST ***</p><p>Licence</p>"
    )
    for body in (new, old):
        book = read_book(epub({"a.xhtml": body}))
        assert titles(book) == ["One"]
        assert texts(book) == [
            "One She walked down to the water, and nobody asked her why she went."
        ]


def test_nothing_is_left_of_a_book_that_is_all_front_matter_but_a_reason(epub: Epub) -> None:
    with pytest.raises(UserError, match="no text to read"):
        read_book(epub({"titlepage.xhtml": "<p>Title</p>", "cover.xhtml": "<img src='x'/>"}))


# Markup


def test_entities_without_a_document_type(epub: Epub) -> None:
    book = read_book(epub({"a.xhtml": "<p>caf&eacute;&nbsp;&mdash; &amp; &#233;&lt;</p>"}))
    assert texts(book) == ["café — & é<"]


def test_a_document_type_with_entities_is_read_without_them(epub: Epub) -> None:
    body = (
        '<!DOCTYPE html [<!ENTITY xxe SYSTEM "file:///etc/passwd"><!ENTITY who "Alice">'
        '<!ENTITY a "&who;&who;"><!ENTITY b "&a;&a;&a;">]>'
        "<html><body><p>safe &xxe;&who; &b;end</p></body></html>"
    )
    assert texts(read_book(epub({"a.xhtml": body}))) == ["safe Alice end"]


def test_markup_that_is_not_well_formed(epub: Epub) -> None:
    body = (
        "<html><head><title/></head><body><p>One<br>two<p>three <a id='x'/>four"
        "<p::p>five</p::p></body>"
    )
    book = read_book(epub({"a.xhtml": body}))
    assert " ".join(texts(book)) == "One two three four five"
    assert any("not well-formed" in warning for warning in book.warnings)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "iso-8859-1", "cp1252"])
def test_encodings(epub: Epub, encoding: str) -> None:
    declared = "utf-16" if "16" in encoding else encoding.replace("-sig", "")
    body = f'<?xml version="1.0" encoding="{declared}"?><html><body><p>café</p></body></html>'
    assert texts(read_book(epub({"a.xhtml": body.encode(encoding)}))) == ["café"]


# Selecting chapters


def book_of(number: int) -> Book:
    chapters = tuple(Chapter(f"{n}", ()) for n in range(number))
    return Book("", (), "en", "", "", "", "", chapters, None, "", ())


@pytest.mark.parametrize(
    ("ranges", "chosen"),
    [
        ("1", [0]),
        ("1-3,5", [0, 1, 2, 4]),
        (" 2 - 3 , 2", [1, 2]),
        ("4-", [3, 4, 5]),
        ("6,1", [0, 5]),
    ],
)
def test_chapters_are_selected(ranges: str, chosen: list[int]) -> None:
    assert select_chapters(book_of(6), ranges) == chosen


@pytest.mark.parametrize(
    "ranges", ["", "0", "7", "1-7", "3-2", "a", "1,,2", "-3", "1.5", "²", "9" * 50]
)
def test_bad_ranges_are_a_usage_error(ranges: str) -> None:
    with pytest.raises(UsageError) as caught:
        select_chapters(book_of(6), ranges)
    assert str(caught.value).endswith(".") and caught.value.exit_status == 2


# Real books


def test_the_demo_book(root: Path) -> None:
    book = read_book(root / "demo" / "book.epub")
    assert titles(book) == ["Chapter One: The Kettle", "Chapter Two: The Song Across the Ice"]
    assert all("scene_break" in [b.kind for b in chapter.blocks] for chapter in book.chapters)
    assert (book.cover_type, len(book.warnings)) == ("image/jpeg", 2)


CHAPTERS = {
    "crusoe.epub": 20,
    "idpf_childrens-literature.epub": 20,
    "idpf_georgia-pls-ssml.epub": 10,
    "idpf_hefty-water.epub": 4,
    "idpf_wasteland-woff-obf.epub": 6,
    "idpf_wasteland.epub": 6,
    "pp.epub": 62,
    "rc_arabic.epub": 7,
    "rc_chinese.epub": 5,
    "rc_japanese.epub": 6,
    "se_h-g-wells_the-time-machine.epub": 13,
    "se_mary-shelley_frankenstein.epub": 33,
    "w3c_nav-non-text_img.epub": 2,
    "w3c_nav-spine_in-spine-hidden-toc-css.epub": 2,
    "w3c_ocf-font_obfuscation.epub": 1,
    "w3c_ocf-package_multiple.epub": 1,
    "w3c_ocf-zip-comp.epub": 1,
    "w3c_pkg-spine-duplicate-item-rendering.epub": 2,
    "w3c_pkg-spine-nonlinear-activation.epub": 1,
    "w3c_pkg-spine-order.epub": 1,
    "w3c_pss-support.epub": 1,
    "w3c_pub-xml-external-id.epub": 1,
    "w3c_pub-xml-names.epub": 1,
}


@pytest.mark.parametrize("name", sorted(CHAPTERS))
def test_real_books(shared: Path, name: str) -> None:
    book = read_book(shared / "books" / name)
    assert len(book.chapters) == CHAPTERS[name]
    assert all(chapter.title and chapter.blocks for chapter in book.chapters)
    assert not any("fails if you see" in text for text in texts(book))


def test_a_real_book_without_any_text(shared: Path) -> None:
    with pytest.raises(UserError, match="no text to read"):
        read_book(shared / "books" / "w3c_pub-foreign_bad-fallback.epub")


def test_the_time_machine(shared: Path) -> None:
    path = shared / "books" / "se_h-g-wells_the-time-machine.epub"
    book = read_book(path)
    numbers = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"]
    assert titles(book) == [*numbers, "Epilogue"]
    assert (book.title, book.authors, book.language) == (
        "The Time Machine",
        ("H. G. Wells",),
        "en-GB",
    )
    assert book.cover_type == "image/jpeg"
    assert "uncopyright" in " ".join(book.warnings)
    with zipfile.ZipFile(path) as archive:
        for number, chapter in enumerate(book.chapters[:12], start=1):
            root = etree.fromstring(archive.read(f"epub/text/chapter-{number}.xhtml"))
            for mark in root.xpath("//*[@*[local-name()='type']='noteref']"):
                mark.text = ""
            printed = "".join(root.find(f"{XHTML}body").itertext()).replace("\u2060", "")
            told = "".join(block.text for block in chapter.blocks)
            assert "".join(told.split()) == "".join(printed.split())


def test_spine_order_of_a_real_book(shared: Path) -> None:
    told = texts(read_book(shared / "books" / "w3c_pkg-spine-order.epub"))[0]
    places = [told.index(word) for word in ("first", "second", "third", "last")]
    assert places == sorted(places)
