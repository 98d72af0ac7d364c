"""The loop of every fine-tuning: optimise, judge on held-out clips, keep the best, go on after a
kill.

Everything random depends on the number of the step alone, so that a run that was killed ends with
the same weights as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from configs.errors import UserError

Part = Literal["s2", "s1"]

WARMUP_STEPS = 10
CLIP_NORM = 1.0
AVERAGE = 0.95
"""Of the moving average of the weights that is judged and kept."""
LEAST_GAIN = 0.001
"""A held-out loss counts as better when it is lower by this share."""


@dataclass(frozen=True)
class Schedule:
    """At most so many steps, by a learning rate that falls to a tenth; judged `every` so many, and
    ended after `patience` judgements in a row that brought nothing. `pull`: share of the way back
    to the start that a weight goes at each step."""

    steps: int
    rate: float
    every: int = 10
    patience: int = 6
    pull: float = 0.0


@dataclass(frozen=True)
class Progress:
    """How far a part's tuning is: `step` of at most `steps`, the step's loss, the last and the best
    held-out loss, seconds spent in all (over resumptions, too)."""

    part: Part
    step: int
    steps: int
    loss: float
    held_out: float
    best: float
    seconds: float


@dataclass(frozen=True)
class Point:
    """A judgement: mean training loss since the one before (none before the first step), and the
    held-out loss."""

    step: int
    train: float | None
    held_out: float


@dataclass(frozen=True)
class Job:
    """What is tuned and how.

    `tuned`: parameters by the names under which they are kept; `rival`: those of discriminators,
    which learn beside them and are not kept. `losses(step)` yields, one after the other, what is to
    be optimised in a step: ("rival" or "tuned", loss); each is followed before the next is
    computed. `judge()` is the held-out loss.
    """

    part: Part
    tuned: Mapping[str, nn.Parameter]
    losses: Callable[[int], Iterator[tuple[str, Tensor]]]
    judge: Callable[[], float]
    rival: Mapping[str, nn.Parameter]


@dataclass(frozen=True)
class Fitted:
    """The tuned parameters at their best step; none, and step 0, where nothing was better than what
    was there before."""

    tensors: dict[str, Tensor]
    curve: tuple[Point, ...]
    best_step: int


class Checkpoint:
    """What is finished of a tuning, a section a part, in one file that is replaced at once.

    `identity` names the tuning: a file of another one is not read, and overwritten.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path, self._identity = path, identity
        self._sections: dict[str, Any] = {}
        if path.exists():
            try:
                stored = torch.load(path, weights_only=True, map_location="cpu")
                if stored["identity"] == identity:
                    self._sections = stored["sections"]
            except (OSError, RuntimeError, ValueError, EOFError, KeyError, TypeError) as error:
                raise UserError(
                    f"The checkpoint {path} is damaged; remove it to tune from the start."
                ) from error

    def read(self, section: str) -> dict[str, Any] | None:
        return self._sections.get(section)

    def write(self, section: str, state: dict[str, Any]) -> None:
        self._sections[section] = state
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(f"{self.path.name}.part")
        torch.save({"identity": self._identity, "sections": self._sections}, part)
        part.replace(self.path)


