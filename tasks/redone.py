"""Lines that the user had made again: kept in the output folder, so that every rebuild keeps them.

A line of a book is named by the key of its first take, which holds its phones, voice, model and
settings, a line of a dub by who says what, and both by which of the lines of that name they are:
editing another line changes nothing, editing this one drops the choice.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from configs.errors import UserError
from storage.keys import content_key, is_key
from tasks.beside import write_entries

FILE = "redone.json"
_MAX_BYTES = 10_000_000


@dataclass(frozen=True)
class Redone:
    """A choice: the line's name, which of them it is (from 0), the seed of its take, its text."""

    line: str
    occurrence: int
    seed: int
    text: str


def load_redone(folder: Path) -> list[Redone]:
    """The choices of an output folder; UserError where the file is damaged."""
    path = folder / FILE
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError("it is too large")
        choices = [Redone(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
        if not all(
            is_key(one.line) and isinstance(one.seed, int) and isinstance(one.occurrence, int)
            for one in choices
        ):
            raise ValueError("an entry is not what was written")
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{path}, which says what was made again, is damaged ({error}): delete it, and every "
            "line is as it was made first"
        ) from error
    return choices


def save_redone(folder: Path, choices: Iterable[Redone]) -> None:
    """Writes the choices, at once or not at all; no file where there are none."""
    write_entries(folder / FILE, [asdict(one) for one in choices])


def choose_seed(folder: Path, line: str, occurrence: int, text: str, seed: int | None) -> bool:
    """Remembers the seed that a line is made from; None: as it was made first. Whether that is
    another one than before."""
    choices = load_redone(folder)
    others = [one for one in choices if (one.line, one.occurrence) != (line, occurrence)]
    chosen = others if seed is None else [*others, Redone(line, occurrence, seed, text)]
    if set(chosen) == set(choices):
        return False
    save_redone(folder, chosen)
    return True


def dub_names(lines: Iterable[tuple[str, str]]) -> list[tuple[str, int]]:
    """The names of a dub's lines, given by speaker and text, and which of that name each is."""
    seen: Counter[str] = Counter()
    names = []
    for speaker, text in lines:
        name = content_key({"speaker": speaker, "says": text})
        names.append((name, seen[name]))
        seen[name] += 1
    return names
