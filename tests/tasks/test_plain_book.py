"""Books that are one file: what they are is told by their content; text, Markdown, HTML."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from tasks.matter import Reading
from tasks.read_book import Book, read_book

Make = Callable[..., Path]
PROSE = (
    "She walked down to the water, and nobody asked her why she went there so late in the day,"
    " when the others had long gone home to their fires."
)
WRAPPED = textwrap.fill(PROSE, 60)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes a file: `make("name.txt", content)` -> path."""

    def write(name: str, content: str | bytes, encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


def titles(book: Book) -> list[str]:
    return [chapter.title for chapter in book.chapters]


def told(book: Book) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for chapter in book.chapters for block in chapter.blocks]


# What a file is


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.txt", b"", "is an empty file"),
        ("a.pdf", b"%PDF-1.4 ...", "is a PDF"),
        ("a.txt", b"%PDF-1.4 ...", "is a PDF"),
        ("a.mobi", b"x" * 60 + b"BOOKMOBI" + b"x" * 60, "is a Kindle or Mobipocket book"),
        ("a.rtf", rb"{\rtf1 hello}", "is a Rich Text document"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1", "is a Word document"),
        ("a.jpg", b"\xff\xd8\xff\xe0 JFIF", "is a picture"),
        ("a.bin", bytes(range(256)) * 8, "is no book that can be read"),
        ("a.txt", b"\x00\x01\x02\x03" * 50, "is no book that can be read"),
        ("a.fb2", "<?xml version='1.0'?><FictionBook><p>x</p></FictionBook>", "is a FictionBook"),
        ("a.docx", b"PK\x03\x04 and more", "is cut off or damaged"),
        ("a.txt", "   \n\n  ", "has no text to read"),
    ],
)
def test_what_is_no_book_is_refused_in_a_sentence(
    make: Make, name: str, content: str | bytes, sentence: str
) -> None:
    with pytest.raises(UserError) as caught:
        read_book(make(name, content))
    assert sentence in str(caught.value) and str(caught.value).endswith(".")


def test_a_folder_and_nothing_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        read_book(tmp_path)
    with pytest.raises(UserError, match="There is no file"):
        read_book(tmp_path / "gone.txt")


def test_the_content_decides_not_the_name(make: Make, epub: Callable[..., Path]) -> None:
    page = f"<html><head><title>Page</title></head><body><p>{PROSE}</p></body></html>"
    assert read_book(make("a.txt", page)).title == "Page"
    markdown = f"# One\n\n{PROSE}\n\n# Two\n\n{PROSE}"
    assert titles(read_book(make("b.txt", markdown))) == ["One", "Two"]
    packed = epub({"a.xhtml": f"<p>{PROSE}</p>"}).rename(make("c.txt", "x"))
    assert read_book(packed).title == "A Test"


# Encodings


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "Käse, œuvre — 猫"),
        ("utf-8-sig", "Käse, œuvre — 猫"),
        ("utf-16", "Käse, œuvre — 猫"),
        ("cp1252", "Über den Wolken muß die Freiheit wohl grenzenlos sein, hörte er."),
        ("cp1251", "Все счастливые семьи похожи друг на друга, сказал он."),
        ("gb18030", "清晨的薄雾还没有散去，渔船已经离开了港口。"),
        ("shift_jis", "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"),
    ],
)
def test_encodings(make: Make, encoding: str, text: str) -> None:
    content = "\n\n".join([text] * 20)
    assert {said for _, said in told(read_book(make("a.txt", content, encoding)))} == {text}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("吾輩は猫である。名前はまだ無い。", "ja"),
        ("清晨的薄雾还没有散去，渔船离开了港口。", "zh"),
        ("나는 고양이로소이다.", "ko"),
    ],
)
def test_the_language_by_its_letters(make: Make, text: str, language: str) -> None:
    assert read_book(make("a.txt", text)).language == language


def test_latin_letters_do_not_say_a_language(make: Make) -> None:
    book = read_book(make("a.txt", PROSE))
    assert book.language == "en"
    assert any("does not say its language" in warning for warning in book.warnings)


