"""Prepared data: what the trainers read, made once from folders of recordings.

Sound files are slow to find and to decode, so `prepare` unpacks a folder into one flat file of
16-bit PCM at 24 kHz, and what is computed from clips (features, tokens, phone times) is kept beside
it. All of it is written item by item into `*.part` files that are renamed when they are complete: a
preparation that was killed goes on where it was.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import soxr

from configs.errors import UserError
from model.training.readers import UnreadableError, Utterance, load_audio, read_folder

SAMPLE_RATE = 24_000
FORMAT = "1"
"""Part of the names of prepared folders: changes when they hold something else."""

OnDone = Callable[[str, int, int], None]
"""Called with what is being prepared, how many items of it are done, and how many there are."""


def tell_nobody(what: str, done: int, total: int) -> None:
    """An `OnDone` for when nobody wants to know."""


class Arrays:
    """Arrays of one width, one after the other in a file: `len`, and `[i]` -> (length, width), or
    (length,) for a width of 1."""

    def __init__(self, path: Path, dtype: type, width: int) -> None:
        self.lengths = np.fromfile(path.with_suffix(".lengths"), np.int64)
        self._ends = np.cumsum(self.lengths)
        self._width = width
        # an empty file can't be mapped
        empty = not self.lengths.any()
        self._data = np.zeros(0, dtype) if empty else np.memmap(path, dtype=dtype, mode="r")

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> np.ndarray:
        stop, start = int(self._ends[index]), int(self._ends[index] - self.lengths[index])
        data = self._data[start * self._width : stop * self._width]
        return data if self._width == 1 else data.reshape(-1, self._width)


def stored_arrays(
    path: Path,
    dtype: type,
    width: int,
    count: int,
    make: Callable[[int], np.ndarray],
    on_done: Callable[[int], None],
) -> Arrays:
    """The arrays in `path`, made by `make(index)` where they are not there yet.

    Resumes a preparation that was stopped: data go first, their length second.
    """
    lengths = path.with_suffix(".lengths")
    if not (path.exists() and lengths.exists()):
        data_part, lengths_part = _part(path), _part(lengths)
        size = np.dtype(dtype).itemsize * width
        data_part.touch()
        lengths_part.touch()
        written = np.frombuffer((raw := lengths_part.read_bytes())[: len(raw) // 8 * 8], np.int64)
        done = int(np.searchsorted(np.cumsum(written) * size, data_part.stat().st_size, "right"))
        with data_part.open("r+b") as data_file, lengths_part.open("r+b") as lengths_file:
            data_file.truncate(int(written[:done].sum()) * size)
            data_file.seek(0, os.SEEK_END)
            lengths_file.truncate(done * 8)
            lengths_file.seek(0, os.SEEK_END)
            for index in range(done, count):
                array: np.ndarray = np.ascontiguousarray(make(index), dtype)
                data_file.write(array.tobytes())
                data_file.flush()
                lengths_file.write(np.int64(len(array)).tobytes())
                lengths_file.flush()
                on_done(index + 1)
            _sync(data_file)
            _sync(lengths_file)
        data_part.replace(path)
        lengths_part.replace(lengths)
    return Arrays(path, dtype, width)


def stored_rows(
    path: Path, count: int, make: Callable[[int], dict], on_done: Callable[[int], None]
) -> list[dict]:
    """The JSON objects in `path`, one a line, made by `make(index)` where they are not there."""
    if not path.exists():
        part = _part(path)
        part.touch()
        whole = part.read_bytes()
        whole = whole[: whole.rfind(b"\n") + 1]
        done = whole.count(b"\n")
        with part.open("r+b") as file:
            file.truncate(len(whole))
            file.seek(0, os.SEEK_END)
            for index in range(done, count):
                file.write(json.dumps(make(index), ensure_ascii=False).encode() + b"\n")
                file.flush()
                on_done(index + 1)
            _sync(file)
        part.replace(path)
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@dataclass(frozen=True)
class Clip:
    """One utterance of a prepared folder; a copy plays `rate` times as fast as the recording.

    `name` is the recording's id and `number` its place in the folder, both the same for copies;
    `index` is the clip's own place. `row` is what the folder says of it (see readers.py).
    """

    index: int
    name: str
    number: int
    rate: float
    book: str
    row: dict[str, Any]


class Corpus:
    """A prepared folder: `clips`, those that have sound, and `audio(clip)`, float32 (samples,) at
    24 kHz. `total` counts the clips with those that have none, `recordings` without copies."""

    def __init__(self, folder: Path, audio: Arrays, rows: list[dict], copies: int) -> None:
        self.folder, self._audio, self.copies = folder, audio, copies
        every = [
            Clip(i, row["id"], i // copies, row["rate"], row["book"], row["row"])
            for i, row in enumerate(rows)
        ]
        self.total, self.recordings = len(every), len(every) // copies
        self.clips = [clip for clip in every if audio.lengths[clip.index]]

    def audio(self, clip: Clip) -> np.ndarray:
        return self._audio[clip.index].astype(np.float32) / 32767.0

    def samples(self, clip: Clip) -> int:
        return int(self._audio.lengths[clip.index])


def prepare(
    folder: Path, cache: Path, copies: int = 1, on_done: OnDone = tell_nobody
) -> tuple[Corpus, dict[str, str]]:
    """Unpacks a folder below `cache`, or finds it there -> the corpus, and why clips are left out.

    With `copies` = 2 every clip gets a copy at another playback rate. Peaks above 0.99 are scaled
    down rather than clipped. Raises UserError for a folder without a usable clip.
    """
    found = read_folder(folder)
    out = cache / f"{folder.resolve().name}-{_fingerprint(folder, found.utterances, copies)}"
    with locked(out):
        skipped = dict(found.skipped)

        def make(index: int) -> np.ndarray:
            one = found.utterances[index // copies]
            try:
                return _pcm(one, playback_rate(one.id, index % copies))
            except UnreadableError as error:
                if index % copies == 0:
                    with (out / "damaged.jsonl").open("a", encoding="utf-8") as file:
                        file.write(json.dumps([one.id, str(error)]) + "\n")
                return np.zeros(0, np.int16)

        count = len(found.utterances) * copies
        audio = stored_arrays(
            out / "audio.i16", np.int16, 1, count, make, lambda done: on_done("sound", done, count)
        )

        def row(index: int) -> dict:
            one = found.utterances[index // copies]
            rate = playback_rate(one.id, index % copies)
            return {"id": one.id, "rate": rate, "book": one.book, "row": one.row}

        rows = stored_rows(out / "index.jsonl", count, row, lambda done: None)
        if (out / "damaged.jsonl").exists():
            with (out / "damaged.jsonl").open(encoding="utf-8") as lines:
                skipped |= dict(json.loads(line) for line in lines)
    corpus = Corpus(out, audio, rows, copies)
    if not corpus.clips:
        name, why = next(iter(skipped.items()))
        raise UserError(f"No sound file in {folder} can be read; the first is {name}: {why}.")
    return corpus, skipped


def held_out(corpora: list[Corpus], share: float, books: tuple[str, ...]) -> set[str]:
    """Names of the recordings that judge: those of the books, and a share of all, one at least.

    Chosen by their names' hashes, so that the same data are always divided in the same way. Raises
    UserError where nothing is left to train on.
    """
    names = sorted({clip.name for corpus in corpora for clip in corpus.clips}, key=_hash)
    chosen = {clip.name for corpus in corpora for clip in corpus.clips if clip.book in books}
    chosen |= set(names[: max(1, round(share * len(names)))])
    if len(chosen) == len(names):
        raise UserError(
            f"All {len(names)} clips are held out, none is left to train on: give more data, or "
            "change held_out."
        )
    return chosen


def playback_rate(name: str, copy: int) -> float:
    """1 for the recording itself; for a copy a rate clearly off 1: pitch, formants and tempo move
    together, which is another speaker."""
    if copy == 0:
        return 1.0
    # the first copy is drawn by the bare name, as the built-in voice's was
    draw = random.Random(name if copy == 1 else f"{name}+{copy}")
    return draw.uniform(0.84, 0.94) if draw.random() < 0.5 else draw.uniform(1.07, 1.2)


@contextmanager
def locked(folder: Path, wait: bool = True) -> Iterator[None]:
    """Holds a folder, which is made, for this process alone; where `wait` is False, UserError if
    another one has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise UserError(f"Another process is at work in {folder}: wait, or stop it.") from error
        yield


def _pcm(one: Utterance, rate: float) -> np.ndarray:
    audio, source = load_audio(one)
    varied = soxr.resample(audio, source * rate, SAMPLE_RATE)
    varied = varied * min(1.0, 0.99 / max(1e-9, float(np.abs(varied).max())))
    return np.round(varied * 32767).astype(np.int16)


def _fingerprint(folder: Path, utterances: list[Utterance], copies: int) -> str:
    """Of all that decides what is prepared, the files by size and time."""
    digest = hashlib.sha256(f"{FORMAT} {folder.resolve()} {copies}".encode())
    stats: dict[Path, tuple[int, int]] = {}
    for one in utterances:
        if one.path not in stats:
            status = one.path.stat()
            stats[one.path] = status.st_size, status.st_mtime_ns
        what = (one.id, one.offset, one.length, one.book, one.row, stats[one.path])
        digest.update(json.dumps(what, sort_keys=True).encode())
    return digest.hexdigest()[:10]


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
