"""The page: whole, escaped, and without anything from elsewhere."""

from pathlib import Path

import numpy as np
from lxml import etree

from tasks.measure import Shape
from tasks.report import ChapterReport, IncompleteTake, plain
from tasks.report_html import Picture, page, write_page
from tests.tasks.test_report import file, report

EVIL = "<script>alert('x')</script> & \"quotes\""


def pictures(count: int = 2, tenths: int = 1000) -> list[Picture]:
    rng = np.random.default_rng(0)
    shape = Shape(rng.uniform(0, 1, tenths), rng.uniform(-60, -10, tenths))
    return [Picture(f"{EVIL} {number}", shape) for number in range(count)]


def evil_report() -> dict:
    made = report(
        chapters=[ChapterReport(EVIL, 3, 80.0, 70.0), ChapterReport("Pool", 2, 4000.0, 30.0)],
        incomplete=[IncompleteTake(1, 1, EVIL, 99.5, EVIL)],
        warnings=[EVIL],
        voice={"name": EVIL},
        model={"name": EVIL},
    )
    made["book"] |= {"title": EVIL, "authors": [EVIL]}
    return plain(made)


def test_everything_is_there_and_escaped() -> None:
    text = page(evil_report(), pictures())
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 10
    root = etree.HTML(text)
    said = " ".join(root.itertext())
    for wanted in ("Alice.m4b", "0:01:40", "1:06:40", "-19.3", "pass", "“standard”", EVIL):
        assert wanted in said
    assert len(root.findall(".//svg")) == 2


def test_nothing_is_fetched() -> None:
    text = page(evil_report(), pictures())
    for outside in ("http:", "https:", "src=", "url(", "@import", "<link"):
        assert outside not in text


def test_it_is_well_formed() -> None:
    text = page(evil_report(), pictures())
    body = text.replace("<!DOCTYPE html>", "")
    for void in ('<meta charset="utf-8">', '<meta name="viewport" content="width=device-width">'):
        body = body.replace(void, "")
    etree.fromstring(body.replace("<br>", "<br/>"))


def test_pictures_stay_small_however_long_a_chapter_is() -> None:
    short, long = (len(page(plain(report()), pictures(1, n))) for n in (3000, 72_000))
    assert long < short * 1.1
    assert long < 40_000


def test_a_chapter_without_sound_and_a_book_without_files(tmp_path: Path) -> None:
    nothing = Picture("Empty", Shape(np.zeros(0, np.float32), np.zeros(0, np.float32)))
    write_page(plain(report(files=[], incomplete=[], warnings=[])), [nothing], tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "No utterance is suspect." in text
    assert "No audio file was asked for." in text


def test_a_failed_rule_is_marked() -> None:
    assert 'class="bad"' not in page(plain(report()), [])
    bad = plain(report(files=[file("acx")]))
    bad["files"][0]["verdicts"][0]["passed"] = False
    assert "✗" in page(bad, [])