# Plain text


GUTENBERG = f"""The Project Gutenberg eBook of A Test

Title: A Test
Author: Jane Doe
Language: German

*** START OF THE PROJECT GUTENBERG EBOOK A TEST ***

Produced by Somebody

A TEST

by Jane Doe

CONTENTS

CHAPTER I
CHAPTER II
CHAPTER III

CHAPTER I

{WRAPPED}[1] _Quite_ so; snake_case_name stays.

[Footnote 1: Nobody
at all.]

* * *

{WRAPPED}

CHAPTER II

{WRAPPED}

CHAPTER III

{WRAPPED}

*** END OF THE PROJECT GUTENBERG EBOOK A TEST ***

Section 1. Licence
"""


def test_a_text_of_project_gutenberg(make: Make) -> None:
    book = read_book(make("pg1.txt", GUTENBERG.replace("\n", "\r\n")))
    assert (book.title, book.authors, book.language) == ("A Test", ("Jane Doe",), "de")
    assert titles(book) == ["CHAPTER I", "CHAPTER II", "CHAPTER III"]
    assert [(block.kind, block.text) for block in book.chapters[0].blocks] == [
        ("heading", "CHAPTER I"),
        ("paragraph", f"{PROSE} Quite so; snake_case_name stays."),
        ("scene_break", ""),
        ("paragraph", PROSE),
    ]
    assert {one.reason for one in book.left_out} == {
        "Project Gutenberg's header and licence",
        "notes",
        "table of contents",
        "title page",
    }


def test_footnotes_of_a_text(make: Make) -> None:
    book = read_book(make("a.txt", GUTENBERG), Reading(notes="inline"))
    assert book.chapters[0].blocks[2].kind == "note"
    assert book.chapters[0].blocks[2].text == "Nobody at all."


def test_a_note_that_a_paragraph_refers_to_twice(make: Make) -> None:
    book = read_book(make("a.txt", f"{WRAPPED}[1] And[1] on[2].\n\n[Footnote 1: Nobody.]\n"))
    assert told(book) == [("paragraph", f"{PROSE} And on[2].")]


def test_openings_of_html_are_found_quickly(make: Make) -> None:
    book = read_book(make("a.txt", "<!---->" * 500 + "<p>Text"))
    assert book.chapters


def test_parts_and_chapters_of_a_text(make: Make) -> None:
    text = "\n\n".join(
        f"PART {part}\n\n" + "\n\n".join(f"CHAPTER {n}\n\n{WRAPPED}" for n in ("I", "II"))
        for part in ("ONE", "TWO")
    )
    assert titles(read_book(make("a.txt", text))) == [
        "PART ONE. CHAPTER I",
        "PART ONE. CHAPTER II",
        "PART TWO. CHAPTER I",
        "PART TWO. CHAPTER II",
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.text("abc <>&'\"ä今.-\t", min_size=1, max_size=40), min_size=1, max_size=12))
def test_no_character_of_a_text_is_lost(make: Make, lines: list[str]) -> None:
    text = "\n\n".join(["x y z", *lines])
    said = "".join(text for _, text in told(read_book(make("a.txt", text))))
    dashes = {line for line in lines if not line.strip(" \t-")}  # rules are scene breaks
    kept = "".join(line for line in ["x y z", *lines] if line not in dashes)
    printed = {character: kept.count(character) for character in set(kept) - set(" \t-")}
    assert {character: said.count(character) for character in printed} == printed


def test_a_japanese_text_with_readings(make: Make) -> None:
    text = (
        "［＃５字下げ］一［＃「一」は中見出し］\n\n"
        "　吾輩《わがはい》は猫である。\n　名前はまだ無い。\n「薄暗い｜じめじめ所《ところ》」\n\n"
        "［＃５字下げ］二［＃「二」は中見出し］\n\n　どこで生れたか。\n"
    )
    book = read_book(make("a.txt", text, "shift_jis"))
    assert (titles(book), book.language) == (["一", "二"], "ja")
    assert told(book)[:4] == [
        ("heading", "一"),
        ("paragraph", "吾輩は猫である。"),
        ("paragraph", "名前はまだ無い。"),
        ("paragraph", "「薄暗いじめじめ所」"),
    ]
    said = [
        (block.text[one.start : one.end], one.said)
        for block in book.chapters[0].blocks
        for one in block.remarks
    ]
    assert said == [("吾輩", "わがはい"), ("じめじめ所", "ところ")]


