"""Lines of a dub that are made again: whose subtitle or time it is, and from which seed."""

import json
from dataclasses import dataclass
from pathlib import Path

from configs.errors import UserError
from tasks.dub_types import RATE
from tasks.redone import choose_seed, dub_names, load_redone

REPORT = "report.json"


@dataclass(frozen=True)
class MadeLine:
    """A line of a dub: its text, the indices of its cues, the second at which it is first heard
    (None where it is not), the seed that its take was made from, and that which was chosen."""

    text: str
    cues: tuple[int, ...]
    begin: float | None
    made: int
    seed: int


class MadeDub:
    """The lines of a dub as its report has them; UserError where there is none that can be read.
    `seed` is that of the order."""

    def __init__(self, out: Path, seed: int) -> None:
        self._out = out
        self._seed = seed
        try:
            report = json.loads((out / REPORT).read_text(encoding="utf-8"))
            self._names = dub_names((line["speaker"], line["text"]) for line in report["lines"])
            chosen = {(one.line, one.occurrence): one.seed for one in load_redone(out)}
            self.lines = [
                MadeLine(
                    text=line["text"],
                    cues=tuple(line["cues"]),
                    begin=min((one["start"] / RATE for one in line["pieces"]), default=None),
                    made=seed if line["redone"] is None else line["redone"],
                    seed=chosen.get(name, seed),
                )
                for line, name in zip(report["lines"], self._names, strict=True)
            ]
            self._cues = {cue["cue"]: cue["number"] for cue in report["cues"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{out} has no report of a dub that can be read ({error}): make it again with "
                "voxloom dub"
            ) from error

    def lines_of(self, subtitle: int) -> list[int]:
        """The lines (from 0) that say something of a subtitle, by its number in the file."""
        found = [
            number
            for number, line in enumerate(self.lines)
            if subtitle in (self._cues.get(cue) for cue in line.cues)
        ]
        if not found:
            raise UserError(f"Of subtitle {subtitle} nothing is spoken; the report names them all")
        return found

    def lines_at(self, seconds: float) -> list[int]:
        """The line that is heard at a time, or began last before it, as a list."""
        begun = [
            (line.begin, number)
            for number, line in enumerate(self.lines)
            if line.begin is not None and line.begin <= seconds
        ]
        if not begun:
            raise UserError(f"Before {seconds:g} s nothing is heard")
        return [max(begun)[1]]

    def choose(self, number: int, seed: int | None, undo: bool = False) -> bool:
        """Has a line made from a seed from the next run on, None being the next one; whether that
        is another one than before."""
        line = self.lines[number]
        name, occurrence = self._names[number]
        wanted = line.seed + 1 if seed is None else seed
        return choose_seed(self._out, name, occurrence, line.text, None if undo else wanted)
