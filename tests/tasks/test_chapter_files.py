"""Folders of chapters: tags read back by mutagen and ffmpeg, bit rates frame by frame, parts."""

import base64
import json
import shutil
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import mutagen.flac
import mutagen.id3
import mutagen.mp3
import mutagen.oggopus
import pytest
import soundfile

from configs.errors import UserError
from tasks.assemble import HEAD_SECONDS, TAIL_SECONDS, ChapterAudio, Span
from tasks.chapter_files import ChapterFile, package_chapter, plan_files
from tasks.cover import Cover
from tasks.ffmpeg import run_ffmpeg
from tasks.master import Mastering
from tasks.measure import mp3_kbits
from tasks.package import Packed
from tasks.tags import book_tags
from tests.tasks.test_package import PNG, RATE, book, sound

NOTICE = (
    "The narration is synthetic: read by a computer in the voice “Eve”, made with Voxloom and the "
    "model mini 1."
)


def chapter(folder: Path, samples: int = 3 * RATE) -> ChapterAudio:
    soundfile.write(folder / "chapter.flac", sound(samples), RATE)
    return ChapterAudio(folder / "chapter.flac", samples, RATE, (Span(0, 0, 0, samples),))


def packed(folder: Path, kind: str, **changed: Any) -> Packed:
    audio = chapter(folder)
    titles = ["One: Größe / 第一章", ""]
    first, _ = plan_files([(n, title, audio, -6.0) for n, title in enumerate(titles)])
    how = {
        "sample_rate": RATE,
        "mastering": Mastering(-19.0, -3.0, 0.0),
        "tags": book_tags(book(), "x", "Eve", "mini 1"),
        "cover": Cover(PNG, "image/png"),
        "out": folder / f"{first.stem}.{kind}",
    }
    return package_chapter(first, kind, **(how | changed))


def test_an_mp3_file(tmp_path: Path) -> None:
    one = packed(tmp_path, "mp3")
    assert one.path.name == "01 - One Größe 第一章.mp3"
    assert one.path.read_bytes()[:4] == b"ID3\x03"
    tags = mutagen.id3.ID3(one.path, translate=False)
    texts = {name: str(tags[name]) for name in tags if name.startswith("T")}
    assert texts == {
        "TIT2": "One: Größe / 第一章",
        "TALB": "Title; with = # \\ signs",
        "TPE1": "Ann Author, Ben Böll",
        "TPE2": "Ann Author, Ben Böll",
        "TCOM": "Eve",
        "TRCK": "1/2",
        "TCON": "Audiobook",
        "TYER": "1895",
        "TXXX:LANGUAGE": "en",
        "TXXX:PUBLISHER": "A Press",
        "TXXX:ISBN": "9780306406157",
        "TXXX:NARRATION": "synthetic",
        "TXXX:VOICE": "Eve",
        "TXXX:MODEL": "mini 1",
        "TXXX:DESCRIPTION": f"First line.\nSecond line.\n\n{NOTICE}",
    }
    assert str(tags["COMM::eng"]) == NOTICE
    picture = tags["APIC:"]
    assert (picture.type, picture.mime, picture.data) == (3, "image/png", PNG)
    info = mutagen.mp3.MP3(one.path).info
    assert info.bitrate_mode == mutagen.mp3.BitrateMode.CBR
    assert set(mp3_kbits(one.path)) == {192}
    assert one.measured.constant_rate
    assert (one.measured.kbits, one.measured.sample_rate) == (pytest.approx(192, abs=0.1), 44_100)
    assert one.measured.seconds == pytest.approx(3.0, abs=0.001)
    assert one.measured.rms_db == pytest.approx(-23.0, abs=0.5)


@pytest.mark.parametrize("kind", ["flac", "opus"])
def test_files_with_vorbis_comments(tmp_path: Path, kind: str) -> None:
    one = packed(tmp_path, kind)
    read = mutagen.flac.FLAC if kind == "flac" else mutagen.oggopus.OggOpus
    audio = read(one.path)
    comments = {name.upper(): value for name, (value,) in dict(audio.tags).items()}
    if kind == "opus":
        picture = mutagen.flac.Picture(base64.b64decode(comments.pop("METADATA_BLOCK_PICTURE")))
    else:
        (picture,) = audio.pictures
    assert (picture.type, picture.mime, picture.data) == (3, "image/png", PNG)
    assert comments == {
        "TITLE": "One: Größe / 第一章",
        "ALBUM": "Title; with = # \\ signs",
        "ARTIST": "Ann Author, Ben Böll",
        "ALBUMARTIST": "Ann Author, Ben Böll",
        "COMPOSER": "Eve",
        "TRACKNUMBER": "1",
        "TRACKTOTAL": "2",
        "GENRE": "Audiobook",
        "DATE": "1895",
        "COMMENT": NOTICE,
        "DESCRIPTION": f"First line.\nSecond line.\n\n{NOTICE}",
        "LANGUAGE": "en",
        "PUBLISHER": "A Press",
        "ISBN": "9780306406157",
        "NARRATION": "synthetic",
        "VOICE": "Eve",
        "MODEL": "mini 1",
    }
    assert one.measured.seconds == pytest.approx(3.0, abs=0.001)
    assert one.measured.rms_db == pytest.approx(-23.0, abs=0.5)


