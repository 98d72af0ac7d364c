"""What can be taken away of a job: its files, and folders as zips that are made while sent."""

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import quote

from flows.dub_redo import REPORT, MadeDub
from studio.models import Download, DubCue, DubListening

# What the house keeps there for itself; everything else was made for the listener.
_OURS = {"redone.json", "edits.json", "lexicon.yaml", "cast.yaml", "samples"}
_PLAYED = (".mp4", ".m4v", ".webm", ".mov", ".mkv")  # the browser says what of it it can play
_PIECE = 1 << 20


@dataclass(frozen=True)
class Found:
    """A file or folder that can be taken away, and the name that it has then."""

    name: str
    path: Path


def found(out: Path) -> list[Found]:
    """What lies in an output folder to be taken away. Nothing that a client says is ever a path:
    it asks for one of these names."""
    entries = sorted(out.iterdir()) if out.is_dir() else []
    return [
        Found(f"{path.name}.zip" if path.is_dir() else path.name, path)
        for path in entries
        if not path.name.startswith(".") and path.name not in _OURS and not path.is_symlink()
    ]


def shown(out: Path, url: str) -> list[Download]:
    """The same for the API."""
    return [
        Download(
            name=one.name,
            format=one.path.name if one.path.is_dir() else one.path.suffix.lstrip(".").lower(),
            bytes=None if one.path.is_dir() else one.path.stat().st_size,
            url=_url(url, one.name),
        )
        for one in found(out)
    ]


def zipped(folder: Path) -> Iterator[bytes]:
    """The files in a folder as a zip that is not compressed (sound would not get smaller), made
    piece by piece: no more than a piece of it is ever in memory."""
    pipe = _Pipe()
    with zipfile.ZipFile(
        cast(IO[bytes], pipe), "w", zipfile.ZIP_STORED, allowZip64=True
    ) as archive:
        for path in sorted(folder.rglob("*")):
            if not path.is_file() or path.is_symlink() or path.name.startswith("."):
                continue
            info = zipfile.ZipInfo.from_file(path, path.relative_to(folder.parent).as_posix())
            with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
                while piece := source.read(_PIECE):
                    target.write(piece)
                    yield pipe.taken()
    yield pipe.taken()


class _Pipe(io.RawIOBase):
    """What a zip is written into; it can't go back in it, and knows so."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        return len(data)

    def taken(self) -> bytes:
        data = bytes(self._held)
        self._held.clear()
        return data


def report_page(out: Path) -> Path | None:
    """The report's page; in Audiobookshelf's layout it lies two folders below."""
    return next(iter(sorted(out.glob("**/report.html"))), None)


def dub_listening(out: Path, title: str, url: str, seed: int) -> DubListening | None:
    """A dub's timeline from its report; None where there is none yet. `seed` is the order's."""
    try:
        report = json.loads((out / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    made = MadeDub(out, seed)
    lines = {cue: number for number, line in enumerate(made.lines) for cue in line.cues}
    names = [one.name for one in found(out)]
    sound = next((name for name in ("mix.flac", "dub.flac") if name in names), "")
    video = next((name for name in names if Path(name).suffix.lower() in _PLAYED), "")
    subtitles = next((name for name in names if name.endswith(".vtt")), "")
    return DubListening(
        title=title,
        language=report["source"]["language"],
        seconds=report["source"]["seconds"],
        verdict=report["verdict"],
        seed=seed,
        cues=[
            DubCue(
                number=cue["number"],
                text=cue["text"],
                speaker=cue["speaker"],
                start=cue["wanted_ms"] / 1000,
                end=cue["shown_until_ms"] / 1000,
                heard_start=None if cue["onset_ms"] is None else cue["onset_ms"] / 1000,
                heard_end=None if cue["end_ms"] is None else cue["end_ms"] / 1000,
                rate=cue["rate"],
                problem=cue["problem"],
                **_line(made, lines.get(cue["cue"])),
            )
            for cue in report["cues"]
        ],
        audio=_url(url, sound, inline=True) if sound else "",
        video=_url(url, video, inline=True) if video else "",
        subtitles=_url(url, subtitles, inline=True) if subtitles else "",
    )


def _line(made: MadeDub, number: int | None) -> dict[str, Any]:
    """Which line speaks a subtitle, and from which seeds it was made and shall be."""
    if number is None:
        return {"place": "", "made": 0, "seed": 0}
    line = made.lines[number]
    return {"place": f"1:{number + 1}", "made": line.made, "seed": line.seed}


def _url(url: str, name: str, inline: bool = False) -> str:
    return f"{url}/downloads/{quote(name, safe='')}" + ("?inline=true" if inline else "")
