"""What bounds S1 on a machine, and on CUDA what a step launches.

The bound of a CPU is the roofline of S. Williams et al. (2009): the time that a step's
multiplications take at the speed of large matrix products, or that its weights, keys and values
take to be read, whichever is longer. Both speeds are measured in the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from model.linear import Precision, packed
from model.s1 import S1Config
from model.slots import SlotTable

SIZE = 1024
"""Rows, inputs and outputs of the matrix product."""
MEGABYTES = 256
"""Of the array that is read: more than any cache holds."""
BYTES = {"f32": 4, "bf16": 2, "int8": 1}
ROUNDS = 5


@dataclass(frozen=True)
class Machine:
    """Measured: multiplications and additions a second by precision, and bytes read a second."""

    flops: dict[str, float]
    bandwidth: float


def measured(clock: Callable[[], float]) -> Machine:
    """By so many threads as torch has; the best of the rounds."""
    draw = torch.Generator().manual_seed(0)
    weight, x = torch.randn(2, SIZE, SIZE, generator=draw)
    flops = {}
    for precision in ("f32", "bf16", "int8"):
        linear = packed(weight, None, precision)  # type: ignore[arg-type]
        flops[precision] = 2 * SIZE**3 / _least(lambda y=linear: y(x), clock)  # type: ignore[misc]
    read = torch.from_numpy(np.ones(MEGABYTES * 2**20 // 8))
    return Machine(flops, MEGABYTES * 2**20 / _least(read.sum, clock))


def _least(work: Callable[[], object], clock: Callable[[], float]) -> float:
    work()
    taken = []
    for _ in range(ROUNDS):
        begin = clock()
        work()
        taken.append(clock() - begin)
    return min(taken)


def bound(
    machine: Machine, config: S1Config, batch: int, context: int, precision: Precision
) -> float:
    """The most tokens a second that S1 can decode."""
    width, layers = config.width, config.layers
    weights = layers * 12 * width**2  # qkv, join, and a feed-forward four times as wide
    head = width * (config.codes + 1)
    cached = 2 * layers * width * context  # numbers, of each sentence
    size, cache_size = BYTES[precision], 4 if precision == "f32" else 2
    read = weights * size + head * 4 + batch * cached * cache_size
    multiplied = 2 * batch * weights / machine.flops[precision]
    multiplied += 2 * batch * (head + cached) / machine.flops["f32"]
    return batch / max(multiplied, read / machine.bandwidth)


@dataclass(frozen=True)
class Launched:
    """What a recorded step does on CUDA, each an average of the steps: kernels, waits of the
    processor for the device, tokens a second."""

    batch: int
    kernels: float
    waits: float
    rate: float


def launched(table: SlotTable, step: Callable[[], object], batch: int, steps: int) -> Launched:
    """By torch.profiler, of steps that are recorded already. Needs a CUDA device.

    Not run on a GPU yet.
    """
    from torch.profiler import ProfilerActivity, profile

    torch.cuda.synchronize(table.device)
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize(table.device)
    taken = time.perf_counter() - begin
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        for _ in range(steps):
            step()
        torch.cuda.synchronize(table.device)
    kernels, waits = count_events([(e.name, str(e.device_type)) for e in seen.events()])
    return Launched(batch, kernels / steps, (waits - 1) / steps, batch * steps / taken)


def count_events(events: list[tuple[str, str]]) -> tuple[int, int]:
    """Names and devices of a profile's events -> kernels on the device, and waits for it."""
    copies = ("Memcpy", "Memset")
    kernels = sum(
        device.endswith("CUDA") and not name.startswith(copies) for name, device in events
    )
    waits = sum(name.startswith("cuda") and name.endswith("Synchronize") for name, _ in events)
    return kernels, waits
