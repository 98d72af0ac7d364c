"""What every trainer shares: schedule, optimisers, weight averages, checkpoints, the loss table.

Every random number of a run follows from its seed, the number of the step and the place in the
data, so a run that is killed and started again makes the very same steps that it would have made:
where the schedule counts steps and the device computes the same sum twice, the very same losses.
"""

from __future__ import annotations

import csv
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from configs.errors import UsageError, UserError
from configs.training import StageConfig

T = TypeVar("T")
COLUMNS = ("step", "seconds", "set", "loss", "value")


class Stream(Generic[T]):
    """Endless batches: `pool(draw)` makes some, and when they are used up, some more.

    A pool depends on the seed and its own number only, so (pool, batch) is all there is to know of
    the place in the data.
    """

    def __init__(self, pool: Callable[[np.random.Generator], list[T]], seed: int) -> None:
        self._make, self._seed = pool, seed
        self._number, self._next = 0, 0
        self._pool: list[T] | None = None

    def __next__(self) -> T:
        if self._pool is None:
            self._pool = self._make(np.random.default_rng((self._seed, self._number)))
        batch = self._pool[self._next]
        self._next += 1
        if self._next == len(self._pool):
            self._number, self._next, self._pool = self._number + 1, 0, None
        return batch

    @property
    def place(self) -> tuple[int, int]:
        return self._number, self._next

    @place.setter
    def place(self, place: tuple[int, int]) -> None:
        (self._number, self._next), self._pool = place, None


@dataclass(frozen=True)
class Compute:
    """Where and how precisely is computed."""

    device: torch.device
    mixed: bool

    @classmethod
    def of(cls, config: StageConfig) -> Compute:
        """As configured; UsageError for a graphics card that is not there."""
        name = config.device
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        device = torch.device(name)
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise UsageError(f"device {name}: PyTorch finds no such device; set device to cpu")
        return cls(device, config.precision == "bf16")

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed)


class Trainer(Protocol):
    """A stage's networks and what is done with them.

    `modules` are trained and averaged; `stream` is where `step` takes its batches from. `tokens`
    names the semantic tokens that are learned ("": none), `sizes` are those of the trained part.
    """

    tokens: str
    sizes: dict[str, Any]
    modules: dict[str, nn.Module]
    stream: Stream

    def step(self, run: Run) -> dict[str, float]:
        """One training step, by `run.update`; the losses by name."""

    def validate(self) -> dict[str, float]:
        """Losses on what is held out, the same data and noise every time."""

    def sample(self, folder: Path) -> None:
        """Writes samples of what is held out."""


@dataclass(frozen=True)
class Progress:
    """How far a run is: `share` of the schedule, `left` seconds to go (None: not known yet)."""

    step: int
    share: float
    left: float | None
    losses: dict[str, float]