@pytest.mark.parametrize("kind", ["mp3", "opus", "flac"])
def test_ffmpeg_reads_the_same_and_bytes_are_the_same(tmp_path: Path, kind: str) -> None:
    first = packed(tmp_path, kind)
    again = packed(tmp_path, kind, out=tmp_path / f"again.{kind}")
    assert first.path.read_bytes() == again.path.read_bytes()
    assert b"Lavf6" not in first.path.read_bytes()
    listing = tmp_path / "listing.txt"
    # An Opus file's comments belong to its stream.
    stream = ["-map_metadata", "0:s:0"] if kind == "opus" else []
    run_ffmpeg(["-i", str(first.path), *stream, "-f", "ffmetadata", "-y", str(listing)])
    text = listing.read_text(encoding="utf-8").lower()
    assert "title=one: größe / 第一章\n" in text
    assert "composer=eve\n" in text
    assert "album=title\\; with \\= \\# \\\\ signs\n" in text


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="no ffprobe on this machine")
@pytest.mark.parametrize("kind", ["mp3", "opus", "flac"])
def test_ffprobe_reads_the_same(tmp_path: Path, kind: str) -> None:
    command = ["ffprobe", "-v", "error", "-show_format", "-show_streams", "-of", "json"]
    one = packed(tmp_path, kind)
    read = json.loads(subprocess.run([*command, one.path], capture_output=True, check=True).stdout)
    tags = read["format"].get("tags", {}) | read["streams"][0].get("tags", {})
    assert {name.lower(): value for name, value in tags.items()}["artist"] == "Ann Author, Ben Böll"
    assert any(stream["codec_type"] == "video" for stream in read["streams"])


def test_a_file_that_is_too_short_is_not_delivered(tmp_path: Path) -> None:
    audio = chapter(tmp_path)
    (file,) = plan_files([(0, "One", audio, 0.0)])
    with pytest.raises(UserError, match=r"chapter\.flac is missing or broken"):
        package_chapter(
            replace(file, stretch=replace(file.stretch, last=4 * RATE)),
            "mp3",
            sample_rate=RATE,
            mastering=Mastering(-19.0, -3.0, 0.0),
            tags=book_tags(book(), "x", "Eve", "mini 1"),
            cover=None,
            out=tmp_path / "a.mp3",
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chapter.flac"]


def test_numbers_and_names_of_files(tmp_path: Path) -> None:
    audio = chapter(tmp_path)
    nothing = replace(audio, samples=0, spans=())
    files = plan_files([(-1, "Opening credits", audio, 0.0), (0, "", nothing, 0.0)]
                       + [(n, f"../{n}", audio, 0.0) for n in range(1, 101)])  # fmt: skip
    assert len(files) == 101
    assert [files[0].stem, files[1].stem, files[-1].stem] == [
        "001 - Opening credits", "002 - 1", "101 - 100",
    ]  # fmt: skip
    assert (files[0].chapter, files[-1].part.number, files[-1].part.total) == (-1, 101, 101)
    assert plan_files([(5, " ", audio, 0.0)])[0].stem == "01 - Chapter 1"


def long_chapter(hours: float, every: int = 20) -> ChapterAudio:
    """A chapter that is only planned, an utterance of 15 s each 20 s."""
    samples = round(hours * 3600 * RATE)
    starts = range(RATE, samples - every * RATE, every * RATE)
    spans = tuple(Span(3, n, start, start + 15 * RATE) for n, start in enumerate(starts))
    return ChapterAudio(Path("chapter.flac"), samples, RATE, spans)


@pytest.mark.parametrize(("hours", "parts"), [(1.9, 1), (1.99, 2), (3.9, 2), (5.0, 3), (20.0, 11)])
def test_long_chapters_are_cut_at_pauses(hours: float, parts: int) -> None:
    audio = long_chapter(hours)
    files: list[ChapterFile] = plan_files([(3, "Long", audio, 1.0)])
    assert len(files) == parts
    assert all(file.stretch.samples <= 119 * 60 * RATE for file in files)
    assert [span.index for file in files for span in file.spans] == [s.index for s in audio.spans]
    assert {file.chapter for file in files} == {3}
    if parts == 1:
        assert files[0].part.title == "Long"
        return
    assert files[0].part.title == f"Long (part 1 of {parts})"
    for file in files:
        first, last = file.spans[0], file.spans[-1]
        origin = audio.spans[first.index].start
        assert file.stretch.first + first.start - file.stretch.lead == origin
        assert first.start >= round(0.5 * RATE)
        assert file.stretch.samples - last.end >= RATE
    for one, two in pairwise(files):
        assert one.stretch.trail == round(TAIL_SECONDS * RATE)
        assert two.stretch.lead == round(HEAD_SECONDS * RATE)
        assert audio.spans[one.spans[-1].index].end == one.stretch.last
