"""Cutting by the methods of GPT-SoVITS' tools."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text.cuts import cut, split_long


def test_cut1_makes_groups_of_four_the_last_joined() -> None:
    assert cut("短。" * 9, "cut1") == ["短。" * 4, "短。" * 5]
    assert cut("一，二，三，四。", "cut1") == ["一，二，三，四。"]


def test_cut2_joins_a_short_rest() -> None:
    long = "字" * 51 + "。"
    assert cut(long + long + "短。", "cut2") == [long, long + "短。"]


def test_cut3_cut4_drop_the_stop() -> None:
    assert cut("一。二。", "cut3") == ["一", "二"]
    assert cut("One. Pi is 3.14 or so. End.", "cut4") == ["One", " Pi is 3.14 or so", " End"]


def test_cut5_cuts_at_marks_but_not_in_numbers() -> None:
    assert cut("It costs $1,250.50, no?", "cut5") == ["It costs $1,250.50,", " no?"]


@pytest.mark.parametrize("method", ["cut1", "cut2", "cut3", "cut4", "cut5"])
@pytest.mark.parametrize("text", ["", "\n", "..."])
def test_nothing_has_no_pieces(text: str, method: str) -> None:
    assert cut(text, method) == []


def test_lines_are_pieces() -> None:
    assert cut("一行\n二行", "cut0") == ["一行", "二行"]


def test_unknown_method() -> None:
    with pytest.raises(ValueError, match="cut9"):
        cut("text", "cut9")


@given(st.text(alphabet="字a1。，.!? \n…—", max_size=80))
def test_long_text_is_kept_and_short_enough(text: str) -> None:
    pieces = split_long(text, 10)
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= 10 for piece in pieces)
