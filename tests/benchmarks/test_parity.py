"""The networks against numbers of the reference implementation (cases beside the repository)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.parity import CASES, case_name, compare, main, run_case, until_end


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CASES))
def test_agrees_with_official(name: str, shared: Path) -> None:
    results = list(run_case(shared / "parity" / "cases" / f"{name}.npz"))
    assert results
    assert [result for result in results if not result.passed] == []


@pytest.mark.parametrize(
    ("stem", "name"),
    [("s2_v2", "s2_v2"), ("s2_v2Pro_seed7", "s2_v2Pro"), ("s2_v9", None), ("s2_v2x", None)],
)
def test_a_file_name_may_add_to_its_cases(stem: str, name: str | None) -> None:
    assert case_name(Path(f"{stem}.npz")) == name


def test_a_row_stops_at_its_end_or_the_limit() -> None:
    row = torch.tensor([4, 5, 9, 6, 9])
    assert until_end(row, 9, 4).tolist() == [4, 5]
    assert until_end(row, 9, 1).tolist() == [4]
    assert until_end(row, 7, 4).tolist() == [4, 5, 9, 6]


def test_a_difference_is_seen() -> None:
    expected = np.ones((2, 3), np.float32)
    assert compare("a", torch.ones(2, 3), expected).passed
    assert not compare("a", torch.ones(2, 3) * 1.002, expected).passed
    assert not compare("a", torch.ones(2, 4), expected).passed
    assert compare("a", torch.tensor([1, 2]), np.array([1, 2])).passed
    assert not compare("a", torch.tensor([1, 2]), np.array([1, 3])).passed


def test_zero_is_compared_as_it_is() -> None:
    zero = np.zeros(3, np.float32)
    assert compare("a", torch.zeros(3), zero).passed
    assert not compare("a", torch.ones(3), zero).passed


def test_a_nan_fails() -> None:
    assert not compare("a", torch.full((2, 3), torch.nan), np.ones((2, 3), np.float32)).passed


def test_a_wrong_number_fails_the_run(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = tmp_path / "cases"
    cases.mkdir()
    with np.load(shared / "parity" / "cases" / "vocoder_v4.npz") as case:
        np.savez(cases / "vocoder_v4.npz", seed=case["seed"], wav=case["wav"] * 1.01)
    np.savez(cases / "s2_v9.npz", seed=1)
    assert main(["--cases", str(cases)]) == 1
    printed = capsys.readouterr().out
    assert "FAIL" in printed
    assert "s2_v9         not implemented yet" in printed


@pytest.mark.slow  # the first random number without memory imports half of torch
def test_a_wrong_name_fails_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cases").mkdir()
    np.savez(tmp_path / "cases" / "s2_v9.npz", seed=1)
    assert main(["--cases", str(tmp_path / "cases")]) == 0
    (tmp_path / "state_dicts").mkdir()
    listing = tmp_path / "state_dicts" / "vocoder_v4.json"
    listing.write_text('{"keys": {"conv_pre.weight": [512, 100, 9]}}')
    assert main(["--cases", str(tmp_path / "cases")]) == 1
    assert "conv_pre.weight" in capsys.readouterr().out


def test_no_cases_is_an_error(tmp_path: Path) -> None:
    assert main(["--cases", str(tmp_path)]) == 2
