"""Prepared data: what is kept of a folder, and what goes on after it was stopped."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from model.training.corpus import (
    Corpus,
    held_out,
    locked,
    playback_rate,
    prepare,
    stored_arrays,
    stored_rows,
)

TONE = 0.5 * np.sin(2 * np.pi * 300 * np.arange(24_000) / 24_000)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Mono at 24 kHz, stereo at 16 kHz and too loud, and a damaged file."""
    folder = tmp_path / "some data"
    folder.mkdir()
    soundfile.write(folder / "a.wav", TONE, 24_000)
    loud = np.stack([TONE * 4, TONE], 1)[:16_000]
    soundfile.write(folder / "c.wav", loud, 16_000, subtype="FLOAT")
    (folder / "b.wav").write_bytes(b"RIFF and then nothing")
    (folder / "a.txt").write_text("Ä.", encoding="utf-8")
    return folder


def test_clips_are_as_recorded(recordings: Path, tmp_path: Path) -> None:
    corpus, skipped = prepare(recordings, tmp_path / "cache")
    assert [clip.name for clip in corpus.clips] == ["a", "c"]
    assert corpus.clips[0].row == {"text": "Ä."}
    assert list(skipped) == ["b"]
    assert (corpus.recordings, corpus.total) == (3, 3)
    first, second = (corpus.audio(clip) for clip in corpus.clips)
    assert first.dtype == np.float32
    assert np.abs(first - TONE).max() < 1e-3
    # one second at 24 kHz, both channels' mean, scaled down instead of clipped
    assert len(second) == corpus.samples(corpus.clips[1]) == 24_000
    assert np.abs(second).max() == pytest.approx(0.99, abs=0.01)
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_it_is_prepared_once(recordings: Path, tmp_path: Path) -> None:
    done: list[tuple] = []
    first, skipped = prepare(recordings, tmp_path / "cache", 1, lambda *how: done.append(how))
    assert done == [("sound", 1, 3), ("sound", 2, 3), ("sound", 3, 3)]
    again, skipped_again = prepare(recordings, tmp_path / "cache", 1, lambda *how: done.append(how))
    assert len(done) == 3
    assert skipped_again == skipped
    assert again.folder == first.folder
    # with another text it is another corpus
    (recordings / "a.txt").write_text("B.", encoding="utf-8")
    other, _ = prepare(recordings, tmp_path / "cache")
    assert other.folder != first.folder
    assert other.clips[0].row == {"text": "B."}


def test_copies_play_at_another_rate(recordings: Path, tmp_path: Path) -> None:
    corpus, skipped = prepare(recordings, tmp_path / "cache", copies=2)
    assert [(clip.name, clip.number) for clip in corpus.clips] == [
        ("a", 0), ("a", 0), ("c", 2), ("c", 2),
    ]  # fmt: skip
    assert list(skipped) == ["b"]
    for plain, copy in ((0, 1), (2, 3)):
        one, other = corpus.clips[plain], corpus.clips[copy]
        assert (one.rate, other.rate) == (1.0, playback_rate(one.name, 1))
        assert corpus.samples(other) == pytest.approx(corpus.samples(one) / other.rate, abs=2)
        assert one.row == other.row


def test_rates_are_clearly_off_one() -> None:
    rates = np.array([playback_rate(str(seed), 1) for seed in range(200)])
    assert ((rates >= 0.84) & (rates <= 1.2)).all()
    assert not ((rates > 0.94) & (rates < 1.07)).any()
    assert 60 < (rates < 1).sum() < 140


def test_a_folder_of_damaged_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "b.wav").write_bytes(b"no sound")
    with pytest.raises(UserError, match="b: not readable as sound"):
        prepare(tmp_path / "data", tmp_path / "cache")


class StoppedError(Exception):
    pass


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(0, 5), min_size=1, max_size=8),
    stop=st.integers(0, 8),
    torn=st.tuples(st.integers(0, 30), st.integers(0, 20)),
)
def test_arrays_go_on_where_they_were(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], stop: int, torn: tuple[int, int]
) -> None:
    """Whatever a kill or a power cut left of the files, the result is that of one go."""
    path = tmp_path_factory.mktemp("arrays") / "numbers.i16"
    wanted = [np.full((n, 3), i, np.int16) for i, n in enumerate(lengths)]

    def stopping(index: int) -> np.ndarray:
        if index == stop:
            raise StoppedError
        return wanted[index]

    try:
        stored_arrays(path, np.int16, 3, len(wanted), stopping, lambda done: None)
    except StoppedError:
        for name, cut in zip(("numbers.i16.part", "numbers.lengths.part"), torn, strict=True):
            data = (path.parent / name).read_bytes()
            (path.parent / name).write_bytes(data[: max(0, len(data) - cut)])
    made = stored_arrays(path, np.int16, 3, len(wanted), lambda i: wanted[i], lambda done: None)
    assert len(made) == len(wanted)
    for index, array in enumerate(wanted):
        assert np.array_equal(made[index], array)
    assert not list(path.parent.glob("*.part"))


def test_rows_go_on_where_they_were(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    (tmp_path / "rows.jsonl.part").write_text('{"n": 0}\n{"n": 1}\n{"n"')
    made = []

    def make(index: int) -> dict:
        made.append(index)
        return {"n": index, "text": "Ä\u2028"}

    rows = stored_rows(path, 4, make, lambda done: None)
    assert made == [2, 3]
    assert [row["n"] for row in rows] == [0, 1, 2, 3]
    assert [json.loads(line)["n"] for line in path.read_bytes().splitlines()] == [0, 1, 2, 3]


def test_what_is_held_out(recordings: Path, tmp_path: Path) -> None:
    for number in range(18):
        (recordings / f"book{number % 2}").mkdir(exist_ok=True)
        soundfile.write(recordings / f"book{number % 2}" / f"d{number}.wav", TONE, 24_000)
    corpora: list[Corpus] = [prepare(recordings, tmp_path / "cache", copies=2)[0]]
    few = held_out(corpora, 0.1, ())
    assert len(few) == 2
    assert few < held_out(corpora, 0.5, ())
    assert len(held_out(corpora, 0.001, ())) == 1
    assert held_out(corpora, 0.1, ("book1",)) == few | {f"d{n}" for n in range(1, 18, 2)}
    with pytest.raises(UserError, match="All 20 clips are held out"):
        held_out(corpora, 0.99, ())


def test_a_folder_is_one_processes_own(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "a"),
        pytest.raises(UserError, match="Another process"),
        locked(tmp_path / "a", wait=False),
    ):
        pass
    with locked(tmp_path / "a", wait=False):
        pass
