"""The pool under fire: whatever is killed, books are finished and nothing is lost."""

import os
import random
import subprocess
import sys

import pytest

from benchmarks.faults import COMPARED, FAKE, Campaign, different, table, write_book
from benchmarks.topology import ROOT

KILLS, BOOKS = 20, 2


@pytest.mark.slow
def test_no_kill_loses_anything(pool_folder):
    campaign = Campaign(pool_folder, seed=1, lines=150, rtf=0.6, books=BOOKS)
    outcome = campaign.run(KILLS, (3.0, 12.0))
    told = table(outcome)
    assert len(outcome.faults) == KILLS
    assert outcome.finished == outcome.books >= BOOKS, told
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


CALLED = """
from configs.settings import load_settings
from flows.work import engine_of
from model.sampling import Sampling
from model.speaking import Request
from tasks.engines import BUILT_IN

engine = engine_of(BUILT_IN)(load_settings())
print(engine.content_hash, engine.render([Request(("HH", "AY1"), 1)], None, Sampling())[0].complete)
"""


def test_the_fake_voice_stands_in_for_the_model(tmp_path):
    home = {"VOXLOOM_HOME": str(tmp_path), "FAKE_LOG": str(tmp_path / "spoken.log")}
    done = subprocess.run(
        [sys.executable, "-c", CALLED],
        env=os.environ | home | {"PYTHONPATH": f"{FAKE}{os.pathsep}{ROOT}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split()[1:] == ["True"], done.stderr
    assert (tmp_path / "spoken.log").read_text().startswith("line ")
