"""What `voxloom inspect` tells of subtitles: cues, speakers, what is no speech, what was mended."""

from collections import defaultdict
from dataclasses import asdict
from itertools import islice
from typing import Any

from tasks.dub_types import SubtitleCue, Subtitles

# So many repairs are printed, and so many examples of what is not spoken; JSON has all.
REPAIRS = 30
EXAMPLES = 3
_LONGEST = 50


def subtitle_contents(read: Subtitles) -> dict[str, Any]:
    """What `--json` prints: all cues with their speakers, what is not spoken, and the repairs."""
    speech = [cue for cue in read.cues if cue.text]
    return {
        "format": read.format,
        "encoding": read.encoding,
        "language": read.language,
        "duration": max((cue.end_ms for cue in read.cues), default=0) / 1000,
        "speech": sum(cue.end_ms - cue.start_ms for cue in speech) / 1000,
        "speakers": [
            {
                "name": name,
                "lines": len(cues),
                "seconds": sum(cue.end_ms - cue.start_ms for cue in cues) / 1000,
                "first": cues[0].text,
            }
            for name, cues in _by(speech, "speaker").items()
        ],
        "not_spoken": {
            why: [cue.number for cue in cues]
            for why, cues in _by([cue for cue in read.cues if not cue.text], "why").items()
        },
        "repairs": [asdict(repair) for repair in read.repairs],
        "cues": [asdict(cue) for cue in read.cues],
    }


def show_subtitles(name: str, read: Subtitles) -> None:
    """Prints what subtitles hold."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    told = subtitle_contents(read)
    facts = [read.format, read.encoding, read.language or "language unknown"]
    console.print(f"[bold]{escape(name)}[/] ({escape(', '.join(facts))})")
    numbers = len({cue.number for cue in read.cues})
    console.print(
        f"{numbers:,} cues in {_clock(told['duration'])}, {_clock(told['speech'])} of them speech\n"
    )
    table = Table("speaker", "lines", "time", "first words", box=None, pad_edge=False)
    for column in (1, 2):
        table.columns[column].justify = "right"
    for one in told["speakers"]:
        table.add_row(
            escape(one["name"] or "(not said)"),
            f"{one['lines']:,}",
            _clock(one["seconds"]),
            escape(_short(one["first"])),
        )
    console.print(table)
    silent = [cue for cue in read.cues if not cue.text]
    if silent:
        console.print("\n[bold]Not spoken[/]")
        table = Table("why", "cues", "such as", box=None, pad_edge=False)
        table.columns[1].justify = "right"
        for why, cues in _by(silent, "why").items():
            shown = list(dict.fromkeys(_short(cue.shown) for cue in cues if cue.shown))
            table.add_row(escape(why), f"{len(cues):,}", escape(", ".join(shown[:EXAMPLES])))
        console.print(table)
    if read.repairs:
        console.print("\n[bold]Mended[/]")
        table = Table("cue", "line", "what", box=None, pad_edge=False)
        for column in (0, 1):
            table.columns[column].justify = "right"
        for repair in islice(read.repairs, REPAIRS):
            table.add_row(str(repair.number or ""), str(repair.line or ""), escape(repair.what))
        console.print(table)
        if len(read.repairs) > REPAIRS:
            console.print(f"and {len(read.repairs) - REPAIRS:,} more, which --json has")


def _by(cues: list[SubtitleCue], field: str) -> dict[str, list[SubtitleCue]]:
    found: dict[str, list[SubtitleCue]] = defaultdict(list)
    for cue in cues:
        found[getattr(cue, field)].append(cue)
    return dict(sorted(found.items(), key=lambda one: -len(one[1])))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
