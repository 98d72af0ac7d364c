"""Audiobookshelf's folders and sidecars."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.audiobookshelf import book_folder, write_sidecars
from tasks.read_book import Book
from tasks.tags import BookTags, book_tags
from tests.tasks.test_package import book


@dataclass(frozen=True)
class InSeries(Book):
    series: str = ""
    series_part: str = ""


def tags(series: str = "", part: str = "", **changed: object) -> BookTags:
    given = InSeries(**(book(**changed).__dict__ | {"series": series, "series_part": part}))
    return book_tags(given, "x", "Eve", "mini 1")


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        (tags(title="Title"), "Ann Author, Ben Böll/1895 - Title {Eve}"),
        (
            tags("The Saga", "2", title="Title", authors=("A",), date="1994-05-01"),
            "A/The Saga/Vol 2 - 1994 - Title {Eve}",
        ),
        (tags("Saga", title="a/b", date=""), "Ann Author, Ben Böll/Saga/a b {Eve}"),
        (tags(title="..", authors=(), date="MMXX"), "Unknown author/Untitled {Eve}"),
    ],
)
def test_folders(given: BookTags, folder: str) -> None:
    assert book_folder(given) == Path(folder)


def test_names_are_no_longer_than_a_file_system_takes() -> None:
    long = tags("é" * 300, "1", title="漢" * 300, authors=("ü" * 400,))
    assert all(len(part.encode()) <= 255 for part in book_folder(long).parts)


def test_sidecars(tmp_path: Path) -> None:
    given = tags("The Saga", "2", title="Title")
    write_sidecars(tmp_path, given, [("One", 0.0, 61.23456), ("Two", 61.23456, 90.0)])
    metadata = json.loads((tmp_path / "metadata.json").read_text(encoding="utf-8"))
    assert metadata["authors"] == ["Ann Author", "Ben Böll"]
    assert metadata["narrators"] == ["Eve"]
    assert metadata["series"] == ["The Saga #2"]
    assert metadata["chapters"] == [
        {"id": 0, "start": 0.0, "end": 61.235, "title": "One"},
        {"id": 1, "start": 61.235, "end": 90.0, "title": "Two"},
    ]
    assert (metadata["publishedYear"], metadata["isbn"]) == ("1895", "9780306406157")
    assert "The narration is synthetic" in metadata["description"]
    assert (tmp_path / "reader.txt").read_text(encoding="utf-8") == "Eve\n"
    assert "Second line." in (tmp_path / "desc.txt").read_text(encoding="utf-8")
