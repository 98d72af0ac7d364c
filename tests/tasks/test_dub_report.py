"""The report of a dub says what was measured, in JSON and as a page that hides nothing."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dub_measure import Bar, DubMeasured, HeardCue
from tasks.dub_report import DubFile, DubSource, build_dub_report, summary
from tasks.dub_report_html import dub_page, write_dub_page
from tasks.dub_types import Repair, SubtitleCue, Subtitles
from tasks.report import Run, write_report

GOOD = Bar("onset_error_p50_ms", 3.25, "ms", "at most 15", True, True)
BAD = Bar("overlaps", 2.0, "places", "0", False, False)


def heard(index, start, speaker="Emo", text="Watch out!", **changes):
    cue = HeardCue(
        *(index, index + 1, speaker, text),
        *(start, start + 1500.0, start + 2.0, start + 1200.0),
        *(2.0, 0.0, 1.1, 1.05, -23.4, ""),
    )
    return replace(cue, **changes)


CUES = (
    heard(0, 1000.0),
    heard(1, 58_500.0, "Proog", problem="is spoken 1.31 times as fast", rate=1.31),
    heard(2, 3_700_000.0, "", onset_ms=None, end_ms=None, error_ms=None, problem="is not heard"),
)
MEASURED = DubMeasured(
    CUES, ((59_000.0, 59_400.0),), 0.2, (-0.4, 0.9), 0.81, 0.9, -23.1, 4_800_000, (GOOD, BAD)
)


def subtitles(text="[squawk]"):
    cues = tuple(
        SubtitleCue(cue.cue, int(cue.wanted_ms), int(cue.shown_until_ms), cue.text, cue.text)
        for cue in CUES
    )
    skipped = SubtitleCue(3, 3_800_000, 3_801_000, "", text, number=4, why="a sound")
    return Subtitles((*cues, skipped), (Repair(2, 7, "a blank line was missing"),), "srt", "gbk")


def report(measured=MEASURED, text="[squawk]", warnings=("Cast: nobody is named Bob.",)):
    return build_dub_report(
        DubSource("film.srt", "film.mp4", "en", 100.0),
        subtitles(text),
        "dub",
        {"": {"name": "ada"}, "Proog": {"name": "bert"}},
        {"name": "built-in"},
        measured,
        [DubFile("dub.flac", "all voices", 100.0, "0" * 64, -23.1, float("-inf"))],
        warnings,
        Run("2026-01-01T00:00:00+00:00", 12.0, 3, 0),
    )


def test_json_holds_every_number_and_all_that_was_repaired(tmp_path):
    write_report(report(), tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert read["passed"] is False
    assert [bar["name"] for bar in read["bars"]] == ["onset_error_p50_ms", "overlaps"]
    assert read["cues"][0]["error_ms"] == 2.0 and read["cues"][2]["onset_ms"] is None
    assert read["totals"] | {"cues": 4, "cues_with_speech": 3, "cues_heard": 2} == read["totals"]
    assert read["totals"]["speech_seconds"] == pytest.approx(2.396)
    assert read["repairs"] == [{"number": 2, "line": 7, "what": "a blank line was missing"}]
    assert read["skipped"][0]["why"] == "a sound"
    assert read["files"][0]["true_peak_db"] is None
    assert read["overlaps"] == [[59_000.0, 59_400.0]]


def test_a_sentence_tells_all():
    assert summary(MEASURED) == "1 of 2 bars are not met; 2 cues are worth listening to."
    good = replace(MEASURED, cues=CUES[:1], bars=(GOOD,))
    assert summary(good) == "All 1 bars are met, 1 with room to spare."
    assert summary(replace(MEASURED, cues=(), bars=())) == "Nothing was to be spoken."


def test_the_page_shows_cues_speech_and_what_is_wrong():
    page = dub_page(report())
    root = ElementTree.fromstring(
        page.replace("<!DOCTYPE html>", "")
        .replace('<meta charset="utf-8">', "")
        .replace('<meta name="viewport" content="width=device-width">', "")
    )
    pictures = [svg for svg in root.iter("svg") if svg.get("aria-label", "").startswith("Sub")]
    # Minute 0, minute 0 into 1, and an hour later; empty minutes have no picture.
    assert len(pictures) == 3
    first = [box.get("class") for box in pictures[0].iter("rect")]
    assert (first.count("cue"), first.count("said"), first.count("told")) == (2, 1, 1)
    assert first.count("over") == 1
    assert [box.get("class") for box in pictures[2].iter("rect")] == ["cue", "unheard"]
    said = next(box for box in pictures[0].iter("rect") if box.get("class") == "said")
    assert float(said.get("x")) == pytest.approx(110 + 1000 * 1002 / 60_000, abs=0.1)
    text = "".join(root.itertext())
    for wanted in (
        "is spoken 1.31 times as fast",
        "a blank line was missing",
        "a sound",
        "bert",
        "nobody is named Bob",
        "fail ✗",
        "0:00:59 (400 ms)",
        "81 % has both",
    ):
        assert wanted in text


@given(st.text(max_size=60))
def test_nothing_of_a_file_becomes_markup(text):
    cue = heard(0, 1000.0, speaker=f"<script>{text}", text=f"<b>{text}\"'", problem=f"<i>{text}")
    page = dub_page(report(replace(MEASURED, cues=(cue,)), f"<img {text}", (f"<a>{text}",)))
    for tag in ("<script", "<b>", "<i>", "<img", "<a>"):
        assert tag not in page


def test_a_dub_without_speech_has_a_page(tmp_path):
    empty = DubMeasured((), (), None, None, None, None, float("-inf"), 0, ())
    write_dub_page(report(empty), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Nothing was to be spoken." in page and "<svg" not in page.split("<h2>Onsets")[0]
