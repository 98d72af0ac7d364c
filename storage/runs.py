"""Records of runs: what was made from what, and which takes it used (so that gc can keep them)."""

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from storage.files import write_whole
from storage.keys import is_key

log = logging.getLogger(__name__)


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
                found.append(Run(**facts | {"takes": tuple(facts["takes"])}))
            except (ValueError, TypeError, KeyError) as error:
                log.warning("the run record %s is damaged: %s", path, error)
        yield from sorted(found, key=lambda run: run.started, reverse=True)

    def takes(self, since: float = 0.0) -> set[str]:
        """Keys of the takes that runs started at or after a Unix time use."""
        return {key for run in self if run.started >= since for key in run.takes}
