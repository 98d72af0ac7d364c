"""Footnotes and endnotes: found by their marks, left out, told in their place, or at the end."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.epub_markup import parse
from tasks.epub_notes import note_bodies, note_targets
from tasks.matter import Reading
from tasks.read_book import Book, read_book

Epub = Callable[..., Path]
LONG = "She walked down to the water, and nobody asked her why"
HTML = '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"><body>'


def told(book: Book) -> list[list[tuple[str, str]]]:
    return [[(b.kind, b.text) for b in chapter.blocks] for chapter in book.chapters]


def bodies(body: str) -> list[str]:
    root = parse(f"{HTML}{body}</body></html>")[0]
    found = note_bodies(root, "a.xhtml", note_targets(root, "a.xhtml"))
    return sorted(found.values())


REFERENCE = f"<p>{LONG}<a href='#n1' id='r1'><sup>1</sup></a> she went.</p>"


@pytest.mark.parametrize(
    "body",
    [
        "<aside epub:type='footnote' id='n1'><p>Word</p></aside>",
        "<p role='doc-footnote' id='n1'>Word</p>",
        "<ol epub:type='endnotes'><li id='n1'>Word</li></ol>",
        "<p epub:type='note' id='n1'>1 Word</p>",
        "<div class='footnote'><p><a id='n1' href='#r1'>[1]</a> Word</p></div>",
        "<p id='n1'><a href='#r1'>1</a> Word</p>",
        "<p><a id='n1' href='#r1'><sup>1</sup></a> Word</p>",
        "<p id='n1'>1. Word <a href='#r1'>↩</a></p>",
        "<table><tr><td><a id='n1' href='#r1'>[1]</a></td><td>Word</td></tr></table>",
    ],
)
def test_what_marks_refer_to_is_a_note(body: str) -> None:
    assert bodies(REFERENCE + body) == ["n1"]


@pytest.mark.parametrize(
    "body",
    [
        "<p id='n1'>A paragraph that a mark refers to for another reason.</p>",
        "<h2 id='n1'><a href='#r1'>1</a></h2>",
        f"<p>{LONG} she went <a id='n1'/>again.</p>",
    ],
)
def test_what_does_not_lead_back_is_no_note(body: str) -> None:
    assert bodies(REFERENCE + body) == []


@pytest.mark.parametrize(
    "mark",
    [
        "<sup><a href='#n1' id='r1'>1</a></sup>",
        "<a href='#n1' id='r1'><sup>1</sup></a>",
        "<a href='#n1' id='r1'>[1]</a>",
        "<a href='#n1' id='r1' epub:type='noteref'>see the note</a>",
    ],
)
def test_every_kind_of_mark_leads_to_its_note(epub: Epub, mark: str) -> None:
    body = f"<p>Word{mark}.</p><p id='n1'><a href='#r1'>1</a> Note</p>"
    book = read_book(epub({"a.xhtml": body}), Reading(notes="inline"))
    assert told(book)[0][-1] == ("note", "Note")


def test_the_paragraph_with_the_mark_is_no_note_even_if_it_begins_with_it() -> None:
    begins = "<p><a href='#n1' id='r1'><sup>1</sup></a> It began.</p>"
    assert bodies(begins + "<p id='n1'><a href='#r1'>1</a> Word</p>") == ["n1"]


PAGES = {
    "a.xhtml": "<h1>One</h1><p>First<a epub:type='noteref' href='notes.xhtml#n1'>1</a>.</p>"
    "<p>Second<a epub:type='noteref' href='#here'>*</a>, and"
    "<a epub:type='noteref' href='notes.xhtml#n1'>1</a> again.</p><p>Third.</p>"
    "<aside epub:type='footnote' id='here'>Down here.</aside>",
    "b.xhtml": "<h1>Two</h1><p>Fourth<a epub:type='noteref' href='notes.xhtml#n2'>2</a>.</p>",
    "notes.xhtml": "<section epub:type='endnotes'><h1>Notes</h1><ol>"
    "<li epub:type='endnote' id='n1'><p>Far away.</p><p>Very. <a href='a.xhtml'"
    " epub:type='backlink'>↩</a></p></li>"
    "<li epub:type='endnote' id='n2'>In <i>German</i>.</li></ol></section>",
}


def test_notes_are_skipped_by_default(epub: Epub) -> None:
    book = read_book(epub(PAGES))
    assert told(book) == [
        [("heading", "One"), ("paragraph", "First."), ("paragraph", "Second, and again."),
         ("paragraph", "Third.")],
        [("heading", "Two"), ("paragraph", "Fourth.")],
    ]  # fmt: skip
    assert {(one.reason, one.place) for one in book.left_out} == {
        ("notes", "OEBPS/a.xhtml"),
        ("notes", "OEBPS/notes.xhtml"),
    }


def test_notes_after_the_paragraph_each_once(epub: Epub) -> None:
    assert told(read_book(epub(PAGES), Reading(notes="inline"))) == [
        [("heading", "One"), ("paragraph", "First."), ("note", "Far away."), ("note", "Very."),
         ("paragraph", "Second, and again."), ("note", "Down here."), ("paragraph", "Third.")],
        [("heading", "Two"), ("paragraph", "Fourth."), ("note", "In German.")],
    ]  # fmt: skip


def test_notes_at_the_end_of_their_chapter(epub: Epub) -> None:
    assert told(read_book(epub(PAGES), Reading(notes="chapter"))) == [
        [("heading", "One"), ("paragraph", "First."), ("paragraph", "Second, and again."),
         ("paragraph", "Third."), ("note", "Far away."), ("note", "Very."), ("note", "Down here.")],
        [("heading", "Two"), ("paragraph", "Fourth."), ("note", "In German.")],
    ]  # fmt: skip


def test_notes_in_a_file_outside_the_reading_order(epub: Epub) -> None:
    spine = '<itemref idref="a.xhtml"/><itemref idref="b.xhtml"/>'
    spine += '<itemref idref="notes.xhtml" linear="no"/>'
    book = read_book(epub(PAGES, spine=spine), Reading(notes="chapter"))
    assert told(book)[1][-1] == ("note", "In German.")


def test_a_link_to_a_note_in_another_case_and_encoding(epub: Epub) -> None:
    pages = {
        "a.xhtml": "<p>Word<a epub:type='noteref' href='MY%20notes.xhtml#n'>1</a>.</p>",
        "my notes.xhtml": "<aside epub:type='footnote' id='n'>Told.</aside>",
    }
    book = read_book(epub(pages), Reading(notes="inline"))
    assert told(book) == [[("paragraph", "Word."), ("note", "Told.")]]


def test_a_note_in_the_middle_of_its_sentence(epub: Epub) -> None:
    pages = {"a.xhtml": "<p>One <span epub:type='footnote'>a <b>note</b></span>two.</p>"}
    assert told(read_book(epub(pages))) == [[("paragraph", "One two.")]]
    assert told(read_book(epub(pages), Reading(notes="inline"))) == [
        [("paragraph", "One two."), ("note", "a note")]
    ]


def test_a_list_of_notes_may_be_read_where_it_stands(epub: Epub) -> None:
    book = read_book(epub(PAGES), Reading(include=frozenset({"notes"})))
    assert [chapter.title for chapter in book.chapters] == ["One", "Two", "Notes"]
    assert ("paragraph", "Far away.") in told(book)[2]


def test_hidden_popup_notes_are_notes(epub: Epub) -> None:
    style = "<style>aside { display: none }</style>"
    body = f"<html><head>{style}</head><body><p>Word<a role='doc-noteref' href='#n'>1</a>.</p>"
    body += "<aside role='doc-footnote' hidden='' id='n'>Told.</aside></body></html>"
    book = read_book(epub({"a.xhtml": body}), Reading(notes="inline"))
    assert told(book) == [[("paragraph", "Word."), ("note", "Told.")]]


def test_notes_that_nothing_refers_to_are_reported(epub: Epub) -> None:
    pages = PAGES | {"b.xhtml": "<section epub:type='index'>" + PAGES["b.xhtml"] + "</section>"}
    book = read_book(epub(pages), Reading(notes="inline"))
    assert "In German." not in str(told(book))
    notes = [(one.place, one.words) for one in book.left_out if one.reason == "notes"]
    assert ("OEBPS/notes.xhtml", 2) in notes


PIECES = st.sampled_from(
    [
        "<p>word{0}<a role='doc-noteref' href='#n{0}'>1</a> more</p>",
        "<p>word{0}<sup><a href='#n{0}'>1</a></sup></p>",
        "<aside role='doc-footnote' id='n{0}'>note{0} <b>bold</b></aside>",
        "<p>in <span role='doc-footnote'>note{0} inside</span> out</p>",
        "<div class='footnote' id='n{0}'><p>note{0} a</p><p>b</p></div>",
        "<h2>head{0}</h2>",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(st.tuples(PIECES, st.integers(1, 4)), min_size=1, max_size=8))
def test_every_word_is_read_or_left_out_for_a_reason(
    epub: Epub, pieces: list[tuple[str, int]]
) -> None:
    body = "<p>begin</p>" + "".join(piece.format(number) for piece, number in pieces)
    path = epub({"a.xhtml": body})
    printed = re.sub(r"<(a)\b.*?</a>", "", body)
    for mode in ("skip", "inline", "chapter"):
        book = read_book(path, Reading(notes=mode))
        read = " ".join(text for chapter in told(book) for _, text in chapter).split()
        words = Counter(re.sub(r"<[^>]*>", " ", printed).split())
        assert not Counter(read) - words  # none twice, none invented
        left = sum(one.words for one in book.left_out)
        assert len(read) + left == sum(words.values())


def test_a_real_poem_with_notes(shared: Path) -> None:
    path = shared / "books" / "idpf_wasteland.epub"
    book = read_book(path, Reading(notes="chapter"))
    notes = [block.text for chapter in book.chapters for block in chapter.blocks
             if block.kind == "note"]  # fmt: skip
    assert notes[0] == "Line 20. Cf. Ezekiel 2:1." and len(notes) == 72
    plain = [block for chapter in read_book(path).chapters for block in chapter.blocks]
    verses = [b for chapter in book.chapters for b in chapter.blocks if b.kind != "note"]
    assert verses == plain
