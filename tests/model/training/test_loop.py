"""Training runs: what a resumed run goes on with, and what it writes."""

import csv
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from model.training.loop import Run, averaged_weights


def build(folder: Path, seconds: float, **options: float) -> Run:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    return Run(folder, {"net": module}, seconds / 60, 1e-2, warmup=5, **options)


def train(run: Run, steps: int | None = None) -> None:
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    for done, _ in enumerate(run.steps(), 1):
        loss = (run.modules["net"](x) - x.sum(1, keepdim=True)).square().mean()
        run.update("net", loss)
        run.log(loss=loss.item())
        if done == steps:
            return


def test_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    first = build(tmp_path, 0.2)
    train(first)
    assert first.progress == 1
    second = build(tmp_path, 0.4)
    assert (second.step, second.seconds) == (first.step, first.seconds)
    state = first.modules["net"].state_dict()
    for key, value in second.modules["net"].state_dict().items():
        assert torch.equal(value, state[key])
        assert torch.equal(second.averages["net"][key], first.averages["net"][key])
    moments = [run.optimisers["net"].state_dict()["state"] for run in (first, second)]
    assert torch.equal(moments[0][0]["exp_avg"], moments[1][0]["exp_avg"])
    train(second)
    assert second.step > first.step
    assert second.seconds >= 0.4
    # The time is used up over both: a third one has nothing left to do.
    third = build(tmp_path, 0.4)
    assert list(third.steps()) == []
    average = averaged_weights(tmp_path, "net")
    assert torch.equal(average["0.weight"], second.averages["net"]["0.weight"])
    assert average["1.num_batches_tracked"] == state["1.num_batches_tracked"] + (
        second.step - first.step
    )


def test_loss_falls_and_the_average_follows(tmp_path: Path) -> None:
    run = build(tmp_path, 60)
    before = run.modules["net"][0].weight.detach().clone()
    train(run, 40)
    weight = run.modules["net"][0].weight.detach()
    average = run.averages["net"]["0.weight"]
    assert not torch.equal(weight, before)
    assert (average - weight).norm() < (before - weight).norm()


def test_rate_rises_then_falls(tmp_path: Path) -> None:
    run = build(tmp_path, 60)
    rates = []
    steps = run.steps()
    for _ in range(6):
        next(steps)
        rates.append(run.optimisers["net"].param_groups[0]["lr"])
    assert rates[:5] == pytest.approx([0.002, 0.004, 0.006, 0.008, 0.01], rel=1e-3)
    run.seconds = 59.999
    next(steps)
    assert run.optimisers["net"].param_groups[0]["lr"] == pytest.approx(0.0002, rel=0.01)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    run = build(tmp_path, 60)
    with pytest.raises(FloatingPointError, match="net: the loss is nan at step 0"):
        run.update("net", torch.tensor(float("nan")))


def test_losses_are_a_table_with_a_header_for_every_stretch(tmp_path: Path) -> None:
    (tmp_path / "losses.csv").write_text("step=49,seconds=1.0,loss=2.0\n")
    run = build(tmp_path, 60)
    for number in range(100):
        run.step = number
        run.log(loss=number)
    for number in range(100, 150):
        run.step = number
        late = {"extra": 8.0} if number >= 140 else {}
        run.log(loss=1.0, **late)
    with (tmp_path / "losses.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["step=49", "seconds=1.0", "loss=2.0"],
        ["step", "seconds", "loss"],
        ["49", "0.0", "24.5"],
        ["99", "0.0", "74.5"],
        ["step", "seconds", "loss", "extra"],
        ["149", "0.0", "1.0", "8.0"],
    ]


@pytest.mark.slow
def test_a_killed_run_resumes(tmp_path: Path, root: Path) -> None:
    code = f"""
import importlib.util, pathlib
spec = importlib.util.spec_from_file_location("test_loop", {str(Path(__file__))!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
run = module.build(pathlib.Path({str(tmp_path)!r}), 600, save_every_seconds=0.05)
module.train(run)
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=root) as process:
        deadline = time.monotonic() + 300
        while not (tmp_path / "checkpoint.pt").exists() and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.3)
        process.kill()
    run = build(tmp_path, 600)
    assert run.step > 0
    assert run.seconds > 0
    step = run.step
    train(run, 3)
    assert run.step == step + 2
