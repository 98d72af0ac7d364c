"""Stages at once: while one item is worked on, the next ones are made."""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import torch

from model.device import LINES_A_ROW, Device, aside
from model.speaking import Semantics

Item = TypeVar("Item")
Result = TypeVar("Result")
Sound = TypeVar("Sound")
Said = tuple[int, Semantics]
"""A request's number and what S1 says to it."""


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
    said: Iterable[Said],
    speak: Callable[[Sequence[Said]], Sequence[Sound]],
    finish: Callable[[Said, Sound | None], Result],
    device: Device,
    threads: int,
) -> Iterator[Result]:
    """What `finish` makes of the sound that `speak` makes of what S1 says; None where that is
    nothing.

    On a CPU each of `threads` threads speaks and finishes one line after the other, the longest
    that waits. On a GPU S1 has a thread of its own, `speak` another one, which is given groups of
    lines, and `threads` threads finish; between S1 and `speak` one group waits at most.
    """
    if device.rows == 1:

        def whole(one: Said) -> Result:
            return finish(one, speak([one])[0] if len(one[1].tokens) else None)

        yield from overlapped(said, whole, threads, lambda one: len(one[1].tokens))
        return
    lines = LINES_A_ROW * device.rows
    source = iter(said)

    def spoken() -> Iterator[list[tuple[Said, Sound | None]]]:
        groups = iter(lambda: list(islice(source, lines)), [])
        with aside(device.where):
            for group in ahead(groups, 1):
                loud = [one for one in group if len(one[1].tokens)]
                sounds = iter(speak(loud) if loud else ())
                yield [(one, next(sounds) if len(one[1].tokens) else None) for one in group]

    single = (one for group in ahead(spoken(), 1) for one in group)
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
