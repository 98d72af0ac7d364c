"""Work of several threads comes in order, once, and its errors are heard."""

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from model.overlap import overlapped, single_threaded


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_all_items_come_in_order(threads: int) -> None:
    def work(item: int) -> int:
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(overlapped(range(40), work, threads)) == [item * item for item in range(40)]


def test_one_thread_is_the_callers() -> None:
    places = overlapped(range(5), lambda _: threading.get_ident(), 1)
    assert set(places) == {threading.get_ident()}


def test_items_are_made_while_others_are_worked_on() -> None:
    """The first item's work ends only when the second one is there."""
    second = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        second.set()
        yield 2

    def work(item: int) -> bool:
        return second.wait(10)

    assert list(overlapped(items(), work, 2)) == [True, True]


def test_an_error_of_the_work_is_the_callers() -> None:
    def work(item: int) -> int:
        if item == 7:
            raise ValueError("seven")
        return item

    heard: list[int] = []
    before = threading.active_count()
    with pytest.raises(ValueError, match="seven"):
        for item in overlapped(range(20), work, 3):
            heard.append(item)
    assert heard == list(range(len(heard)))
    assert len(heard) <= 7
    assert threading.active_count() <= before, "its threads are still there"


def test_operations_take_one_thread_for_a_while() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with single_threaded() as threads:
            assert (threads, torch.get_num_threads()) == (2, 1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
