"""Batches: which utterances are rendered together, and in which order."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")

WINDOW_BATCHES = 8  # utterances of so many batches are sorted by length together


def make_batches(
    items: Sequence[Item], length: Callable[[Item], int], size: int
) -> list[list[Item]]:
    """Splits items, in the order of the book, into batches of at most `size` of similar length.

    Similar lengths need little padding; sorting only within a window of several batches keeps
    early chapters early, so that they can be assembled while later ones are rendered.
    """
    batches = []
    window = size * WINDOW_BATCHES
    for start in range(0, len(items), window):
        near = sorted(items[start : start + window], key=length, reverse=True)
        batches += [near[first : first + size] for first in range(0, len(near), size)]
    return batches
