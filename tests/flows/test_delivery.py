"""Delivering: every kind of file, what is made again and what is not, and the report on it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mutagen
import numpy as np
import pytest
from rich.console import Console

from configs.presets import load_presets
from flows.delivery import AssembledChapter, Delivered, Narration, deliver
from flows.progress import RunProgress
from tasks.assemble import assemble_chapter
from tasks.chapters import read_quicktime_marks
from tasks.credits import OPENING, closing
from tasks.plan import Token, Utterance
from tasks.read_book import Block, Book, Chapter
from tasks.report import Run
from tests.tasks.test_package import PNG, RATE

RUN = Run("2026-01-02T03:04:05+00:00", 60.0, 2, 3)
TITLES = ("The Mill", "The Road: a/b")
BOOK = Book(
    "Small / Book", ("Ann Author",), "en", "urn:1", "", "1865", "A book.",
    tuple(Chapter(title, (Block("paragraph", "He came home."),)) for title in TITLES),
    PNG, "image/png", (),
)  # fmt: skip
EVERYTHING = ("m4b", "mp3", "opus", "flac", "srt", "vtt", "lrc", "elrc")


def utterance(chapter: int) -> Utterance:
    tokens = (Token(0, 2, "he", 2), Token(3, 7, "came", 3), Token(8, 12, "home", 3),
              Token(12, 13, "", 1))  # fmt: skip
    phones = ("HH", "IY1", "K", "EY1", "M", "HH", "OW1", "M", ".")
    return Utterance(
        chapter, 0, "He came home.", phones, "en", 0.3, "paragraph", block=0, tokens=tokens
    )


def voice(seconds: float, hertz: float) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * time)
    harmonics = sum(np.sin(2 * np.pi * hertz * n * time) / n for n in range(1, 9))
    return (0.1 * swell * harmonics).astype(np.float32)


def assembled(folder: Path, number: int, hertz: float = 140.0) -> AssembledChapter:
    said = utterance(number)
    path = folder / f"{number + 1:04d}.flac"
    audio = assemble_chapter([(said, voice(4.0, hertz))], RATE, path)
    times = np.array([(20 * n, 20 * n + 20) for n in range(9)], np.int16)
    flawed = ((said, "a word seems to be missing"),) if number == 1 else ()
    return AssembledChapter(number, audio, flawed, times={0: times})


def delivered(
    folder: Path, chapters: list[AssembledChapter], book: Book = BOOK, **output: Any
) -> tuple[Delivered, dict[str, Any]]:
    narration = Narration(
        book, Path("book.txt"), book.title,
        {one.number: [utterance(one.number)] for one in chapters}, RATE,
        {"name": "Eve", "content_hash": "ab", "prompt": ""},
        {"name": "mini 1", "content_hash": "cd"}, ("A warning.",),
    )  # fmt: skip
    preset = load_presets(output=output).output
    progress = RunProgress(Console(quiet=True), 100.0)
    made = deliver(narration, chapters, preset, folder, progress, lambda: RUN)
    return made, json.loads(made.report.read_text(encoding="utf-8"))


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_everything_is_delivered(tmp_path: Path) -> None:
    chapters = [assembled(tmp_path, number) for number in (OPENING, 0, 1, closing(BOOK))]
    out = tmp_path / "out"
    made, report = delivered(out, chapters, formats=EVERYTHING, mastering="acx")
    stems = ["01 - Opening credits", "02 - The Mill", "03 - The Road a b", "04 - Closing credits"]
    assert names(out) == {
        *(f"Small Book.{kind}" for kind in ("m4b", "srt", "vtt", "lrc", "elrc")),
        *(
            f"{folder}/{stem}.{kind}"
            for folder in ("mp3", "opus", "flac")
            for stem in stems
            for kind in (folder, "lrc", "elrc")
        ),
        "cover.png",
        "report.json",
        "report.html",
    }
    assert made.paths == tuple(out / name for name in ("Small Book.m4b", "mp3", "opus", "flac"))
    assert (made.flawed, made.failed) == (1, 0)
    assert report["verdict"] == "All audio files meet the technical specification “acx”."
    assert len(report["files"]) == len(report["run"]["files_made"]) == 13
    assert all(file["passed"] for file in report["files"])
    assert [chapter["title"] for chapter in report["chapters"]] == [
        "Opening credits", *TITLES, "Closing credits",
    ]  # fmt: skip
    (suspect,) = report["incomplete_takes"]
    assert suspect["reason"] == "a word seems to be missing"
    assert suspect["start_seconds"] == pytest.approx(2 * chapters[0].audio.seconds + 0.6)
    assert report["warnings"][0] == "A warning."
    marks = read_quicktime_marks(out / "Small Book.m4b")
    starts = np.cumsum([0.0] + [chapter.audio.seconds for chapter in chapters])
    for mark, start in zip(marks, starts, strict=False):
        assert mark.start_ms / 1000 == pytest.approx(start, abs=0.075)
    lines = (out / "mp3" / "02 - The Mill.elrc").read_text(encoding="utf-8").splitlines()
    assert lines[:3] == ["[ti:The Mill]", "[al:Small / Book]", "[ar:Ann Author]"]
    assert lines[-1] == ("[00:00.60] <00:00.60> He <00:01.40> came <00:02.60> home. <00:03.80>")
    assert "<00:00:08.000>came" in (out / "Small Book.vtt").read_text(encoding="utf-8")
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4
    assert "a word seems to be missing" in page


def test_only_what_changed_is_written_again(tmp_path: Path) -> None:
    chapters = [assembled(tmp_path, number) for number in (0, 1)]
    out = tmp_path / "out"
    how = {"formats": ("m4b", "mp3", "lrc"), "mastering": "none"}
    delivered(out, chapters, **how)
    first = {name: (out / name).read_bytes() for name in names(out)}
    _, report = delivered(out, chapters, **how)
    assert report["run"]["files_made"] == []
    assert {name: (out / name).read_bytes() for name in names(out)}.keys() == first.keys()
    assert (out / "report.html").read_bytes() == first["report.html"]

    named = [replace(chapter, key=chapter.audio.path.name) for chapter in chapters]
    _, report = delivered(out, named, **how)
    assert len(report["run"]["files_made"]) == 3
    _, report = delivered(out, named, **how)
    assert report["run"]["files_made"] == []

    delivered(out, chapters, **how)
    chapters[1] = assembled(tmp_path, 1, hertz=150.0)
    _, report = delivered(out, chapters, **how)
    road = "mp3/02 - The Road a b.mp3"
    assert report["run"]["files_made"] == ["Small Book.m4b", road]
    assert (out / road).read_bytes() != first[road]

    mill = "mp3/01 - The Mill.mp3"
    (out / mill).write_bytes(b"damaged")
    _, report = delivered(out, chapters, **how)
    assert report["run"]["files_made"] == [mill]
    assert (out / mill).read_bytes() == first[mill]

    renamed = replace(BOOK, chapters=(replace(BOOK.chapters[0], title="Water"), BOOK.chapters[1]))
    own = out / "mp3" / "mine.mp3"
    own.write_bytes(b"the user's")
    _, report = delivered(out, chapters, renamed, **how)
    assert report["run"]["files_made"] == ["Small Book.m4b", "mp3/01 - Water.mp3"]
    assert {path.name for path in (out / "mp3").iterdir()} == {
        "01 - Water.mp3", "01 - Water.lrc", "02 - The Road a b.mp3", "02 - The Road a b.lrc",
        "mine.mp3",
    }  # fmt: skip
    before = names(out)
    _, report = delivered(out, chapters, renamed, formats=("flac",), mastering="none")
    assert before < names(out), "other formats stay"


def test_audiobookshelf(tmp_path: Path) -> None:
    chapters = [assembled(tmp_path, number) for number in (0, 1)]
    how = {"formats": ("mp3", "vtt"), "layout": "audiobookshelf"}
    made, _ = delivered(tmp_path / "out", chapters, **how)
    folder = tmp_path / "out" / "Ann Author" / "1865 - Small Book {Eve}"
    assert made.paths == (folder,)
    assert names(tmp_path / "out") == {
        (folder / name).relative_to(tmp_path / "out").as_posix()
        for name in (
            "01 - The Mill.mp3", "02 - The Road a b.mp3", "Small Book.vtt", "cover.png",
            "metadata.json", "desc.txt", "reader.txt", "report.json", "report.html",
        )
    }  # fmt: skip
    metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    assert metadata["chapters"][1]["start"] == pytest.approx(
        mutagen.File(folder / "01 - The Mill.mp3").info.length, abs=0.1
    )


def test_text_alone(tmp_path: Path) -> None:
    made, report = delivered(tmp_path / "out", [assembled(tmp_path, 0)], formats=("srt", "lrc"))
    assert made.paths == ()
    assert names(tmp_path / "out") == {
        "Small Book.srt", "Small Book.lrc", "cover.png", "report.json", "report.html",
    }  # fmt: skip
    assert report["files"] == []
