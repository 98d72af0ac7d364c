"""Tuning the built-in voice, tiny: what changes, what does not, and that a kill costs nothing."""

import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from configs.errors import UserError
from model.checkpoint import VoiceModel, random_model
from model.engine import Engine
from model.lora import lora_keys
from model.sampling import Sampling
from model.speaking import Request, Sample
from model.tuning import (
    Clip,
    Progress,
    Tuned,
    TuningOptions,
    apply_tuning,
    part_way,
    tune_voice,
)

RATE = 24_000
QUICK = TuningOptions(steps=20, rate=1e-2)


def clip(seed: int, seconds: float = 1.2, phones: tuple[str, ...] = ("K", "AE1", "T")) -> Clip:
    """A buzz of a pitch of its own."""
    draw = np.random.default_rng(seed)
    at = np.arange(int(seconds * RATE)) / RATE
    audio = 0.3 * np.sign(np.sin(2 * np.pi * (100 + 10 * seed) * at))
    return Clip((audio + 0.01 * draw.standard_normal(len(at))).astype(np.float32), phones)


CLIPS = [clip(0), clip(1, 1.6), clip(2)]
HELD_OUT = [clip(3)]


@pytest.fixture(scope="module")
def model() -> VoiceModel:
    return random_model(0)


def tune(model: VoiceModel, folder: Path, options: TuningOptions = QUICK, **changes: list) -> Tuned:
    clips, held_out = changes.get("clips", CLIPS), changes.get("held_out", HELD_OUT)
    return tune_voice(model, clips, held_out, options, lambda _: None, folder / "tuning.pt")


@pytest.fixture(scope="module")
def tuned(model: VoiceModel, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    return tune(model, tmp_path_factory.mktemp("tuned"))


def test_only_the_voice_changes(model: VoiceModel, tuned: Tuned) -> None:
    names = {key.split(".", 3)[1] for key in tuned.tensors}
    assert names == {"ref_enc", "enc_p"}
    assert all(k.startswith(("s2.ref_enc.", "s2.enc_p.mrte.")) for k in tuned.tensors)
    assert all(value.dtype == torch.float16 for value in tuned.tensors.values())
    other = apply_tuning(model, tuned.tensors)
    before, after = model.s2.state_dict(), other.s2.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {key.removeprefix("s2.") for key in tuned.tensors}
    assert other.s1 is model.s1
    assert other.recogniser is model.recogniser
    shared = set(before) - changed
    assert all(before[key].data_ptr() == after[key].data_ptr() for key in shared)
    assert not any(p.requires_grad for p in other.s2.parameters())


def test_held_out_clips_get_better(tuned: Tuned) -> None:
    first = tuned.curve[0]
    best = next(point for point in tuned.curve if point.step == tuned.best_step)
    assert (first.step, first.train) == (0, None)
    assert 0 < tuned.best_step <= 20
    assert best.held_out == min(point.held_out for point in tuned.curve)
    assert best.held_out < 0.98 * first.held_out


def test_the_model_itself_is_left_alone(model: VoiceModel, tuned: Tuned) -> None:
    fresh = random_model(0)
    for part in ("recogniser", "s1", "s2", "vocoder"):
        state = getattr(fresh, part).state_dict()
        assert all(torch.equal(v, state[k]) for k, v in getattr(model, part).state_dict().items())
        assert not any(p.requires_grad for p in getattr(model, part).parameters())


def test_an_engine_speaks_with_it(model: VoiceModel, tuned: Tuned) -> None:
    """And its hash is of the weights: the same for the same, another for others."""
    other = apply_tuning(model, tuned.tensors)
    assert other.content_hash == apply_tuning(random_model(0), dict(tuned.tensors)).content_hash
    assert len({model.content_hash, other.content_hash}) == 2
    damaged = {key: value * 2 for key, value in tuned.tensors.items()}
    assert apply_tuning(model, damaged).content_hash != other.content_hash
    assert apply_tuning(model, {}).content_hash == model.content_hash
    engines = [Engine(model), Engine(other)]
    sample = Sample(CLIPS[0].audio, RATE)
    # too long for a carrier, of which random weights leave nothing
    lively, request = Sampling(top_k=20, temperature=1.0), Request(("K", "AE1", "T", "S") * 4, 1)
    spoken = [e.render([request], e.reference([sample]), lively)[0] for e in engines]
    assert len(spoken[0].tokens)
    assert np.array_equal(spoken[0].tokens, spoken[1].tokens)
    assert not np.array_equal(spoken[0].audio, spoken[1].audio)


def test_held_out_loss_is_the_same_every_time(model: VoiceModel, tmp_path: Path) -> None:
    """With a learning rate of next to nothing, it does not move by chance, and nothing is kept."""
    still = tune(model, tmp_path, replace(QUICK, rate=1e-12))
    losses = [point.held_out for point in still.curve]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)
    assert still.tensors == {}
    assert still.best_step == 0


def test_stops_when_nothing_gets_better(model: VoiceModel, tmp_path: Path) -> None:
    """Six judgements without a gain are the end."""
    seen: list[Progress] = []
    tune_voice(
        model,
        CLIPS,
        HELD_OUT,
        replace(QUICK, rate=1e-12, steps=500),
        seen.append,
        tmp_path / "tuning.pt",
    )
    assert [progress.step for progress in seen] == list(range(1, 61))
    assert all(progress.steps == 500 and progress.part == "s2" for progress in seen)
    assert sorted(p.seconds for p in seen) == [p.seconds for p in seen]


