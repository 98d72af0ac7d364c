"""Weight-normed convolutions against torch's."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from model.weight_norm import (
    WeightNormConv1d,
    WeightNormConv2d,
    WeightNormConvTranspose1d,
    fold_weight_norm,
)

KINDS: list[tuple[Callable[[], nn.Module], Callable[[], nn.Module], tuple[int, ...]]] = [
    (
        lambda: WeightNormConv1d(4, 6, 5, 2, padding=4, dilation=2, groups=2),
        lambda: nn.Conv1d(4, 6, 5, 2, padding=4, dilation=2, groups=2),
        (2, 4, 11),
    ),
    (
        lambda: WeightNormConv2d(1, 3, (5, 1), (3, 1), padding=(2, 0)),
        lambda: nn.Conv2d(1, 3, (5, 1), (3, 1), padding=(2, 0)),
        (2, 1, 9, 2),
    ),
    (
        lambda: WeightNormConvTranspose1d(4, 3, 8, 2, padding=3),
        lambda: nn.ConvTranspose1d(4, 3, 8, 2, padding=3),
        (2, 4, 7),
    ),
]


def drawn(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    module = make()
    with torch.no_grad():
        module.weight_g.mul_(torch.rand_like(module.weight_g) + 0.5)
    return module


def output(module: nn.Module, shape: tuple[int, ...]) -> Tensor:
    return module(torch.randn(shape, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize(("make", "plain", "shape"), KINDS)
def test_equals_torchs(make, plain, shape) -> None:
    ours = drawn(make)
    theirs = nn.utils.parametrizations.weight_norm(plain())
    # torch itself reads the old names.
    theirs.load_state_dict(ours.state_dict())
    assert torch.allclose(output(ours, shape), output(theirs, shape), atol=1e-6)


@pytest.mark.parametrize(("make", "plain", "shape"), KINDS)
def test_folding_changes_names_only(make, plain, shape) -> None:
    module = nn.Sequential(drawn(make))
    expected = output(module, shape)
    fold_weight_norm(module)
    assert {key: value.shape for key, value in module[0].state_dict().items()} == {
        key: value.shape for key, value in plain().state_dict().items()
    }
    assert torch.equal(output(module, shape), expected)
    fold_weight_norm(module)
    assert torch.equal(output(module, shape), expected)
