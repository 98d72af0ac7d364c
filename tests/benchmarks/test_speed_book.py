"""The cost of a book: its stages add up, and its text never repeats a line."""

import time

import pytest

from benchmarks.speed_book import OTHER, Stages, book_text, cost_of_book, table
from model.engine import Engine


def busy(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_an_hour_has_words_enough_and_no_line_twice() -> None:
    lines = [line for line in book_text(60).splitlines() if line and not line.startswith("#")]
    words = sum(len(line.split()) for line in lines)
    assert words == pytest.approx(60 * 175, rel=0.01)
    assert len(lines) == len(set(lines))


def test_a_stage_inside_another_counts_for_itself() -> None:
    class Work:
        def inner(self) -> str:
            busy(0.02)
            return "made"

        def outer(self) -> str:
            busy(0.01)
            return self.inner()

        def items(self):
            for number in range(3):
                busy(0.01)
                yield number

    work, stages = Work(), Stages()
    stages.watch(work, "inner", "in")
    stages.watch(work, "outer", "out")
    stages.watch_items(work, "items", "items")
    assert work.outer() == "made"
    assert list(work.items()) == [0, 1, 2]
    assert stages.calls == {"in": 1, "out": 1, "items": 4}
    assert stages.seconds["in"] == pytest.approx(0.02, rel=0.5)
    assert stages.seconds["out"] == pytest.approx(0.01, rel=0.5)
    assert stages.seconds["items"] == pytest.approx(0.03, rel=0.5)


@pytest.mark.slow
def test_a_book_is_made_and_its_stages_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.work.engine_of", lambda model: lambda settings: Engine.debug())
    cost = cost_of_book(0.1, 1, whisper=False)
    assert cost.takes >= 1
    assert 1 <= cost.attempts <= 3
    assert sum(cost.stages.values()) == pytest.approx(cost.cpu_share, rel=0.02)
    assert {"S1", "S2", "gate", "delivery", OTHER} <= set(cost.stages)
    assert f"{cost.takes} takes" in table(cost)[0]
