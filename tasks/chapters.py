"""Chapter marks of an audiobook: made from sample counts, written, and read back from MP4."""

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

# A Nero chapter list counts its entries and the bytes of each title in one byte.
MAX_NERO_CHAPTERS = 255
MAX_TITLE_BYTES = 255

_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"udta", b"tref"}


@dataclass(frozen=True)
class Mark:
    """A chapter's title and its bounds in milliseconds from the beginning of the book."""

    title: str
    start_ms: int
    end_ms: int


def chapter_marks(chapters: Sequence[tuple[str, int]], sample_rate: int) -> list[Mark]:
    """Marks for `(title, samples)`; without gaps, from 0; chapters without samples are left out.

    Each bound is the sum of all samples before it, rounded down once: rounded lengths would drift
    when summed.
    """
    heard = [(title, samples) for title, samples in chapters if samples > 0]
    bounds = list(accumulate((samples for _, samples in heard), initial=0))
    bounds_ms = [bound * 1000 // sample_rate for bound in bounds]
    return [
        Mark(clean_title(title) or f"Chapter {number}", start, max(end, start + 1))
        for number, ((title, _), start, end) in enumerate(
            zip(heard, bounds_ms, bounds_ms[1:], strict=False), 1
        )
    ]


def clean_title(title: str) -> str:
    """The title on one line, without control characters, at most 255 bytes of UTF-8."""
    printable = "".join(" " if ord(char) < 32 or ord(char) == 127 else char for char in title)
    line = " ".join(printable.encode(errors="ignore").decode().split())
    if len(line.encode()) <= MAX_TITLE_BYTES:
        return line
    # Room for the ellipsis (3 bytes); `ignore` drops a character that the cut went through.
    return line.encode()[: MAX_TITLE_BYTES - 3].decode(errors="ignore").rstrip() + "…"


def ffmetadata(marks: Sequence[Mark]) -> str:
    """The marks as an ffmetadata file, ffmpeg's way to be told of chapters."""
    lines = [";FFMETADATA1"]
    for mark in marks:
        lines += [
            "[CHAPTER]",
            "TIMEBASE=1/1000",
            f"START={mark.start_ms}",
            f"END={mark.end_ms}",
            f"title={escape_ffmetadata(mark.title)}",
        ]
    return "\n".join(lines) + "\n"


def escape_ffmetadata(value: str) -> str:
    """A backslash before `= ; # \\` and before a real line end."""
    return re.sub(r"([=;#\\\n])", r"\\\1", value)


def read_quicktime_marks(path: Path) -> list[Mark]:
    """The marks of the QuickTime text track that the sound track refers to; [] without one."""
    with path.open("rb") as file:
        tracks = [_Track(body) for kind, body in _boxes(_moov(path)) if kind == b"trak"]
        wanted = {number for track in tracks for number in track.chapter_tracks}
        for track in tracks:
            if track.number in wanted:
                texts = []
                for offset, size in track.sample_places():
                    file.seek(offset)
                    sample = file.read(size)
                    length = int.from_bytes(sample[:2], "big")
                    texts.append(sample[2 : 2 + length].decode(errors="replace"))
                bounds = list(accumulate(track.sample_durations(), initial=0))
                ms = [round(bound * 1000 / track.timescale) for bound in bounds]
                return [
                    Mark(text, start, end)
                    for text, start, end in zip(texts, ms, ms[1:], strict=False)
                ]
    return []


def read_nero_marks(path: Path) -> list[tuple[str, int]]:
    """(title, start in ms) of the Nero chapter list; [] without one."""
    for kind, body in _boxes(_moov(path)):
        if kind == b"udta":
            for inner, data in _boxes(body):
                if inner == b"chpl":
                    return list(_nero_entries(data))
    return []


def _nero_entries(data: bytes) -> Iterator[tuple[str, int]]:
    # version and flags (4), reserved (4), count (1); each entry: start in 100 ns (8), length (1)
    position = 9
    for _ in range(data[8]):
        start, length = struct.unpack_from(">QB", data, position)
        position += 9
        yield data[position : position + length].decode(errors="replace"), round(start / 10_000)
        position += length


class _Track:
    """What is needed of a `trak` box: ISO/IEC 14496-12, 8.3 to 8.7."""

    def __init__(self, body: bytes) -> None:
        self._boxes = dict(_walk(body))
        header = self._boxes[b"tkhd"]
        self.number = int.from_bytes(header[20:24] if header[0] else header[12:16], "big")
        media = self._boxes[b"mdhd"]
        self.timescale = int.from_bytes(media[20:24] if media[0] else media[12:16], "big")
        self.chapter_tracks = [
            n for (n,) in struct.iter_unpack(">I", self._boxes.get(b"chap", b""))
        ]

    def sample_durations(self) -> list[int]:
        pairs = struct.iter_unpack(">II", self._boxes[b"stts"][8:])
        return [duration for count, duration in pairs for _ in range(count)]

    def sample_places(self) -> Iterator[tuple[int, int]]:
        """(offset, size) of each sample."""
        sizes = iter(self._sizes())
        if b"co64" in self._boxes:
            offsets = _integers(self._boxes[b"co64"][8:], ">Q")
        else:
            offsets = _integers(self._boxes[b"stco"][8:])
        runs = list(struct.iter_unpack(">III", self._boxes[b"stsc"][8:]))
        for chunk, offset in enumerate(offsets, 1):
            per_chunk = [count for first, count, _ in runs if first <= chunk][-1]
            for _ in range(per_chunk):
                size = next(sizes)
                yield offset, size
                offset += size

    def _sizes(self) -> list[int]:
        box = self._boxes[b"stsz"]
        size, count = struct.unpack_from(">II", box, 4)
        if size:
            return [size] * count
        return _integers(box[12:])


def _integers(data: bytes, layout: str = ">I") -> list[int]:
    return [number for (number,) in struct.iter_unpack(layout, data)]


def _moov(path: Path) -> bytes:
    """The body of the file's `moov` box; the sound itself is skipped over."""
    with path.open("rb") as file:
        while len(header := file.read(8)) == 8:
            size, kind = struct.unpack(">I4s", header)
            read = 8
            if size == 1:
                size, read = int.from_bytes(file.read(8), "big"), 16
            if size < read:
                break
            if kind == b"moov":
                return file.read(size - read)
            file.seek(size - read, 1)
    return b""


def _boxes(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + 8 <= len(body):
        size, kind = struct.unpack_from(">I4s", body, position)
        if size < 8:
            return
        yield kind, body[position + 8 : position + size]
        position += size


def _walk(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """All boxes of a track, those inside containers too."""
    for kind, inner in _boxes(body):
        if kind in _CONTAINERS:
            yield from _walk(inner)
        else:
            yield kind, inner
