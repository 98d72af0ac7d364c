"""Work of several threads comes once, the largest first, and its errors are heard."""

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.device import CPU
from model.overlap import Part, ahead, overlapped, single_threaded, sounded
from model.speaking import Semantics
from model.windows import Line


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_all_items_come_once(threads: int) -> None:
    def work(item: int) -> int:
        time.sleep(0.002 * (item % 3))
        return item * item

    made = list(overlapped(range(40), work, threads, lambda item: item % 7))
    assert sorted(made) == [item * item for item in range(40)]


def test_one_thread_works_on_each_item_at_once() -> None:
    assert list(overlapped(range(5), lambda item: item, 1, float)) == [0, 1, 2, 3, 4]


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(2, 4))
def test_the_callers_thread_goes_on_with_the_largest_that_waits(
    sizes: list[int], threads: int
) -> None:
    mine: list[int] = []

    def work(size: int) -> int:
        if threading.current_thread() is threading.main_thread():
            mine.append(size)
        return size

    assert sorted(overlapped(sizes, work, threads, float)) == sorted(sizes)
    assert mine == sorted(mine, reverse=True)


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
    assert 7 not in heard
    assert len(set(heard)) == len(heard)
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


def test_what_is_made_ahead_comes_in_order_and_is_bounded() -> None:
    made: list[int] = []
    places = set()

    def items() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            places.add(threading.get_ident())
            yield number

    got = []
    for number in ahead(items(), 2):
        got.append(number)
        time.sleep(0.002)
        assert len(made) <= len(got) + 3
    assert got == list(range(20))
    assert len(places) == 1
    assert threading.get_ident() not in places


def test_an_error_ahead_is_the_callers() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("two")

    before = threading.active_count()
    with pytest.raises(ValueError, match="two"):
        list(ahead(items(), 3))
    first = next(iter(ahead(itertools.count(), 3)))  # given up early
    assert first == 0
    assert threading.active_count() <= before, "its threads are still there"


@pytest.mark.parametrize("rows", [1, 3])
def test_lines_are_spoken_in_groups_on_a_gpu(rows: int) -> None:
    """A device of which PyTorch knows nothing more: the grouping is the same on a CPU."""
    sizes: list[int] = []
    nothing = Semantics(np.zeros(0, np.int16), True)

    def part(number: int) -> Part:
        line = Line(torch.zeros(1, 3), torch.zeros(2), number) if number % 4 else None
        return Part(number, nothing, line, number % 4)

    def speak(lines: Sequence[Line]) -> list[int]:
        sizes.append(len(lines))
        return [-line.seed for line in lines]

    def finish(one: Part, sound: int | None) -> tuple[int, int | None]:
        return one.number, sound

    device = replace(CPU, rows=rows)
    made = list(sounded(map(part, range(20)), speak, finish, device, 2))
    expected = [(number, -number if number % 4 else None) for number in range(20)]
    assert sorted(made, key=lambda one: one[0]) == expected
    assert max(sizes) == (1 if rows == 1 else 5), "of 6 lines a fourth has no tokens"
    assert sum(sizes) == 15
