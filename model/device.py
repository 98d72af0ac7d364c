"""The device that speaks: where PyTorch computes, and how much it is given at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch

from configs.errors import UserError

DeviceName = Literal["auto", "cpu", "cuda"]
ROWS = 16
"""Windows of speech that go through S2 together on a GPU: some 40 s."""
LINES_A_ROW = 2
"""Lines that are gathered for them; most have one or two windows."""


@dataclass(frozen=True)
class Device:
    """`where` networks compute, `rows` windows of S2 at a time; `graphs`: whether steps of fixed
    shapes are recorded as CUDA graphs."""

    where: torch.device
    rows: int
    graphs: bool


CPU = Device(torch.device("cpu"), 1, False)
"""One window fills a core, and lines go beside each other."""


def best_device(asked: DeviceName = "auto", graphs: bool = True) -> Device:
    """A CUDA device where there is one and it is not unwanted, else the CPU.

    f32 is f32 there, too: TF32 is turned off. Raises UserError where CUDA is asked for in vain.
    """
    found = asked != "cpu" and torch.cuda.is_available()
    if asked == "cuda" and not found:
        raise UserError(
            "VOXLOOM_DEVICE is cuda, but PyTorch finds no CUDA device; see voxloom doctor."
        )
    if not found:
        return CPU
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return Device(torch.device("cuda", torch.cuda.current_device()), ROWS, graphs)


@contextmanager
def aside(where: torch.device) -> Iterator[None]:
    """Within it, what this thread has a GPU compute goes beside what other threads have it compute,
    and after what was asked for before."""
    if where.type != "cuda":
        yield
        return
    stream = _side_stream(where)
    stream.wait_stream(torch.cuda.default_stream(where))
    with torch.cuda.stream(stream):
        yield


@cache
def _side_stream(where: torch.device) -> torch.cuda.Stream:
    """One for good: each keeps memory of its own."""
    return torch.cuda.Stream(where)
