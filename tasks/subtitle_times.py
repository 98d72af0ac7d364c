"""Mends cues against each other: their order, cues without length, repeated and rolling text."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from tasks.dub_types import Repair
from tasks.subtitle_formats import RawCue

# A cue that ends before it begins is as long as speech of its length, if the next one lets it.
MS_PER_CHARACTER = 80
SHORTEST_MS = 500
# Cues that follow each other this closely may be one text that rolls on.
CLOSE_MS = 100
# Nothing can be said in so short a time: it is a frame of an animation.
FRAME_MS = 100
# A file rolls where so many cues, and so large a share of those that follow closely, begin with
# what the one before shows.
ROLLING = 3
ROLLING_SHARE = 0.5
# No film is longer.
LATEST_MS = 1000 * 3_600_000


def mend_times(cues: Sequence[RawCue]) -> tuple[list[RawCue], list[Repair]]:
    """Cues by their starts, each with a length and a text of its own, and what was mended.

    Cues that overlap stay so: two people may speak at once. Markup must be gone.
    """
    repairs: list[Repair] = []
    for before, cue in pairwise(cues):
        if cue.start_ms < before.start_ms:
            repairs.append(Repair(cue.number, cue.line, "It stood after a later cue."))
    ordered = sorted(cues, key=lambda cue: (cue.start_ms, cue.number))
    ordered = _once(ordered, repairs)
    ordered = list(_unrolled(ordered, repairs)) if _rolls(ordered) else ordered
    return _with_lengths(ordered, repairs), repairs


def _with_lengths(cues: Sequence[RawCue], repairs: list[Repair]) -> list[RawCue]:
    mended = []
    following = _next_starts(cues)
    for cue, after in zip(cues, following, strict=True):
        if cue.start_ms > LATEST_MS:
            cue = replace(cue, why=cue.why or "its time is past any film")
        elif cue.end_ms <= cue.start_ms:
            wanted = cue.start_ms + max(SHORTEST_MS, MS_PER_CHARACTER * len(cue.text))
            end = min(wanted, after) if after is not None else wanted
            what = "It ended before it began" if cue.end_ms < cue.start_ms else "It had no length"
            shown = f"{what}; it is given {(end - cue.start_ms) / 1000:.2f} s."
            repairs.append(Repair(cue.number, cue.line, shown))
            cue = replace(cue, end_ms=end)
        mended.append(cue)
    return mended


def _next_starts(cues: Sequence[RawCue]) -> list[int | None]:
    """The first start after each cue's own, None where there is none."""
    found: list[int | None] = []
    later: int | None = None
    for place in range(len(cues) - 1, -1, -1):
        if place + 1 < len(cues) and cues[place + 1].start_ms > cues[place].start_ms:
            later = cues[place + 1].start_ms
        found.append(later)
    return found[::-1]


def _once(cues: Iterable[RawCue], repairs: list[Repair]) -> list[RawCue]:
    """Cues without those that say the same at the same time, and animations of one text frame by
    frame as one cue."""
    kept: list[RawCue] = []
    # By text and speaker: the place of the last cue that has them.
    last: dict[tuple[str, str, str], int] = {}
    for cue in cues:
        same = cue.text, cue.speaker, cue.why
        place = last.get(same)
        before = kept[place] if place is not None else None
        if before is None or not cue.text:
            last[same] = len(kept)
            kept.append(cue)
            continue
        layers = (cue.start_ms, cue.end_ms) == (before.start_ms, before.end_ms)
        frame = min(_length(cue), _length(before)) < FRAME_MS and _length(before) > 0
        if layers or (frame and cue.start_ms - before.end_ms <= CLOSE_MS):
            kept[place or 0] = replace(before, end_ms=max(before.end_ms, cue.end_ms))
            what = "It shows what another cue shows; it counts once."
            repairs.append(Repair(cue.number, cue.line, what))
        else:
            last[same] = len(kept)
            kept.append(cue)
    return kept


def _length(cue: RawCue) -> int:
    return cue.end_ms - cue.start_ms


def _rolls(cues: Sequence[RawCue]) -> bool:
    """Whether the captions roll: cue after cue shows again what the one before showed."""
    close = [(before, cue) for before, cue in pairwise(cues) if _close(before, cue)]
    rolling = sum(_shared(before.text, cue.text) > 0 for before, cue in close)
    return rolling >= ROLLING and rolling >= ROLLING_SHARE * len(close)


def _close(before: RawCue, cue: RawCue) -> bool:
    return abs(cue.start_ms - before.end_ms) <= CLOSE_MS or cue.start_ms < before.end_ms


def _unrolled(cues: Sequence[RawCue], repairs: list[Repair]) -> Iterable[RawCue]:
    """Each cue with only what the one before did not show."""
    before: RawCue | None = None
    for cue in cues:
        shared = _shared(before.text, cue.text) if before and _close(before, cue) else 0
        before = cue
        if not shared:
            yield cue
            continue
        new = " ".join(cue.text.split()[shared:])
        what = "It shows the text of the one before again; only what is new counts."
        repairs.append(Repair(cue.number, cue.line, what))
        if new:
            yield replace(cue, text=new, voices=())


def _shared(before: str, after: str) -> int:
    """How many words of `after`'s beginning are what `before` ends with: all of it, or its last
    whole lines."""
    lines = before.split("\n")
    words = after.split()
    for first in range(len(lines)):
        ending = " ".join(lines[first:]).split()
        if ending and words[: len(ending)] == ending:
            return len(ending)
    return 0
