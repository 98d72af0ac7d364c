"""The training corpus as two flat files: all audio as 16-bit PCM, and an index of what is said.

A corpus folder holds `manifest.jsonl` (fields as in the model card: `id`, `text`, `seconds`, and
where they are known `words`, `ipa`, `dur`) and tar archives of audio files named `<id>.<suffix>`.
Tars are slow to seek and compressed audio is slow to decode, so `prepare` unpacks a corpus once;
trainers memory-map the result.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

SAMPLE_RATE = 24_000
DURATION_UNIT_SECONDS = 0.025
HELD_OUT = "the-call-of-the-wild"
"""The book that recogniser, S1 and S2 are judged by and never trained on."""


@dataclass(frozen=True)
class Clip:
    """One utterance: `samples` of PCM from `offset` on; a copy plays `rate` times as fast."""

    id: str
    offset: int
    samples: int
    rate: float
    book: str
    row: dict


class Corpus:
    """A prepared corpus: `len`, `clips[i]` and `audio(i)`, float32 (samples,) at 24 kHz."""

    def __init__(self, folder: Path) -> None:
        with (folder / "index.jsonl").open(encoding="utf-8") as lines:
            self.clips = [Clip(**json.loads(line)) for line in lines]
        self._pcm = np.memmap(folder / "audio.i16", dtype=np.int16, mode="r")

    def __len__(self) -> int:
        return len(self.clips)

    def audio(self, index: int) -> np.ndarray:
        clip = self.clips[index]
        pcm = self._pcm[clip.offset : clip.offset + clip.samples]
        return pcm.astype(np.float32) / 32768.0


def read_tars(folder: Path) -> Iterator[tuple[str, np.ndarray, int]]:
    """Yields (id, mono float32 audio, sample rate) of the files in the folder's tars."""
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile():
                    data = archive.extractfile(member)
                    assert data is not None
                    audio, rate = soundfile.read(io.BytesIO(data.read()), dtype="float32")
                    yield Path(member.name).stem, audio.mean(1) if audio.ndim > 1 else audio, rate


def vary_rate(seed: str) -> float:
    """A playback rate clearly off 1: pitch, formants and tempo move together, a new speaker."""
    draw = random.Random(seed)
    return draw.uniform(0.84, 0.94) if draw.random() < 0.5 else draw.uniform(1.07, 1.2)


def prepare(folder: Path, out: Path, copies: int = 1) -> int:
    """Unpacks a corpus folder into `out`; with `copies` = 2 every clip gets a rate-varied copy.

    Returns the number of clips written. Peaks above 0.99 are scaled down rather than clipped.
    """
    rows = {}
    with (folder / "manifest.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            rows[row["id"]] = row
    out.mkdir(parents=True, exist_ok=True)
    offset = count = 0
    with (
        (out / "audio.i16.part").open("wb") as pcm,
        (out / "index.jsonl.part").open("w", encoding="utf-8") as index,
    ):
        for name, audio, rate in read_tars(folder):
            if name not in rows:
                continue
            for copy in range(copies):
                factor = 1.0 if copy == 0 else vary_rate(name)
                varied = soxr.resample(audio, rate * factor, SAMPLE_RATE)
                varied = varied * min(1.0, 0.99 / max(1e-9, float(np.abs(varied).max())))
                data = np.round(varied * 32767).astype(np.int16)
                pcm.write(data.tobytes())
                clip = Clip(
                    f"{name}+{copy}" if copy else name,
                    offset,
                    len(data),
                    factor,
                    rows[name].get("book", ""),
                    rows[name],
                )
                index.write(json.dumps(vars(clip), ensure_ascii=False) + "\n")
                offset += len(data)
                count += 1
    (out / "audio.i16.part").replace(out / "audio.i16")
    (out / "index.jsonl.part").replace(out / "index.jsonl")
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--copies", type=int, default=1)
    options = parser.parse_args()
    print(prepare(options.folder, options.out, options.copies), "clips")


if __name__ == "__main__":
    main()
