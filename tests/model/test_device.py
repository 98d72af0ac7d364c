"""The engines on a CUDA device, as far as that can be told where there is none."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from configs.errors import UserError
from model.checkpoint import random_model
from model.device import CPU, Device, best_device
from model.engine import Engine
from model.identify import Version
from model.official_engine import OfficialEngine
from model.pronunciation import Pronunciation
from model.recogniser import PHONES as CLASSES
from model.recogniser import SILENCE
from model.sampling import Sampling
from model.speaking import Characters, Prompt, Rendering, Request, Sample, Semantics
from tests.model import pretend_cuda
from tests.official_models import install

HELLO = ("HH", "AH0", "L", "OW1", "W", "ER1", "L", "D", ".")
NI_HAO = ("n", "i2", "h", "ao3", ",", "sh", "ir4", "j", "ie4", ".")
CHARACTERS = Characters(0, "你好,世界.", (2, 2, 1, 2, 2, 1))
PROMPT = Prompt(("G", "UH1", "D", "D", "EY1", "."))
SAMPLING = Sampling(top_k=5, temperature=0.8, repetition_penalty=1.35, steps=2, guidance=1.0)
REQUESTS = [Request(HELLO, 1), Request(HELLO[:2], 2), Request(HELLO * 3, 3), Request(HELLO, 4)]
ROWS = 3


def gpu(graphs: bool) -> Device:
    return Device(pretend_cuda.WHERE, ROWS, graphs)


def sample() -> Sample:
    audio = 0.1 * np.random.default_rng(0).normal(size=3 * 24_000)
    return Sample(audio.astype(np.float32), 24_000)


def check_alike(made: list[Rendering], expected: list[Rendering]) -> None:
    """The same but for rounding, which adds up in a pulse train's phase; so does the end."""
    for one, other in zip(made, expected, strict=True):
        assert np.array_equal(one.tokens, other.tokens)
        assert one.complete == other.complete
        assert one.audio.shape == other.audio.shape
        for part in (slice(None), slice(-4800, None)):
            error = np.linalg.norm(one.audio[part] - other.audio[part])
            assert error <= 5e-3 * np.linalg.norm(other.audio[part])
        assert one.times.shape == other.times.shape
        assert (one.pronunciation is None) == (other.pronunciation is None)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with pretend_cuda.pretended(monkeypatch):
        yield


def test_the_built_in_voice_on_a_device(device: None) -> None:
    plain, engine = Engine(random_model(0)), Engine(random_model(0), device=gpu(True))
    assert engine.content_hash == plain.content_hash
    reference, there = plain.reference([sample()]), engine.reference([sample()])
    assert there.prompt_mel.device == pretend_cuda.WHERE
    expected = plain.render(REQUESTS, reference, SAMPLING)
    for _ in range(2):  # the second time in S1's table of the first
        check_alike(engine.render(REQUESTS, there, SAMPLING), expected)
    vector = plain.voice_vector(sample())
    np.testing.assert_allclose(engine.voice_vector(sample()), vector, atol=1e-5)
    draw = torch.Generator().manual_seed(0)
    tuning = {"s2.linear_mel.bias": torch.randn(100, generator=draw)}
    expected = plain.tuned(tuning).render(REQUESTS[:1], reference, SAMPLING)
    check_alike(engine.tuned(tuning).render(REQUESTS[:1], there, SAMPLING), expected)


