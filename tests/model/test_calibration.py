"""The calibration measures what the engine does, and choosing changes no result."""

import numpy as np
import pytest
import torch

from model import calibration
from model.checkpoint import random_model
from model.engine import Engine
from model.speaking import Request, Sample


def test_it_measures(monkeypatch):
    model = random_model(0)
    monkeypatch.setattr(calibration, "load_model", lambda folder: model)
    monkeypatch.setattr(calibration, "ROUNDS", 1)
    monkeypatch.setattr(calibration, "TOKENS", 4)
    monkeypatch.setattr(calibration, "SLOT_COUNTS", (2, 32))
    before = torch.get_num_threads()
    found = calibration.calibrate(2)
    assert torch.get_num_threads() == before
    assert set(found.slot_rates) == {2, 32}
    assert set(found.thread_rates) == {1, 2}
    assert min(*found.slot_rates.values(), *found.thread_rates.values()) > 0
    assert found.slots in found.slot_rates
    assert found.threads in found.thread_rates
    assert (found.precision == "bf16") == (found.bf16_ratio > calibration.WORTH)


@pytest.mark.parametrize("slots", [1, 3, 64])
def test_slots_change_no_result(slots):
    model = random_model(0)
    noise = 0.1 * np.random.default_rng(0).normal(size=48_000)
    requests = [Request(("HH", "AH0", "L", "OW1") * (1 + n), n) for n in range(5)]
    usual, other = Engine(model), Engine(model, slots=slots)
    assert usual.content_hash == other.content_hash
    reference = usual.reference([Sample(noise.astype(np.float32), 24_000)])
    for one, two in zip(
        usual.render(requests, reference), other.render(requests, reference), strict=True
    ):
        assert np.array_equal(one.tokens, two.tokens)
        assert np.array_equal(one.audio, two.audio)
