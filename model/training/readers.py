"""Folders of speech to train on: which clips they hold, where their sound is and what is said.

Three layouts are known, told from what lies in the folder:

- `manifest.jsonl`, a JSON object a line: `id`, and where they are known `text`, `language`, `book`,
  `audio` (a path in the folder), `words`, `ipa` and `dur` (see alignment.py). Sound is in files
  named `<id>.<suffix>` anywhere in the folder, or in tar archives of such files.
- LJSpeech: `metadata.csv` with lines `id|text` or `id|text|normalised text`, and `wavs/<id>.wav`.
- LibriTTS, LibriSpeech and whatever is like them: sound files at any depth, each with its text in
  `<id>.normalized.txt` or `<id>.txt` beside it, or in a `*.trans.txt` with lines `ID TEXT`. Files
  without a text are taken too, for the stages that need none.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from configs.errors import UserError

SUFFIXES = frozenset((".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif"))
LONGEST_SECONDS = 3600.0
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Utterance:
    """A clip of a folder. `row` holds what is known of it: `text`, `language`, `words` ...

    The sound is the file `path`, or `length` bytes from `offset` of it where it is in an archive.
    """

    id: str
    path: Path
    row: dict[str, Any]
    book: str = ""
    offset: int = 0
    length: int | None = None


@dataclass
class Folder:
    """What a folder holds; `skipped` are ids or files that can't be used, and why."""

    utterances: list[Utterance] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


class UnreadableError(ValueError):
    """A clip's sound can't be used; the message says why."""


def read_folder(folder: Path) -> Folder:
    """The clips of a folder in a fixed order; UserError where there are none."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: give --data a folder of recordings.")
    if (folder / "manifest.jsonl").is_file():
        found = _manifest(folder)
    elif (folder / "metadata.csv").is_file():
        found = _ljspeech(folder)
    else:
        found = _files(folder)
    if not found.utterances:
        why = next((f" ({name}: {why})" for name, why in found.skipped.items()), "")
        raise UserError(
            f"{folder} holds no clip to train on{why}: give a folder with manifest.jsonl, with "
            "metadata.csv and wavs, or with sound files and their texts beside them."
        )
    found.utterances.sort(key=lambda one: one.id)
    return found


def load_audio(one: Utterance) -> tuple[np.ndarray, int]:
    """Mono float32 (samples,) of a clip and its rate in Hz; UnreadableError where it is damaged.

    Read in pieces, so that what a header claims decides nothing about memory.
    """
    try:
        with one.path.open("rb") as file:
            source: BinaryIO = file
            if one.length is not None:
                file.seek(one.offset)
                source = io.BytesIO(file.read(one.length))
            with soundfile.SoundFile(source) as sound:
                rate = int(sound.samplerate)
                if not 8_000 <= rate <= 192_000 or sound.channels > 32:
                    raise UnreadableError(f"{rate} Hz in {sound.channels} channels")
                pieces: list[np.ndarray] = []
                samples = 0
                while len(block := sound.read(_BLOCK, dtype="float32", always_2d=True)):
                    pieces.append(block.mean(1))
                    samples += len(block)
                    if samples > LONGEST_SECONDS * rate:
                        raise UnreadableError("longer than an hour; cut it into clips")
    except soundfile.LibsndfileError as error:
        raise UnreadableError(f"not readable as sound ({error.error_string})") from error
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from error
    if samples < 0.1 * rate:
        raise UnreadableError("shorter than a tenth of a second")
    audio = np.concatenate(pieces)
    if not np.isfinite(audio).all():
        raise UnreadableError("holds values that are no numbers")
    if not audio.any():
        raise UnreadableError("holds no sound at all")
    return audio, rate


def parse_metadata(text: str) -> Iterator[tuple[int, str, str]]:
    """(line number, id, text) of LJSpeech's `metadata.csv`; id or text is "" where it is missing.

    The last column that is not empty is the text: the third one has numbers spelled out.
    """
    for number, line in enumerate(text.split("\n"), 1):
        columns = [column.strip() for column in line.split("|")]
        if any(columns):
            yield number, columns[0], next((c for c in reversed(columns[1:3]) if c), "")


def parse_transcripts(text: str) -> dict[str, str]:
    """id -> text of a LibriSpeech `*.trans.txt`. Its capitals are no names: all goes lower case."""
    found = {}
    for line in text.split("\n"):
        name, _, said = line.strip().partition(" ")
        if name and said.strip():
            found[name] = said.strip().lower() if said.isupper() else said.strip()
    return found


def parse_manifest(lines: Iterator[str]) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """(line number, row) of `manifest.jsonl`; None for a line that is no usable row."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        usable = isinstance(row, dict) and isinstance(row.get("id"), str) and row["id"]
        texts = ("text", "language", "book", "audio")
        if not usable or any(not isinstance(row.get(name, ""), str) for name in texts):
            row = None
        yield number, row


