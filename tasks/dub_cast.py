"""The cast file of a dub: who speaks in a subtitle file, written for the user to give them voices.

It is written once, and from then on only speakers that are not in it are added.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from configs.errors import UsageError
from tasks.beside import write_bytes
from tasks.casting import voice_beside, yaml_key
from tasks.dub_types import DubCast, SubtitleCue, Subtitles
from tasks.handwritten import parse, read_text

SKIPPED = "skipped by the cast file"
_SECTIONS = ("default", "speakers")
_FIELDS = ("voice", "as", "skip")
_MOST_SPEAKERS = 1000
_LONGEST_NAME = 100  # characters
_SHOWN = 60  # characters of what somebody says first
_TRUTHS = {"": False, "false": False, "no": False, "true": True, "yes": True}

_HEAD = """\
# Who speaks in {name}. Give a voice to whom you like: a recording, or a name from
# voxloom voices list. Who has none has the default voice, or else that of the command line.
#   as: Ada       these lines are Ada's, who may be in the list or not
#   skip: true    these lines are not spoken
# Run the same command again: what you write here stays, and new speakers are added.
{unnamed}
default:

speakers:
"""


@dataclass(frozen=True)
class _Entry:
    """What the file says of a speaker."""

    voice: str = ""
    person: str = ""
    skip: bool = False


def write_cast(path: Path, subtitles: Subtitles, name: str) -> list[str]:
    """Writes the cast file of the subtitles in the file `name`, or adds the speakers that it lacks
    -> the speakers that were written, in order.

    What the user wrote stays as it is. Nothing is written where nobody has a name, or
    nobody is new. Raises UsageError for a file that can't be read or added to.
    """
    spoken: dict[str, list[SubtitleCue]] = {}
    for cue in subtitles.cues:
        if cue.text:
            spoken.setdefault(_spaced(cue.speaker), []).append(cue)
    unnamed = spoken.pop("", [])
    listed = {who: cues for who, cues in spoken.items() if len(who) <= _LONGEST_NAME}
    listed = dict(sorted(listed.items(), key=lambda item: -len(item[1]))[:_MOST_SPEAKERS])
    if not path.exists():
        if not listed:
            return []
        head = _HEAD.format(name=_spaced(name), unnamed=_unnamed(len(unnamed)))
        write_bytes(path, (head + _entries(listed, "  ")).encode())
        return list(listed)
    text = read_text(path)
    known = _read_entries(path, parse(path, text))
    new = {who: cues for who, cues in listed.items() if who not in known}
    if new:
        longer = _with_entries(text, new)
        if longer is None or set(_read_entries(path, parse(path, longer))) != {*known, *new}:
            raise UsageError(
                f"{path} has no speakers: with a line for each name, so that {next(iter(new))!r} "
                "can't be added; write it so, or move the file away"
            )
        write_bytes(path, longer.encode())
    return list(new)


def load_dub_cast(path: Path) -> DubCast:
    """The cast of a file; a sample's path may be given from the file's folder on.

    Raises UsageError for a file that can't be read, or that says what it can't mean.
    """
    content = parse(path, read_text(path))
    if unknown := sorted(set(content) - set(_SECTIONS)):
        raise UsageError(f"{path}: {unknown[0]!r} means nothing; there are {', '.join(_SECTIONS)}")
    default = content.get("default") or ""
    if not isinstance(default, str):
        raise UsageError(f"{path}: default must be one voice")
    entries = _read_entries(path, content)
    people = {who: _person(path, who, entries) for who in entries}
    voices: dict[str, str] = {}
    for who, entry in entries.items():
        voice = voice_beside(path, entry.voice) if entry.voice else ""
        if voice and voices.setdefault(people[who], voice) != voice:
            raise UsageError(
                f"{path}: {people[who]!r} has two voices, {voices[people[who]]} and {voice}"
            )
    return DubCast(
        voices,
        voice_beside(path, default) if default else "",
        {who: person for who, person in people.items() if person != who},
        frozenset(who for who, entry in entries.items() if entry.skip),
    )


def cast_subtitles(subtitles: Subtitles, cast: DubCast) -> Subtitles:
    """The subtitles with the people that their speakers are; what is skipped has no text."""

    def given(cue: SubtitleCue) -> SubtitleCue:
        speaker = _spaced(cue.speaker)
        person = cast.people.get(speaker, speaker)
        if cue.text and not cast.skipped.isdisjoint((speaker, person)):
            return replace(cue, speaker=person, text="", why=SKIPPED)
        return replace(cue, speaker=person)

    return replace(subtitles, cues=tuple(map(given, subtitles.cues)))


def _person(path: Path, speaker: str, entries: Mapping[str, _Entry]) -> str:
    """Who a speaker is in the end."""
    seen = {speaker}
    person = speaker
    while (entry := entries.get(person)) and entry.person:
        person = entry.person
        if person in seen:
            raise UsageError(f"{path}: {speaker!r} is said to be {person!r} in a circle")
        seen.add(person)
    return person


def _read_entries(path: Path, content: Mapping[str, object]) -> dict[str, _Entry]:
    section = content.get("speakers") or {}
    if not isinstance(section, dict):
        raise UsageError(f"{path}: speakers must hold names, each with what is said of it")
    if len(section) > 2 * _MOST_SPEAKERS:
        raise UsageError(f"{path} has too many speakers")
    return {_spaced(who): _entry(path, who, given) for who, given in section.items()}


def _entry(path: Path, who: str, given: object) -> _Entry:
    if isinstance(given, str):  # nothing, or a voice alone
        return _Entry(given.strip())
    if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
        raise UsageError(f"{path}: give {who!r} a voice, or {', '.join(_FIELDS)}")
    if unknown := sorted(set(given) - set(_FIELDS)):
        raise UsageError(
            f"{path}: {unknown[0]!r} of {who!r} means nothing; there are {', '.join(_FIELDS)}"
        )
    skip = given.get("skip", "").strip().lower()
    if skip not in _TRUTHS:
        raise UsageError(f"{path}: skip of {who!r} may be true or false")
    person = _spaced(given.get("as", ""))
    return _Entry(given.get("voice", "").strip(), "" if person == who else person, _TRUTHS[skip])


def _unnamed(count: int) -> str:
    if not count:
        return ""
    lines = "One line has" if count == 1 else f"{count} lines have"
    return f"# {lines} no name: the default voice speaks them.\n"


def _entries(spoken: Mapping[str, Iterable[SubtitleCue]], indent: str) -> str:
    written = ""
    for who, cues in spoken.items():
        said = list(cues)
        lines = "1 line" if len(said) == 1 else f"{len(said)} lines"
        first = _spaced(said[0].text)
        shown = first if len(first) <= _SHOWN else first[:_SHOWN].rsplit(" ", 1)[0] + " ..."
        written += f"{indent}# {lines}, from {_clock(said[0].start_ms)}: {shown}\n"
        written += f"{indent}{yaml_key(who)}:\n{indent}  voice:\n"
    return written


def _with_entries(text: str, new: Mapping[str, list[SubtitleCue]]) -> str | None:
    """A cast file with entries before those that it has; None where they are in braces."""
    root = yaml.compose(text, Loader=yaml.BaseLoader)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    found = next(((key, value) for key, value in pairs if key.value == "speakers"), None)
    if found is None:
        return "".join([*lines, "speakers:\n", _entries(new, "  ")])
    key, section = found
    indent = "  "
    if isinstance(section, yaml.MappingNode):
        if section.flow_style:
            return None
        indent = " " * section.value[0][0].start_mark.column
    at = key.start_mark.line + 1
    return "".join([*lines[:at], _entries(new, indent), *lines[at:]])


def _clock(ms: int) -> str:
    minutes, seconds = divmod(ms // 1000, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _spaced(text: str) -> str:
    """Text in one line, of what can be printed."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
