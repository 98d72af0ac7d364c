"""Packing an audiobook: read back with mutagen, with ffmpeg and box by box."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mutagen.mp4
import numpy as np
import pytest
import soundfile

from configs.errors import UserError
from tasks.chapters import clean_title, read_nero_marks, read_quicktime_marks
from tasks.cover import find_cover
from tasks.ffmpeg import run_ffmpeg
from tasks.master import Mastering, Stretch
from tasks.package import Packed, package_m4b
from tasks.read_book import Book
from tasks.tags import book_tags

RATE = 24_000
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c63f8cf50ff1f0006040280d2a3c2e50000000049454e44ae426082"
)
NASTY = ["a=b; c#d \\ e", "„Zitat“ – 第一章 😀", "-y", "[CHAPTER]", "x" * 400, "two\nlines", ""]


def book(**changed: Any) -> Book:
    return Book(
        **{
            "title": "Title; with = # \\ signs",
            "authors": ("Ann Author", "Ben Böll"),
            "language": "en",
            "identifier": "urn:isbn:978-0-306-40615-7",
            "publisher": "A Press",
            "date": "1895",
            "description": "First line.\nSecond line.",
            "chapters": (),
            "cover": PNG,
            "cover_type": "image/png",
            "warnings": (),
        }
        | changed
    )


def sound(samples: int, seed: int = 0) -> np.ndarray:
    time = np.arange(samples) / RATE
    hiss = np.random.default_rng(seed).standard_normal(samples)
    return 0.2 * np.sin(2 * np.pi * 200 * time) + 0.001 * hiss


def chapter_files(folder: Path, titles: list[str], samples: int) -> list[tuple[str, Path, int]]:
    soundfile.write(folder / "chapter.flac", sound(samples), RATE)
    return [(title, folder / "chapter.flac", samples) for title in titles]


def pack(chapters: list[tuple[str, Path, int]], out: Path, **changed: Any) -> Packed:
    given = changed.pop("book", book())
    gain_db = changed.pop("gain_db", 0.0)
    return package_m4b(
        [(title, Stretch(path, 0, samples, gain_db)) for title, path, samples in chapters],
        sample_rate=RATE,
        mastering=Mastering(-19.0, -3.0, 0.0),
        tags=book_tags(given, out.stem, "Eve", "mini 1"),
        cover=find_cover(given.cover)[0],
        out=out,
        **changed,
    )


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    pack(chapter_files(folder, NASTY, 31_111), folder / "book.m4b")
    return folder / "book.m4b"


def test_tags(packed: Path) -> None:
    tags = mutagen.mp4.MP4(packed).tags
    assert tags["©nam"] == tags["©alb"] == ["Title; with = # \\ signs"]
    assert tags["©ART"] == tags["aART"] == ["Ann Author, Ben Böll"]
    assert tags["©wrt"] == ["Eve"]
    assert tags["©gen"] == ["Audiobook"]
    assert tags["©day"] == ["1895"]
    assert tags["stik"] == [2]
    notice = (
        "The narration is synthetic: read by a computer in the voice “Eve”, made with Voxloom and "
        "the model mini 1."
    )
    assert tags["©cmt"] == [notice]
    assert tags["desc"] == [f"First line.\nSecond line.\n\n{notice}"]
    free = {key.split(":")[-1]: value[0].decode() for key, value in tags.items() if "----" in key}
    assert free == {
        "LANGUAGE": "en",
        "PUBLISHER": "A Press",
        "ISBN": "9780306406157",
        "NARRATION": "synthetic",
        "VOICE": "Eve",
        "MODEL": "mini 1",
    }
    assert bytes(tags["covr"][0]) == PNG
    assert tags["covr"][0].imageformat == mutagen.mp4.MP4Cover.FORMAT_PNG
    assert "©too" not in tags


def test_sound(packed: Path) -> None:
    info = mutagen.mp4.MP4(packed).info
    assert (info.codec, info.sample_rate, info.channels) == ("mp4a.40.2", 44_100, 1)
    assert 40_000 < info.bitrate < 96_000
    assert info.length == pytest.approx(len(NASTY) * 31_111 / RATE, abs=0.05)


def test_chapters_of_both_kinds(packed: Path) -> None:
    wanted = [
        (clean_title(title) or f"Chapter {number + 1}", number * 31_111 * 1000 // RATE)
        for number, title in enumerate(NASTY)
    ]
    quicktime = read_quicktime_marks(packed)
    assert [(mark.title, mark.start_ms) for mark in quicktime] == wanted
    assert quicktime[-1].end_ms == len(NASTY) * 31_111 * 1000 // RATE
    assert read_nero_marks(packed) == wanted
    by_mutagen = mutagen.mp4.MP4(packed).chapters
    assert [(mark.title, round(mark.start * 1000)) for mark in by_mutagen] == wanted


def test_ffmpeg_reads_the_same(packed: Path, tmp_path: Path) -> None:
    listing = tmp_path / "listing.txt"
    run_ffmpeg(["-i", str(packed), "-f", "ffmetadata", str(listing)])
    text = listing.read_text()
    assert text.count("\n[CHAPTER]\nTIMEBASE=") == len(NASTY)
    assert "title=a\\=b\\; c\\#d \\\\ e\n" in text
    assert "media_type=2\n" in text


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="no ffprobe on this machine")
def test_ffprobe_reads_the_same(packed: Path) -> None:
    show = ["-show_format", "-show_streams", "-show_chapters", "-of", "json"]
    command = ["ffprobe", "-v", "error", *show, packed]
    read = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    tags = read["format"]["tags"]
    assert (tags["major_brand"], tags["media_type"]) == ("M4B ", "2")
    assert tags["title"] == tags["album"] == "Title; with = # \\ signs"
    assert (tags["composer"], tags["NARRATION"]) == ("Eve", "synthetic")
    assert [chapter["tags"]["title"] for chapter in read["chapters"]] == [
        clean_title(title) or f"Chapter {number}" for number, title in enumerate(NASTY, 1)
    ]
    for number, chapter in enumerate(read["chapters"]):
        assert float(chapter["start_time"]) == pytest.approx(number * 31_111 / RATE, abs=0.002)
    assert [stream["disposition"]["attached_pic"] for stream in read["streams"]].count(1) == 1


def test_brand_and_fast_start(packed: Path) -> None:
    data = packed.read_bytes()
    assert data[4:12] == b"ftypM4B "
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"Lavf" not in data
    assert b"Lavc" not in data


def test_the_same_inputs_make_the_same_bytes(tmp_path: Path) -> None:
    chapters = chapter_files(tmp_path, ["One", "Two"], RATE)
    first, again = (pack(chapters, tmp_path / name) for name in ("a.m4b", "b.m4b"))
    pack(chapters, tmp_path / "c.m4b", gain_db=1.0)
    assert first.path.read_bytes() == again.path.read_bytes()
    assert first.path.read_bytes() != (tmp_path / "c.m4b").read_bytes()


def test_what_packing_reports(tmp_path: Path) -> None:
    heard: list[float] = []
    chapters = chapter_files(tmp_path, ["One", "Two"], RATE)
    result = pack(chapters, tmp_path / "a.m4b", gain_db=-6.0, on_progress=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
    assert len(heard) > 3
    assert result.seconds == pytest.approx(2.0, abs=0.001)
    assert [mark.title for mark in result.marks] == ["One", "Two"]
    assert result.measured.rms_db == pytest.approx(-23.0, abs=0.2)
    assert len(result.shape.peaks) == 20


def test_more_chapters_than_a_nero_list_holds(tmp_path: Path) -> None:
    titles = [f"Chapter {n}" for n in range(300)]
    pack(chapter_files(tmp_path, titles, 2_400), tmp_path / "a.m4b")
    marks = read_quicktime_marks(tmp_path / "a.m4b")
    assert [mark.title for mark in marks] == titles
    assert [mark.start_ms for mark in marks] == list(range(0, 30_000, 100))
    assert read_nero_marks(tmp_path / "a.m4b") == []


def test_exactly_as_many_as_it_holds(tmp_path: Path) -> None:
    pack(chapter_files(tmp_path, ["é" * 200] * 255, 2_400), tmp_path / "a.m4b")
    assert len(read_nero_marks(tmp_path / "a.m4b")) == 255


def test_empty_chapters_go_with_their_titles(tmp_path: Path) -> None:
    one, two, three = chapter_files(tmp_path, ["One", "Two", "Three"], RATE)
    pack([one, (two[0], tmp_path / "none.flac", 0), three], tmp_path / "a.m4b")
    marks = read_quicktime_marks(tmp_path / "a.m4b")
    assert [(mark.title, mark.start_ms) for mark in marks] == [("One", 0), ("Three", 1000)]
    with pytest.raises(UserError, match="nothing to pack"):
        pack([("Empty", tmp_path / "none.flac", 0)], tmp_path / "b.m4b")


def test_a_book_that_says_little_about_itself(tmp_path: Path) -> None:
    bare = book(
        title=" ", authors=(), language="", identifier="uuid:1", publisher="", date="",
        description="", cover=None,
    )  # fmt: skip
    pack(chapter_files(tmp_path, [""], RATE), tmp_path / "The Name.m4b", book=bare)
    tags = mutagen.mp4.MP4(tmp_path / "The Name.m4b").tags
    assert tags["©nam"] == ["The Name"]
    assert {"©ART", "aART", "©day", "covr"}.isdisjoint(tags)
    assert tags["----:com.apple.iTunes:IDENTIFIER"][0] == b"uuid:1"


def test_covers_of_other_kinds(tmp_path: Path) -> None:
    chapters = chapter_files(tmp_path, ["One"], RATE)
    picture = "color=red:s=40x60:d=0.1"
    for name in ("cover.gif", "cover.jpg"):
        run_ffmpeg(["-f", "lavfi", "-i", picture, "-frames:v", "1", str(tmp_path / name)])
        pack(chapters, tmp_path / "a.m4b", book=book(cover=(tmp_path / name).read_bytes()))
        cover = mutagen.mp4.MP4(tmp_path / "a.m4b").tags["covr"][0]
        assert bytes(cover).startswith(b"\x89PNG" if name == "cover.gif" else b"\xff\xd8\xff")
    pack(chapters, tmp_path / "a.m4b", book=book(cover=b"<svg/>"))
    assert "cover is left out" in find_cover(b"<svg/>")[1][0]
    assert "covr" not in mutagen.mp4.MP4(tmp_path / "a.m4b").tags


def test_a_broken_chapter_delivers_nothing(tmp_path: Path) -> None:
    one, two = chapter_files(tmp_path, ["One", "Two"], RATE)
    (tmp_path / "broken.flac").write_bytes(two[1].read_bytes()[:-500])
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=r"broken\.flac is missing or broken"):
        pack([one, ("Two", tmp_path / "broken.flac", RATE)], tmp_path / "a.m4b")
    assert sorted(tmp_path.iterdir()) == before


LIMITED = """
import resource, sys
from pathlib import Path
from configs.errors import UserError
from tests.tasks.test_package import book, pack
limit, flac, samples, out = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
given = book(cover=bytes([0xFF, 0xD8, 0xFF]) * 40_000)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    pack([("One", flac, samples)], out, book=given)
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [2_000, 20_000, 100_000])  # the last one: while tagging
def test_a_disk_that_takes_no_more(tmp_path: Path, root: Path, limit: int) -> None:
    (_, flac, samples), *_ = chapter_files(tmp_path, ["One"], 5 * RATE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.m4b").write_bytes(b"the old one")
    command = [sys.executable, "-c", LIMITED, str(limit), str(flac), str(samples)]
    done = subprocess.run(
        [*command, str(tmp_path / "out" / "a.m4b")],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "does not allow a file as large" in done.stdout
    assert done.stderr == ""
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.m4b"]
    assert (tmp_path / "out" / "a.m4b").read_bytes() == b"the old one"


def test_a_full_disk(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(small)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("needs the right to mount a small disk")
    try:
        chapters = chapter_files(tmp_path, ["One"], 30 * RATE)
        with pytest.raises(UserError, match="The disk is full"):
            pack(chapters, small / "a.m4b")
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)
