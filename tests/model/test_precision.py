"""Lower precision: near to f32, and as independent of neighbours."""

import numpy as np
import pytest
import torch
from torch import nn

from model.checkpoint import random_model
from model.engine import Engine
from model.precision import (
    ChannelsLast,
    fastest_precision,
    lower_generator,
    lower_transformer,
)
from model.s2.flow_matching import CFM
from model.sampling import Sampling
from model.speaking import Request, Sample
from model.vocoder import Generator, GeneratorConfig, generate

TINY = GeneratorConfig(mels=5, width=16, rates=(4, 2), rate_kernels=(8, 4), block_kernels=(3, 7))


def off(made: torch.Tensor, expected: torch.Tensor) -> float:
    """The error relative to what is expected."""
    return float((made - expected).norm() / expected.norm())


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv1d(8, 16, 11, padding=25, dilation=5),
        nn.Conv1d(16, 1, 7, padding=3, bias=False),
        nn.ConvTranspose1d(8, 4, 16, 10, padding=3),
    ],
)
@torch.no_grad()
def test_a_convolution_along_channels_is_the_convolution(
    conv: nn.Conv1d | nn.ConvTranspose1d,
) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, conv.in_channels, 60)
    made = ChannelsLast(conv)(x)
    assert made.dtype == torch.bfloat16
    assert made.shape == conv(x).shape
    assert off(made.float(), conv(x)) < 0.01


@torch.no_grad()
def test_a_lower_generator_sounds_the_same() -> None:
    torch.manual_seed(0)
    generator = Generator(TINY, 3).eval()
    mels = [torch.randn(1, 5, n) for n in (30, 9)]
    voice = torch.randn(1, 3, 1)
    expected = generate(generator, mels, voice)
    lower_generator(generator)
    kinds = {type(module) for module in generator.modules()}
    assert ChannelsLast in kinds and not kinds & {nn.Conv1d, nn.ConvTranspose1d}
    for made, right in zip(generate(generator, mels, voice), expected, strict=True):
        assert made.dtype == torch.float32
        assert 0 < off(made, right) < 0.03
    with_neighbours = generate(generator, mels, voice, frames=30, rows=3)
    for made, right in zip(with_neighbours, expected, strict=True):
        assert off(made, right) < 0.03


def test_a_lower_transformer_makes_the_same_mel() -> None:
    cfm: CFM = random_model(0).s2.cfm
    torch.manual_seed(0)
    fea, noise, prompt = torch.randn(1, 16, 40), torch.randn(1, 100, 40), torch.randn(1, 100, 10)
    with torch.inference_mode():
        expected = cfm.inference(fea, None, prompt, 4, noise, 2.0, brief=True)
        lower_transformer(cfm.estimator)
        made = cfm.inference(fea, None, prompt, 4, noise, 2.0, brief=True)
    assert made.dtype == torch.float32
    assert 0 < off(made, expected) < 0.02


def test_precision_is_part_of_the_identity_and_not_of_the_shared_model() -> None:
    model = random_model(0)
    full, lower = Engine(model), Engine(model, "bf16")
    assert full.content_hash != lower.content_hash
    assert full.model_hash == lower.model_hash
    assert {p.dtype for p in model.s2.parameters()} == {torch.float32}
    sample = Sample((0.1 * np.random.default_rng(0).normal(size=72_000)).astype(np.float32), 24_000)
    requests = [Request(("HH", "AH0", "L", "OW1", ".") * 4, seed) for seed in (1, 2)]
    voice, sampling = lower.reference([sample]), Sampling(top_k=20, steps=2)
    together = lower.render(requests, voice, sampling)
    for request, made in zip(requests, together, strict=True):
        alone = lower.render([request], voice, sampling)[0]
        assert np.array_equal(made.audio, alone.audio)
    exact = full.render(requests, voice, sampling)[0]
    assert np.array_equal(exact.tokens, together[0].tokens)
    assert not np.array_equal(exact.audio, together[0].audio)


@pytest.mark.parametrize(("able", "precision"), [({"avx512_bf16": True}, "bf16"), ({}, "f32")])
def test_the_cpu_decides_what_is_fastest(
    monkeypatch: pytest.MonkeyPatch, able: dict[str, bool], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert fastest_precision() == precision
