"""Why lines are made: compared with the run before."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.runs import RunLine
from tasks.changes import REASONS, count_reasons, find_changes


def lines(*texts: str) -> list[RunLine]:
    return [
        RunLine(0, index, text, f"key {text}", f"said {text}", "v", "m", "s", False)
        for index, text in enumerate(texts)
    ]


def reasons(before: list[RunLine], now: list[RunLine], missing: set[str]) -> dict[str, str]:
    return {change.text: change.why for change in find_changes(before, now, missing)}


def test_an_edit_and_an_insertion_are_told_apart():
    before = lines("One.", "Two.", "Three.")
    now = lines("One.", "Two, changed.", "Three.", "Four.")
    changes = find_changes(before, now, {"key Two, changed.", "key Four."})
    assert [(one.index, one.why, one.before) for one in changes] == [
        (1, "text", "Two."),
        (3, "new", ""),
    ]
    assert count_reasons(changes) == {"text": 1, "new": 1}


@pytest.mark.parametrize(
    ("field", "why"),
    [("voice", "voice"), ("model", "model"), ("settings", "settings"), ("said", "pronunciation")],
)
def test_every_part_of_a_key_is_a_reason(field, why):
    before = lines("One.", "Two.")
    now = [replace(before[0], key="other", **{field: "other"}), before[1]]
    assert reasons(before, now, {"other"}) == {"One.": why}


def test_the_user_and_an_interruption_are_reasons():
    before = lines("One.", "Two.")
    redone = [replace(before[0], key="other", settings="t", redone=True), before[1]]
    assert reasons(before, redone, {"other", "key Two."}) == {
        "One.": "redone",
        "Two.": "unfinished",
    }
    assert reasons([], before, {"key One."}) == {"One.": "new"}


@given(st.lists(st.sampled_from("abcdef")), st.lists(st.sampled_from("abcdef")), st.data())
def test_every_missing_line_has_a_reason_and_no_other(before, now, data):
    lines_now = lines(*now)
    missing = set(data.draw(st.lists(st.sampled_from(now)))) if now else set()
    missing = {f"key {text}" for text in missing}
    changes = find_changes(lines(*before), lines_now, missing)
    assert [one.index for one in changes] == [n for n, t in enumerate(now) if f"key {t}" in missing]
    assert {one.why for one in changes} <= REASONS.keys()
    assert sum(count_reasons(changes).values()) == len(changes)
