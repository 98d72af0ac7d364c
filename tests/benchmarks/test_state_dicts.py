"""Names and shapes against the listings of official state dicts that lie beside the repository."""

from pathlib import Path

import pytest
import torch

from benchmarks.state_dicts import NETWORKS, compare_listing, wrong_keys


@pytest.mark.slow  # transformers alone takes seconds to import
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_names_are_official(name: str, shared: Path) -> None:
    result = compare_listing(shared / "parity" / "state_dicts" / f"{name}.json")
    assert result.keys > 0
    assert result.wrong == ()


def test_every_difference_is_named() -> None:
    layer = torch.nn.Linear(2, 3)
    assert wrong_keys(layer, {"weight": (3, 2), "bias": (3,)}) == ()
    assert wrong_keys(layer, {"weight": (2, 3), "extra": (1,)}) == ("bias", "extra", "weight")
