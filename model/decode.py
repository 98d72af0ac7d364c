"""S1's decoding of many sentences together, in a table of slots.

A slot whose sentence ends takes the next one at once. What a sentence comes to depends on itself
alone, never on its neighbours: prompts are prefilled one by one; a decoding step always has the
same number of rows and sees a multiple of `REACH` places, so that a row is computed by the same
operations in the same order whatever the others hold; and every sentence draws from a random
generator of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.s1 import POSITIONS, Text2SemanticDecoder
from model.sampling import Sampling, choose_tokens

SLOTS = 16
REACH = 64
_PERIODS = np.arange(1, 65)
"""Lengths of the cycles that a stuck sentence may go round in, in tokens: up to 2.5 s."""


@dataclass(frozen=True)
class Sentence:
    """What S1 continues: phones (P) ids and prompt tokens (T, may be 0), with BERT features
    (1, bert, P) or None for none; at most `bound` tokens are made of it, and it is given up where
    more than `repeats` of them in a row only repeat what stands before them."""

    phones: Tensor
    prompt: Tensor
    seed: int
    bound: int
    repeats: int
    bert: Tensor | None = None


def decode(
    s1: Text2SemanticDecoder, sentences: Sequence[Sentence], sampling: Sampling, slots: int = SLOTS
) -> Iterator[tuple[int, np.ndarray, bool]]:
    """Yields (index, tokens without the prompt (tokens,) int16, ended by itself) as sentences end;
    the longest start first. Not ended by itself is what reached its bound or got stuck in a
    repetition.

    Raises ValueError for a sentence without phones or with more than S1 has positions for (4000).
    """
    end = s1.config.end
    if any(len(one.phones) == 0 for one in sentences):
        raise ValueError("a request has no phones")
    if any(len(one.phones) > POSITIONS for one in sentences):
        raise ValueError(f"a request has more than {POSITIONS} phones")
    if any(len(one.prompt) + one.bound > POSITIONS for one in sentences):
        raise ValueError(f"a request may take more than {POSITIONS} tokens")
    capacity = max((_places(one) for one in sentences), default=0)
    capacity = -(-(capacity + 1) // REACH) * REACH
    waiting = sorted(range(len(sentences)), key=lambda i: len(sentences[i].phones))
    cache = s1.new_cache(slots, capacity)
    table: list[_Slot | None] = [None] * slots
    logits = torch.zeros(slots, end + 1)
    seen = torch.zeros(slots, end + 1, dtype=torch.bool)
    while waiting or any(table):
        for number, slot in enumerate(table):
            if slot is None and waiting:
                index = waiting.pop()
                one = sentences[index]
                logits[number] = s1.prefill(cache, number, one.phones, one.prompt, one.bert)
                seen[number] = False
                seen[number, one.prompt] = True
                table[number] = _Slot(index, one)
            elif slot is None:
                cache.free(number)
        noise = torch.from_numpy(
            np.stack(
                [slot.noise(end + 1) if slot else np.ones(end + 1, np.float32) for slot in table]
            )
        )
        steps = torch.tensor([len(slot.tokens) if slot else 0 for slot in table])
        chosen = choose_tokens(logits, seen, steps, noise, sampling)
        seen[torch.arange(slots), chosen] = True
        for number, slot in enumerate(table):
            if slot is None:
                continue
            token = int(chosen[number])
            if token != end:
                slot.add(token)
            if token == end or slot.runs_away():
                yield slot.index, np.array(slot.tokens, np.int16), token == end
                table[number] = None
        if any(table):
            longest = int(cache.lengths.max()) + 1
            reach = min(capacity, -(-longest // REACH) * REACH)
            positions = torch.tensor([slot.position if slot else 0 for slot in table])
            logits = s1.step(cache, chosen, positions, reach)


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


class _Slot:
    """A sentence being decoded."""

    def __init__(self, index: int, sentence: Sentence) -> None:
        self.index = index
        self.tokens: list[int] = []
        self._sentence = sentence
        self._repetition = Repetition()
        self._before = len(sentence.prompt)
        self._random = np.random.Generator(np.random.Philox(sentence.seed))

    def add(self, token: int) -> None:
        self.tokens.append(token)
        self._repetition.add(token)

    def runs_away(self) -> bool:
        """Whether no sentence of this text sounds like this any more."""
        stuck = self._repetition.longest > self._sentence.repeats
        return stuck or len(self.tokens) >= self._sentence.bound

    @property
    def position(self) -> int:
        """Where the last token stands, counted from the prompt's first."""
        return self._before + len(self.tokens) - 1

    def noise(self, classes: int) -> np.ndarray:
        """(classes,) draws from the exponential distribution, one set a step."""
        return self._random.exponential(size=classes).astype(np.float32)


def _places(sentence: Sentence) -> int:
    return len(sentence.phones) + len(sentence.prompt) + sentence.bound
