"""The report beside an audiobook: what was made, from what, how it measures, what to look at."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.beside import write_bytes
from tasks.master import TARGET_LUFS, Loudness, verdicts

if TYPE_CHECKING:
    from tasks.read_book import Book

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ChapterReport:
    """A chapter as it was delivered; `seconds` with its pauses, `speech_seconds` without."""

    title: str
    utterances: int
    seconds: float
    speech_seconds: float


@dataclass(frozen=True)
class IncompleteTake:
    """An utterance that no attempt got right, as the warnings say: worth listening to."""

    chapter: int
    index: int
    text: str
    start_seconds: float  # from the beginning of the book


@dataclass(frozen=True)
class Run:
    """What differs from run to run though the audiobook is the same."""

    started: str  # ISO 8601 with its offset
    wall_seconds: float
    made: int
    reused: int
    why: dict[str, int] = field(default_factory=dict)  # how many were made, by reason
    verdicts: dict[str, int] = field(default_factory=dict)  # how many takes the gate found how


@dataclass(frozen=True)
class Mastering:
    """How loud the book was before, the one gain it got, and how it measures delivered."""

    before_lufs: float
    gain_db: float
    delivered: Loudness
    target_lufs: float = TARGET_LUFS


def build_report(
    book: "Book",
    voice: dict[str, Any],
    model: dict[str, Any],
    chapters: Sequence[ChapterReport],
    incomplete: Sequence[IncompleteTake],
    mastering: Mastering,
    warnings: Sequence[str],
    run: Run,
) -> dict[str, Any]:
    """The report as JSON values. All but the section `run` depends on the work alone.

    `voice` and `model` say what they are (name, content hash ...). The real-time factor is seconds
    of work per second of speech made or reused.
    """
    seconds = sum(chapter.seconds for chapter in chapters)
    return {
        "schema": SCHEMA_VERSION,
        "book": {
            "title": book.title,
            "authors": list(book.authors),
            "language": book.language,
            "identifier": book.identifier,
        },
        "voice": voice,
        "model": model,
        "chapters": [asdict(chapter) for chapter in chapters],
        "totals": {
            "chapters": len(chapters),
            "utterances": sum(chapter.utterances for chapter in chapters),
            "seconds": seconds,
            "speech_seconds": sum(chapter.speech_seconds for chapter in chapters),
        },
        "incomplete_takes": [asdict(take) for take in incomplete],
        "loudness": {
            "before_lufs": mastering.before_lufs,
            "target_lufs": mastering.target_lufs,
            "gain_db": mastering.gain_db,
            "delivered": asdict(mastering.delivered),
            "verdicts": [
                asdict(verdict) for verdict in verdicts(mastering.delivered, mastering.target_lufs)
            ],
        },
        "warnings": list(warnings),
        "run": asdict(run) | {"real_time_factor": run.wall_seconds / seconds if seconds else None},
    }


def write_report(report: dict[str, Any], out: Path) -> None:
    """Writes the report as JSON, at once or not at all; the same report gives the same bytes."""
    text = json.dumps(_plain(report), ensure_ascii=False, indent=2, allow_nan=False)
    write_bytes(out, (text + "\n").encode(errors="replace"))


def _plain(value: Any) -> Any:
    """JSON has no infinity (the level of silence) and needs no nanoseconds."""
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