def test_a_chinese_text_of_a_paragraph_a_line(make: Make) -> None:
    line = "　　清晨的薄雾还没有散去，渔船已经离开了港口。"
    text = "\n".join(f"第{number}章 出发\n" + f"{line}\n" * 3 for number in "一二三")
    book = read_book(make("a.txt", text, "gb18030"))
    assert titles(book) == ["第一章 出发", "第二章 出发", "第三章 出发"]
    assert [block.kind for block in book.chapters[0].blocks] == ["heading"] + ["paragraph"] * 3


# Markdown


def test_markdown(make: Make) -> None:
    text = f"""---
title: A Test
author: [Jane Doe, John Roe]
lang: en-GB
---

# One

{WRAPPED}
*Very* late.[^1] &amp; **so** on<br>and on.

***

> Quoted

| a | b |
|---|---|
| c | d |

[^1]: Nobody at all.

Two
===

{WRAPPED}

<script>alert(1)</script>
"""
    book = read_book(make("a.md", text), Reading(notes="chapter"))
    assert (book.title, book.authors, book.language) == (
        "A Test",
        ("Jane Doe", "John Roe"),
        "en-GB",
    )
    assert told(book) == [
        ("heading", "One"),
        ("paragraph", f"{PROSE} Very late. & so on and on."),
        ("scene_break", ""),
        ("paragraph", "Quoted"),
        ("paragraph", "a"),
        ("paragraph", "b"),
        ("paragraph", "c"),
        ("paragraph", "d"),
        ("note", "Nobody at all."),
        ("heading", "Two"),
        ("paragraph", PROSE),
    ]


@pytest.mark.parametrize("front", ["a: [", "- a\n- b", "? {}\n: x", "!!python/object:os.system x"])
def test_odd_front_matter_is_survived(make: Make, front: str) -> None:
    book = read_book(make("a.md", f"---\n{front}\n---\n\n# One\n\n{PROSE}"))
    assert (book.title, book.chapters[-1].blocks[-1].text) == ("One", PROSE)


# HTML


def test_html(make: Make) -> None:
    chapters = "".join(f"<h2>Chapter {n}</h2><p>{PROSE}</p>" for n in (1, 2, 3))
    head = '<title>A Test</title><meta name="author" content="Jane Doe">'
    head += "<style>.x{display:none}</style>"
    html = f"<!DOCTYPE html><html lang=fr><head>{head}</head><body><h1>A Test</h1>{chapters}"
    book = read_book(make("a.html", html + "<p class=x>hidden<p>Caf&eacute;"))
    assert (book.title, book.authors, book.language) == ("A Test", ("Jane Doe",), "fr")
    assert titles(book) == ["Chapter 1", "Chapter 2", "Chapter 3"]
    assert told(book)[-1] == ("paragraph", "Café")
    assert "hidden" not in str(told(book))


def test_html_whose_chapters_are_not_the_highest_headings(make: Make) -> None:
    front = "<h1>A Test</h1><h2>by Jane Doe</h2><h2>London</h2>"
    chapters = "".join(f"<h3>{n}</h3><h3>Title {n}</h3><p>{PROSE * 9}</p>" for n in range(1, 7))
    book = read_book(make("a.html", f"<html><body>{front}{chapters}</body></html>"))
    assert titles(book)[-2:] == ["5. Title 5", "6. Title 6"]
    assert len(book.chapters) in (6, 7)


def test_html_that_declares_its_encoding(make: Make) -> None:
    html = "<html><head><meta charset=iso-8859-1></head><body><p>Käse</p></body></html>"
    assert told(read_book(make("a.html", html, "latin-1"))) == [("paragraph", "Käse")]