def _manifest(folder: Path) -> Folder:
    found = Folder()
    clips = _sounds(folder, found)
    root = folder.resolve()
    for number, row in parse_manifest(iter(_text(folder / "manifest.jsonl").split("\n"))):
        if row is None:
            found.skipped[f"manifest.jsonl, line {number}"] = "no object with an id"
            continue
        name = row["id"]
        clip = clips.get(name)
        if row.get("audio"):
            path = (folder / row["audio"]).resolve()
            if not path.is_relative_to(root):
                found.skipped[name] = f"{row['audio']} is outside the folder"
                continue
            clip = Utterance(name, path, {}) if path.is_file() else None
        if clip is None:
            found.skipped[name] = "its sound file is missing"
        else:
            book = row.get("book", "")
            found.utterances.append(Utterance(name, clip.path, row, book, clip.offset, clip.length))
    return _unique(found)


def _ljspeech(folder: Path) -> Folder:
    found = Folder()
    clips = _sounds(folder / "wavs" if (folder / "wavs").is_dir() else folder, found)
    for number, name, said in parse_metadata(_text(folder / "metadata.csv")):
        if not name or not said:
            found.skipped[name or f"metadata.csv, line {number}"] = "its line has no id or no text"
        elif name not in clips:
            found.skipped[name] = "its sound file is missing"
        else:
            found.utterances.append(Utterance(name, clips[name].path, {"text": said}))
    return _unique(found)


def _files(folder: Path) -> Folder:
    found = Folder()
    transcripts: dict[Path, dict[str, str]] = {}
    for name, clip in _sounds(folder, found).items():
        parent = clip.path.parent
        if parent not in transcripts:
            transcripts[parent] = {}
            for listing in sorted(parent.glob("*.trans.txt")):
                transcripts[parent] |= parse_transcripts(_text(listing))
        said = transcripts[parent].get(clip.path.stem, "")
        for suffix in (".normalized.txt", ".txt"):
            beside = parent / f"{clip.path.stem}{suffix}"
            if not said and beside.is_file():
                said = _text(beside).strip()
        row = {"text": said} if said else {}
        book = "" if parent == folder else parent.name
        found.utterances.append(Utterance(name, clip.path, row, book, clip.offset, clip.length))
    return found


def _sounds(folder: Path, found: Folder) -> dict[str, Utterance]:
    """Sound by file stem, in files at any depth and in tar archives; empty rows."""
    sounds: dict[str, Utterance] = {}

    def add(clip: Utterance) -> None:
        if clip.id in sounds:
            found.skipped[str(clip.path.name)] = f"another sound file is called {clip.id}, too"
        else:
            sounds[clip.id] = clip

    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            add(Utterance(path.stem, path, {}))
        elif path.suffix.lower() == ".tar" and path.is_file():
            try:
                with tarfile.open(path, "r:") as archive:
                    for member in archive:
                        name = Path(member.name)
                        if member.isreg() and name.suffix.lower() in SUFFIXES:
                            add(Utterance(name.stem, path, {}, "", member.offset_data, member.size))
            except (tarfile.TarError, OSError) as error:
                found.skipped[path.name] = f"damaged archive ({error})"
    return sounds


def _unique(found: Folder) -> Folder:
    first: dict[str, Utterance] = {}
    for one in found.utterances:
        if first.setdefault(one.id, one) is not one:
            found.skipped[one.id] = "listed more than once; the first line counts"
    found.utterances = list(first.values())
    return found


def _text(path: Path) -> str:
    """A text file; bytes that are not UTF-8 are replaced, so that one bad line spoils no corpus."""
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}.") from error
