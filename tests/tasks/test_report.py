"""The report beside an audiobook."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks.master import Loudness
from tasks.read_book import Book
from tasks.report import (
    ChapterReport,
    IncompleteTake,
    Mastering,
    Run,
    build_report,
    write_report,
)

BOOK = Book("Alice", ("L. Carroll",), "en", "urn:1", "", "1865", "", (), None, "", ())
RUN = Run("2026-01-02T03:04:05+00:00", wall_seconds=60.0, made=2, reused=3)
DELIVERED = Loudness(-19.3, 4.0, -3.6, -19.5, float("-inf"), 120.0)


def report(run: Run = RUN, **changed: Any) -> dict[str, Any]:
    how: dict[str, Any] = {
        "voice": {"name": "Eve", "hash": "ab"},
        "model": {"name": "mini", "hash": "cd"},
        "chapters": [
            ChapterReport("Down", 3, 80.0, 70.0),
            ChapterReport("Pool", 2, 40.0, 30.123456),
        ],
        "incomplete": [IncompleteTake(1, 1, "“Oh dear!”", 99.5)],
        "mastering": Mastering(-23.0, 4.0, DELIVERED),
        "warnings": ["A picture was skipped."],
    }
    return build_report(BOOK, run=run, **(how | changed))


def test_what_it_says(tmp_path: Path) -> None:
    write_report(report(), tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert read["schema"] == 1
    assert read["book"] == {
        "title": "Alice",
        "authors": ["L. Carroll"],
        "language": "en",
        "identifier": "urn:1",
    }
    assert read["voice"]["name"] == "Eve"
    assert read["totals"] == {
        "chapters": 2,
        "utterances": 5,
        "seconds": 120.0,
        "speech_seconds": 100.123,
    }
    assert read["incomplete_takes"] == [
        {"chapter": 1, "index": 1, "text": "“Oh dear!”", "start_seconds": 99.5}
    ]
    assert read["warnings"] == ["A picture was skipped."]
    assert read["run"] == {
        "started": "2026-01-02T03:04:05+00:00",
        "wall_seconds": 60.0,
        "made": 2,
        "reused": 3,
        "why": {},
        "verdicts": {},
        "real_time_factor": 0.5,
    }


def test_loudness_with_verdicts(tmp_path: Path) -> None:
    write_report(report(), tmp_path / "report.json")
    loudness = json.loads((tmp_path / "report.json").read_text())["loudness"]
    assert (loudness["before_lufs"], loudness["gain_db"]) == (-23.0, 4.0)
    assert loudness["delivered"]["integrated_lufs"] == -19.3
    assert loudness["delivered"]["noise_floor_db"] is None  # digital silence
    assert [(verdict["name"], verdict["passed"]) for verdict in loudness["verdicts"]] == [
        ("integrated_lufs", True),
        ("true_peak_dbtp", True),
        ("noise_floor_db", True),
    ]


def test_a_book_meant_to_be_quieter_is_judged_so(tmp_path: Path) -> None:
    write_report(report(mastering=Mastering(-23.0, 0.0, DELIVERED, -23.0)), tmp_path / "a.json")
    verdict = json.loads((tmp_path / "a.json").read_text())["loudness"]["verdicts"][0]
    assert (verdict["wanted"], verdict["passed"]) == ("-24 to -22", False)


def test_only_the_run_differs_between_runs(tmp_path: Path) -> None:
    write_report(report(), tmp_path / "a.json")
    write_report(report(), tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    other = report(replace(RUN, started="2027", wall_seconds=1.0, made=0, reused=5))
    assert other.pop("run") != report()["run"]
    first = report()
    del first["run"]
    assert other == first


def test_text_that_is_no_text(tmp_path: Path) -> None:
    write_report(report(warnings=["lone \ud800 surrogate"]), tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["warnings"] == ["lone ? surrogate"]


def test_an_empty_book(tmp_path: Path) -> None:
    write_report(report(chapters=[]), tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["run"]["real_time_factor"] is None