def test_a_line_is_mended_on_a_device(device: None) -> None:
    sounds = ("HH", "AH", "L", "OW", "W", "ER", "D")
    table = torch.full((32, len(CLASSES)), 0.01)
    for code, sound in enumerate((SILENCE, *sounds)):
        table[code, CLASSES.index(sound)] = 1.0
    spoken = np.repeat([1, 2, 3, 4, 0, 5, 6, 3, 7, 0], 5).astype(np.int16)  # HELLO with a pause
    said = [Semantics(np.tile(spoken, 3), True), Semantics(np.roll(spoken, 1)[1:], True)]
    phones = HELLO[:-1] * 3
    times = np.array([[10 * n, 10 * n + 10] for n in range(len(phones))], np.int16)
    made = []
    for engine in (Engine(random_model(0)), Engine(random_model(0), device=gpu(True))):
        engine.mends, engine._log_probs = True, table.log().numpy()
        reference = engine.reference([sample()])
        requests = [Request(phones, 3), Request(HELLO, 4)]
        (first, _) = engine.acoustics(requests, said, reference, SAMPLING)
        flawed = replace(first, pronunciation=Pronunciation(99.0, 2.0, 0.0, 0.0), times=times)
        again = [Request(phones, seed, earlier=flawed) for seed in (5, 6)]
        made.append(engine.acoustics([*again, requests[1]], [said[0], *said], reference, SAMPLING))
        for one in made[-1][:2]:
            same = (one.mel == first.mel)[0].all(0).cpu().tolist()
            assert all(same[:160]), "the word before"
            assert all(same[-160:]), "the word after"
            assert not any(same[200:350]), "the word between"
    check_alike(made[1], made[0])


@pytest.mark.parametrize("version", ["v2ProPlus", pytest.param("v3", marks=pytest.mark.slow), "v4"])
def test_official_models_on_a_device(device: None, version: Version, tmp_path: Path) -> None:
    """One request has Chinese characters, which BERT reads."""
    folder = install(tmp_path / "models", version, tmp_path)
    guidance = 1.0 if version == "v4" else 0.0
    sampling = replace(SAMPLING, guidance=guidance, speed=1.1 if version == "v3" else 1.0)
    requests = [*REQUESTS, Request(NI_HAO, 5, (CHARACTERS,))]
    plain = OfficialEngine.load(folder, device=CPU)
    expected = plain.render(requests, plain.reference([sample()], PROMPT), sampling)
    engine = OfficialEngine.load(folder, device=gpu(graphs=version != "v3"))
    there = engine.reference([sample()], PROMPT)
    assert there.tokens.device == there.features.device == pretend_cuda.WHERE
    check_alike(engine.render(requests, there, sampling), expected)
    if version != "v3":
        assert any(engine._stage._packed._graphs.values()), "a pass of the vocoder was recorded"


def test_bf16_on_a_device(device: None) -> None:
    """What comes out is not compared, since CPU and device round in other places."""
    engine = Engine(random_model(0), "bf16", device=gpu(True))
    reference = engine.reference([sample()])
    (made,) = engine.render(REQUESTS[2:3], reference, SAMPLING)
    assert np.isfinite(made.audio).all()
    assert np.abs(made.audio).max() > 0


def test_a_step_asks_the_device_nothing(device: None) -> None:
    """The pretended device says so itself."""
    here, there = torch.ones(3), torch.ones(3, device=pretend_cuda.WHERE)
    with pytest.raises(RuntimeError, match="same device"):
        there + here
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()
    assert (there + 1).cpu().tolist() == [2, 2, 2]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        there += 1
        total = there * 2
        with pytest.raises(RuntimeError, match="asks"):
            there.sum().item()
        with pytest.raises(RuntimeError, match="host"):
            here.to(pretend_cuda.WHERE)
    assert there.tolist() == [1, 1, 1], "it only records"
    graph.replay()
    assert (there.tolist(), total.tolist()) == ([2, 2, 2], [4, 4, 4])


def test_the_best_device_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert best_device() == best_device("cpu") == CPU
    with pytest.raises(UserError, match="VOXLOOM_DEVICE"):
        best_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert best_device("cpu") == CPU
    assert torch.backends.cudnn.allow_tf32
    found = best_device("auto", graphs=False)
    assert (found.where, found.graphs) == (torch.device("cuda:0"), False)
    assert found.rows > 1
    assert not torch.backends.cudnn.allow_tf32
