"""Chapter marks: times from sample counts, titles that fit, escaping that ffmpeg undoes."""

from itertools import pairwise
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from tasks.chapters import (
    MAX_TITLE_BYTES,
    Mark,
    chapter_marks,
    clean_title,
    escape_ffmetadata,
    ffmetadata,
    read_nero_marks,
    read_quicktime_marks,
)

# Any text that UTF-8 can hold.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)


def unescaped(value: str) -> str:
    """What ffmpeg's reader makes of an escaped value: a backslash gives the next character."""
    result, chars = "", iter(value)
    for char in chars:
        result += next(chars, "") if char == "\\" else char
    return result


@given(TEXT)
@example("a=b;c#d\\e\nf")
@example("\\n")
@example("ends with \\")
def test_escaping_is_undone_by_reading(value: str) -> None:
    escaped = escape_ffmetadata(value)
    assert unescaped(escaped) == value
    # Nothing special stands unescaped: what is left without escaped pairs holds none of it.
    rest = iter(escaped)
    plain = "".join(char for char in rest if char != "\\" or not next(rest, ""))
    assert not set(plain) & set("=;#\n\\")


@given(st.text(max_size=400))
@example("a" * 255)
@example("ü" * 128)
@example("😀" * 64)
@example(" \ud800 ")
def test_titles_are_one_line_of_at_most_255_bytes(title: str) -> None:
    cleaned = clean_title(title)
    assert len(cleaned.encode()) <= MAX_TITLE_BYTES
    assert cleaned == " ".join(cleaned.split())
    assert clean_title(cleaned) == cleaned
    if len(title) * 4 <= MAX_TITLE_BYTES and title.isprintable():
        assert cleaned == " ".join(title.split())


def test_a_long_title_is_cut_between_characters() -> None:
    assert clean_title("ü" * 127) == "ü" * 127
    assert clean_title("ü" * 128) == "ü" * 126 + "…"
    assert len(clean_title("x" * 300).encode()) == 255


@given(
    st.lists(st.tuples(TEXT, st.integers(0, 10**9)), max_size=30),
    st.sampled_from([8_000, 22_050, 24_000, 44_100, 48_000]),
)
def test_marks_follow_the_samples(chapters: list[tuple[str, int]], rate: int) -> None:
    marks = chapter_marks(chapters, rate)
    heard = [samples for _, samples in chapters if samples]
    assert len(marks) == len(heard)
    done = 0
    for mark, samples in zip(marks, heard, strict=True):
        assert mark.start_ms == done * 1000 // rate
        assert mark.end_ms > mark.start_ms
        assert mark.title
        done += samples


def test_many_short_chapters_do_not_drift() -> None:
    marks = chapter_marks([("a", 1_001)] * 24_000, 24_000)
    assert marks[-1].end_ms == 1_001_000
    assert all(a.end_ms == b.start_ms for a, b in pairwise(marks))


def test_the_listing() -> None:
    marks = chapter_marks([("One; two", 24_000), ("gone", 0), (" \t ", 12_000)], 24_000)
    assert marks == [Mark("One; two", 0, 1_000), Mark("Chapter 2", 1_000, 1_500)]
    assert ffmetadata(marks) == (
        ";FFMETADATA1\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=One\\; two\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1000\nEND=1500\ntitle=Chapter 2\n"
    )


def test_a_file_without_marks_has_none(tmp_path: Path) -> None:
    for data in (b"", b"\0\0\0\x08moov", b"\0\0\0\0moov", b"no box at all", b"\0\0\0\x01moov"):
        (tmp_path / "a").write_bytes(data)
        assert read_quicktime_marks(tmp_path / "a") == []
        assert read_nero_marks(tmp_path / "a") == []
