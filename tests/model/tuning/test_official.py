"""Tuning small official models with random weights: what comes out is loaded and speaks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from configs.errors import UserError
from model.official import load_official, load_weights
from model.official_engine import OfficialEngine
from model.sampling import Sampling
from model.speaking import Prompt, Request, Sample
from model.tuning import Clip, Tuned, TuningOptions, official
from model.tuning.official import save_tuned, tune_official
from tests.official_files import write_folder

QUICK = TuningOptions(steps=2, rate=1e-3)


@pytest.fixture(autouse=True)
def one_period(monkeypatch: pytest.MonkeyPatch) -> None:
    """Discriminators come in one size, the full one: two of them are enough here."""
    monkeypatch.setattr(official, "PERIODS", (2,))
    monkeypatch.setattr(official, "PERIODS_PRO", (2,))


def clips(rate: int, count: int) -> list[Clip]:
    draw = np.random.default_rng(0)
    return [
        Clip(
            (0.1 * draw.standard_normal(int(rate * (1.0 + 0.1 * i)))).astype(np.float32),
            ("HH", "AH0", "L", "OW1"),
        )
        for i in range(count)
    ]


def tune(folder: Path, options: TuningOptions) -> tuple[Tuned, list[Clip]]:
    said = clips(load_official(folder).sample_rate, 3)
    tuned = tune_official(
        folder, said[:2], said[2:], options, lambda _: None, folder.with_name("tuning.pt")
    )
    return tuned, said


@pytest.mark.parametrize(
    "version",
    [
        pytest.param("v2Pro", marks=pytest.mark.slow),
        "v4",
    ],
)
def test_tuned_and_saved(version: str, tmp_path: Path) -> None:
    """The curve is of the version's own losses; whatever came of it is saved and speaks."""
    folder = write_folder(tmp_path / version, version, encoders=True)  # type: ignore[arg-type]
    tuned, said = tune(folder, replace(QUICK, lora=2, s1=True, s1_rate=1e-2))
    assert [point.step for point in tuned.curve] == [0, 2]
    assert [point.step for point in tuned.s1_curve] == [0, 2]
    assert tuned.s1_best_step == 2
    moved = dict(tuned.tensors)
    if not tuned.best_step:  # two steps need not help a random model
        key = "s2.ref_enc.fc.fc.weight"
        moved[key] = load_weights(folder, "s2")[key.removeprefix("s2.")] * 1.5
    if version == "v4":
        layer = "s2.cfm.base_model.model.estimator.transformer_blocks.0.attn.to_v"
        moved[f"{layer}.lora_A.default.weight"] = torch.randn(2, 32)
        moved[f"{layer}.lora_B.default.weight"] = torch.randn(32, 2)
    out = tmp_path / "tuned"
    save_tuned(folder, moved, out)
    before, after = load_weights(folder, "s2"), load_weights(out, "s2")
    assert before.keys() == after.keys()
    assert all(before[key].dtype == after[key].dtype for key in before)
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed
    allowed = ("ref_enc.", "enc_p.mrte.", "ge_to512.", "cfm.estimator.transformer_blocks.0.attn.")
    assert all(key.startswith(allowed) for key in changed)
    assert load_official(out).content_hash != load_official(folder).content_hash
    engine = OfficialEngine(load_official(out))
    reference = engine.reference(
        [Sample(np.tile(said[0].audio, 3), engine.sample_rate)], Prompt(said[0].phones)
    )
    spoken = engine.render([Request(said[0].phones, 1)], reference, Sampling(steps=2))
    assert np.isfinite(spoken[0].audio).all()
    with pytest.raises(UserError, match="exists"):
        save_tuned(folder, moved, out)


@pytest.mark.slow
def test_whole_s2_learns_against_discriminators(tmp_path: Path) -> None:
    """All of it but the quantizer, as GPT-SoVITS tunes v1 to v2ProPlus."""
    folder = write_folder(tmp_path / "v2", "v2", encoders=True)
    tuned, _ = tune(folder, replace(QUICK, parts=("",), steps=4))
    assert tuned.curve[-1].held_out < tuned.curve[0].held_out
    parts = {key.split(".")[1] for key in tuned.tensors}
    assert parts == {"enc_p", "dec", "enc_q", "flow", "ref_enc"}
    save_tuned(folder, tuned.tensors, tmp_path / "tuned")
    load_official(tmp_path / "tuned")


def test_fine_tuned_checkpoints_lack_the_posterior(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "v2", "v2", encoders=True, fine_tuned=True)
    with pytest.raises(UserError, match="posterior encoder"):
        tune(folder, QUICK)


def test_tensors_of_something_else(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "v2", "v2")
    for name in ("vocoder.x", "s2.x"):
        with pytest.raises(UserError, match="does not fit"):
            save_tuned(folder, {name: torch.zeros(1)}, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / ".out.part").exists()
