"""Folding of white space, and where each character came from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.epub_fold import fold_text, folded_offsets

RAW = st.text(st.sampled_from("ab \n\t\u00a0\u00ad\u200bﬁﬄ漢"), max_size=40) | st.text(max_size=40)


@pytest.mark.parametrize(
    ("raw", "text", "offsets"),
    [
        ("", "", []),
        ("  a \n b ", "a b", [2, 3, 6]),
        ("co\u00adop", "coop", [0, 1, 3, 4]),
        ("a \u00ad b", "a b", [0, 1, 4]),
        ("oﬃce", "office", [0, 1, 1, 1, 2, 3]),
        ("\u00ad \u200b", "", []),
    ],
)
def test_each_character_says_where_it_came_from(raw: str, text: str, offsets: list[int]) -> None:
    assert folded_offsets(raw) == (text, offsets)


@given(RAW)
def test_both_ways_of_folding_agree(raw: str) -> None:
    text, offsets = folded_offsets(raw)
    assert text == fold_text(raw)
    assert len(offsets) == len(text) and offsets == sorted(offsets)
    for letter, at in zip(text, offsets, strict=True):
        assert letter in fold_text(raw[at]) or (letter == " " and raw[at].isspace())
