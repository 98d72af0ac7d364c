"""What a device makes in a second is measured, after a gate."""

from dataclasses import replace

from benchmarks.speed_device import MOST, difference, measure, requests_of
from model.checkpoint import random_model
from model.device import CPU
from model.engine import Engine
from model.speaking import Request


def test_lines_are_measured() -> None:
    requests = [Request(("HH", "AH0", "L", "OW1", "W", "ER1", "L", "D", "."), n) for n in range(2)]
    made = measure(Engine.debug(), requests, 1)
    assert made.audio_seconds > 0
    assert min(made.s1, made.s2, made.whole) > 0


def test_many_lines_at_a_time_pass_the_gate(monkeypatch) -> None:
    """A tiny model in the place of the built-in voice."""

    def load(precision, device):
        return Engine(random_model(0), precision, device=device)

    monkeypatch.setattr(Engine, "load", load)
    requests = requests_of(2)
    assert difference(CPU, requests) == 0
    assert 0 < difference(replace(CPU, rows=3), requests) < MOST
