"""A tolerant scanner of SRT: what has timing lines becomes a clean document; repairs are told.

pysrt reads what is well-formed. It joins cues that no blank line parts, loses what follows a blank
line inside a text, and drops timing lines that are not exactly as it knows them. Here a cue is
whatever follows a timing line, down to the next one. Every line is looked at once.
"""

import re
import unicodedata
from dataclasses import dataclass

import pysrt

from tasks.dub_types import Repair

# What may stand around and inside of text and is not seen: joiners of scripts that need them stay.
INVISIBLE = re.compile(
    "[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)
FRAMES_PER_SECOND = 25
_TIME = (
    r"(?P<minus{0}>[-−])?[ \t]?(?:(?P<hours{0}>\d{{1,9}})[ \t]?:[ \t]?)?"
    r"(?P<minutes{0}>\d{{1,4}})[ \t]?:[ \t]?(?P<seconds{0}>\d{{1,2}})"
    r"(?:[ \t]?(?P<point{0}>[.,:;])[ \t]?(?P<fraction{0}>\d{{1,9}}))?"
)
_ARROW = (
    r"[ \t]{0,8}(?P<arrow>[-–—‐‑=~]{0,3}[ \t]?[-–—=]?[ \t]?>{1,2}|→|➔|⇒|[-–—]{1,3}|,)[ \t]{0,8}"
)
_TIMING = re.compile(
    rf"[ \t]{{0,40}}(?:(?P<index>\d{{1,7}})[.)]?[ \t]{{1,4}})?{_TIME.format(1)}{_ARROW}"
    rf"{_TIME.format(2)}(?:(?<=[.,]\d{{3}})(?!\d)|(?!\w))(?P<rest>.*)"
)
_FIRST_TIME = re.compile(
    rf"[ \t]{{0,40}}{_TIME.format(1)}[ \t]{{0,8}}-->[ \t]{{0,8}}\S*(?P<rest>.*)"
)
_EXACT = re.compile(
    r"\d{2,}:[0-5]\d:[0-5]\d,\d{3} --> \d{2,}:[0-5]\d:[0-5]\d,\d{3}"
    # As WebVTT has them.
    r"|(?:\d{2,}:)?[0-5]\d:[0-5]\d\.\d{3} --> (?:\d{2,}:)?[0-5]\d:[0-5]\d\.\d{3}"
)
# Coordinates and WebVTT's settings, which some converters leave after the times.
_SETTINGS = re.compile(
    r"(?:[ \t]*(?:[XY][12]:[ \t]?\d+|(?:align|line|position|region|size|vertical):\S*))+[ \t]*$",
    re.I,
)
_INDEX = re.compile(r"[ \t]*#?(\d{1,9})[ \t]*(?:[-–—.:)][ \t]*(?P<label>[^\d\s].{0,60})?)?$")


@dataclass(frozen=True)
class ScannedCue:
    """A cue as it stands in a file: its timing line's number (from 1), its times, the lines of its
    text, and what its index line says besides a number."""

    line: int
    start_ms: int
    end_ms: int
    text: str
    label: str = ""


@dataclass(frozen=True)
class _Timing:
    start_ms: int | None
    end_ms: int | None
    rest: str
    index: str
    repairs: tuple[str, ...]


def scan_srt(text: str) -> tuple[pysrt.SubRipFile, list[int], list[Repair]]:
    """A clean document of pysrt, the line of the file on which each of its cues has its times, and
    what was mended.

    Cues stay in the order of the file, without negative times. An item's index is its number, or
    what its index line said besides the number, such as a speaker.
    """
    cues, repairs = scan_cues(text)
    items = [
        pysrt.SubRipItem(
            cue.label or number,
            pysrt.SubRipTime.from_ordinal(cue.start_ms),
            pysrt.SubRipTime.from_ordinal(cue.end_ms),
            cue.text,
        )
        for number, cue in enumerate(cues, start=1)
    ]
    return pysrt.SubRipFile(items), [cue.line for cue in cues], repairs


def scan_cues(text: str) -> tuple[list[ScannedCue], list[Repair]]:
    """The cues of a text with timing lines, in the order of the file, and what was mended."""
    lines = INVISIBLE.sub("", text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    timings = {
        number: timing for number, line in enumerate(lines) if (timing := _timing(line)) is not None
    }
    starts = sorted(timings)
    if not starts:
        return [], []
    repairs: list[Repair] = []
    indices = _index_lines(lines, starts)
    head_end = indices.get(starts[0], starts[0])
    if any(line.strip() for line in lines[:head_end]):
        junk = next(line.strip() for line in lines[:head_end] if line.strip())
        repairs.append(Repair(0, 1, f"What is before the first cue was left out: {junk[:60]!r}."))
    cues: list[ScannedCue] = []
    for number, (start, after) in enumerate(
        zip(starts, [*starts[1:], len(lines)], strict=True), start=1
    ):
        timing = timings[start]
        body = [timing.rest, *lines[start + 1 : indices.get(after, after)]]
        told = [*timing.repairs]
        if start not in indices and not timing.index:
            told.append("It has no number.") if indices else None
        if after < len(lines) and lines[indices.get(after, after) - 1].strip():
            told.append("No blank line parts it from the next cue.")
        kept = _text_of(body)
        if "" in kept:
            told.append("A blank line stood within its text.")
        begin, end = timing.start_ms, timing.end_ms
        if begin is None:
            begin = cues[-1].end_ms if cues else 0
            told.append("Its times can't be read; it begins where the one before it ends.")
        if end is None:
            end = begin
        if begin < 0 or end < 0:
            begin, end = max(0, begin), max(0, end)
            told.append("It began before the film; now it begins with it.")
        index = _INDEX.match(lines[indices[start]]) if start in indices else None
        label = (index["label"] or "") if index else ""
        cues.append(ScannedCue(start + 1, begin, end, "\n".join(filter(None, kept)), label.strip()))
        repairs += [Repair(number, start + 1, what) for what in told]
    if not indices and not any(timing.index for timing in timings.values()):
        repairs.append(Repair(0, starts[0] + 1, "The cues have no numbers."))
    return cues, repairs


def clock_ms(match: re.Match[str], which: int) -> int:
    """The time of group set `which` of a timing line's match, in milliseconds, with its sign."""
    hours, minutes, seconds = (
        int(match[f"{name}{which}"] or 0) for name in ("hours", "minutes", "seconds")
    )
    fraction, point = match[f"fraction{which}"] or "", match[f"point{which}"] or ""
    if point in {":", ";"} and len(fraction) == 2:
        after = int(fraction) * 1000 // FRAMES_PER_SECOND
    else:
        after = int(fraction[:3].ljust(3, "0")) if fraction else 0
    time = ((hours * 60 + minutes) * 60 + seconds) * 1000 + after
    return -time if match[f"minus{which}"] else time


def _timing(line: str) -> _Timing | None:
    """What a line says of times, or None where it is text."""
    if not any(mark in line for mark in (">", "-", "–", "—", "→", "➔", "⇒", ",", "＞", "－", "：")):
        return None
    plain = unicodedata.normalize("NFKC", line)
    match = _TIMING.match(plain)
    if match and _means_times(match):
        return _read(line, plain, match)
    if "-->" in plain and (first := _FIRST_TIME.match(plain)):
        rest = "" if _SETTINGS.match(first["rest"]) else first["rest"].strip()
        return _Timing(clock_ms(first, 1), None, rest, "", ("Its end can't be read.",))
    if "-->" in plain and re.match(r"[ \t]*[-\d:.,]*[ \t]*-->[ \t]*[-\d:.,]*[ \t]*$", plain):
        return _Timing(None, None, "", "", ())
    return None


def _means_times(match: re.Match[str]) -> bool:
    """Whether it is a timing line and not a sentence such as "10:00 -> 11:00"."""
    exact = match["fraction1"] is not None and match["fraction2"] is not None
    if ">" not in match["arrow"] and match["arrow"] not in {"→", "➔", "⇒"}:
        return exact and not match["rest"].strip()
    hours = match["hours1"] is not None and match["hours2"] is not None
    return exact or hours or "-->" in match["arrow"]


def _read(line: str, plain: str, match: re.Match[str]) -> _Timing:
    repairs = []
    rest = match["rest"]
    if _SETTINGS.match(rest):
        rest = ""
    elif rest:
        # As it was before full-width signs became plain ones.
        rest = line[len(line) - len(rest) :] if len(line) == len(plain) else rest
    if rest.strip():
        repairs.append("Its text stood beside its times.")
    if match["index"]:
        repairs.append("Its number stood beside its times.")
    times = plain[: match.start("rest")].strip()
    if not _EXACT.fullmatch(times) and not match["index"]:
        repairs.append("Its times are written oddly.")
    return _Timing(
        clock_ms(match, 1), clock_ms(match, 2), rest.strip(), match["index"] or "", tuple(repairs)
    )


def _index_lines(lines: list[str], starts: list[int]) -> dict[int, int]:
    """The line of the index of each timing line that has one.

    A number is an index where it stands just above the times, after a blank line or with the
    number that is due; elsewhere, and in files whose cues have no numbers, it is text.
    """
    just_above: dict[int, int] = {}
    further_up: dict[int, int] = {}
    for previous, start in zip([-1, *starts], starts, strict=False):
        above = start - 1
        while above > previous and not lines[above].strip():
            above -= 1
        if above > previous and _INDEX.match(lines[above]):
            (just_above if above == start - 1 else further_up)[start] = above
    found: dict[int, int] = {}
    last = 0
    for number, (previous, start) in enumerate(zip([-1, *starts], starts, strict=False), start=1):
        above = just_above.get(start, further_up.get(start, -1))
        match = _INDEX.match(lines[above]) if above >= 0 else None
        if match is None:
            continue
        value = int(match[1])
        due = value in {last + 1, number, number - 1}
        parted = above - 1 <= previous or not lines[above - 1].strip()
        numbered = 2 * len(just_above) >= len(starts)
        spaced = 2 * len(further_up) >= len(starts)
        if start in just_above:
            is_index = (parted and numbered and not match["label"]) or due
        else:
            is_index = parted and spaced and due
        if is_index:
            found[start] = above
            last = value
    return found


def _text_of(body: list[str]) -> list[str]:
    """The lines of a text without blank ones around it; "" is a blank line within."""
    stripped = [line.strip() for line in body]
    while stripped and not stripped[-1]:
        stripped.pop()
    while stripped and not stripped[0]:
        stripped.pop(0)
    return stripped