class Run:
    """One training run in `folder`, which it resumes when the folder already holds a checkpoint.

    The learning rate rises over `warmup` steps and falls by a cosine to 2 % of the highest over the
    schedule: steps, or minutes of training time counted over all resumptions, since the speed of a
    machine is only known while it runs.
    """

    def __init__(
        self, folder: Path, modules: dict[str, nn.Module], stream: Stream, config: StageConfig
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.modules, self.stream, self.config = folder, modules, stream, config
        self.step, self.seconds = 0, 0.0
        self.optimisers = {name: _optimisers(module, config) for name, module in modules.items()}
        self.averages = {
            name: {k: v.detach().clone() for k, v in module.state_dict().items()}
            for name, module in modules.items()
        }
        self._sums: dict[str, list[float]] = {}
        self._resume()

    @property
    def progress(self) -> float:
        """The share of the schedule that is done."""
        if self.config.steps is not None:
            return min(1.0, self.step / self.config.steps)
        assert self.config.minutes is not None
        return min(1.0, self.seconds / (60 * self.config.minutes))

    def steps(self) -> Iterator[int]:
        """Yields step numbers until the schedule is done; saves now and then, and at the end.

        Ctrl-C ends the step that is being made, saves and raises KeyboardInterrupt.
        """
        saved = last = time.monotonic()
        with _interruptible() as interrupted:
            while self.progress < 1:
                factor = min(1.0, (self.step + 1) / self.config.warmup)
                factor *= 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.progress))
                for optimiser in self._every_optimiser():
                    for group in optimiser.param_groups:
                        group["lr"] = self.config.rate * factor
                torch.manual_seed(step_seed(self.config.seed, self.step))
                yield self.step
                self.step += 1
                now = time.monotonic()
                self.seconds += now - last
                last = now
                if self.progress < 1 and now - saved > self.config.save_seconds:
                    self.save()
                    saved = time.monotonic()
                if interrupted():
                    self.save()
                    raise KeyboardInterrupt
        self.save()

    def update(self, name: str, loss: Tensor) -> None:
        """One optimiser step of `modules[name]`; UserError unless the loss is finite."""
        if not torch.isfinite(loss):
            raise UserError(
                f"The loss of {name} is {loss.item()} at step {self.step}: train again from the "
                f"last checkpoint in {self.folder} with a lower rate, or with precision: f32."
            )
        module = self.modules[name]
        module.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), self.config.clip)
        for optimiser in self.optimisers[name]:
            optimiser.step()
        weight = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            averages = self.averages[name]
            floating, current = [], []
            for key, value in module.state_dict().items():
                if value.dtype.is_floating_point:
                    floating.append(averages[key])
                    current.append(value)
                else:
                    averages[key].copy_(value)
            torch._foreach_lerp_(floating, current, 1 - weight)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within the block the modules have their averaged weights and are in evaluation mode."""
        own = {
            name: {k: v.clone() for k, v in module.state_dict().items()}
            for name, module in self.modules.items()
        }
        for name, module in self.modules.items():
            module.load_state_dict(self.averages[name])
            module.eval()
        try:
            yield
        finally:
            for name, module in self.modules.items():
                module.load_state_dict(own[name])
                module.train()

    def log(self, losses: dict[str, float]) -> dict[str, float]:
        """Averages losses over `log_every` steps, which then become rows of `losses.csv`; returns
        the averages so far."""
        for name, value in losses.items():
            total = self._sums.setdefault(name, [0.0, 0])
            total[0] += value
            total[1] += 1
        means = {name: total / count for name, (total, count) in self._sums.items()}
        if (self.step + 1) % self.config.log_every == 0:
            self.record(self.step + 1, "train", means)
            self._sums = {}
        return means

    def record(self, step: int, which: str, losses: dict[str, float]) -> None:
        """Appends losses, those after so many steps, to `losses.csv`."""
        path = self.folder / "losses.csv"
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(COLUMNS)
            for name, value in losses.items():
                writer.writerow((step, f"{self.seconds:.1f}", which, name, f"{value:.6g}"))

    def save(self) -> None:
        """Replaces the run's checkpoint by its present state; a power cut leaves one of the two."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "place": self.stream.place,
            "sums": self._sums,
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "averages": self.averages,
            "optimisers": {
                name: [o.state_dict() for o in several] for name, several in self.optimisers.items()
            },
        }
        part = self.folder / "checkpoint.pt.part"
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.folder / "checkpoint.pt")

    def _every_optimiser(self) -> Iterator[torch.optim.Optimizer]:
        for several in self.optimisers.values():
            yield from several

    def _resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if path.exists():
            state = read_checkpoint(self.folder)
            self.step, self.seconds = state["step"], state["seconds"]
            self.stream.place, self._sums = state["place"], state["sums"]
            try:
                for name, module in self.modules.items():
                    module.load_state_dict(state["modules"][name])
                    for key, value in state["averages"][name].items():
                        self.averages[name][key].copy_(value)
                    for optimiser, stored in zip(
                        self.optimisers[name], state["optimisers"][name], strict=True
                    ):
                        optimiser.load_state_dict(stored)
            except (RuntimeError, KeyError, ValueError) as error:
                raise UsageError(
                    f"{self.folder} was begun with other sizes or another optimiser: give its own "
                    "configuration, or another --out"
                ) from error
        self._cut_table()

    def _cut_table(self) -> None:
        """Takes the rows of steps that were made after the checkpoint out of the loss table."""
        path = self.folder / "losses.csv"
        kept = [row for row in read_losses(path) if row.step <= self.step]
        part = path.with_suffix(".csv.part")
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for row in kept:
                writer.writerow(
                    (row.step, f"{row.seconds:.1f}", row.which, row.loss, f"{row.value:.6g}")
                )
        part.replace(path)


