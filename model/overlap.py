"""Stages at once: while one item is worked on, the next ones are made."""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch

from model.device import LINES_A_ROW, Device, aside
from model.speaking import Semantics
from model.windows import Line

Item = TypeVar("Item")
Result = TypeVar("Result")
Sound = TypeVar("Sound")


@dataclass(frozen=True)
class Part:
    """What S1 says to a request, by its number; the line that S2 makes sound of, None where nothing
    is said, and how many tokens of it are new."""

    number: int
    said: Semantics
    line: Line | None
    tokens: int


@contextmanager
def single_threaded() -> Iterator[int]:
    """Within it, an operation of torch takes one thread; gives how many it took before.

    Sentences beside each other fill cores better than small operations cut in pieces, and what they
    come to does not depend on the number of cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def overlapped(
    items: Iterable[Item],
    work: Callable[[Item], Result],
    threads: int,
    size: Callable[[Item], float] = lambda item: 0.0,
) -> Iterator[Result]:
    """`work(item)` of each item, as it is done, by `threads` threads with the caller's.

    The caller's makes the items and, when all are made, works on them as the others do; alone, it
    works on each at once. The largest that waits comes first, so that at the end no thread waits
    for a long one (longest processing time first, R. L. Graham, 1969). All items may come to wait.
    """
    waiting: list[tuple[float, int, Item]] = []
    lock = threading.Lock()

    def largest() -> list[Result]:
        """What one item comes to; nothing where others have taken all."""
        with lock:
            if not waiting:
                return []
            *_, item = heapq.heappop(waiting)
        with torch.inference_mode():
            return [work(item)]

    helpers = threads - 1
    running: list[Future[list[Result]]] = []
    pool = ThreadPoolExecutor(max(1, helpers))
    try:
        for number, item in enumerate(items):
            with lock:
                heapq.heappush(waiting, (-size(item), number, item))
            if helpers:
                running.append(pool.submit(largest))
            else:
                yield from largest()
            done = [one for one in running if one.done()]
            running = [one for one in running if one not in done]
            for one in done:
                yield from one.result()
        while made := largest():
            yield from made
        for one in running:
            yield from one.result()
    finally:
        pool.shutdown(cancel_futures=True)


def ahead(items: Iterable[Item], most: int) -> Iterator[Item]:
    """The items, made by one thread of their own, of which at most so many wait."""
    source, end = iter(items), object()

    def following() -> Item | object:
        with torch.inference_mode():
            return next(source, end)

    pool = ThreadPoolExecutor(1)
    try:
        waiting = deque(pool.submit(following) for _ in range(most))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(following))
            yield item  # type: ignore[misc]
    finally:
        pool.shutdown(cancel_futures=True)


def sounded(
    parts: Iterable[Part],
    speak: Callable[[Sequence[Line]], Sequence[Sound]],
    finish: Callable[[Part, Sound | None], Result],
    device: Device,
    threads: int,
) -> Iterator[Result]:
    """What `finish` makes of the sound that `speak` makes of each line; None where there is none.

    On a CPU each of `threads` threads speaks and finishes one line after the other, the longest
    that waits. On a GPU S1 has a thread of its own, `speak` another one, which is given groups of
    lines, and `threads` threads finish; between S1 and `speak` one group waits at most.
    """

    def spoken(group: Sequence[Part]) -> list[tuple[Part, Sound | None]]:
        lines = [part.line for part in group if part.line is not None]
        sounds = iter(speak(lines) if lines else ())
        return [(part, None if part.line is None else next(sounds)) for part in group]

    if device.rows == 1:
        yield from overlapped(
            parts, lambda part: finish(*spoken([part])[0]), threads, lambda part: part.tokens
        )
        return
    source, size = iter(parts), LINES_A_ROW * device.rows

    def groups() -> Iterator[list[tuple[Part, Sound | None]]]:
        with aside(device.where):
            for group in ahead(iter(lambda: list(islice(source, size)), []), 1):
                yield spoken(group)

    single = (one for group in ahead(groups(), 1) for one in group)
    yield from overlapped(single, lambda one: finish(*one), threads)


def collect(
    numbered: Iterable[tuple[int, Result]], on_done: Callable[[int, Result], None] | None = None
) -> list[Result]:
    """Results by their numbers, which are those of a list in any order; `on_done` hears each as it
    comes."""
    found: dict[int, Result] = {}
    for number, result in numbered:
        found[number] = result
        if on_done:
            on_done(number, result)
    return [found[number] for number in range(len(found))]
