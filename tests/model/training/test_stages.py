"""Every stage, begun, stopped, gone on with and exported, at tiny sizes on made-up recordings."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from configs.errors import UsageError, UserError
from configs.training import StageConfig
from model.checkpoint import load_model
from model.engine import Engine
from model.speaking import Request, Sample
from model.training.corpus import tell_nobody
from model.training.export import export
from model.training.loop import Run, averaged_weights, read_losses
from model.training.stages import pretrain, read_record
from model.training.tokens import load_tokeniser

Make = Callable[..., StageConfig]


class KilledError(Exception):
    pass


def run_stage(
    stage: str, config: StageConfig, data: Path, out: Path, stop: int | None = None
) -> Run:
    def on_step(progress: Any) -> None:
        if progress.step == stop:
            raise KilledError

    return pretrain(stage, config, [data], out, tell_nobody, on_step)


def values(run: Path) -> list[tuple]:
    return [(r.step, r.which, r.loss, r.value) for r in read_losses(run / "losses.csv")]


SAMPLES = {
    "recogniser": {"phones.txt"},
    "semantic": {"tokens.txt"},
    "acoustic": {"0-made.wav", "0-true.wav"},
    "vocoder": {"0-made.wav", "0-true.wav"},
}


@pytest.mark.parametrize("stage", SAMPLES)
def test_a_killed_stage_has_the_same_losses(
    stage: str, config: Make, folder: Path, tiny: Path, tmp_path: Path
) -> None:
    own = {"recogniser": str(tiny)} if stage in ("semantic", "acoustic") else {}
    if stage == "semantic":
        own["dpo"] = {"weight": 1.0, "beta": 0.2, "reference": "none"}  # type: ignore[assignment]
    wanted = config(stage, **own)
    whole, parts = tmp_path / "whole" / stage, tmp_path / "parts" / stage
    run_stage(stage, wanted, folder, whole)
    for stop in (2, 5):
        with pytest.raises(KilledError):
            run_stage(stage, wanted, folder, parts, stop)
    run_stage(stage, wanted, folder, parts)
    assert values(parts) == values(whole)
    assert {step for step, which, _, _ in values(whole) if which == "validation"} == {3, 6}
    assert all(np.isfinite(value) for _, _, _, value in values(whole))
    for name in SAMPLES[stage]:
        one, other = (run / "samples/step-6" / name for run in (whole, parts))
        assert one.read_bytes() == other.read_bytes()
    assert (whole / "losses.png").read_bytes().startswith(b"\x89PNG")
    assert read_record(whole)["stage"] == stage


def test_going_on_from_a_model(config: Make, folder: Path, tiny: Path, tmp_path: Path) -> None:
    """All stages from a model's weights: what is exported speaks; the quantizer has not moved."""
    before = load_model(tiny)
    for stage in SAMPLES:
        few = {"batch": 2, "guided_layer": 1} if stage == "semantic" else {}
        run_stage(
            stage,
            config(stage, **{"from": str(tiny)}, steps=2, validate_every=2, **few),
            folder,
            tmp_path / "runs" / stage,
        )
        if stage == "recogniser":
            # its quantizer has moved, and the other stages keep to the model's
            (tmp_path / "runs" / stage).rename(tmp_path / "recogniser")
    assert (tmp_path / "runs/semantic/samples/step-2/0-made.wav").exists()
    trained = export(tmp_path / "runs", tmp_path / "model", str(tiny), "made")
    assert trained == ["semantic", "acoustic", "vocoder"]
    after = load_model(tmp_path / "model")
    assert after.config.name == "made"
    for key, value in after.s2.state_dict().items():
        # running sums serve training only and are not stored
        if key.startswith(("quantizer", "ssl_proj")) and not key.endswith("embed_avg"):
            assert torch.equal(value, before.s2.state_dict()[key]), key
    assert not torch.equal(after.s2.linear_mel.weight, before.s2.linear_mel.weight)
    stored = averaged_weights(tmp_path / "runs/semantic", "s1")["ar_predict_layer.weight"]
    assert torch.equal(after.s1.ar_predict_layer.weight, stored.half().float())
    engine = Engine(after)
    rng = np.random.default_rng(0)
    sample = Sample(rng.normal(0, 0.1, 48_000).astype(np.float32), 24_000)
    request = Request(("K", "AE1", "T", "."), 0)
    assert np.isfinite(engine.render([request], engine.reference([sample]))[0].audio).all()


