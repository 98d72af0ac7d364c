"""Two stages at once: while one item is worked on, the next ones are made."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


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
    items: Iterable[Item], work: Callable[[Item], Result], threads: int
) -> Iterator[Result]:
    """`work(item)` of each item, in order, by `threads` threads with the caller's.

    The caller's makes the items. Where enough of them wait, it works on one itself, so that all
    threads are busy and at most twice their number of items wait for one.
    """

    def worked(item: Item) -> Result:
        with torch.inference_mode():
            return work(item)

    helpers = threads - 1
    running: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(max(1, helpers))
    try:
        for item in items:
            if sum(not one.done() for one in running) < 2 * helpers:
                running.append(pool.submit(worked, item))
            else:
                own: Future[Result] = Future()
                own.set_result(worked(item))
                running.append(own)
            while running and running[0].done():
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


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
