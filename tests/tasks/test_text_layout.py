"""The layout of plain text: joined lines, verse, headings, contents, notes; no character lost."""

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.text_layout import joined, lay_out

PROSE = (
    "She walked down to the water, and nobody asked her why she went there so late in the day,"
    " when the others had long gone home to their fires and their suppers and their beds."
)
WRAPPED = textwrap.fill(PROSE, 64)


def heads(text: str) -> list[tuple[str, int]]:
    return [(piece.text, piece.level) for piece in lay_out(text) if piece.kind == "heading"]


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["one", "two"], "one two"),
        (["to-", "day"], "to-day"),
        (["he said--", "and went"], "he said--and went"),
        (["Anglo-", "Saxon"], "Anglo- Saxon"),
        (["今日は", "いい天気"], "今日はいい天気"),
        (["", "  one  ", ""], "one"),
    ],
)
def test_hard_wrapped_lines_join(lines: list[str], text: str) -> None:
    assert joined(lines) == text


def test_paragraphs_by_blank_lines_and_by_indents() -> None:
    by_blank = lay_out(f"{WRAPPED}\n\n{WRAPPED}\r\n\r\n\f{WRAPPED}")
    assert [(p.kind, p.text) for p in by_blank] == [("paragraph", PROSE)] * 3
    indented = "\n".join("    " + textwrap.fill(PROSE, 64) for _ in range(5))
    assert [p.text for p in lay_out(indented)] == [PROSE] * 5
    assert [p.text for p in lay_out(f"{PROSE}\n{PROSE}\n{PROSE}")] == [PROSE] * 3


def test_verse_keeps_its_lines() -> None:
    poem = "    Twas brillig, and the slithy toves\n    Did gyre and gimble"
    pieces = lay_out(f"{WRAPPED}\n\n{poem}\n\n{WRAPPED}")
    assert [p.kind for p in pieces] == ["paragraph", "verse", "paragraph"]
    assert pieces[1].text == "Twas brillig, and the slithy toves\nDid gyre and gimble"


@pytest.mark.parametrize(
    ("heading", "level"),
    [
        ("CHAPTER I.", 2),
        ("Chapter One", 2),
        ("CHAPTER XIV. The Storm", 2),
        ("Chapter 3: Who Goes There?", 2),
        ("BOOK THE FIRST", 1),
        ("PART TWO", 1),
        ("Kapitel 4", 2),
        ("第三章 出发", 2),
        ("第二部", 1),
        ("PREFACE", 2),
        ("Epilogue.", 2),
        ("Act II", 1),
    ],
)
def test_headings(heading: str, level: int) -> None:
    found = heads(f"{WRAPPED}\n\n{heading}\n\n{WRAPPED}\n\n{WRAPPED}")
    assert found == [(heading, level)]


@pytest.mark.parametrize(
    "line",
    [
        "Chapter ten was the worst.",
        "Part of the crew had gone.",
        "Part I played that night.",
        "chapter one",
        "Book one, then, and go.",
        "Introduction to the Great World of Letters",
        "“Prologue!” he cried.",
    ],
)
def test_what_only_begins_like_a_heading(line: str) -> None:
    assert heads(f"{WRAPPED}\n\n{line}\n\n{WRAPPED}") == []


def test_titles_below_their_numbers() -> None:
    chapters = [("CHAPTER I.", "The Widow and her Child."), ("CHAPTER II.", "THE OLD MINT")]
    text = "\n\n\n".join(f"{number}\n\n{title}\n\n{WRAPPED}" for number, title in chapters)
    assert heads(text) == [
        ("CHAPTER I.", 2),
        ("The Widow and her Child.", 3),
        ("CHAPTER II.", 2),
        ("THE OLD MINT", 3),
    ]
    speech = f"CHAPTER I\n\n“No,” she said.\n\n{WRAPPED}\n\nCHAPTER II\n\n{WRAPPED}"
    assert heads(speech) == [("CHAPTER I", 2), ("CHAPTER II", 2)]


def test_numbers_alone_count_up_from_one() -> None:
    numbers = ["1848", "I", "II", "III", "12", "IV"]
    text = "\n\n".join(f"{number}\n\n{WRAPPED}" for number in numbers)
    assert [head for head, _ in heads(text)] == ["I", "II", "III", "IV"]
    assert heads(f"I\n\n{WRAPPED}") == []


def test_lines_in_capitals_where_a_book_has_several() -> None:
    text = "\n\n".join(f"{name}\n\n" + f"{WRAPPED}\n\n" * 6 for name in ("HOME", "AWAY", "BACK"))
    assert heads(text) == [("HOME", 2), ("AWAY", 2), ("BACK", 2)]
    assert heads(f"STOP!\n\n{WRAPPED}") == []


def test_a_table_of_contents_in_a_block_or_spaced_out() -> None:
    names = ["CHAPTER I", "CHAPTER II", "CHAPTER III"]
    body = "\n\n".join(f"{name}\n\n{WRAPPED}" for name in names)
    for listed in ("\n".join(names), "\n\n".join(names)):
        pieces = lay_out(f"CONTENTS\n\n{listed}\n\n\n{body}")
        assert [p.text for p in pieces if p.kind == "heading"][-3:] == names
        assert sum(p.kind == "heading" for p in pieces) <= 4
        assert any(p.kind == "contents" for p in pieces)


def test_notes_pictures_and_credits() -> None:
    text = (
        f"Produced by Somebody and\nOthers\n\n[Illustration: A ship]\n\n{WRAPPED}[1]\n\n"
        "[Footnote 1: It was\nlate.]\n\n[Illustration]"
    )
    assert [(p.kind, p.text, p.mark) for p in lay_out(text)] == [
        ("credits", "Produced by Somebody and Others", ""),
        ("illustration", "A ship", ""),
        ("paragraph", f"{PROSE}[1]", ""),
        ("footnote", "It was late.", "1"),
        ("illustration", "", ""),
    ]


LINES = st.lists(
    st.sampled_from(["", "", "CHAPTER I", "CHAPTER II", "I", "II", "PREFACE", "Part One", "* * *"])
    | st.text("ab .-AB\t今", max_size=30)
    | st.just(PROSE[:70]),
    max_size=30,
)


@given(LINES)
def test_no_character_is_lost_doubled_or_moved(lines: list[str]) -> None:
    text = "\n".join(lines)
    told = "".join(piece.text for piece in lay_out(text))
    assert "".join(told.split()) == "".join(text.split())
