"""Training runs: what a resumed run goes on with, and what it writes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from configs.errors import UsageError, UserError
from configs.training import StageConfig, load_stage
from model.training.curves import draw_losses
from model.training.loop import (
    Compute,
    Run,
    Stream,
    averaged_weights,
    read_checkpoint,
    read_losses,
    train,
)


class Sums:
    """Learns to add four numbers: with dropout, so that the random numbers of a step count."""

    tokens = ""

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 1))
        self.modules: dict[str, nn.Module] = {"net": self.net}
        self.sizes: dict = {}
        self.stream = Stream(self._pool, seed)
        self.pause = 0.0

    def _pool(self, draw: np.random.Generator) -> list[torch.Tensor]:
        many = torch.from_numpy(draw.standard_normal((3, 16, 4)).astype(np.float32))
        return list(many)

    def step(self, run: Run) -> dict[str, float]:
        x = next(self.stream)
        loss = (self.net(x) - x.sum(1, keepdim=True)).square().mean()
        run.update("net", loss)
        time.sleep(self.pause)
        return {"loss": loss.item()}

    def validate(self) -> dict[str, float]:
        x = torch.eye(4)
        return {"loss": (self.net(x) - 1).square().mean().item()}

    def sample(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "weights.txt").write_text(str(self.net[0].weight.tolist()))


def settings(**values: object) -> StageConfig:
    base = load_stage("vocoder").model_dump(by_alias=True)
    small = {"steps": 20, "minutes": None, "rate": 1e-2, "warmup": 5, "validate_every": 8}
    small |= {"log_every": 3, "save_seconds": 0.0, "samples": 1}
    return type(load_stage("vocoder")).model_validate({**base, **small, **values})


def rows(folder: Path) -> list[tuple]:
    return [(r.step, r.which, r.loss, r.value) for r in read_losses(folder / "losses.csv")]


class KilledError(Exception):
    pass


def train_until(folder: Path, config: StageConfig, stop: int) -> None:
    def on_step(progress: object) -> None:
        if progress.step == stop:  # type: ignore[attr-defined]
            raise KilledError

    with pytest.raises(KilledError):
        train(Sums(), folder, config, on_step)


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_a_stopped_run_has_the_same_losses(tmp_path: Path, optimiser: str) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    config = settings(optimiser=optimiser)
    train(Sums(), whole, config, lambda progress: None)
    for stop in (5, 9, 14):
        train_until(parts, config, stop)
    train(Sums(), parts, config, lambda progress: None)
    assert rows(parts) == rows(whole)
    one, other = averaged_weights(whole, "net"), averaged_weights(parts, "net")
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert [step for step, which, _, _ in rows(whole) if which == "validation"] == [8, 16, 20]
    for file in ("losses.png", "samples/step-8/weights.txt", "samples/step-20/weights.txt"):
        assert (parts / file).read_bytes()
    assert (whole / "samples/step-20/weights.txt").read_text() == (
        parts / "samples/step-20/weights.txt"
    ).read_text()


def test_a_done_run_has_nothing_to_do(tmp_path: Path) -> None:
    train(Sums(), tmp_path, settings(), lambda progress: None)
    before = rows(tmp_path)
    steps: list[int] = []
    train(Sums(), tmp_path, settings(), lambda progress: steps.append(progress.step))
    assert not steps
    assert rows(tmp_path) == before
    # with more steps it goes on
    train(Sums(), tmp_path, settings(steps=22), lambda progress: steps.append(progress.step))
    assert steps == [21, 22]


def test_the_clock_may_end_a_run(tmp_path: Path) -> None:
    config = settings(steps=None, minutes=0.3 / 60)
    shares: list[float] = []
    run = train(Sums(), tmp_path, config, lambda progress: shares.append(progress.share))
    assert run.seconds >= 0.3
    assert shares == sorted(shares)
    again = Run(tmp_path, Sums().modules, Sums().stream, config)
    assert (again.step, again.progress) == (run.step, 1.0)


def test_losses_fall_and_the_average_follows(tmp_path: Path) -> None:
    trainer = Sums()
    before = trainer.net[0].weight.detach().clone()
    config = settings(steps=60, validate_every=60)
    run = train(trainer, tmp_path, config, lambda progress: None)
    train_losses = [value for _, which, _, value in rows(tmp_path) if which == "train"]
    assert np.mean(train_losses[-5:]) < 0.7 * np.mean(train_losses[:3])
    weight, average = trainer.net[0].weight.detach(), run.averages["net"]["0.weight"]
    assert not torch.equal(average, weight)
    assert (average - weight).norm() < (before - weight).norm()
    assert trainer.net.training, "validation must not leave the modules in evaluation mode"


def test_the_rate_rises_then_falls(tmp_path: Path) -> None:
    trainer = Sums()
    run = Run(tmp_path, trainer.modules, trainer.stream, settings(steps=1000))
    rates = []
    for step in run.steps():
        rates.append(run.optimisers["net"][0].param_groups[0]["lr"])
        run.step = 997 if step == 5 else run.step
        if step > 5:
            break
    assert rates[:5] == pytest.approx([0.002, 0.004, 0.006, 0.008, 0.01], rel=1e-3)
    assert rates[-1] == pytest.approx(0.0002, rel=0.01)


def test_gradients_are_cut(tmp_path: Path) -> None:
    trainer = Sums()
    run = Run(tmp_path, trainer.modules, trainer.stream, settings(clip=0.5))
    run.update("net", 1e6 * trainer.net(next(trainer.stream)).square().mean())
    norms = [p.grad.norm() for p in trainer.net.parameters() if p.grad is not None]
    assert torch.stack(norms).norm().item() == pytest.approx(0.5, rel=1e-3)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    trainer = Sums()
    run = Run(tmp_path, trainer.modules, trainer.stream, settings())
    with pytest.raises(UserError, match="The loss of net is nan at step 0"):
        run.update("net", torch.tensor(float("nan")))


def test_other_sizes_and_damaged_checkpoints_are_refused(tmp_path: Path) -> None:
    train(Sums(), tmp_path, settings(steps=2), lambda progress: None)
    other = {"net": nn.Sequential(nn.Linear(4, 9))}
    with pytest.raises(UsageError, match="begun with other sizes"):
        Run(tmp_path, other, Sums().stream, settings())
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="is damaged"):
        read_checkpoint(tmp_path)
    with pytest.raises(UserError, match="holds no checkpoint"):
        read_checkpoint(tmp_path / "absent")


def test_half_a_row_is_no_row(tmp_path: Path) -> None:
    table = tmp_path / "losses.csv"
    table.write_text("step,seconds,set,loss,value\n3,1.0,train,loss,2.5\n6,1.2,train,lo")
    assert [row.step for row in read_losses(table)] == [3]
    draw_losses(table, tmp_path / "losses.png")
    assert (tmp_path / "losses.png").read_bytes().startswith(b"\x89PNG")


def test_streams_find_their_place() -> None:
    def pool(draw: np.random.Generator) -> list[float]:
        return list(draw.random(3))

    first = Stream(pool, 5)
    several = [next(first) for _ in range(10)]
    for place in range(10):
        second = Stream(pool, 5)
        for _ in range(place):
            next(second)
        third = Stream(pool, 5)
        third.place = second.place
        assert [next(third) for _ in range(10 - place)] == several[place:]
    assert len(set(several)) == 10


def test_a_device_that_is_not_there(config: Callable[..., StageConfig]) -> None:
    assert Compute.of(config("vocoder", device="cpu")).device.type == "cpu"
    with pytest.raises(UsageError, match="PyTorch finds no such device"):
        Compute.of(config("vocoder", device="cuda:63"))


SCRIPT = """
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("test_loop", {file!r})
module = importlib.util.module_from_spec(spec)
sys.modules["test_loop"] = module
spec.loader.exec_module(module)
trainer = module.Sums()
trainer.pause = 0.02
config = module.settings(steps=60, validate_every=25)
module.train(trainer, pathlib.Path({folder!r}), config, lambda progress: None)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_goes_on(tmp_path: Path, root: Path, number: signal.Signals) -> None:
    """Killed at a random moment after its first checkpoint, twice: the losses are the same."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(Sums(), whole, settings(steps=60, validate_every=25), lambda progress: None)
    code = SCRIPT.format(file=str(Path(__file__)), folder=str(parts))
    seen = -1
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            stderr=subprocess.DEVNULL,
        ) as process:
            deadline = time.monotonic() + 120
            checkpoint = parts / "checkpoint.pt"
            while time.monotonic() < deadline and process.poll() is None:
                if checkpoint.exists() and checkpoint.stat().st_mtime_ns > seen:
                    break
                time.sleep(0.01)
            time.sleep(np.random.default_rng().uniform(0, 0.2))
            process.send_signal(number)
        seen = checkpoint.stat().st_mtime_ns
    assert 0 < read_checkpoint(parts)["step"] < 60
    train(Sums(), parts, settings(steps=60, validate_every=25), lambda progress: None)
    assert rows(parts) == rows(whole)
