"""What the steps of dubbing hand to each other: cues as read, lines to speak, pieces, placements.

All times of subtitles are whole milliseconds, all times of sound are samples on one absolute grid
of `RATE` that begins where the video begins.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tasks.plan import Utterance

RATE = 48_000


@dataclass(frozen=True)
class SubtitleCue:
    """What one person says while a subtitle is shown, from `start_ms` to before `end_ms`.

    `text` is what shall be spoken, in one line, without labels, sounds and markup; "" where nothing
    is speech. `shown` is what the file shows, without markup, its lines split by "\\n". `speaker`
    is who the file says is speaking, "" where it does not say. `number` is the cue's place in the
    file, from 1; two people in one cue make two of these with the same number. `why` tells why
    nothing of it is spoken.
    """

    index: int
    start_ms: int
    end_ms: int
    text: str
    shown: str
    speaker: str = ""
    number: int = 0
    why: str = ""


@dataclass(frozen=True)
class Repair:
    """What was mended in reading a subtitle file; `number` is the cue (from 1; 0 is the file),
    `line` the line of the file (from 1; 0 where it has none)."""

    number: int
    line: int
    what: str


@dataclass(frozen=True)
class Subtitles:
    """A subtitle file as read: cues in the order of their starts, and all that was repaired."""

    cues: tuple[SubtitleCue, ...]
    repairs: tuple[Repair, ...]
    format: str  # "srt", "vtt", "ass", ...
    encoding: str
    language: str = ""  # BCP 47, "" where nothing says


@dataclass(frozen=True)
class Part:
    """The characters `start` to `end` of a line's text that belong to cue `cue` (its index)."""

    cue: int
    start: int
    end: int


@dataclass(frozen=True)
class DubLine:
    """What is synthesised at once: one speaker's words over one or more cues.

    `utterance` has chapter 0 and the line's number as its index. `parts` are in order and cover its
    text but white space.
    """

    utterance: "Utterance"
    parts: tuple[Part, ...]

    @property
    def speaker(self) -> str:
        return self.utterance.speaker


@dataclass(frozen=True)
class Piece:
    """A cue's share of a line's take: mono `audio` (samples,) float32 at the take's rate, from its
    first sound (less `lead` samples) to its last."""

    line: int
    cue: int
    audio: np.ndarray
    lead: int = 0


@dataclass(frozen=True)
class Placement:
    """Where a piece is heard: from sample `start` on (its first sound; the lead is before it) for
    `samples` samples of the grid, `rate` times as fast as the take (1.1: 10 % faster).

    `problem` says what does not fit, "" where all is well.
    """

    line: int
    cue: int
    speaker: str
    start: int
    samples: int
    rate: float
    problem: str = ""


@dataclass(frozen=True)
class DubCast:
    """Who is dubbed with which voice: a person's sample or registered name; people that are not in
    `voices` have the `default` voice, "" being the one of the command line.

    `people` says who the speakers of the subtitles are, where that is not their own name; `skipped`
    are people that nothing is spoken of.
    """

    voices: Mapping[str, str] = field(default_factory=dict)
    default: str = ""
    people: Mapping[str, str] = field(default_factory=dict)
    skipped: frozenset[str] = frozenset()
