"""What every trainer shares: a time-boxed schedule, weight averages, checkpoints, a loss log."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn


class Run:
    """One training run in `folder`, which it resumes when the folder already holds a checkpoint.

    The learning rate rises over `warmup` steps and falls by a cosine to 2 % of `rate` over
    `minutes` of training time, counted over all resumptions: two cores' speed is only known while
    they run, so the schedule follows the clock.
    """

    def __init__(
        self,
        folder: Path,
        modules: dict[str, nn.Module],
        minutes: float,
        rate: float,
        *,
        warmup: int = 200,
        decay: float = 0.01,
        clip: float = 1.0,
        average: float = 0.999,
        save_every_seconds: float = 120.0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.modules, self.rate = folder, modules, rate
        self.seconds_in_all, self.warmup, self.clip = minutes * 60, warmup, clip
        self.average, self.save_every_seconds = average, save_every_seconds
        self.step, self.seconds = 0, 0.0
        self.optimisers = {
            name: torch.optim.AdamW(
                _groups(module, decay), lr=rate, betas=(0.9, 0.98), eps=1e-8, fused=True
            )
            for name, module in modules.items()
        }
        self.averages = {
            name: {k: v.detach().clone() for k, v in module.state_dict().items()}
            for name, module in modules.items()
        }
        self._sums: dict[str, tuple[float, int]] = {}
        self._counted = 0
        self._columns: list[str] = []
        self._resume()

    @property
    def progress(self) -> float:
        """The share of the training time that is used up."""
        return min(1.0, self.seconds / self.seconds_in_all)

    def steps(self) -> Iterator[int]:
        """Yields step numbers until the time is used up; saves now and then, and at the end."""
        saved = last = time.monotonic()
        while self.progress < 1:
            factor = min(1.0, (self.step + 1) / self.warmup)
            factor *= 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.progress))
            for optimiser in self.optimisers.values():
                for group in optimiser.param_groups:
                    group["lr"] = self.rate * factor
            yield self.step
            self.step += 1
            now = time.monotonic()
            self.seconds += now - last
            last = now
            if now - saved > self.save_every_seconds:
                self.save()
                saved = now
        self.save()

    def update(self, name: str, loss: Tensor) -> None:
        """One optimiser step of `modules[name]`; FloatingPointError unless the loss is finite."""
        if not torch.isfinite(loss):
            raise FloatingPointError(f"{name}: the loss is {loss.item()} at step {self.step}")
        optimiser = self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.modules[name].parameters(), self.clip)
        optimiser.step()
        weight = min(self.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            averages = self.averages[name]
            floating, current = [], []
            for key, value in self.modules[name].state_dict().items():
                if value.dtype.is_floating_point:
                    floating.append(averages[key])
                    current.append(value)
                else:
                    averages[key].copy_(value)
            torch._foreach_lerp_(floating, current, 1 - weight)

    def log(self, **values: float) -> None:
        """Averages the values over 50 steps and appends them to `losses.csv`.

        A header starts every stretch of rows: each (re)start, and each change of the values' names.
        """
        for key, value in values.items():
            total, count = self._sums.get(key, (0.0, 0))
            self._sums[key] = total + value, count + 1
        self._counted += 1
        if self._counted < 50:
            return
        row: dict[str, float] = {"step": self.step, "seconds": round(self.seconds, 1)}
        row |= {key: round(total / count, 5) for key, (total, count) in self._sums.items()}
        with (self.folder / "losses.csv").open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row))
            if list(row) != self._columns:
                writer.writeheader()
            writer.writerow(row)
        self._sums, self._counted, self._columns = {}, 0, list(row)

    def save(self) -> None:
        """Replaces the run's checkpoint by its present state."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "averages": self.averages,
            "optimisers": {name: o.state_dict() for name, o in self.optimisers.items()},
        }
        part = self.folder / "checkpoint.pt.part"
        torch.save(state, part)
        part.replace(self.folder / "checkpoint.pt")

    def _resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True, mmap=True)
        self.step, self.seconds = state["step"], state["seconds"]
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
            self.optimisers[name].load_state_dict(state["optimisers"][name])
            for key, value in state["averages"][name].items():
                self.averages[name][key].copy_(value)


def averaged_weights(folder: Path, name: str) -> dict[str, Tensor]:
    """The averaged state dict of `name` in a run's last checkpoint."""
    state = torch.load(folder / "checkpoint.pt", weights_only=True, mmap=True)
    return {key: value.clone() for key, value in state["averages"][name].items()}


def _groups(module: nn.Module, decay: float) -> list[dict]:
    """Weight decay on matrices and kernels only."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
