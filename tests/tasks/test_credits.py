"""Spoken credits."""

import pytest

from tasks.credits import OPENING, chapter_title, closing, credit_chapters
from tasks.plan import Pauses, plan_chapter
from tasks.read_book import Block, Book, Chapter

CHAPTERS = (Chapter("Down", (Block("paragraph", "Text."),)),)
BOOK = Book("Alice", ("L. Carroll",), "en", "", "", "", "", CHAPTERS, None, "", ())


def texts(title: str, authors: tuple[str, ...], voice: str) -> list[str]:
    book = Book(title, authors, "en", "", "", "", "", CHAPTERS, None, "", ())
    found = credit_chapters(book, title, voice, "en-GB")
    assert list(found) == [OPENING, closing(book)]
    return [" ".join(block.text for block in chapter.blocks) for chapter in found.values()]


@pytest.mark.parametrize(
    ("title", "authors", "voice", "opening"),
    [
        ("Alice", ("L. Carroll",), "ada", "Alice, by L. Carroll. Narrated by a computer in the "
         "voice ada."),
        ("Who?", ("A", " ", "B", "C"), "demo_voice", "Who? by A, B and C. Narrated by a computer "
         "in the voice demo voice."),
        ("It Ends.", ("Ann Jr.",), "", "It Ends. by Ann Jr. Narrated by a computer."),
        ("Beowulf", (), "1688-142285-0003", "Beowulf. Narrated by a computer."),
        ("It Ends.", (), "", "It Ends. Narrated by a computer."),
    ],
)  # fmt: skip
def test_what_is_said(title: str, authors: tuple[str, ...], voice: str, opening: str) -> None:
    said = texts(title, authors, voice)
    assert said[0] == opening
    assert said[1] == f"This was {opening}"


def test_only_in_english() -> None:
    assert credit_chapters(BOOK, "Alice", "ada", "de") == {}


def test_titles_of_chapters() -> None:
    titles = [chapter_title(BOOK, number) for number in (OPENING, 0, closing(BOOK))]
    assert titles == ["Opening credits", "Down", "Closing credits"]


def test_they_are_planned_as_chapters_that_say_nothing_more() -> None:
    for number, chapter in credit_chapters(BOOK, "Alice", "ada", "en").items():
        planned = plan_chapter(number, chapter, Pauses())
        assert {utterance.chapter for utterance in planned} == {number}
        assert [utterance.text for utterance in planned] == [b.text for b in chapter.blocks]
