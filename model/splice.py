"""Speech mended by a splice: the stretch that went wrong is said anew, the rest stays as it is.

As in text-based speech editing (Z. Jin et al., "VoCo: Text-based Insertion and Replacement in Audio
Narration", 2017), of which only the choice of the cuts is needed here: the same text is said once
more, and both sayings are cut in silences that they share, as near to the trouble as there are any.
Both are sequences of semantic tokens; where in them each sound of the text is, forced alignment
finds by how likely each token is to be which phone.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.alignment import best_path, is_sound, sound_scores
from model.pronunciation import Pronunciation
from model.recogniser import FRAMES_PER_SECOND

SHORTEST = 15
"""Tokens of a stretch: 0.6 s. S2 needs to know what stands around a sound."""
BEFORE, AFTER = 1, 5
"""Sounds that are said anew before the one where the trouble is, and after it: a word or so."""


@dataclass(frozen=True)
class Splice:
    """Tokens (tokens,) int16 that begin with `before` of an earlier saying and end with `after` of
    it; what is between is new."""

    tokens: np.ndarray
    before: int
    after: int


def troubled(
    pronunciation: Pronunciation, times: np.ndarray, phones: Sequence[str]
) -> tuple[int, int] | None:
    """The first and last of the sounds (numbers from 0) of `phones` around the worst trouble, by
    when they are said: (phones, 2) as in Rendering. None where that is not known."""
    starts = [first for (first, _), phone in zip(times, phones, strict=False) if is_sound(phone)]
    if not starts:
        return None
    at = bisect_right(starts, pronunciation.worst.at * FRAMES_PER_SECOND) - 1
    last = len(starts) - 1
    return max(0, min(at, last) - BEFORE), min(last, max(at, 0) + AFTER)


def splice(
    said: np.ndarray,
    other: np.ndarray,
    phones: Sequence[str],
    trouble: tuple[int, int],
    log_probs: np.ndarray,
) -> Splice | None:
    """Tokens of `said` in which those of `other`, which say the same phones, replace the shortest
    stretch that holds the sounds from the first to the last of `trouble`.

    `log_probs` (codes, classes) are the logarithms of how likely a token is each class of the
    recogniser. None where one of the two has fewer tokens than sounds, or there is no place to cut.
    """
    try:
        mine, others = (_cuts(log_probs[tokens], phones) for tokens in (said, other))
    except ValueError:
        return None
    common = sorted(mine.keys() & others.keys())
    first = bisect_right(common, trouble[0]) - 1
    last = bisect_left(common, trouble[1] + 1)

    def length(first: int, last: int) -> int:
        return mine[common[last]] - mine[common[first]]

    while length(first, last) < SHORTEST and (first > 0 or last < len(common) - 1):
        longer = [(first - 1, last)] * (first > 0) + [(first, last + 1)] * (last < len(common) - 1)
        first, last = min(longer, key=lambda pair: length(*pair))
    if first == 0 and last == len(common) - 1:
        return None
    begin, end = common[first], common[last]
    before, after = mine[begin], len(said) - mine[end]
    new = other[others[begin] : others[end]]
    tokens = np.concatenate([said[:before], new, said[len(said) - after :]])
    return Splice(tokens, before, after)


def _cuts(log_probs: np.ndarray, phones: Sequence[str]) -> dict[int, int]:
    """Where tokens (tokens, classes) can be cut: by the number of the sound that comes next, the
    token in the middle of the silence before it; and both ends."""
    heard, silent = sound_scores(log_probs, phones)
    starts, ends = best_path(heard, silent)
    pauses = enumerate(zip(ends[:-1], starts[1:], strict=True), 1)
    inside = {number: int(end + start) // 2 for number, (end, start) in pauses if start > end}
    return {0: 0, **inside, len(starts): len(log_probs)}
