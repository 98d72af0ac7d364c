from dataclasses import replace

import pytest

from storage.keys import content_key
from storage.runs import Run, RunLine, Runs

ONE = Run(
    id=content_key(1),
    title="A Book",
    book="book.epub",
    voice="ada",
    out="out",
    state="running",
    started=100.0,
    takes=(content_key("a"), content_key("b")),
)


def test_records_are_kept_and_replaced(tmp_path):
    runs = Runs(tmp_path / "runs")
    assert list(runs) == []
    two = replace(ONE, id=content_key(2), started=200.0, takes=(content_key("c"),))
    runs.put(ONE)
    runs.put(two)
    assert list(runs) == [two, ONE]
    assert runs.keys() == {*ONE.takes, *two.takes}
    assert runs.keys(since=150) == {*two.takes}
    finished = replace(ONE, state="finished", started=300.0)
    runs.put(finished)
    assert list(runs) == [finished, two]


def test_what_was_said_and_asked_comes_back(tmp_path):
    runs = Runs(tmp_path / "runs")
    line = RunLine(0, 1, "It rained.", content_key("a"), "s", "v", "m", "p", False)
    derived, asked = (content_key("d"),), {"book": "book.epub", "voice": ["ada"]}
    full = replace(ONE, lines=(line,), derived=derived, order=asked, out=str(tmp_path / "out"))
    runs.put(full)
    assert list(runs) == [full]
    assert runs.keys() == {*ONE.takes, *derived}
    assert runs.last(tmp_path / "out") == full
    assert runs.last(tmp_path / "other") is None


def test_a_damaged_record_is_left_out(tmp_path, caplog):
    runs = Runs(tmp_path / "runs")
    runs.put(ONE)
    (tmp_path / "runs" / f"{content_key(3)}.json").write_text('{"id": "x"}')
    assert list(runs) == [ONE]
    assert "damaged" in caplog.text


def test_a_record_needs_a_key(tmp_path):
    with pytest.raises(ValueError, match="not a content key"):
        Runs(tmp_path).put(replace(ONE, id="../x"))
