"""The report beside an audiobook: what was made, from what, how it measures, what to look at."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.beside import write_bytes
from tasks.measure import Measured
from tasks.verdicts import Verdict

if TYPE_CHECKING:
    from tasks.master import BookLevel
    from tasks.read_book import Book

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class ChapterReport:
    """A chapter as it was delivered; `seconds` with its pauses, `speech_seconds` without."""

    title: str
    utterances: int
    seconds: float
    speech_seconds: float


@dataclass(frozen=True)
class IncompleteTake:
    """An utterance that no attempt got right, and why: worth listening to."""

    chapter: int
    index: int
    text: str
    start_seconds: float  # from the beginning of the book
    reason: str


@dataclass(frozen=True)
class FileReport:
    """A delivered audio file, as it was decoded and measured.

    `path` is relative to the report, `chapter` counts from 1 the chapter that it holds, with parts
    the same one several times; None for the whole book. `key` names all that decided its bytes.
    """

    path: str
    format: str
    title: str
    chapter: int | None
    key: str
    sha256: str
    measured: Measured
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        return all(verdict.passed for verdict in self.verdicts)


@dataclass(frozen=True)
class ReadAlong:
    """A delivered read-along book: its path relative to the report, what decided its bytes, how
    many pages are narrated and how many lines are shown while they are heard."""

    path: str
    key: str
    sha256: str
    pages: int
    lines: int
    seconds: float
    warnings: tuple[str, ...]


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
class Mastered:
    """How the book was brought to its level: the preset's name, what it asks for, what was done."""

    preset: str
    target_lufs: float | None
    peak_db: float
    level: "BookLevel"


def build_report(
    book: "Book",
    voice: dict[str, Any],
    model: dict[str, Any],
    chapters: Sequence[ChapterReport],
    incomplete: Sequence[IncompleteTake],
    mastered: Mastered,
    files: Sequence[FileReport],
    files_made: Sequence[str],
    warnings: Sequence[str],
    run: Run,
    read_along: ReadAlong | None = None,
) -> dict[str, Any]:
    """The report as JSON values. All but the section `run` depends on the work alone.

    `voice` and `model` say what they are (name, content hash ...). `files_made` are the paths of
    the files that were written in this run; the others lay there already. The real-time factor is
    seconds of work per second of speech made or reused.
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
        "mastering": {
            "preset": mastered.preset,
            "target_lufs": mastered.target_lufs,
            "peak_db": mastered.peak_db,
            "before_lufs": mastered.level.lufs,
            "gain_db": mastered.level.gain_db,
            "trims_db": list(mastered.level.trims_db),
        },
        "verdict": summary(mastered.preset, files),
        "read_along": asdict(read_along) if read_along else None,
        "files": [asdict(file) | {"passed": file.passed} for file in files],
        "warnings": list(warnings),
        "run": asdict(run)
        | {
            "real_time_factor": run.wall_seconds / seconds if seconds else None,
            "files_made": list(files_made),
        },
    }


def summary(preset: str, files: Sequence[FileReport]) -> str:
    """A sentence on all files together. It promises nothing of what a shop will say."""
    failed = sum(not file.passed for file in files)
    if not files:
        return "No audio file was asked for."
    if failed:
        return f"{failed} of {len(files)} audio files do not meet the specification “{preset}”."
    if preset == "acx":
        if not any(file.format == "mp3" for file in files):
            return "Levels are as the specification “acx” asks for, which wants MP3 files."
        return "All audio files meet the technical specification “acx”."
    return f"All audio files meet the specification “{preset}”."


def write_report(report: dict[str, Any], out: Path) -> None:
    """Writes the report as JSON, at once or not at all; the same report gives the same bytes."""
    text = json.dumps(plain(report), ensure_ascii=False, indent=2, allow_nan=False)
    write_bytes(out, (text + "\n").encode(errors="replace"))


def delivered_before(report: Path) -> dict[str, tuple[str, str]]:
    """Key and sha256 of each file by its path, as an earlier report beside them says; {} where
    there is none, or one that can't be read."""
    try:
        files = json.loads(report.read_text(encoding="utf-8"))["files"]
        return {
            str(file["path"]): (str(file["key"]), str(file["sha256"]))
            for file in files
            if _inside(str(file["path"]))
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def read_along_before(report: Path) -> ReadAlong | None:
    """The read-along book of an earlier report; None where it has none, or can't be read."""
    try:
        told = json.loads(report.read_text(encoding="utf-8"))["read_along"]
        return ReadAlong(**told | {"warnings": tuple(told["warnings"])}) if told else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _inside(path: str) -> bool:
    """Whether a path of a report, which anybody may have edited, stays in the report's folder."""
    return not Path(path).is_absolute() and ".." not in Path(path).parts and "\0" not in path


def plain(value: Any) -> Any:
    """JSON has no infinity (the level of silence) and needs no nanoseconds."""
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
