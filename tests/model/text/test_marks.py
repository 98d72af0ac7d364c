"""Marks become the four pauses of the inventory."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text import SYMBOLS, corpus_phones
from model.text.marks import ENDS, PAUSES, fold_marks, pause_mark


@pytest.mark.parametrize(
    ("printed", "mark"),
    [
        (",", ","), (";", ","), (":", ","), ("—", ","), ("⸺", ","), ("–", ","), ("…", ","),
        ("...", ","), ("....", "."), (".", "."), ("?", "?"), ("!", "!"), ("?!", "?"), ("!—", "!"),
        (",—", ","), ("…?", "?"), ("...!", "!"), ("。", "."), ("，", ","), ("“", ""), ("”", ""),
        ("(", ""), ("’", ""),
    ],
)  # fmt: skip
def test_pause_mark(printed: str, mark: str) -> None:
    assert pause_mark(printed) == mark


def test_a_run_of_marks_is_one_mark() -> None:
    assert fold_marks([("AY1",), (",",), (".",), (",",), ("AY1",)]) == [
        ("AY1",), (), (".",), (), ("AY1",),
    ]  # fmt: skip


def test_corpus_marks_outside_the_inventory() -> None:
    words = [("But", ["B", "AH1", "T"]), (";", [";"]), ("—", ["—"]), ("I", ["AY1"]), (":", [":"])]
    assert corpus_phones(words) == ("B", "AH1", "T", ",", "AY1", ".")


def test_corpus_ellipsis_is_a_short_pause() -> None:
    dots = [(".", ["."])] * 3
    assert corpus_phones([("A", ["AH0"]), *dots, ("I", ["AY1"]), ("!", ["!"])]) == (
        "AH0", ",", "AY1", "!",
    )  # fmt: skip


def test_corpus_is_all_inventory_symbols_and_ends_in_a_mark(shared: Path) -> None:
    symbols = set(SYMBOLS["v2"])
    with (shared / "corpus/manifest.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            phones = corpus_phones(json.loads(line)["words"])
            assert symbols.issuperset(phones)
            assert phones[-1] in ENDS


@given(st.lists(st.sampled_from([("AY1",), ("T", "UW1"), (",",), (".",), ("?",), ()])))
def test_folding_keeps_words_and_leaves_no_two_marks_in_a_row(
    groups: list[tuple[str, ...]],
) -> None:
    folded = fold_marks(groups)
    assert len(folded) == len(groups)
    flat = [phone for group in folded for phone in group]
    assert [phone for phone in flat if phone not in PAUSES] == [
        phone for group in groups for phone in group if phone not in PAUSES
    ]
    assert not flat or flat[0] not in PAUSES
    assert all(not {left, right} <= PAUSES for left, right in itertools.pairwise(flat))
