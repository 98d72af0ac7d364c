import io
import json

import pytest
from rich.console import Console

from flows.progress import Pace, RunProgress, print_facts, spoken_time


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_assumed_speed_counts_until_there_is_a_measured_one():
    clock = Clock()
    pace = Pace(100.0, clock)
    assert pace.seconds_left(1000) == pytest.approx(10)
    assert pace.measured is None
    pace.start()
    assert pace.seconds_left(1000) == pytest.approx(10)
    clock.now = 4.0
    assert pace.seconds_left(1000) == pytest.approx(6)  # nothing done yet, but time has passed
    for _ in range(100):
        clock.now += 1.0
        pace.advance(50)
    assert pace.measured == pytest.approx(50, rel=0.05)
    assert pace.seconds_left(1000) == pytest.approx(20, rel=0.1)
    clock.now += 500
    assert pace.seconds_left(1000) == 0


def test_without_a_terminal_there_are_lines():
    output = io.StringIO()
    progress = RunProgress(Console(file=output, force_terminal=False), 100.0)
    with progress.shown():
        progress.stage("Reading")
        progress.expect(1000, 1000)
        progress.stage("Speaking")
        progress.stage("Speaking")
        progress.pace.start()
        progress.advance(250)
        progress.advance(10)
        progress.fraction(0.5)
    lines = output.getvalue().splitlines()
    assert lines[:2] == ["Reading ...", "Speaking ..."]
    assert len(lines) == 3
    assert lines[2].startswith("25 % spoken, about ")


def test_a_terminal_shows_the_time_left_at_once():
    output = io.StringIO()
    progress = RunProgress(Console(file=output, force_terminal=True, width=100), 10.0)
    with progress.shown():
        progress.stage("Reading the book")
        progress.expect(10_000, 10_000)
    assert "Reading the book" in output.getvalue()
    assert "about 16 min" in output.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (59, "59 s"), (60, "1 min 00 s"), (3599, "59 min 59 s"), (7500, "2 h 05 min")],
)
def test_spoken_time(seconds, words):
    assert spoken_time(seconds) == words


def test_a_program_is_told_the_same_as_values():
    told = []
    progress = RunProgress(Console(quiet=True), 10.0, told.append)
    with progress.shown():
        progress.stage("Reading the book")
        progress.chapters({0: "One", 4: "Five"})
        progress.expect(1000, 1000)
        progress.stage("Speaking")
        progress.pace.start()
        for _ in range(50):
            progress.advance(10)
        progress.chapter(4, 0.5)
        progress.chapter(9, 0.5)  # no chapter of this run
        progress.chapter(0, 1.0)
        progress.stage("Packing")
    assert [facts["stage"] for facts in told][:2] == ["Reading the book", "Speaking"]
    assert told[0]["done"] is None
    speaking = told[-2]
    assert speaking["stage"] == "Speaking" and speaking["done"] == 0.5
    assert speaking["seconds_left"] > 0
    assert speaking["chapters"] == [
        {"number": 1, "title": "One", "done": 1.0},
        {"number": 5, "title": "Five", "done": 0.5},
    ]
    assert len(told) < 10  # however often it advances
    json.dumps(told)


def test_lines_of_json_are_printed(capsys):
    print_facts({"stage": "Lesen …", "done": None})
    assert json.loads(capsys.readouterr().out) == {"stage": "Lesen …", "done": None}
