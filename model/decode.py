"""S1's decoding of many sentences together, in a table of slots.

A slot whose sentence ends takes the next one, the longest text first, so that the end of the work
does not hang on a single sentence. What a sentence comes to depends on itself alone, never on its
neighbours, the number of slots or its place among them: linear layers and attention compute each
row by the same operations in the same order whatever stands beside it, and random numbers are a
function of the sentence's seed, the step and the token they are for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from model.linear import Precision
from model.s1 import POSITIONS, Text2SemanticDecoder
from model.sampling import Sampling
from model.slots import REACH, Recording, Sentence, SlotTable

__all__ = ["Decoder", "Repetition", "Sentence", "decode", "longest_repetition", "token_bound"]

SLOTS = 32
STEPS_UNREAD = 8
"""On a device that works on its own, steps between two looks at which sentences have ended."""
ROOM = 512
"""The capacity of a table that is kept is a multiple of this, so that others fit, too."""
Step = Callable[[list[int], int], None]
"""Goes a step on with the slots that hold sentences, at least, and sees so many places."""
_PERIODS = np.arange(1, 65)
"""Lengths of the cycles that a stuck sentence may go round in, in tokens: up to 2.5 s."""


def decode(
    s1: Text2SemanticDecoder,
    sentences: Sequence[Sentence],
    sampling: Sampling,
    slots: int = SLOTS,
    precision: Precision = "f32",
) -> Iterator[tuple[int, np.ndarray, bool]]:
    """As `Decoder.decode`, with a decoder for this once."""
    return Decoder(s1, slots, precision).decode(sentences, sampling)


class Decoder:
    """S1 with so many slots. On another device than the CPU a table is kept for the next sentences,
    with what was recorded of its steps where `graphs` says that they are."""

    def __init__(
        self,
        s1: Text2SemanticDecoder,
        slots: int = SLOTS,
        precision: Precision = "f32",
        graphs: bool = False,
    ) -> None:
        self._s1, self._slots, self._precision = s1, slots, precision
        self._on_cpu = s1.ar_predict_layer.weight.device.type == "cpu"
        self._graphs = graphs
        self._kept: list[tuple[SlotTable, Step]] = []

    def decode(
        self, sentences: Sequence[Sentence], sampling: Sampling
    ) -> Iterator[tuple[int, np.ndarray, bool]]:
        """Yields (index, tokens without the prompt (tokens,) int16, ended by itself) as sentences
        end; the longest start first. Not ended by itself is what reached its bound or got stuck in
        a repetition.

        Raises ValueError for a sentence without phones or with more than S1 has positions for
        (4000).
        """
        if any(len(one.phones) == 0 for one in sentences):
            raise ValueError("a request has no phones")
        if any(len(one.phones) > POSITIONS for one in sentences):
            raise ValueError(f"a request has more than {POSITIONS} phones")
        if any(len(one.prompt) + one.bound > POSITIONS for one in sentences):
            raise ValueError(f"a request may take more than {POSITIONS} tokens")
        if not sentences:
            return
        capacity = max(one.places for one in sentences)
        with torch.inference_mode():
            table, step = self._table(len(sentences), capacity, sampling)
        yield from run(table, sentences, step, 1 if self._on_cpu else STEPS_UNREAD)
        if not self._on_cpu:
            self._kept = [(table, step)]

    def _table(self, count: int, capacity: int, sampling: Sampling) -> tuple[SlotTable, Step]:
        """A table whose slots are free, for so many sentences, and what goes a step on in it."""
        if self._on_cpu:
            slots = min(self._slots, count)
            table = SlotTable(self._s1, slots, capacity, sampling, self._precision)
            return table, lambda held, reach: table.step(torch.tensor(held), reach)
        # Another thread finds none meanwhile and makes one of its own.
        kept, self._kept = self._kept, []
        for table, step in kept:
            if table.capacity >= capacity and table.sampling == sampling:
                return table, step
        capacity = -(-capacity // ROOM) * ROOM
        table = SlotTable(self._s1, self._slots, capacity, sampling, self._precision)
        every = torch.arange(self._slots, device=table.device)
        if self._graphs:
            return table, Recording(table, every).step
        return table, lambda held, reach: table.step(every, reach)


def run(
    table: SlotTable,
    sentences: Sequence[Sentence],
    step: Step,
    unread: int = 1,
) -> Iterator[tuple[int, np.ndarray, bool]]:
    """`decode` of sentences that fit into a table, all of whose slots are free.

    `step` goes a step on, with the slots that hold sentences at least, and sees so many places;
    which sentences have ended is looked at every `unread` steps.
    """
    waiting = sorted(range(len(sentences)), key=lambda i: len(sentences[i].phones))
    held: dict[int, int] = {}
    longest: dict[int, int] = {}
    while waiting or held:
        with torch.inference_mode():
            free = [slot for slot in range(len(table.done)) if slot not in held]
            entries = [(slot, waiting.pop()) for slot in free[: len(waiting)]]
            for slot, index in entries:
                held[slot] = index
                longest[slot] = len(sentences[index].phones) + len(sentences[index].prompt)
            if entries:
                table.fill([(slot, sentences[index]) for slot, index in entries])
            for _ in range(unread):
                for slot in held:
                    longest[slot] += 1
                reach = -(-max(longest[slot] for slot in held) // REACH) * REACH
                step(sorted(held), min(reach, table.capacity))
            done, counts, ended = (x.tolist() for x in (table.done, table.counts, table.ended))
            finished = [slot for slot in sorted(held) if done[slot]]
            made = {slot: table.tokens[slot, : counts[slot]].cpu().numpy() for slot in finished}
        for slot, tokens in made.items():
            yield held.pop(slot), tokens.astype(np.int16), ended[slot]


def token_bound(phones: int, each: int) -> int:
    """The most tokens that so many phones may take, `each` of them slow ones, marks included."""
    return min(30 + each * phones, POSITIONS)


class Repetition:
    """How far a growing sequence repeats itself: the most places in a row that equal the ones a
    period before them, over periods of 1 to 64 places."""

    def __init__(self) -> None:
        self.longest = 0
        self._past = np.full(len(_PERIODS), -1, np.int64)  # the newest first
        self._same = np.zeros(len(_PERIODS), np.int64)

    def add(self, value: int) -> None:
        """One more value, at least 0."""
        self._same = np.where(self._past == value, self._same + 1, 0)
        self.longest = max(self.longest, int(self._same.max()))
        self._past[1:] = self._past[:-1]
        self._past[0] = value


def longest_repetition(values: Sequence[int]) -> int:
    """How many of the values (each at least 0) in a row only repeat what stands before them."""
    repetition = Repetition()
    for value in values:
        repetition.add(value)
    return repetition.longest