def train(
    trainer: Trainer, folder: Path, config: StageConfig, on_step: Callable[[Progress], None]
) -> Run:
    """Trains until the schedule is done, validates now and then and at the end; resumes."""
    run = Run(folder, trainer.modules, trainer.stream, config)
    first, began = run.progress, time.monotonic()
    for step in run.steps():
        losses = run.log(trainer.step(run))
        # this step is not counted yet
        done = run.progress if config.steps is None else (step + 1) / config.steps
        spent = time.monotonic() - began
        left = spent * (1 - done) / (done - first) if done > first else None
        on_step(Progress(step + 1, done, left, losses))
        if (step + 1) % config.validate_every == 0:
            _validate(trainer, run, step + 1)
    rows = read_losses(folder / "losses.csv")
    judged = {row.step for row in rows if row.which == "validation"}
    if run.step not in judged:
        _validate(trainer, run, run.step)
    return run


def _validate(trainer: Trainer, run: Run, step: int) -> None:
    """Judges the averaged weights, as those are what is exported."""
    from model.training.curves import draw_losses

    with run.averaged(), torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        run.record(step, "validation", trainer.validate())
        if run.config.samples:
            trainer.sample(run.folder / "samples" / f"step-{step}")
    draw_losses(run.folder / "losses.csv", run.folder / "losses.png")


@dataclass(frozen=True)
class Row:
    """A row of a loss table; `which` is "train" or "validation"."""

    step: int
    seconds: float
    which: str
    loss: str
    value: float


def read_losses(path: Path) -> list[Row]:
    """The whole rows of a loss table; a killed run may have left half of one."""
    rows: list[Row] = []
    if not path.exists():
        return rows
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        for line in csv.reader(file):
            try:
                step, seconds, which, loss, value = line
                rows.append(Row(int(step), float(seconds), which, loss, float(value)))
            except ValueError:
                continue
    return rows


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """A run's last checkpoint, on the CPU; UserError where there is none, or a damaged one."""
    path = folder / "checkpoint.pt"
    if not path.exists():
        raise UserError(f"{folder} holds no checkpoint: train that stage first.")
    try:
        return torch.load(path, weights_only=True, mmap=True, map_location="cpu")
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        raise UserError(
            f"{path} is damaged: delete it to train that stage from the start."
        ) from error


def averaged_weights(folder: Path, name: str) -> dict[str, Tensor]:
    """The averaged state dict of `name` in a run's last checkpoint."""
    return {key: value.clone() for key, value in read_checkpoint(folder)["averages"][name].items()}


def step_seed(seed: int, step: int) -> int:
    """What the random numbers of a step begin with."""
    return int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0] >> 1)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Within the block the first Ctrl-C only sets a mark; the second one works as ever."""
    marked = False

    def mark(number: int, frame: FrameType | None) -> None:
        nonlocal marked
        marked = True
        signal.signal(signal.SIGINT, before)

    try:
        before = signal.signal(signal.SIGINT, mark)
    except ValueError:  # not the main thread, where no signal arrives
        yield lambda: False
        return
    try:
        yield lambda: marked
    finally:
        signal.signal(signal.SIGINT, before)


def _optimisers(module: nn.Module, config: StageConfig) -> list[torch.optim.Optimizer]:
    """Weight decay on matrices and kernels only. Muon (K. Jordan, 2024) takes the matrices of
    linear layers, with its learning rate scaled so that AdamW's fits (J. Liu et al., 2025)."""
    muon: list[Tensor] = []
    if config.optimiser == "muon":
        linear = [m for m in module.modules() if isinstance(m, nn.Linear)]
        muon = [m.weight for m in linear if m.weight.requires_grad]
    taken = {id(p) for p in muon}
    rest = [p for p in module.parameters() if p.requires_grad and id(p) not in taken]
    found: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            [
                {"params": [p for p in rest if p.ndim > 1], "weight_decay": config.decay},
                {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=config.rate,
            betas=(0.9, 0.98),
            eps=1e-8,
            fused=True,
        )
    ]
    if muon:
        found.append(
            torch.optim.Muon(
                muon, lr=config.rate, weight_decay=config.decay, adjust_lr_fn="match_rms_adamw"
            )
        )
    return found
