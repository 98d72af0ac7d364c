"""Assembling a chapter: where each take lies, what is between them, and what stays whole."""

import subprocess
import sys
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from configs.errors import UserError
from tasks.assemble import HEAD_SECONDS, TAIL_SECONDS, ChapterAudio, assemble_chapter
from tasks.levels import decibels

RATE = 24_000


@dataclass(frozen=True)
class Said:
    """What assembling reads of an utterance."""

    index: int
    pause_after: float
    chapter: int = 0


def tone(seconds: float, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 220 * np.arange(round(seconds * RATE)) / RATE)).astype("f4")


def quiet(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), dtype=np.float32)


def made(path: Path, *takes: tuple[np.ndarray, float], **how: Any) -> ChapterAudio:
    chapter = how.pop("chapter", 0)
    pieces = ((Said(n, pause, chapter), take) for n, (take, pause) in enumerate(takes))
    return assemble_chapter(pieces, RATE, path, **how)


def level_db(audio: np.ndarray) -> float:
    return decibels(float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))))


def test_a_chapter_on_its_grid(tmp_path: Path) -> None:
    padded = np.concatenate([quiet(0.4), tone(1.0), quiet(0.7)])
    chapter = made(tmp_path / "a.flac", (padded, 0.5), (tone(0.5), 0.3))
    first, second = chapter.spans
    keep = round(0.03 * RATE)
    head = round(HEAD_SECONDS * RATE)
    assert (first.chapter, first.index, second.index) == (0, 0, 1)
    assert first.start == head
    assert abs((first.end - first.start) - (RATE + 2 * keep)) <= 2 * RATE // 100
    assert second.start == first.end + RATE // 2
    assert second.end - second.start == RATE // 2
    assert first.cut == pytest.approx(0.37 * RATE, abs=RATE // 100)
    assert second.cut == 0
    assert chapter.samples == second.end + round(TAIL_SECONDS * RATE)

    audio, rate = soundfile.read(tmp_path / "a.flac")
    info = soundfile.info(tmp_path / "a.flac")
    assert (rate, audio.ndim, info.subtype) == (RATE, 1, "PCM_16")
    assert audio.size == info.frames == chapter.samples
    assert chapter.seconds == audio.size / RATE
    assert level_db(audio[first.start + keep * 2 : first.end - keep * 2]) == pytest.approx(
        level_db(tone(1.0)), abs=0.1
    )


def test_room_tone_instead_of_digital_silence(tmp_path: Path) -> None:
    takes = (tone(0.5), 1.0), (tone(0.5), 0.1)
    chapter = made(tmp_path / "a.flac", *takes, room_tone=True)
    audio, _ = soundfile.read(tmp_path / "a.flac")
    first, second = chapter.spans
    for part in (audio[: first.start], audio[first.end : second.start], audio[second.end :]):
        assert level_db(part) == pytest.approx(-75, abs=1)
    assert made(tmp_path / "b.flac", *takes).spans == chapter.spans
    assert not soundfile.read(tmp_path / "b.flac")[0][: first.start].any()


def test_the_longer_of_last_pause_and_tail(tmp_path: Path) -> None:
    chapter = made(tmp_path / "a.flac", (tone(0.5), 3.5))
    assert chapter.samples - chapter.spans[-1].end == round(3.5 * RATE)


def test_takes_are_faded_so_that_nothing_clicks(tmp_path: Path) -> None:
    loud = np.full(RATE, 0.5, dtype=np.float32)
    chapter = made(tmp_path / "a.flac", (loud, 0.3))
    audio, _ = soundfile.read(tmp_path / "a.flac")
    assert np.abs(np.diff(audio)).max() < 0.01
    middle = (chapter.spans[0].start + chapter.spans[0].end) // 2
    assert audio[middle] == pytest.approx(0.5, abs=0.01)


def test_weak_consonants_at_the_ends_stay(tmp_path: Path) -> None:
    hiss = 0.01 * np.random.default_rng(0).standard_normal(RATE // 5).astype("f4")
    chapter = made(tmp_path / "a.flac", (np.concatenate([hiss, tone(0.5), hiss]), 0.3))
    assert chapter.spans[0].end - chapter.spans[0].start == RATE // 2 + 2 * hiss.size


def test_a_take_without_sound_takes_no_time(tmp_path: Path) -> None:
    chapter = made(
        tmp_path / "a.flac", (quiet(0), 0.2), (quiet(1), 0.2), (tone(0.0005), 0.2), (tone(1), 0.2)
    )
    nothing, silent, blip, _ = chapter.spans
    assert nothing.start == nothing.end
    assert silent.start == silent.end == nothing.end + round(0.2 * RATE)
    assert 0 < blip.end - blip.start <= 12


def test_the_same_pieces_make_the_same_bytes(tmp_path: Path) -> None:
    takes = [(tone(0.7), 0.3), (tone(0.4), 0.5)]
    for name in ("a", "b"):
        made(tmp_path / name, *takes, room_tone=True)
    made(tmp_path / "c", *takes, room_tone=True, chapter=1)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_loud_takes_are_limited_not_wrapped(tmp_path: Path) -> None:
    made(tmp_path / "a.flac", (tone(0.5, level=1.5), 0.3))
    audio, _ = soundfile.read(tmp_path / "a.flac")
    assert np.abs(np.diff(audio)).max() < 0.2


def test_a_failing_take_leaves_nothing(tmp_path: Path) -> None:
    for bad in (np.full(100, np.nan, dtype=np.float32), np.zeros((2, 9), dtype=np.float32)):
        with pytest.raises(ValueError, match="utterance 1 in chapter 0"):
            made(tmp_path / "a.flac", (tone(0.5), 0.3), (bad, 0.3))
    with pytest.raises(ValueError, match="without utterances"):
        made(tmp_path / "a.flac")
    assert list(tmp_path.iterdir()) == []


def test_a_long_chapter_is_not_held_in_memory(tmp_path: Path) -> None:
    take = tone(20.0)
    tracemalloc.start()
    chapter = made(tmp_path / "a.flac", *[(take, 0.3)] * 15)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < chapter.samples * 4 / 2


FULL = """
import resource, sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from configs.errors import UserError
from tasks.assemble import assemble_chapter
limit, out = int(sys.argv[1]), Path(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
noise = np.random.default_rng(0).uniform(-0.5, 0.5, 24000).astype(np.float32)
pieces = ((SimpleNamespace(chapter=0, index=n, pause_after=0.3), noise) for n in range(8))
try:
    assemble_chapter(pieces, 24000, out)
except UserError as error:
    print(error)
else:
    print("written")
"""


@pytest.mark.parametrize("limit", [0, 1_000, 20_000, 200_000])
def test_a_disk_that_takes_no_more(tmp_path: Path, root: Path, limit: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(limit), str(tmp_path / "a.flac")],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "does not allow a file as large" in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(UserError, match="is a file, not a folder"):
        made(tmp_path / "out" / "a.flac", (tone(0.5), 0.3))
