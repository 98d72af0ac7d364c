"""The report beside an audiobook."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks.master import BookLevel, Mastering
from tasks.measure import Measured
from tasks.read_book import Book
from tasks.report import (
    ChapterReport,
    FileReport,
    IncompleteTake,
    Mastered,
    Run,
    build_report,
    delivered_before,
    summary,
    write_report,
)
from tasks.verdicts import verdicts

BOOK = Book("Alice", ("L. Carroll",), "en", "urn:1", "", "1865", "", (), None, "", ())
RUN = Run("2026-01-02T03:04:05+00:00", wall_seconds=60.0, made=2, reused=3)
DELIVERED = Measured(
    -19.3, 4.0, -3.6, -3.7, -19.5, float("-inf"), 0.6, 2.0, 120.0, 44_100, 1, 64.0, False
)
STANDARD = Mastering(-19.0, -3.0, 2.0)
LEVEL = BookLevel(-23.0, 4.0, (0.5, -0.5))


def file(preset: str = "standard", mastering: Mastering = STANDARD) -> FileReport:
    found = verdicts(DELIVERED, preset, mastering, "m4b")
    return FileReport("Alice.m4b", "m4b", "Alice", None, "k" * 64, "s" * 64, DELIVERED, found)


def report(run: Run = RUN, **changed: Any) -> dict[str, Any]:
    how: dict[str, Any] = {
        "voice": {"name": "Eve", "hash": "ab"},
        "model": {"name": "mini", "hash": "cd"},
        "chapters": [
            ChapterReport("Down", 3, 80.0, 70.0),
            ChapterReport("Pool", 2, 40.0, 30.123456),
        ],
        "incomplete": [IncompleteTake(1, 1, "“Oh dear!”", 99.5, "silent")],
        "mastered": Mastered("standard", -19.0, -3.0, LEVEL),
        "files": [file()],
        "files_made": ["Alice.m4b"],
        "warnings": ["A picture was skipped."],
    }
    return build_report(BOOK, run=run, **(how | changed))


def test_what_it_says(tmp_path: Path) -> None:
    write_report(report(), tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert read["schema"] == 2
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
        {
            "chapter": 1,
            "index": 1,
            "text": "“Oh dear!”",
            "start_seconds": 99.5,
            "reason": "silent",
        }
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
        "files_made": ["Alice.m4b"],
    }


def test_mastering_and_files_with_verdicts(tmp_path: Path) -> None:
    write_report(report(), tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text())
    assert read["mastering"] == {
        "preset": "standard",
        "target_lufs": -19.0,
        "peak_db": -3.0,
        "before_lufs": -23.0,
        "gain_db": 4.0,
        "trims_db": [0.5, -0.5],
    }
    (one,) = read["files"]
    assert one["measured"]["integrated_lufs"] == -19.3
    assert one["measured"]["noise_floor_db"] is None  # digital silence
    assert [(verdict["name"], verdict["passed"]) for verdict in one["verdicts"]] == [
        ("integrated_lufs", True),
        ("true_peak_dbtp", True),
        ("noise_floor_db", True),
    ]
    assert one["passed"]
    assert read["verdict"] == "All audio files meet the specification “standard”."


def test_a_book_meant_to_be_quieter_is_judged_so() -> None:
    quiet = file("ebu", Mastering(-23.0, -1.0, 2.0))
    assert (quiet.verdicts[0].wanted, quiet.verdicts[0].passed) == ("-24 to -22", False)
    assert summary("ebu", [file(), quiet]).startswith("1 of 2 audio files do not meet")


def test_a_specification_is_met_and_nothing_is_promised() -> None:
    one = file("acx")
    assert "wants MP3 files" in summary("acx", [one])
    assert summary("acx", [replace(one, format="mp3")]).endswith("technical specification “acx”.")
    assert "accepted" not in summary("acx", [one])


def test_an_earlier_report_says_what_lies_there(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    assert delivered_before(path) == {}
    outside = [replace(file(), path=path) for path in ("../a.m4b", "/etc/passwd", "a/../../b")]
    write_report(report(files=[file(), *outside]), path)
    assert delivered_before(path) == {"Alice.m4b": ("k" * 64, "s" * 64)}
    for damage in ("[]", "{", '{"files": [3]}', '{"files": 3}'):
        path.write_text(damage)
        assert delivered_before(path) == {}


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
