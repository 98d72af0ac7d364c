"""When each printed word of an utterance is heard."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tasks.assemble import Span
    from tasks.plan import Utterance

FRAMES_PER_SECOND = 50  # of a take's times


@dataclass(frozen=True)
class WordTime:
    """A word, the characters `first` to `last` of its utterance's text with the marks around it,
    and the samples `start` to `end` of its chapter in which it is heard."""

    start: int
    end: int
    first: int
    last: int


@dataclass(frozen=True)
class _Word:
    first: int
    last: int
    phones: tuple[int, int]  # from and to before, of the utterance's phones
    weight: int  # how long it takes where no time is known


def word_times(
    utterance: "Utterance", times: np.ndarray, cut: int, span: "Span", sample_rate: int
) -> list[WordTime]:
    """The words of an utterance in order, none of them overlapping; [] where nothing is heard.

    `times` (phones, 2) are the first and last + 1 frame of each of the utterance's phones in its
    take, of which `cut` samples were trimmed off; (0, 2) where they are not known. Then, and where
    the text has no tokens, the words share the span in proportion to their phones or characters.
    """
    words = _words(utterance)
    if not words or span.end <= span.start:
        return []
    known = bool(utterance.tokens) and len(times) >= words[-1].phones[1]
    bounds = _aligned(words, utterance, times, cut, span, sample_rate) if known else None
    if bounds is None:
        bounds = _proportional(words, span)
    return [
        WordTime(start, end, word.first, word.last)
        for word, (start, end) in zip(words, bounds, strict=True)
    ]


def _aligned(
    words: Sequence[_Word],
    utterance: "Utterance",
    times: np.ndarray,
    cut: int,
    span: "Span",
    sample_rate: int,
) -> list[tuple[int, int]] | None:
    """Bounds by the times of the words' sounds; None where a word has none."""
    bounds, before = [], span.start
    for word in words:
        sounds = [n for n in range(*word.phones) if utterance.phones[n][:1].isalpha()]
        if not sounds:
            return None
        # A frame is 20 ms; a take's beginning is the frame 0, its trimmed part lies before.
        first = round(int(times[sounds[0], 0]) * sample_rate / FRAMES_PER_SECOND)
        last = round(int(times[sounds[-1], 1]) * sample_rate / FRAMES_PER_SECOND)
        start = min(max(span.start + first - cut, before), span.end)
        end = min(max(span.start + last - cut, start), span.end)
        bounds.append((start, end))
        before = end
    return bounds


def _proportional(words: Sequence[_Word], span: "Span") -> list[tuple[int, int]]:
    shares = list(accumulate((word.weight for word in words), initial=0))
    length, whole = span.end - span.start, max(1, shares[-1])
    places = [span.start + length * share // whole for share in shares]
    return list(pairwise(places))


def _words(utterance: "Utterance") -> list[_Word]:
    """What is shown and lit at once: a spoken token and the marks that touch it."""
    text = utterance.text
    printed = [_Word(first, last, (0, 0), last - first) for first, last in _printed(text)]
    words: list[_Word] = []
    opening, phone = -1, 0  # where marks began that belong to the word after them
    for token in utterance.tokens:
        following = phone + token.phones
        if token.spoken and token.phones:
            first = token.start if opening < 0 else opening
            words.append(_Word(first, token.end, (phone, following), token.phones))
            opening = -1
        elif words and opening < 0 and not _opens(text, words[-1].last, token.start):
            words[-1] = _Word(words[-1].first, token.end, words[-1].phones, words[-1].weight)
        elif opening < 0:
            opening = token.start
        phone = following
    if opening >= 0 and words:
        end = utterance.tokens[-1].end
        words[-1] = _Word(words[-1].first, end, words[-1].phones, words[-1].weight)
    return words or printed  # without tokens, or with none that is spoken


def _opens(text: str, end: int, start: int) -> bool:
    """Whether a mark at `start` belongs to the word after it and not to the one that ends at
    `end`: a quotation mark or bracket after a space."""
    return text[end:start].isspace() and unicodedata.category(text[start]) in ("Pi", "Ps", "Po")


def _printed(text: str) -> list[tuple[int, int]]:
    """Words of a text without tokens: between white space, and East Asian signs one by one."""
    found: list[tuple[int, int]] = []
    joined = False  # whether the next character belongs to the word before
    for place, char in enumerate(text):
        if char.isspace():
            joined = False
            continue
        wide = unicodedata.east_asian_width(char) in "WF" and char.isalnum()
        if joined and not wide:
            found[-1] = (found[-1][0], place + 1)
        else:
            found.append((place, place + 1))
        joined = not wide or place + 1 == len(text) or not text[place + 1].isalnum()
    return found
