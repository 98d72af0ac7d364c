"""The pool under fire: whatever is killed, books are finished and nothing is lost."""

import random

import pytest

from benchmarks.faults import COMPARED, Campaign, different, table, write_book

KILLS = 20


@pytest.mark.slow
def test_no_kill_loses_anything(pool_folder):
    campaign = Campaign(pool_folder, seed=1, lines=150, rtf=0.6)
    outcome = campaign.run(KILLS, (3.0, 12.0))
    told = table(outcome)
    assert len(outcome.faults) == KILLS
    assert outcome.finished == outcome.books > 0, told
    assert outcome.lost == 0, told
    assert outcome.different_files == [], told
    assert outcome.doubled <= outcome.most_doubled, told
    assert outcome.secrets_in == [], told


def test_a_book_of_a_campaign_repeats_no_line(tmp_path):
    write_book(tmp_path / "one.md", random.Random(0), 300)
    lines = [
        line
        for line in (tmp_path / "one.md").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert len(set(lines)) == 300


def test_files_that_lack_or_differ_are_named(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        for suffix in COMPARED:
            (folder / f"book{suffix}").write_bytes(b"same")
        (folder / "report.json").write_text(folder.name)
    assert different(one, other, "x") == []
    (other / "book.srt").write_bytes(b"not")
    (other / "book.m4b").unlink()
    assert different(one, other, "x") == ["x: book.m4b", "x: book.srt"]
