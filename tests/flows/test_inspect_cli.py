"""`voxloom inspect` on the demo book and on a small one of its own."""

import json

import pytest

FIRST = "One two three.[1] " + "And so on it went. " * 9  # 48 words
TEXT = f"CHAPTER I\n\n{FIRST}\n\n[Footnote 1: Four five.]\n\nCHAPTER II\n\n“Six,” said he.\n"


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "A Book.txt"
    path.write_text(TEXT)
    return path


def test_what_it_prints(voxloom, root):
    ran = voxloom("inspect", root / "demo" / "book.epub")
    assert ran.status == 0
    lines = ran.out.splitlines()
    assert "1  Chapter One: The Kettle" in ran.out
    assert any("title page" in line for line in lines[lines.index("Not read") :])
    assert "min" in ran.out


def test_as_json(voxloom, book):
    told = json.loads(voxloom("inspect", book, "--json").out)
    assert told["title"] == "A Book"
    assert [(one["number"], one["title"], one["words"]) for one in told["chapters"]] == [
        (1, "CHAPTER I", 50),
        (2, "CHAPTER II", 5),
    ]
    assert (told["words"], told["hours"], told["notes"]) == (55, 0.01, 0)
    assert told["left_out"] == [{"reason": "notes", "place": "", "words": 2}]
    assert told["warnings"] == [
        "The book does not say its language; it is read as English.",
    ]


def test_options_choose(voxloom, book):
    told = json.loads(voxloom("inspect", book, "--json", "--notes", "chapter").out)
    assert (told["notes"], told["words"], told["left_out"]) == (1, 57, [])


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--notes", "loud"], 2, "--notes is skip, inline or chapter"),
        (["--include", "everything"], 2, "--include does not know 'everything'"),
        (["--exclude", "cover"], 2, "--exclude does not know 'cover'"),
    ],
)
def test_wrong_options_are_one_sentence(voxloom, book, arguments, status, words):
    ran = voxloom("inspect", book, *arguments)
    assert (ran.status, ran.err.count("\n")) == (status, 1)
    assert words in ran.err


def test_what_is_no_book(voxloom, tmp_path):
    ran = voxloom("inspect", tmp_path)
    assert ran.status == 1 and "is a folder" in ran.err


SUBTITLES = """1
00:00:01,000 --> 00:00:03,000
ANN: Good morning.

2
00:00:04 --> 00:00:04
[door slams] Good night.

3
00:00:06,000 --> 00:00:08,000
[laughs]
"""


def test_subtitles(voxloom, tmp_path):
    (tmp_path / "film.en.srt").write_text(SUBTITLES)
    ran = voxloom("inspect", tmp_path / "film.en.srt")
    assert ran.status == 0
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert lines[:2] == ["film.en.srt (srt, utf-8, en)", "3 cues in 0:08, 0:04 of them speech"]
    assert "ANN 1 0:02 Good morning." in lines
    assert "(not said) 1 0:02 Good night." in lines
    assert "a sound 1 [laughs]" in lines
    assert "2 6 It had no length; it is given 1.92 s." in lines


def test_subtitles_as_json(voxloom, tmp_path):
    (tmp_path / "film.srt").write_text(SUBTITLES)
    told = json.loads(voxloom("inspect", tmp_path / "film.srt", "--json").out)
    assert (told["format"], told["language"], told["duration"]) == ("srt", "", 8.0)
    assert [(one["speaker"], one["text"]) for one in told["cues"]] == [
        ("ANN", "Good morning."),
        ("", "Good night."),
        ("", ""),
    ]
    assert told["not_spoken"] == {"a sound": [3]}
    assert [one["number"] for one in told["repairs"]] == [2, 2]


def test_a_book_that_is_named_like_subtitles(voxloom, tmp_path):
    (tmp_path / "film.srt").write_text("Dear diary,\n")
    ran = voxloom("inspect", tmp_path / "film.srt")
    assert (ran.status, ran.err.count("\n")) == (1, 1)
    assert "has no subtitles" in ran.err
