"""Records of runs: what was made from what, and which takes it used (so that gc can keep them)."""

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from storage.files import write_whole
from storage.keys import is_key

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunLine:
    """A line of a run, so that a later run can say what is different: its place (from 0) and text,
    the key of its take, and hashes of what decided that."""

    chapter: int
    index: int
    text: str
    key: str
    said: str
    voice: str
    model: str
    settings: str
    redone: bool


@dataclass(frozen=True)
class Run:
    """One work in one voice; the same command run again is the same run and replaces its record."""

    id: str  # content key of book, voice, chapters and seed
    title: str
    book: str  # path as the user gave it
    voice: str
    out: str
    state: str  # "running" | "finished"
    started: float  # Unix time, seconds
    takes: tuple[str, ...]  # keys
    derived: tuple[str, ...] = ()  # keys of files made from them
    lines: tuple[RunLine, ...] = ()  # in the book's order
    order: dict[str, Any] = field(default_factory=dict)  # what was asked for, to ask it again


class Runs:
    """The records in a folder, one JSON file a run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, run: Run) -> None:
        if not is_key(run.id):
            raise ValueError(f"not a content key: {run.id!r}")
        data = json.dumps(asdict(run), indent=1, ensure_ascii=False).encode()
        write_whole(self._folder / f"{run.id}.json", data)

    def __iter__(self) -> Iterator[Run]:
        """Every readable record, the youngest first; a damaged one is logged and left out."""
        found = []
        for path in sorted(self._folder.glob("*.json")) if self._folder.is_dir() else []:
            try:
                facts = json.loads(path.read_text(encoding="utf-8"))
                found.append(_run(facts))
            except (ValueError, TypeError, KeyError) as error:
                log.warning("the run record %s is damaged: %s", path, error)
        yield from sorted(found, key=lambda run: run.started, reverse=True)

    def keys(self, since: float = 0.0) -> set[str]:
        """Keys of the takes and the files that runs started at or after a Unix time use."""
        return {key for run in self if run.started >= since for key in (*run.takes, *run.derived)}

    def last(self, out: Path) -> Run | None:
        """The youngest run into an output folder."""
        return next((run for run in self if Path(run.out) == out), None)


def _run(facts: dict[str, Any]) -> Run:
    values = {
        "takes": tuple(facts["takes"]),
        "derived": tuple(facts.get("derived", ())),
        "lines": tuple(RunLine(**line) for line in facts.get("lines", ())),
    }
    return Run(**facts | values)
