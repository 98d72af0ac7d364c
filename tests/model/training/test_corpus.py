"""Corpora are unpacked once into flat files."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model.training.corpus import Corpus, prepare, vary_rate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two clips and one that the manifest lacks: mono at 24 kHz, stereo at 16 kHz, too loud."""
    source = tmp_path / "corpus"
    source.mkdir()
    rows = [{"id": "a", "text": "Ä", "book": "b"}, {"id": "c", "text": "C"}]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (source / "manifest.jsonl").write_text(lines, encoding="utf-8")
    time = np.arange(24_000) / 24_000
    tone = 0.5 * np.sin(2 * np.pi * 300 * time)
    clips = {"a": (tone, 24_000), "c": (np.stack([tone * 4, tone], 1)[:16_000], 16_000)}
    with tarfile.open(source / "audio-0.tar", "w") as archive:
        for name, (audio, rate) in {**clips, "unlisted": (tone, 24_000)}.items():
            data = io.BytesIO()
            soundfile.write(data, audio, rate, format="WAV", subtype="FLOAT")
            member = tarfile.TarInfo(f"wav/{name}.wav")
            member.size = data.tell()
            data.seek(0)
            archive.addfile(member, data)
    return source


def test_clips_are_where_the_index_says(folder: Path, tmp_path: Path) -> None:
    assert prepare(folder, tmp_path / "out") == 2
    corpus = Corpus(tmp_path / "out")
    assert len(corpus) == 2
    assert [clip.id for clip in corpus.clips] == ["a", "c"]
    assert corpus.clips[0].row["text"] == "Ä"
    assert [clip.book for clip in corpus.clips] == ["b", ""]
    first, second = corpus.audio(0), corpus.audio(1)
    assert first.dtype == np.float32
    expected = 0.5 * np.sin(2 * np.pi * 300 * np.arange(24_000) / 24_000)
    assert np.abs(first - expected).max() < 1e-3
    # one second at 24 kHz, both channels' mean, scaled down instead of clipped
    assert len(second) == 24_000
    assert np.abs(second).max() == pytest.approx(0.99, abs=0.01)
    assert not list((tmp_path / "out").glob("*.part"))


def test_copies_play_at_another_rate(folder: Path, tmp_path: Path) -> None:
    assert prepare(folder, tmp_path / "out", copies=2) == 4
    corpus = Corpus(tmp_path / "out")
    assert [clip.id for clip in corpus.clips] == ["a", "a+1", "c", "c+1"]
    for plain, copy in ((0, 1), (2, 3)):
        rate = corpus.clips[copy].rate
        assert rate == vary_rate(corpus.clips[plain].id)
        assert len(corpus.audio(copy)) == pytest.approx(len(corpus.audio(plain)) / rate, abs=2)
        assert corpus.clips[copy].row == corpus.clips[plain].row


def test_varied_rates_are_clearly_off_one() -> None:
    rates = np.array([vary_rate(str(seed)) for seed in range(200)])
    assert ((rates >= 0.84) & (rates <= 1.2)).all()
    assert not ((rates > 0.94) & (rates < 1.07)).any()
    assert 60 < (rates < 1).sum() < 140
