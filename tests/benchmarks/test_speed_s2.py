"""The benchmark of S2: its gate tells, and its ratios are of the same round."""

import time

import pytest
import torch

from benchmarks import speed_s2
from benchmarks.speed_s2 import Check, compare, relative, table


def test_a_ratio_is_how_many_times_faster() -> None:
    def busy(seconds: float) -> None:
        until = time.process_time() + seconds
        while time.process_time() < until:
            pass

    found = compare("half", lambda: busy(0.02), lambda: busy(0.01), 0.5, 3)
    assert found.least <= found.median <= found.most
    assert found.median == pytest.approx(2, rel=0.3)
    assert found.plain == pytest.approx(0.04, rel=0.3)
    assert "half" in table([], [found], {})[-1]


def test_nothing_is_timed_where_the_gate_is_not_passed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = [Check("windows", 0.5, 1e-4)]
    monkeypatch.setattr(speed_s2, "measure", lambda rounds, lines: (failed, [], {}))
    assert speed_s2.main(["--rounds", "1"]) == 1
    assert "FAILED" in capsys.readouterr().out
    assert not failed[0].passed


def test_errors_are_relative_to_what_is_expected() -> None:
    assert relative(torch.tensor([3.3]), torch.tensor([3.0])) == pytest.approx(0.1)
