"""A row of the training corpus, made by hand."""

import pytest


@pytest.fixture
def cats() -> dict:
    """Eight words "cat", 11 units of 25 ms from each to the next; a comma after the fourth."""
    words: list[list] = []
    ipa, durations = "", [4]
    for number in range(8):
        words.append(["cat", ["K", "AE1", "T"]])
        ipa, durations = ipa + "kˈæt", [*durations, 3, 0, 4, 3]
        if number == 3:
            words.append([",", [","]])
            ipa, durations = ipa + ",", [*durations, 6]
        if number < 7:
            ipa, durations = ipa + " ", [*durations, 1]
    words.append([".", ["."]])
    return {
        "id": "cats",
        "text": "cat cat cat cat, cat cat cat cat.",
        "words": words,
        "ipa": ipa + ".",
        "dur": [*durations, 5, 3],
        "book": "cats",
    }
