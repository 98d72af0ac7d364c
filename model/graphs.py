"""Work of fixed shapes, recorded on a CUDA device as one graph that is launched as a whole.

Not run on a GPU yet; `tests/model/pretend_cuda.py` records and replays it on a CPU.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

CAPTURING = threading.Lock()
"""Held while a thread records: two recordings at a time would share the allocator's state."""


@dataclass(frozen=True)
class _Graph:
    """What was recorded, and the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    output: Tensor


class Recorded:
    """`work(options, *tensors)`, which asks the device nothing and draws no random numbers there.

    With `on`, calls with the same options and shapes are recorded once; the first one is computed
    without a graph, since libraries get ready then. Else it is `work` itself.
    """

    def __init__(self, work: Callable[..., Tensor], on: bool) -> None:
        self._work, self._on = work, on
        self._graphs: dict[Hashable, _Graph | None] = {}
        self._lock = threading.Lock()

    def __call__(self, options: Hashable, *tensors: Tensor) -> Tensor:
        """A result of its own, which later calls leave as it is."""
        if not self._on:
            return self._work(options, *tensors)
        with self._lock:
            key = (options, *(tensor.shape for tensor in tensors))
            if key not in self._graphs:
                self._graphs[key] = None
                return self._work(options, *tensors)
            held = self._graphs[key]
            if held is None:
                held = self._graphs[key] = self._record(options, tensors)
            for place, tensor in zip(held.inputs, tensors, strict=True):
                place.copy_(tensor)
            held.graph.replay()
            return held.output.clone()

    def _record(self, options: Hashable, tensors: tuple[Tensor, ...]) -> _Graph:
        inputs = tuple(tensor.clone() for tensor in tensors)
        graph = torch.cuda.CUDAGraph()
        with CAPTURING, torch.cuda.graph(graph, capture_error_mode="thread_local"):
            output = self._work(options, *inputs)
        return _Graph(graph, inputs, output)
