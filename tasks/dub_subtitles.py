"""Subtitles of a dub: what is heard, with the times at which it is heard."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from tasks.dub_types import RATE, Placement, SubtitleCue
from tasks.subtitles import Cue, fold, write_srt, write_vtt

_MOST_AT_ONCE = 4  # nobody reads more, and a file may claim that thousands speak at once


def heard_cues(cues: Sequence[SubtitleCue], placements: Iterable[Placement]) -> list[Cue]:
    """A subtitle for each cue of which something is heard, in the order of their starts.

    It is shown from its first sound to its last, rounded outwards to milliseconds. Two people in
    one cue of the file have one subtitle together, with dashes. Others overlap where people speak
    at once. Lines break as in the file where it shows what is said and nothing else.
    """
    heard: dict[int, tuple[int, int]] = {}
    for placement in placements:
        end = placement.start + placement.samples
        first, last = heard.get(placement.cue, (placement.start, end))
        heard[placement.cue] = min(first, placement.start), max(last, end)
    together: dict[int, list[SubtitleCue]] = {}
    for cue in cues:
        if cue.index in heard and cue.text:
            # Without a number in the file a cue is alone.
            together.setdefault(cue.number or -1 - cue.index, []).append(cue)
    shown = []
    for group in together.values():
        group.sort(key=lambda cue: heard[cue.index][0])
        start = max(0, min(heard[cue.index][0] for cue in group))
        end = max(heard[cue.index][1] for cue in group)
        start_ms, end_ms = start * 1000 // RATE, -(-end * 1000 // RATE)
        shown.append(Cue(start_ms, max(end_ms, start_ms + 1), _text(group)))
    return sorted(shown, key=lambda cue: (cue.start_ms, cue.end_ms))


def one_at_a_time(cues: Iterable[Cue]) -> list[Cue]:
    """The same for formats in which nothing can overlap, such as MP4's timed text: while several
    cues are shown their texts stand in one, the youngest last."""
    waiting = sorted(cues, key=lambda cue: cue.start_ms)
    bounds = sorted({time for cue in waiting for time in (cue.start_ms, cue.end_ms)})
    flat: list[Cue] = []
    active: list[Cue] = []
    following = 0
    for start, end in pairwise(bounds):
        active = [cue for cue in active if cue.end_ms > start]
        while following < len(waiting) and waiting[following].start_ms <= start:
            active.append(waiting[following])
            following += 1
        if active:
            shown = "\n".join(cue.text for cue in active[-_MOST_AT_ONCE:])
            flat.append(Cue(start, end, shown))
    return flat


def write_dub_subtitles(
    cues: Sequence[SubtitleCue],
    placements: Iterable[Placement],
    folder: Path,
    name: str = "dub",
    notice: str = "",
) -> tuple[Path, Path]:
    """Writes `NAME.srt` and `NAME.vtt` into `folder`; the notice is a comment in the second.
    Raises `UserError` where they can't be written."""
    heard = heard_cues(cues, placements)
    srt, vtt = folder / f"{name}.srt", folder / f"{name}.vtt"
    write_srt(heard, srt)
    write_vtt(heard, vtt, notice)
    return srt, vtt


def _text(group: Sequence[SubtitleCue]) -> str:
    if len(group) > 1:
        return "\n".join(f"- {' '.join(cue.text.split())}" for cue in group)
    cue = group[0]
    as_shown = cue.shown.split() == cue.text.split()
    lines = cue.shown.splitlines() if as_shown else fold(cue.text)
    return "\n".join(line.strip() for line in lines if line.strip())
