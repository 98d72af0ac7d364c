"""Counter-based random numbers: Philox 4x32-10 in whole tensors, on any device.

What is drawn is a function of a key and a place alone, so that no draw depends on the draws before
it or beside it: J. Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (2011).
"""

from __future__ import annotations

import torch
from torch import Tensor

WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


def seed_words(seed: int) -> tuple[int, int]:
    """The lowest 64 bits of a seed as two words of 32."""
    return seed & WORD, seed >> 32 & WORD


def philox(counter: tuple[Tensor, ...], key: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Four counter words and two key words, int64 below 2^32 in shapes that broadcast -> four words
    of random bits."""
    a, b, c, d = counter
    low_key, high_key = key
    for _ in range(_ROUNDS):
        # The product of two words fills 64 bits: its sign is a bit like the others.
        first, second = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (
            (second >> 32 & WORD) ^ b ^ low_key,
            second & WORD,
            (first >> 32 & WORD) ^ d ^ high_key,
            first & WORD,
        )
        low_key, high_key = low_key + _WEYL[0] & WORD, high_key + _WEYL[1] & WORD
    return a, b, c, d


def exponential(seeds: Tensor, steps: Tensor, classes: Tensor) -> Tensor:
    """Draws from the exponential distribution for classes (rows, k): one for each seed (rows, 2),
    step (rows) and class, float32 and above 0."""
    nothing = torch.zeros_like(classes)
    counter = (classes, steps[:, None].expand_as(classes), nothing, nothing)
    bits = philox(counter, (seeds[:, :1], seeds[:, 1:]))[0]
    # 23 bits and a half are exact in float32: neither 0 nor 1 comes out.
    return -torch.log(((bits >> 9).float() + 0.5) * 2.0**-23)