class _Run:
    """A job under way: everything that its checkpoint holds."""

    def __init__(self, job: Job, schedule: Schedule) -> None:
        self.job, self.schedule = job, schedule
        self.groups: dict[str, list[Tensor]] = {"tuned": list(job.tuned.values())}
        if job.rival:
            self.groups["rival"] = list(job.rival.values())
        self.optimisers = {
            name: torch.optim.AdamW(group, lr=schedule.rate, betas=(0.9, 0.98), weight_decay=0.0)
            for name, group in self.groups.items()
        }
        self.start = [p.detach().clone() for p in self.groups["tuned"]]
        self.average = [p.detach().clone() for p in self.groups["tuned"]]
        self.best: list[Tensor] = []
        self.curve: list[Point] = []
        self.step = self.best_step = 0
        self.seconds = 0.0

    @property
    def best_loss(self) -> float:
        return min((p.held_out for p in self.curve if p.step == self.best_step), default=math.inf)

    @property
    def finished(self) -> bool:
        """No step is left, or too many judgements since the best one brought nothing."""
        if self.step >= self.schedule.steps:
            return True
        since = sum(point.step > self.best_step for point in self.curve)
        return since >= self.schedule.patience

    def advance(self) -> float:
        """One step; its loss. FloatingPointError unless that is finite."""
        warm = min(1.0, (self.step + 1) / WARMUP_STEPS)
        fall = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * self.step / self.schedule.steps))
        value = 0.0
        for name, loss in self.job.losses(self.step):
            if not torch.isfinite(loss):
                raise FloatingPointError(f"the {name} loss is {loss.item()} at step {self.step}")
            optimiser = self.optimisers[name]
            for group in optimiser.param_groups:
                group["lr"] = self.schedule.rate * warm * fall
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.groups[name], CLIP_NORM)
            optimiser.step()
            if name == "tuned":
                value = loss.item()
        self.step += 1
        with torch.no_grad():
            if self.schedule.pull:
                torch._foreach_lerp_(self.groups["tuned"], self.start, self.schedule.pull)
            # As long as it is young, the average forgets faster.
            share = max(1 - AVERAGE, 2 / (2 + self.step))
            torch._foreach_lerp_(self.average, self.groups["tuned"], share)
        return value

    def judge(self, train: float | None) -> None:
        """Adds the averaged weights' held-out loss to the curve; keeps them if it is the best."""
        with torch.no_grad():
            current = [p.clone() for p in self.groups["tuned"]]
            torch._foreach_copy_(self.groups["tuned"], self.average)
            held_out = self.job.judge()
            torch._foreach_copy_(self.groups["tuned"], current)
        better = held_out < self.best_loss * (1 - LEAST_GAIN)
        self.curve.append(Point(self.step, train, held_out))
        if better or self.step == 0:
            self.best_step = self.step
            self.best = [a.clone() for a in self.average]

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "best_step": self.best_step,
            "seconds": self.seconds,
            "curve": [(p.step, p.train, p.held_out) for p in self.curve],
            "groups": {name: [p.detach() for p in g] for name, g in self.groups.items()},
            "optimisers": {name: o.state_dict() for name, o in self.optimisers.items()},
            "average": self.average,
            "best": self.best,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.step, self.best_step = state["step"], state["best_step"]
        self.seconds = state["seconds"]
        self.curve = [Point(*point) for point in state["curve"]]
        self.best = state["best"]
        with torch.no_grad():
            torch._foreach_copy_(self.average, state["average"])
            for name, group in self.groups.items():
                torch._foreach_copy_(group, state["groups"][name])
                self.optimisers[name].load_state_dict(state["optimisers"][name])


def fit(
    job: Job, schedule: Schedule, on_step: Callable[[Progress], None], checkpoint: Checkpoint
) -> Fitted:
    """Runs a job to its end, from where the checkpoint left it.

    Calls `on_step` after every step. FloatingPointError where a loss is no number.
    """
    run = _Run(job, schedule)
    before = checkpoint.read(job.part)
    if before is not None:
        run.restore(before)
    began = time.monotonic() - run.seconds
    if not run.curve:
        run.judge(None)
    sums: list[float] = []
    while not run.finished:
        # Dropout's chance; everything else has its own.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.step)
            loss = run.advance()
        sums.append(loss)
        judged = run.step % schedule.every == 0 or run.step == schedule.steps
        if judged:
            run.judge(sum(sums) / len(sums))
            sums = []
        run.seconds = time.monotonic() - began
        if judged:
            checkpoint.write(job.part, run.state())
        on_step(
            Progress(
                job.part,
                run.step,
                schedule.steps,
                loss,
                run.curve[-1].held_out,
                run.best_loss,
                run.seconds,
            )
        )
    tensors = dict(zip(job.tuned, run.best, strict=True)) if run.best_step else {}
    return Fitted(tensors, tuple(run.curve), run.best_step)