def test_from_the_recogniser_on(config: Make, folder: Path, tiny: Path, tmp_path: Path) -> None:
    """A recogniser of one's own, and S1 and S2 of its tokens, found beside them."""
    runs = tmp_path / "runs"
    run_stage("recogniser", config("recogniser", steps=2), folder, runs / "recogniser")
    tokeniser = load_tokeniser(runs / "recogniser")
    assert tokeniser.codes == 16
    for stage in ("semantic", "acoustic"):
        run_stage(stage, config(stage, steps=2), folder, runs / stage)
        assert read_record(runs / stage)["tokens"] == tokeniser.hash
    export(runs, tmp_path / "model", str(tiny))
    made = load_model(tmp_path / "model")
    assert made.s1.config.codes == made.s2.config.codebook == 16
    assert made.recogniser.config.head_width == 8
    # the half of them does not fit the rest of a model
    (runs / "semantic").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="stage semantic has not learned the tokens"):
        export(runs, tmp_path / "other", str(tiny))


def test_untranscribed_sound(config: Make, tiny: Path, sung: np.ndarray, tmp_path: Path) -> None:
    """Good for S2 and the vocoder; the others say what they need."""
    data = tmp_path / "data"
    data.mkdir()
    for number in range(5):
        soundfile.write(data / f"{number}.flac", sung * (1 - number / 20), 24_000)
    for stage in ("acoustic", "vocoder"):
        own = {"recogniser": str(tiny)} if stage == "acoustic" else {}
        run = run_stage(stage, config(stage, steps=2, **own), data, tmp_path / stage)
        assert run.step == 2
    with pytest.raises(UserError, match="Too few clips have a text"):
        run_stage("semantic", config("semantic", recogniser=str(tiny)), data, tmp_path / "s1")
    with pytest.raises(UserError, match="needs English speech with its text"):
        run_stage("recogniser", config("recogniser"), data, tmp_path / "rec")


def test_a_run_keeps_to_what_it_is(config: Make, folder: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run_stage("vocoder", config("vocoder", steps=1), folder, out)
    with pytest.raises(UsageError, match="is a run of the stage vocoder"):
        run_stage("acoustic", config("acoustic"), folder, out)
    other = {"width": 24, "hidden": 16, "blocks": 1}
    with pytest.raises(UsageError, match="begun with other sizes"):
        run_stage("vocoder", config("vocoder", sizes=other), folder, out)
    record = json.loads((out / "run.json").read_text())
    assert record["config"]["sizes"] == {"width": 16, "hidden": 16, "blocks": 1}
    with pytest.raises(UsageError, match="shares must be 1 numbers"):
        run_stage("vocoder", config("vocoder", shares=(1.0, 2.0)), folder, tmp_path / "new")
    with pytest.raises(UserError, match="holds no run"):
        export(tmp_path, tmp_path / "model", str(tiny))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("stage", SAMPLES)
def test_on_a_graphics_card(
    stage: str, config: Make, folder: Path, tiny: Path, tmp_path: Path
) -> None:
    own = {"recogniser": str(tiny)} if stage in ("semantic", "acoustic") else {}
    wanted = config(stage, device="cuda", precision="bf16", **own)
    run = run_stage(stage, wanted, folder, tmp_path / stage)
    assert run.step == 6
    weights = next(iter(run.averages.values()))
    assert all(value.device.type == "cuda" for value in weights.values())
