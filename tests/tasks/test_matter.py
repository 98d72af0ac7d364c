"""What of front and back matter is read, by default and on demand."""

from collections.abc import Callable
from pathlib import Path

import pytest

from configs.errors import UsageError
from tasks.matter import MATTER, NARRATIVE, NAVIGATION, SKIPPED, Reading, reading_of
from tasks.read_book import Book, read_book

Epub = Callable[..., Path]
PROSE = "<p>She walked down to the water, and nobody asked her why she went.</p>"


def titles(book: Book) -> list[str]:
    return [chapter.title for chapter in book.chapters]


def test_every_kind_of_matter_can_be_chosen() -> None:
    assert set(MATTER.values()) <= {*SKIPPED.values(), NAVIGATION}
    everything = Reading(include=frozenset(SKIPPED), exclude=frozenset(NARRATIVE))
    assert not any(map(everything.leaves_out, SKIPPED.values()))
    assert all(map(everything.leaves_out, NARRATIVE.values()))
    assert all(map(Reading().leaves_out, SKIPPED.values()))
    assert not any(map(Reading().leaves_out, [*NARRATIVE.values(), ""]))


def test_options() -> None:
    assert reading_of() == Reading()
    assert reading_of("inline", " Index, notes ", "all", True) == Reading(
        "inline", frozenset({"index", "notes"}), frozenset(NARRATIVE), True
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"notes": "maybe"}, "--notes is skip, inline or chapter"),
        ({"include": "preface"}, "--include does not know 'preface'; it knows audio"),
        ({"exclude": "index"}, "--exclude does not know 'index'; it knows acknowledgments"),
    ],
)
def test_wrong_options_say_what_there_is(options: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        reading_of(**options)  # type: ignore[arg-type]


PAGES = {
    "c.xhtml": "<section epub:type='copyright-page'><h1>Legal</h1><p>Copyright</p></section>",
    "colophon.xhtml": "<h1>About this edition</h1><p>Printed with care.</p>",
    "p.xhtml": f"<section epub:type='preface'><h1>Before</h1>{PROSE}</section>",
    "v.xhtml": f"<h1>Vorwort</h1>{PROSE}",
    "a.xhtml": f"<h1>One</h1>{PROSE}",
    "i.xhtml": "<h1>Index</h1><p>Apples 3</p>",
    "n.xhtml": f"<h1>Aside</h1>{PROSE}",
}
SPINE = "".join(f'<itemref idref="{page}"/>' for page in PAGES if page != "n.xhtml")
SPINE += '<itemref idref="n.xhtml" linear="no"/>'


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ("", "", ["Before", "Vorwort", "One"]),
        ("copyright", "", ["Legal", "Before", "Vorwort", "One"]),
        ("colophon", "", ["About this edition", "Before", "Vorwort", "One"]),
        ("index", "", ["Before", "Vorwort", "One", "Index"]),
        ("nonlinear", "", ["Before", "Vorwort", "One", "Index", "Aside"]),
        ("", "preface", ["One"]),
        ("all", "all", ["Legal", "About this edition", "One", "Index", "Aside"]),
    ],
)
def test_pages_are_chosen(epub: Epub, include: str, exclude: str, expected: list[str]) -> None:
    reading = reading_of("skip", include, exclude)
    assert titles(read_book(epub(PAGES, spine=SPINE), reading)) == expected


def test_the_reasons_are_kept(epub: Epub) -> None:
    book = read_book(epub(PAGES, spine=SPINE), reading_of("skip", "", "preface"))
    assert [(one.reason, one.place, one.words > 0) for one in book.left_out] == [
        ("copyright page", "OEBPS/c.xhtml", True),
        ("colophon", "OEBPS/colophon.xhtml", True),
        ("Preface", "OEBPS/p.xhtml", True),
        ("outside the linear reading order", "OEBPS/n.xhtml", True),
        ("Preface", "“Vorwort”", True),
        ("index", "“Index”", True),
    ]
    assert "Not read: Preface “Vorwort” (14 words)." in book.warnings


def test_a_printed_table_of_contents_is_read_on_demand(epub: Epub) -> None:
    nav = "<li><a href='a.xhtml'>The first one</a></li>"
    spine = ["nav.xhtml", "a.xhtml"]
    path = epub({"a.xhtml": f"<h1>One</h1>{PROSE}"}, toc=nav, spine=spine)
    assert "The first one" not in str(read_book(path).chapters[0].blocks)
    book = read_book(path, reading_of("skip", "contents"))
    assert [block.text for chapter in book.chapters for block in chapter.blocks][:2] == [
        "Contents",
        "The first one",
    ]
