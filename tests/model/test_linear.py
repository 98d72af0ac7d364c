"""Packed linear layers: what they compute, and that rows do not meet."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from model import linear
from model.linear import Precision, packed

ERRORS: dict[Precision, float] = {"f32": 1e-5, "bf16": 0.02, "int8": 0.02}
SHAPES = [(16, 48), (512, 1536), (2048, 512), (512, 1025)]


def layer(inputs: int, outputs: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weight, bias and 150 rows of input."""
    draw = torch.Generator().manual_seed(inputs)
    weight = torch.randn(outputs, inputs, generator=draw) / inputs**0.5
    return (
        weight,
        torch.randn(outputs, generator=draw),
        torch.randn(150, inputs, generator=draw),
    )


@pytest.mark.parametrize("precision", ERRORS)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("private", [True, False])
def test_products(
    precision: Precision, relu: bool, private: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not private:
        monkeypatch.setattr(linear, "_onednn", lambda *_: None)
    weight, bias, x = layer(512, 1025)
    expected = F.linear(x, weight, bias)
    expected = expected.relu() if relu else expected
    made = packed(weight, bias, precision, relu)(x)
    assert ((made - expected).abs().max() / expected.abs().max()) < ERRORS[precision]


@pytest.fixture(scope="module")
def layers() -> list[tuple[linear.Linear, torch.Tensor, torch.Tensor]]:
    made = []
    for inputs, outputs in SHAPES:
        weight, bias, x = layer(inputs, outputs)
        for precision in ERRORS:
            function = packed(weight, bias, precision)
            made.append((function, x, function(x)))
    return made


@given(st.integers(0, 11), st.integers(0, 149), st.integers(1, 150))
def test_a_row_is_the_same_among_any_number_of_rows(
    layers: list[tuple[linear.Linear, torch.Tensor, torch.Tensor]],
    which: int,
    start: int,
    count: int,
) -> None:
    function, x, whole = layers[which]
    assert torch.equal(function(x[start : start + count]), whole[start : start + count])