def test_low_rank_updates_and_s1(model: VoiceModel, tmp_path: Path) -> None:
    options = replace(QUICK, lora=2, s1=True, dpo=True, s1_rate=1e-2)
    tuned = tune(model, tmp_path, options)
    lora = [key for key in tuned.tensors if "lora_" in key]
    assert len(lora) == 2 * 4 * len(model.s2.cfm.estimator.transformer_blocks)
    assert any(tuned.tensors[key].any() for key in lora if "lora_B" in key)
    assert {k for k in tuned.tensors if k.startswith("s1.")} == {
        f"s1.{name}" for name, _ in model.s1.named_parameters()
    }
    assert 0 < tuned.s1_best_step <= 20
    assert tuned.s1_curve[-1].held_out < tuned.s1_curve[0].held_out
    other = apply_tuning(model, tuned.tensors)
    name = "cfm.estimator.transformer_blocks.0.attn.to_q.weight"
    key = "s2.cfm.base_model.model.estimator.transformer_blocks.0.attn.to_q"
    update = (
        tuned.tensors[f"{key}.lora_B.default.weight"].float()
        @ tuned.tensors[f"{key}.lora_A.default.weight"].float()
    )
    expected = model.s2.state_dict()[name] + update
    torch.testing.assert_close(other.s2.state_dict()[name], expected)
    assert not torch.equal(other.s1.ar_predict_layer.weight, model.s1.ar_predict_layer.weight)


def test_one_clip_is_its_own_reference(model: VoiceModel, tmp_path: Path) -> None:
    tuned = tune(model, tmp_path, replace(QUICK, steps=2), clips=[clip(0, 2.4)])
    assert [point.step for point in tuned.curve] == [0, 2]


@pytest.mark.parametrize(
    "changes",
    [
        {"clips": []},
        {"held_out": []},
        {"clips": [clip(0, 0.5)]},
        {"held_out": [clip(0, 31.0)]},
    ],
)
def test_nothing_to_learn_from(model: VoiceModel, tmp_path: Path, changes: dict) -> None:
    with pytest.raises(ValueError, match="clip"):
        tune(model, tmp_path, **changes)


def test_s1_needs_phones(model: VoiceModel, tmp_path: Path) -> None:
    silent = [clip(0, phones=("UNK",)), clip(1, phones=("UNK",))]
    with pytest.raises(ValueError, match="phones"):
        tune(model, tmp_path, replace(QUICK, steps=1, s1=True), clips=silent)


@pytest.mark.parametrize(
    "tensors",
    [
        {"vocoder.x": torch.zeros(1)},
        {"s2.ref_enc.fc.fc.weight": torch.zeros(3, 3)},
        {"s2.nothing": torch.zeros(1)},
    ],
)
def test_tuning_of_something_else(model: VoiceModel, tensors: dict) -> None:
    with pytest.raises(UserError, match="does not fit"):
        apply_tuning(model, tensors)


def _tune_slowly(path: Path, clips: list[Clip]) -> None:
    torch.set_num_threads(1)

    def wait(progress: Progress) -> None:
        time.sleep(0.02)

    tune_voice(random_model(0), clips, HELD_OUT, QUICK, wait, path)


def test_a_kill_costs_nothing(model: VoiceModel, tuned: Tuned, tmp_path: Path) -> None:
    """Killed after a judgement, it goes on from there to the same end, and does no step twice."""
    path = tmp_path / "tuning.pt"
    process = multiprocessing.get_context("fork").Process(target=_tune_slowly, args=(path, CLIPS))
    process.start()
    while not path.exists() and process.is_alive():
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    seen: list[int] = []
    again = tune_voice(model, CLIPS, HELD_OUT, QUICK, lambda p: seen.append(p.step), path)
    assert seen == list(range(21 - len(seen), 21))
    assert len(seen) < 20
    assert again.curve == tuned.curve
    assert again.tensors.keys() == tuned.tensors.keys()
    assert all(torch.equal(value, tuned.tensors[key]) for key, value in again.tensors.items())
    seen.clear()
    tune_voice(model, CLIPS, HELD_OUT, QUICK, lambda p: seen.append(p.step), path)
    assert seen == [], "what is finished stays finished"
    tune_voice(model, CLIPS, HELD_OUT, replace(QUICK, seed=1), lambda p: seen.append(p.step), path)
    assert seen[0] == 1, "another tuning's checkpoint is not this one's"


def test_a_damaged_checkpoint(model: VoiceModel, tmp_path: Path) -> None:
    (tmp_path / "tuning.pt").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(UserError, match="remove it"):
        tune(model, tmp_path)


def test_part_of_the_way(model: VoiceModel, tuned: Tuned) -> None:
    """Half of the way is half of the change of every weight, low-rank updates included."""
    attention = "cfm.estimator.transformer_blocks.0.attn.to_q"
    down, up = lora_keys(attention)
    draw = torch.Generator().manual_seed(0)
    width, inner = model.s2.state_dict()[f"{attention}.weight"].shape
    tensors = tuned.tensors | {
        f"s2.{down}": torch.randn((2, inner), generator=draw).half(),
        f"s2.{up}": torch.randn((width, 2), generator=draw).half(),
    }
    start, whole, half = (
        apply_tuning(model, found).s2.state_dict()
        for found in ({}, tensors, part_way(model, tensors, 0.5))
    )
    moved = [key for key in start if not torch.equal(start[key], whole[key])]
    assert f"{attention}.weight" in moved
    assert len(moved) == len(tuned.tensors) + 1
    for key in start:
        wanted = (start[key] + whole[key]) / 2 if key in moved else start[key]
        torch.testing.assert_close(half[key], wanted, atol=2e-3, rtol=2e-3)
