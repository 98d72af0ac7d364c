"""The endurance benchmark: what counts as lost and repeated, and that all lines are spoken."""

import numpy as np
import pytest

pytest.importorskip("jiwer", reason="needs the bench extra")
pytest.importorskip("whisper_normalizer", reason="needs the bench extra")

from benchmarks.clips import Sample, read_lines
from benchmarks.endurance import ODD, SENTENCES, Spoken, judge, kind, speak_lines, table
from benchmarks.scores import normalise
from model.engine import Engine
from tasks.takes import Take

RATE = 24_000


class Hears:
    """A listener that hears what the test says."""

    def __init__(self, heard: str) -> None:
        self.heard = heard

    def line(self, audio: np.ndarray) -> str:
        return self.heard


def spoken(written: str, *takes: Take) -> Spoken:
    return Spoken(written, takes, (), np.full(RATE, 0.1, np.float32))


@pytest.mark.parametrize(
    ("written", "heard", "lost", "repeated"),
    [
        ("The dog ran home.", "the dog ran home", False, False),
        ("The dog ran home.", "the dog", False, False),
        ("The dog ran home.", "home", True, False),
        ("The dog ran home.", "the dog ran home, the dog ran home", False, True),
        ("The dog ran home.", "a cat sat down", False, False),
        ("…", "thank you", False, False),
    ],
)
def test_lost_and_repeated_lines(written: str, heard: str, lost: bool, repeated: bool) -> None:
    verdict = judge(spoken(written), RATE, Hears(heard))  # type: ignore[arg-type]
    assert (verdict.lost, verdict.repeated) == (lost, repeated)
    assert (verdict.errors is None) == (written == "…")


def test_problems_and_further_attempts_are_counted() -> None:
    problem = "a word seems to be missing at 0.4 s"
    bad = Take(
        np.zeros(9),
        RATE,
        np.zeros(1, np.int16),
        False,
        3,
        "suspect",
        (problem,),
        rejected=(problem, "silent"),
    )
    verdict = judge(spoken("It rains.", bad), RATE, Hears("it rains"))  # type: ignore[arg-type]
    assert verdict.problems == (problem,)
    assert not verdict.complete
    rows = "\n".join(table([verdict], 1, 1.0, 1.0))
    assert "a word seems to be missing  " in rows
    assert "tried again                                1" in rows
    assert f"{problem}: 'It rains.'" in rows


def test_a_place_is_no_kind_of_problem() -> None:
    assert kind("a word seems to be missing at 1.2 s") == "a word seems to be missing"
    assert kind("ended at the length bound or in a repetition").endswith("repetition")
    assert kind("silent") == "silent"


def test_every_line_is_spoken_by_the_products_own_path() -> None:
    noise = (0.1 * np.random.default_rng(0).normal(size=3 * RATE)).astype(np.float32)
    lines = ("It rains in the mountains.", "…", "It rains in the mountains.")
    one, nothing, same = speak_lines(lines, Engine.debug(), Sample("noise", noise, RATE), 0)
    assert len(one.takes) == 1
    assert nothing.takes == ()
    assert nothing.audio.size == 0
    assert np.array_equal(one.audio, same.audio)
    assert one.takes[0].attempts + len(one.takes[0].rejected) >= 1


def test_the_committed_lines() -> None:
    sentences = read_lines(SENTENCES)
    assert len(set(sentences)) == 200
    assert all(normalise(line) for line in sentences)
    odd = read_lines(ODD)
    assert max(len(line.split()) for line in odd) >= 300
    assert any(not normalise(line) for line in odd)
