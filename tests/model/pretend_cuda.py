"""A CUDA device that there is not: tensors that say they are on it and are computed on the CPU.

What a real device refuses, this one refuses, too: an operation on tensors of both devices, NumPy's
view of a device's tensor. Whatever asks the device for values is counted. A graph is recorded
operation by operation, with an error for what asks or copies from the host meanwhile, and leaves
all tensors as they were; a replay repeats the operations in the very same tensors. Streams and
speed are not pretended.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

WHERE = torch.device("cuda:0")
_ASKING = ("item", "_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select")
_CROSSING = ("to", "_to_copy", "copy_")

asked: list[str] = []
"""Operations that waited for the device, since the list was cleared."""


class Elsewhere(torch.Tensor):
    """A tensor on the device; `held` is what it holds, on the CPU."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Elsewhere:
        with torch.inference_mode(False):  # whose tensors are no views of others
            made = torch.Tensor._make_wrapper_subclass(
                cls,
                held.shape,
                strides=held.stride(),
                storage_offset=held.storage_offset(),
                dtype=held.dtype,
                device=WHERE,
            )
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})

    def tolist(self) -> Any:
        _ask("tolist")
        return self.held.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


class _Pretend(TorchDispatchMode):
    """Hears of operations that make tensors of nothing."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


class Graph:
    """Operations, and the tensors that they read and wrote."""

    recording: Graph | None = None

    def __init__(self) -> None:
        self.steps: list[tuple[Any, Any, Any, Any]] = []
        self._before: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def note(self, func: Any, changed: torch.Tensor) -> None:
        """Remembers what stood where an operation is going to write."""
        if func._schema.is_mutable and _storage(changed) not in self._before:
            whole = torch.empty(0, dtype=changed.dtype).set_(changed.untyped_storage())
            self._before[_storage(changed)] = whole, whole.clone()

    def restore(self) -> None:
        """As a device, which only records: nothing has been computed yet."""
        for whole, before in self._before.values():
            whole.copy_(before)

    def replay(self) -> None:
        for func, args, kwargs, made in self.steps:
            again = func(*args, **kwargs)
            known = {_storage(leaf) for leaf in _tensors((args, kwargs))}
            for old, new in zip(_tensors(made), _tensors(again), strict=True):
                if _storage(old) not in known:  # it is no view of what came in
                    old.copy_(new)


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _ask(name: str) -> None:
    asked.append(name)
    if Graph.recording:
        raise RuntimeError(f"{name} asks the device while a graph is recorded")


def _computed(func: Any, args: Any, kwargs: Any) -> Any:
    name = func.overloadpacket.__name__
    if name == "_has_compatible_shallow_copy_type":
        return False  # as below, for a network that moves in inference mode
    leaves = _tensors((args, kwargs))
    there = [leaf for leaf in leaves if isinstance(leaf, Elsewhere)]
    here = [leaf for leaf in leaves if not isinstance(leaf, Elsewhere)]
    asked_for = [x for x in (*args, *kwargs.values()) if isinstance(x, torch.device | str)]
    wanted = [torch.device(x) for x in asked_for if isinstance(x, torch.device)]
    crossing = name in _CROSSING
    if there and not crossing and any(leaf.dim() for leaf in here):
        raise RuntimeError(f"{func}: expected all tensors to be on the same device")
    goal = wanted[0].type if wanted else "cuda" if there else "cpu"
    if name == "copy_":
        goal = "cuda" if isinstance(args[0], Elsewhere) else "cpu"
    if there and (goal == "cpu" or name in _ASKING):
        _ask(name)
    if crossing and Graph.recording and goal == "cuda" and any(leaf.dim() for leaf in here):
        raise RuntimeError(f"{func} copies from the host while a graph is recorded")
    inner_args, inner = tree_map_only(Elsewhere, lambda x: x.held, (args, kwargs))
    cpu = torch.device("cpu")
    inner_args, inner = tree_map_only(torch.device, lambda _: cpu, (inner_args, inner))
    graph = Graph.recording if there or goal == "cuda" else None
    if graph and isinstance(inner_args[0], torch.Tensor):
        graph.note(func, inner_args[0])
    made = func(*inner_args, **inner)
    if graph:
        graph.steps.append((func, inner_args, inner, made))
    if goal == "cpu":
        if there:  # a copy: nobody else's memory
            made = tree_map_only(torch.Tensor, torch.clone, made)
        return made
    if crossing and here and not there and name != "copy_":
        made = tree_map_only(torch.Tensor, torch.clone, made)
    known = {id(leaf.held): leaf for leaf in there}

    def outer(made: torch.Tensor) -> torch.Tensor:
        return known[id(made)] if id(made) in known else Elsewhere(made)

    return tree_map_only(torch.Tensor, outer, made)


@contextmanager
def _recorded(graph: Graph, pool: Any = None, capture_error_mode: str = "") -> Iterator[None]:
    Graph.recording = graph
    try:
        yield
    finally:
        Graph.recording = None
        graph.restore()


class _Stream:
    def __init__(self, *_: Any) -> None:
        pass

    def wait_stream(self, other: _Stream) -> None:
        pass


@contextmanager
def pretended(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within it there is a CUDA device, in this thread and those that it starts."""
    cuda = torch.cuda
    patch.setattr(cuda, "_lazy_init", lambda: None)
    patch.setattr(cuda, "is_available", lambda: True)
    patch.setattr(cuda, "current_device", lambda: 0)
    patch.setattr(cuda, "is_bf16_supported", lambda including_emulation=True: True)
    patch.setattr(cuda, "Stream", _Stream)
    patch.setattr(cuda, "default_stream", _Stream)
    patch.setattr(cuda, "stream", lambda _: nullcontext())
    patch.setattr(cuda, "CUDAGraph", Graph)
    patch.setattr(cuda, "graph", _recorded)
    patch.setattr(cuda, "graph_pool_handle", lambda: None)
    # Networks that move get new tensors, since a CPU's can't be told that it is elsewhere.
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    torch._C._ensureCUDADeviceGuardSet()
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)
    start = threading.Thread.run

    def run(self: threading.Thread) -> None:
        torch._C._set_only_lift_cpu_tensors(True)  # in this thread
        with _Pretend():
            start(self)

    patch.setattr(threading.Thread, "run", run)
    try:
        with _Pretend():
            yield
    finally:
        torch._C._set_only_lift_cpu_tensors(before)
        torch.__future__.set_overwrite_module_params_on_conversion(overwrite)
