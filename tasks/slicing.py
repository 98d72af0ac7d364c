"""Cuts a long recording at its pauses into clips that are long enough to learn from."""

import numpy as np

from tasks.reference import FRAME_SECONDS, phrases

SHORTEST_SECONDS, LONGEST_SECONDS = 2.0, 12.0
_JOIN_SECONDS = 0.8  # a longer pause ends a clip
_AIMED_SECONDS = 8.0  # phrases are put together up to about this
_KEEP_SECONDS = 0.1  # of the pause at either end
_SMOOTH_FRAMES = 5  # a dip of the probability as short as one frame is no place to cut at


def slices(likely: np.ndarray) -> list[tuple[float, float]]:
    """Stretches of speech (start, stop) in seconds, in order, apart from each other.

    likely (frames,): how likely somebody speaks in each frame of `FRAME_SECONDS`. Phrases between
    which there is only a short pause are put together; a phrase longer than a clip may be is cut
    where speech is least likely. Nothing is longer than `LONGEST_SECONDS`; what stands alone and is
    shorter than `SHORTEST_SECONDS` is among them all the same.
    """
    most = int((LONGEST_SECONDS - 2 * _KEEP_SECONDS) / FRAME_SECONDS)
    joined: list[tuple[int, int]] = []
    for phrase in phrases(likely):
        for start, stop in _pieces(likely, *phrase, most):
            if joined and _belongs(joined[-1], start, stop):
                joined[-1] = (joined[-1][0], stop)
            else:
                joined.append((start, stop))
    edges = [0, *(edge for piece in joined for edge in piece), len(likely)]
    keep = _KEEP_SECONDS / FRAME_SECONDS
    found = []
    for number, (start, stop) in enumerate(joined):
        before, after = edges[2 * number], edges[2 * number + 3]
        first = start - min(keep, (start - before) / 2)
        last = stop + min(keep, (after - stop) / 2)
        found.append((first * FRAME_SECONDS, last * FRAME_SECONDS))
    return found


def _belongs(clip: tuple[int, int], start: int, stop: int) -> bool:
    pause = (start - clip[1]) * FRAME_SECONDS
    return pause <= _JOIN_SECONDS and (stop - clip[0]) * FRAME_SECONDS <= _AIMED_SECONDS


def _pieces(likely: np.ndarray, start: int, stop: int, most: int) -> list[tuple[int, int]]:
    """A phrase in pieces of at most `most` frames, cut where speech is least likely."""
    least = round(SHORTEST_SECONDS / FRAME_SECONDS)
    pieces = []
    while stop - start > most:
        smooth = np.convolve(likely[start:stop], np.ones(_SMOOTH_FRAMES), "same")
        window = smooth[least : min(most, stop - start - least)]
        cut = start + least + int(window.argmin())
        pieces.append((start, cut))
        start = cut
    return [*pieces, (start, stop)]
