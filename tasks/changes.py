"""Why a book's lines are made: what is different from the run before."""

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from storage.runs import RunLine

# Each reason as it is told, the strongest first.
REASONS = {
    "model": "another voice model",
    "voice": "another voice",
    "settings": "another seed or other settings",
    "redone": "made again by the user",
    "text": "its text is another",
    "pronunciation": "it is pronounced otherwise",
    "new": "new",
    "unfinished": "not made yet",
}


@dataclass(frozen=True)
class Change:
    """A line that must be made, why, and what it was before ("" if it was not there). `chapter` and
    `index` count from 0."""

    chapter: int
    index: int
    text: str
    why: str
    before: str = ""


def find_changes(
    before: Sequence[RunLine], now: Sequence[RunLine], missing: Container[str]
) -> list[Change]:
    """The lines of `now` whose takes are `missing`, each with why it is not as it was `before`."""
    was = _pairs([line.text for line in before], [line.text for line in now])
    known = {line.key for line in before}
    changes = []
    for place, line in enumerate(now):
        if line.key in missing:
            old = before[was[place]] if place in was else None
            why = "unfinished" if line.key in known else _why(old, line)
            text = old.text if old and old.text != line.text else ""
            changes.append(Change(line.chapter, line.index, line.text, why, text))
    return changes


def count_reasons(changes: Iterable[Change]) -> dict[str, int]:
    """How many lines are made for each reason."""
    counts = Counter(change.why for change in changes)
    return {why: counts[why] for why in REASONS if counts[why]}


def _why(old: RunLine | None, line: RunLine) -> str:
    if line.redone:
        return "redone"
    if old is None:
        return "new"
    if old.text != line.text:
        return "text"
    for field in ("model", "voice", "settings"):
        if getattr(old, field) != getattr(line, field):
            return field
    return "pronunciation" if old.said != line.said else "settings"


def _pairs(before: Sequence[str], now: Sequence[str]) -> dict[int, int]:
    """Which line of `before` each line of `now` was."""
    pairs: dict[int, int] = {}
    matcher = SequenceMatcher(None, before, now, autojunk=False)
    for kind, first, last, start, end in matcher.get_opcodes():
        if kind in ("equal", "replace"):
            pairs.update(zip(range(start, end), range(first, last), strict=False))
    return pairs
