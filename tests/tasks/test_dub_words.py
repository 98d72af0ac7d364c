"""Words that a recogniser does not hear."""

import pytest

from tasks.dub_words import count_lost


@pytest.mark.parametrize(
    ("wanted", "heard", "lost"),
    [
        ("Good morning to you all.", "good morning to you all", (0, 5)),
        ("Good morning to you all.", "Good morning, all!", (2, 5)),
        ("I have 2 dogs.", "I have two dogs.", (0, 4)),
        ("Good morning.", "", (2, 2)),
        ("Yes.", "Yes, yes, and more.", (0, 1)),
    ],
)
def test_words_are_compared_as_they_are_said(wanted, heard, lost):
    assert count_lost(wanted, heard, "en") == lost
