"""Lines that the user had made again: kept in the output folder, so that every rebuild keeps them.

A line is named by the key of its first take, which holds its phones, voice, model and settings, and
by which of the lines of that name it is: editing another line changes nothing, editing this one
drops the choice.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from configs.errors import UserError
from storage.keys import is_key
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
