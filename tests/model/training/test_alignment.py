"""Phone times from the synthesiser's durations, on rows made by hand."""

import numpy as np
import pytest

from model.recogniser import PHONES
from model.training.alignment import frame_labels, timed_phones

ROW = {
    "id": "r1",
    "words": [
        ["Her", ["HH", "ER1"]],
        ["cat", ["K", "AE1", "T"]],
        [",", [","]],
        ["sat", ["S", "AE1", "T"]],
        [".", ["."]],
    ],
    "ipa": "hˈɜɹ kˈæt, sˈæt.",
    # pad, h, stress, two symbols of the r-coloured vowel, space, k, stress, æ, t, comma, space ...
    "dur": [4, 2, 1, 3, 2, 1, 2, 0, 4, 2, 6, 2, 3, 0, 4, 2, 5, 3],
}


def test_times_by_hand() -> None:
    timed = timed_phones(ROW)
    units = [(t.phone, round(t.start / 0.025), round(t.end / 0.025), t.word) for t in timed]
    assert units == [
        ("HH", 4, 6, 0),
        ("ER1", 6, 12, 0),
        ("K", 13, 15, 1),
        ("AE1", 15, 19, 1),
        ("T", 19, 21, 1),
        (",", 21, 29, -1),
        ("S", 29, 32, 3),
        ("AE1", 32, 36, 3),
        ("T", 36, 38, 3),
        (".", 38, 38, -1),
    ]


@pytest.mark.parametrize("rate", [1.0, 0.84, 1.2])
def test_times_never_go_back(cats: dict, rate: float) -> None:
    timed = timed_phones(cats, rate)
    times = [time for item in timed for time in (item.start, item.end)]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(timed_phones(cats)[-1].end / rate)


def test_labels() -> None:
    labels = frame_labels(timed_phones(ROW), 60)
    said = [PHONES[label] for label in labels]
    assert labels.dtype == np.int64
    assert len(said) == 60
    assert said[0] == said[4] == "SIL"
    assert said[5] == said[6] == "HH"
    assert set(said[8:15]) == {"ER"}
    # the comma's pause, and what comes after the end
    assert set(said[27:36]) == {"SIL"}
    assert said[42] == "AE"
    assert set(said[48:]) == {"SIL"}


def test_the_shortest_phone_has_a_frame() -> None:
    row = {**ROW, "dur": [*ROW["dur"][:15], 0, 5, 3]}
    labels = frame_labels(timed_phones(row), 60)
    assert [PHONES[label] for label in labels[44:47]] == ["AE", "T", "SIL"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ipa": "hˈɜɹ kˈæt sˈæt."}, "r1: 4 spoken groups, 5 words"),
        ({"ipa": "hˈɜɹm kˈæt, sˈæt."}, "r1: word 0 has sounds"),
    ],
)
def test_rows_that_do_not_fit(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        timed_phones({**ROW, "dur": [1] * 40, **change})
