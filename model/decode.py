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


@dataclass(frozen=True)
class Sentence:
    """What S1 continues: phones (P) ids and prompt tokens (T, may be 0), with BERT features
    (1, bert, P) or None for none; at most `bound` tokens are made of it."""

    phones: Tensor
    prompt: Tensor
    seed: int
    bound: int
    bert: Tensor | None = None


def decode(
    s1: Text2SemanticDecoder, sentences: Sequence[Sentence], sampling: Sampling, slots: int = SLOTS
) -> Iterator[tuple[int, np.ndarray, bool]]:
    """Yields (index, tokens without the prompt (tokens,) int16, ended by itself) as sentences end;
    the longest start first.

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
                cache.lengths[number] = 0
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
                slot.tokens.append(token)
            if token == end or len(slot.tokens) == slot.bound:
                yield slot.index, np.array(slot.tokens, np.int16), token == end
                table[number] = None
        if any(table):
            longest = int(cache.lengths.max()) + 1
            reach = min(capacity, -(-longest // REACH) * REACH)
            positions = torch.tensor([slot.position if slot else 0 for slot in table])
            logits = s1.step(cache, chosen, positions, reach)


def token_bound(phones: int) -> int:
    """The most tokens that so many phones may take: about twice what slow speech needs."""
    return min(25 + 5 * phones, POSITIONS)


class _Slot:
    """A sentence being decoded."""

    def __init__(self, index: int, sentence: Sentence) -> None:
        self.index, self.bound = index, sentence.bound
        self.tokens: list[int] = []
        self._before = len(sentence.prompt)
        self._random = np.random.Generator(np.random.Philox(sentence.seed))

    @property
    def position(self) -> int:
        """Where the last token stands, counted from the prompt's first."""
        return self._before + len(self.tokens) - 1

    def noise(self, classes: int) -> np.ndarray:
        """(classes,) draws from the exponential distribution, one set a step."""
        return self._random.exponential(size=classes).astype(np.float32)


def _places(sentence: Sentence) -> int:
    return len(sentence.phones) + len(sentence.prompt) + sentence.bound
