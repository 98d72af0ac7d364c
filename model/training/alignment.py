"""When each phone of a training utterance is said, from the synthesiser's own durations.

A manifest's `dur` counts 25 ms units for every symbol of `ipa`, with one pad at either end. Its IPA
maps onto the ARPAbet of `words` symbol by symbol; only the r-coloured vowel is two symbols there (a
vowel and r).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from model.recogniser import FRAMES_PER_SECOND, PHONES, SILENCE
from model.text import corpus_phones

DURATION_UNIT_SECONDS = 0.025
MARKS = frozenset(",.?!;:—")
STRESS = frozenset("ˈˌ")


@dataclass(frozen=True)
class Timed:
    """A phone of the front-end's sequence and its time in seconds; `word` is -1 for marks."""

    phone: str
    start: float
    end: float
    word: int


def timed_phones(row: dict, rate: float = 1.0) -> list[Timed]:
    """The utterance's front-end phones with their times; `rate` > 1 for a copy that plays faster.

    A mark's time is the pause between its neighbours (none where they touch).
    """
    spoken = _timed_words(row, rate)
    phones = corpus_phones(row["words"])
    timed: list[Timed] = []
    following = iter(spoken)
    upcoming = next(following, None)
    for phone in phones:
        if phone in MARKS:
            start = timed[-1].end if timed else 0.0
            timed.append(Timed(phone, start, upcoming.start if upcoming else start, -1))
        else:
            if upcoming is None or upcoming.phone != phone:
                raise ValueError(f"{row['id']}: phones and words do not match at {phone}")
            timed.append(upcoming)
            upcoming = next(following, None)
    return timed


def _timed_words(row: dict, rate: float) -> list[Timed]:
    bounds = np.concatenate([[0], np.cumsum(row["dur"])]) * (DURATION_UNIT_SECONDS / rate)
    groups = [m.span() for m in re.finditer(r"[^\s,.;:?!—]+|[,.;:?!—]", row["ipa"])]
    if len(groups) != len(row["words"]):
        raise ValueError(f"{row['id']}: {len(groups)} spoken groups, {len(row['words'])} words")
    timed = []
    for number, ((start, end), (_, phones)) in enumerate(zip(groups, row["words"], strict=True)):
        if row["ipa"][start] in MARKS:
            continue
        position = start
        for phone in phones:
            first = position
            while row["ipa"][position] in STRESS:
                position += 1
            position += 2 if phone.startswith("ER") else 1
            # one pad precedes the first symbol
            timed.append(
                Timed(phone, float(bounds[first + 1]), float(bounds[position + 1]), number)
            )
        if position != end:
            raise ValueError(f"{row['id']}: word {number} has sounds that its phones do not")
    return timed


def frame_labels(timed: list[Timed], frames: int) -> np.ndarray:
    """Index into `PHONES` for each frame (at 50 per second); what no phone covers is silence."""
    labels = np.full(frames, PHONES.index(SILENCE), dtype=np.int64)
    for item in timed:
        if item.word >= 0:
            first = round(item.start * FRAMES_PER_SECOND)
            last = max(first + 1, round(item.end * FRAMES_PER_SECOND))
            labels[first:last] = PHONES.index(item.phone.rstrip("012"))
    return labels
