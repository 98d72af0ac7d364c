"""Sentence ends and the borders at which a long sentence is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.sentences import halve, sentence_spans


@pytest.mark.parametrize(
    "text",
    [
        "He saw Mr. Smith, Dr. Jones and St. John at No. 7.",
        "“Stop!” she cried.",
        "Was it J. R. R. Tolkien, of the U.S. Navy?",
        "It cost £1.50 … or a bit more, e.g. two pounds.",
        "He came at 5 p.m. and left.",
        "“Have we a choice?”—he went on.",
        "the eighth. was king",
    ],
)
def test_one_sentence(text: str) -> None:
    assert sentence_spans(text) == [(0, len(text.rstrip()))]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("He left at 5 p.m. She stayed.", 2),
        ("He joined the U.S. He left.", 2),
        ("It is I. Who are you?", 2),
        ("Wait... What? Yes!", 3),
        ("こんにちは。世界！", 2),
        ("「你好。」他说。《书》很好！）好。", 4),
        ("", 0),
        (" \n ", 0),
    ],
)
def test_counts(text: str, count: int) -> None:
    assert len(sentence_spans(text)) == count


def test_halves_prefer_a_clause_near_the_middle() -> None:
    text = "the river had forgotten its banks; and it wandered into the wheat"
    halves = halve(text, (0, len(text)), 10)
    assert halves is not None
    assert [text[start:end] for start, end in halves] == [
        "the river had forgotten its banks;",
        "and it wandered into the wheat",
    ]
    assert halve(text, (0, 12), 10) is None


@given(st.text(min_size=1, max_size=80), st.integers(1, 20))
def test_halves_hold_everything(text: str, least: int) -> None:
    halves = halve(text, (0, len(text)), least)
    if halves:
        (start, middle), (again, end) = halves
        assert middle <= again
        assert not text[:start].strip() + text[middle:again].strip() + text[end:].strip()
