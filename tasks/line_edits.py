"""Single lines that the user changed: who speaks them, and the pause after them.

They are kept in the output folder, so that every rebuild keeps them. A line is named by its place
in the book and its text; once another text stands there, the change is left out.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from configs.errors import UserError
from tasks.beside import write_entries

if TYPE_CHECKING:
    from tasks.plan import Utterance

FILE = "edits.json"
LONGEST_PAUSE = 10.0  # seconds
_MAX_BYTES = 10_000_000


@dataclass(frozen=True)
class LineEdit:
    """What is changed of the line that stands at a place: `speaker` ("" is the narrator, else one
    of the cast, or a registered voice) and `pause_after` in seconds; None: as it was planned.
    Chapter and block count from 0, as an utterance has them."""

    chapter: int
    block: int
    start: int
    text: str
    speaker: str | None = None
    pause_after: float | None = None

    @property
    def place(self) -> tuple[int, int, int, str]:
        return self.chapter, self.block, self.start, self.text


def place_of(utterance: "Utterance") -> tuple[int, int, int, str]:
    """Where a line stands, as `LineEdit.place` names it."""
    return utterance.chapter, utterance.block, utterance.start, utterance.text


def edited(utterances: Sequence["Utterance"], edits: Iterable[LineEdit]) -> list["Utterance"]:
    """The lines of a chapter with what is changed of them."""
    named = {edit.place: edit for edit in edits}
    return [_changed(one, named.get(place_of(one))) for one in utterances]


def _changed(utterance: "Utterance", edit: LineEdit | None) -> "Utterance":
    if edit is None:
        return utterance
    return replace(
        utterance,
        speaker=utterance.speaker if edit.speaker is None else edit.speaker,
        pause_after=utterance.pause_after if edit.pause_after is None else edit.pause_after,
    )


def load_edits(folder: Path) -> list[LineEdit]:
    """The changes of an output folder; UserError where the file is damaged."""
    path = folder / FILE
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError("it is too large")
        edits = [LineEdit(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
        if not all(map(_sound, edits)):
            raise ValueError("an entry is not what was written")
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{path}, which says what was changed of single lines, is damaged ({error}): delete "
            "it, and every line is as it was planned"
        ) from error
    return edits


def save_edits(folder: Path, edits: Iterable[LineEdit]) -> None:
    """Writes the changes, at once or not at all; no file where there are none."""
    write_entries(folder / FILE, [asdict(edit) for edit in edits])


def _sound(edit: LineEdit) -> bool:
    numbers = (edit.chapter, edit.block, edit.start)
    pause = edit.pause_after
    return (
        all(type(number) is int for number in numbers)
        and isinstance(edit.text, str)
        and isinstance(edit.speaker, str | None)
        and (pause is None or (type(pause) in (int, float) and 0 <= pause <= LONGEST_PAUSE))
    )
