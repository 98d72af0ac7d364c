"""The networks against numbers of the reference implementation (cases beside the repository)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.parity import CASES, compare, main, run_case


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CASES))
def test_agrees_with_official(name: str, shared: Path) -> None:
    results = list(run_case(shared / "parity" / "cases" / f"{name}.npz"))
    assert results
    assert [result for result in results if not result.passed] == []


def test_vocoder_agrees_with_official(shared: Path) -> None:
    results = list(run_case(shared / "parity" / "cases" / "vocoder_v4.npz"))
    assert {result.array for result in results} == {"state dict", "wav"}
    assert all(result.passed for result in results)


def test_a_difference_is_seen() -> None:
    expected = np.ones((2, 3), np.float32)
    assert compare("a", torch.ones(2, 3), expected).passed
    assert not compare("a", torch.ones(2, 3) * 1.002, expected).passed
    assert not compare("a", torch.ones(2, 4), expected).passed
    assert compare("a", torch.tensor([1, 2]), np.array([1, 2])).passed
    assert not compare("a", torch.tensor([1, 2]), np.array([1, 3])).passed


def test_a_nan_fails() -> None:
    assert not compare("a", torch.full((2, 3), torch.nan), np.ones((2, 3), np.float32)).passed


def test_a_wrong_number_fails_the_run(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(shared / "parity" / "cases" / "vocoder_v4.npz") as case:
        np.savez(tmp_path / "vocoder_v4.npz", seed=case["seed"], wav=case["wav"] * 1.01)
    np.savez(tmp_path / "s2_v9.npz", seed=1)
    assert main(["--cases", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "FAIL" in printed
    assert "s2_v9        not implemented yet" in printed


def test_no_cases_is_an_error(tmp_path: Path) -> None:
    assert main(["--cases", str(tmp_path)]) == 2
