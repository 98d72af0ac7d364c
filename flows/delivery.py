"""What is done with the chapters of a book when all are spoken: levelled, packed, reported."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from configs.presets import OutputPreset
from flows.progress import RunProgress
from storage.keys import content_key, hash_bytes
from tasks.assemble import ChapterAudio
from tasks.audiobookshelf import book_folder, write_sidecars
from tasks.beside import write_bytes
from tasks.chapter_files import ChapterFile, package_chapter, plan_files
from tasks.cover import find_cover
from tasks.credits import chapter_title
from tasks.master import BookLevel, Mastering, Stretch, book_level
from tasks.measure import measure_delivered
from tasks.names import file_stem
from tasks.overlay_book import NarratedChapter, NarratedLine, overlay_book
from tasks.package import Packed, m4b_marks, package_m4b
from tasks.plan import Utterance
from tasks.read_book import Book
from tasks.report import (
    ChapterReport,
    FileReport,
    IncompleteTake,
    Mastered,
    ReadAlong,
    Run,
    build_report,
    delivered_before,
    plain,
    read_along_before,
    write_report,
)
from tasks.report_html import Picture, write_page
from tasks.subtitles import Cue, book_cues, span_cues, write_lrc, write_srt, write_vtt
from tasks.tags import book_tags
from tasks.verdicts import verdicts

FILE_VERSION = "1"  # changes when the same chapter, level and tags would give another file


@dataclass(frozen=True)
class AssembledChapter:
    """A chapter's audio, the utterances in it that did not come out right, with the reason, a name
    for what is in the audio file ("" is its hash), and by the index of each utterance the times of
    its phones in its take, where they are known."""

    number: int
    audio: ChapterAudio
    flawed: tuple[tuple[Utterance, str], ...]
    key: str = ""
    times: Mapping[int, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Narration:
    """What was spoken, and by whom. `voice` and `model` are what the report says of them, their
    "name" among it."""

    book: Book
    source: Path  # the book's file
    title: str
    utterances: dict[int, list[Utterance]]  # by chapter number
    sample_rate: int
    voice: dict[str, str]
    model: dict[str, str]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Delivered:
    """What the user gets: audio files or the folders of them, how long the book is, its report, and
    how many utterances are worth listening to and files not as they should be."""

    paths: tuple[Path, ...]
    seconds: float
    report: Path
    flawed: int
    failed: int


def deliver(
    narration: Narration,
    chapters: Sequence[AssembledChapter],
    output: OutputPreset,
    out: Path,
    progress: RunProgress,
    run: Callable[[], Run],
) -> Delivered:
    """Makes the files of a book in the folder `out`; `run` is asked at the end for the report.

    An audio file that an earlier delivery made of the very same is not written again, only
    measured; files of that delivery that no longer belong to the book are removed.
    """
    return _Delivery(narration, chapters, output, out, progress).made(run)


class _Delivery:
    """The steps of one delivery."""

    def __init__(
        self,
        narration: Narration,
        chapters: Sequence[AssembledChapter],
        output: OutputPreset,
        out: Path,
        progress: RunProgress,
    ) -> None:
        self._narration = narration
        self._chapters = chapters
        self._output = output
        self._progress = progress
        self._mastering = Mastering(output.loudness, output.peak_db, output.trim_db)
        self._stem = file_stem(narration.title)
        self._tags = book_tags(
            narration.book, self._stem, narration.voice["name"], narration.model["name"]
        )
        shelf = output.layout == "audiobookshelf"
        self._out = out / book_folder(self._tags) if shelf else out
        self._cover, self._warnings = find_cover(narration.book.cover)
        self._report = self._out / "report.json"
        self._before = delivered_before(self._report)
        self._files: list[FileReport] = []
        self._made: list[str] = []
        self._pictures: list[Picture] = []
        self._read_along: ReadAlong | None = None

    def made(self, run: Callable[[], Run]) -> Delivered:
        level = self._measure()
        whole = self._stretches(level)
        files = plan_files(
            [
                (one.number, self._title(one.number), one.audio, gain)
                for one, gain in zip(self._chapters, level.gains_db, strict=True)
            ]
        )
        hashes = self._hashes()
        paths: list[Path] = []
        for kind in self._output.sound:
            if kind == "m4b":
                paths.append(self._package(whole, hashes))
            else:
                paths.append(self._package_chapters(kind, files, hashes))
        self._remove_what_is_past()
        self._subtitles(files)
        if "epub" in self._output.formats:
            self._read_along = self._bind(files, hashes)
        if self._cover:
            write_bytes(self._out / f"cover{self._cover.suffix}", self._cover.data)
        if self._output.layout == "audiobookshelf":
            write_sidecars(self._out, self._tags, self._chapter_seconds())
        report = plain(self._built(level, run()))
        write_report(report, self._report)
        write_page(report, self._pictures, self._report.with_suffix(".html"))
        if self._read_along:
            paths.append(self._path(".epub"))
        return Delivered(
            tuple(paths),
            sum(chapter.audio.seconds for chapter in self._chapters),
            self._report,
            sum(len(chapter.flawed) for chapter in self._chapters),
            sum(not file.passed for file in self._files),
        )

    def _measure(self) -> BookLevel:
        """Loudness of the book, and the gains that it needs."""
        self._progress.stage("Measuring the loudness")
        chapters = [
            Stretch(chapter.audio.path, 0, chapter.audio.samples) for chapter in self._chapters
        ]
        return book_level(
            chapters, self._narration.sample_rate, self._mastering, self._progress.fraction
        )

    def _stretches(self, level: BookLevel) -> list[tuple[str, Stretch]]:
        """The chapters as they go into one file."""
        return [
            (
                self._title(chapter.number),
                Stretch(
                    chapter.audio.path,
                    0,
                    chapter.audio.samples,
                    gain,
                    seed=abs(chapter.number),
                ),
            )
            for chapter, gain in zip(self._chapters, level.gains_db, strict=True)
        ]

    def _package(self, chapters: list[tuple[str, Stretch]], hashes: Mapping[Path, str]) -> Path:
        """Writes and verifies the audiobook in one file."""
        self._progress.stage("Packing the audiobook")
        rate, path = self._narration.sample_rate, self._path(".m4b")
        key = self._key("m4b", chapters, hashes)
        marks = m4b_marks(chapters, rate)

        def write() -> Packed:
            return package_m4b(
                chapters,
                sample_rate=rate,
                mastering=self._mastering,
                tags=self._tags,
                cover=self._cover,
                out=path,
                on_progress=self._progress.fraction,
            )

        packed = self._written(path, "m4b", self._tags.title, None, key, write)
        self._pictures = [
            Picture(mark.title, packed.shape.part(mark.start_ms / 1000, mark.end_ms / 1000))
            for mark in marks
        ]
        return path

    def _package_chapters(
        self, kind: str, files: Sequence[ChapterFile], hashes: Mapping[Path, str]
    ) -> Path:
        """Writes and verifies a file for each chapter."""
        self._progress.stage(f"Writing the {kind} files")
        lengths = [file.stretch.samples for file in files]
        starts = [start / sum(lengths) for start in accumulate(lengths, initial=0)]
        pictures = []
        for file, start, end in zip(files, starts, starts[1:], strict=False):
            path = self._chapter_path(file, kind)
            key = self._key(kind, [(file.part.title, file.stretch)], hashes, asdict(file.part))

            def report(done: float, start: float = start, end: float = end) -> None:
                self._progress.fraction(start + (end - start) * done)

            def write(file: ChapterFile = file, path: Path = path) -> Packed:
                return package_chapter(
                    file,
                    kind,
                    sample_rate=self._narration.sample_rate,
                    mastering=self._mastering,
                    tags=self._tags,
                    cover=self._cover,
                    out=path,
                    on_progress=report,
                )

            packed = self._written(path, kind, file.part.title, file.chapter + 1, key, write)
            pictures.append(Picture(file.part.title, packed.shape))
        self._pictures = self._pictures or pictures
        return self._chapter_path(files[0], kind).parent

    def _written(
        self,
        path: Path,
        kind: str,
        title: str,
        chapter: int | None,
        key: str,
        write: Callable[[], Packed],
    ) -> Packed:
        """Writes a file unless it lies there already, and notes how it measures."""
        name = path.relative_to(self._out).as_posix()
        if self._before.get(name, ("", ""))[0] == key and _hash(path) == self._before[name][1]:
            packed = Packed(path, *measure_delivered(path))
        else:
            packed = write()
            self._made.append(name)
        found = verdicts(packed.measured, self._output.mastering, self._mastering, kind)
        self._files.append(
            FileReport(name, kind, title, chapter, key, _hash(path), packed.measured, found)
        )
        return packed

    def _bind(self, files: Sequence[ChapterFile], hashes: Mapping[Path, str]) -> ReadAlong:
        """Writes the read-along book, unless the very same lies there. Its sound is made for it
        alone: small, and of a kind that every reader plays."""
        self._progress.stage("Writing the read-along book")
        narration, path = self._narration, self._path(".epub")
        stretches = [(file.part.title, file.stretch) for file in files]
        source = {"source": hash_bytes(narration.source.read_bytes())}
        key = self._key("epub", stretches, hashes, source)
        before = read_along_before(self._report)
        if before and before.key == key and before.sha256 == _hash(path):
            return before
        named = {(one.chapter, one.index): one for one in self._utterances()}
        rate, done = narration.sample_rate, 0
        total = sum(file.stretch.samples for file in files)
        narrated: list[NarratedChapter] = []
        with TemporaryDirectory(prefix=".voxloom-", dir=self._out) as folder:
            for file in files:

                def report(share: float, done: int = done, file: ChapterFile = file) -> None:
                    self._progress.fraction((done + share * file.stretch.samples) / total)

                packed = package_chapter(
                    file,
                    "epub",
                    sample_rate=rate,
                    mastering=self._mastering,
                    tags=self._tags,
                    cover=None,
                    out=Path(folder) / f"{file.part.number}.mp3",
                    on_progress=report,
                )
                lines = tuple(
                    NarratedLine(named[one.chapter, one.index], one.start / rate, one.end / rate)
                    for one in file.spans
                )
                narrated.append(
                    NarratedChapter(
                        file.part.number, packed.path, "audio/mpeg", packed.seconds, lines
                    )
                )
                done += file.stretch.samples
            made = overlay_book(
                narration.source,
                narration.book,
                narrated,
                narration.voice["name"],
                self._tags.notice,
                path,
            )
        self._made.append(path.name)
        facts = made.pages, made.lines, made.seconds, made.warnings
        return ReadAlong(path.name, key, _hash(path), *facts)

    def _remove_what_is_past(self) -> None:
        """Removes the audio files of an earlier delivery that are none of this one's though of its
        formats, with their text, unless somebody changed them."""
        for name in self._before.keys() - {file.path for file in self._files}:
            path = self._out / name
            asked = path.suffix[1:] in self._output.sound
            if asked and _hash(path) == self._before[name][1]:
                for suffix in (path.suffix, ".lrc", ".elrc"):
                    path.with_suffix(suffix).unlink(missing_ok=True)

    def _subtitles(self, files: Sequence[ChapterFile]) -> None:
        """Writes the printed text with the times at which it is heard: for the whole book, and LRC
        for each file of a folder."""
        named = {(one.chapter, one.index): one for one in self._utterances()}
        times = {
            (chapter.number, index): known
            for chapter in self._chapters
            for index, known in chapter.times.items()
        }
        cues = book_cues(self._utterances(), [chapter.audio for chapter in self._chapters], times)
        folders = [kind for kind in self._output.sound if kind != "m4b"]
        for kind in self._output.formats:
            if kind == "srt":
                write_srt(cues, self._path(".srt"))
            elif kind == "vtt":
                write_vtt(cues, self._path(".vtt"), self._tags.notice)
            elif kind in ("lrc", "elrc"):
                words = kind == "elrc"
                if "m4b" in self._output.sound or not folders:
                    self._lyrics(cues, self._path(f".{kind}"), self._tags.title, words)
                for sound in folders:
                    for file in files:
                        path = self._chapter_path(file, sound).with_suffix(f".{kind}")
                        rate = self._narration.sample_rate
                        own = span_cues(named, file.spans, rate, times)
                        self._lyrics(own, path, file.part.title, words)

    def _lyrics(self, cues: Sequence[Cue], path: Path, title: str, words: bool) -> None:
        tags = {
            "ti": title,
            "al": self._tags.title,
            "ar": self._tags.authors,
            "by": self._tags.notice,
        }
        write_lrc(cues, path, tags, words)

    def _built(self, level: BookLevel, run: Run) -> dict[str, object]:
        narration, rate = self._narration, self._narration.sample_rate
        incomplete, warnings = [], [*narration.warnings, *self._warnings]
        offset = 0
        for chapter in self._chapters:
            starts = {span.index: span.start for span in chapter.audio.spans}
            for utterance, problem in chapter.flawed:
                start = (offset + starts[utterance.index]) / rate
                incomplete.append(
                    IncompleteTake(
                        utterance.chapter, utterance.index, utterance.text, start, problem
                    )
                )
                warnings.append(
                    f"{self._place(utterance)}, utterance {utterance.index + 1}: {problem}."
                )
            offset += chapter.audio.samples
        return build_report(
            book=narration.book,
            voice=narration.voice,
            model=narration.model,
            chapters=[
                ChapterReport(
                    title=self._title(chapter.number),
                    utterances=len(narration.utterances[chapter.number]),
                    seconds=chapter.audio.seconds,
                    speech_seconds=sum(s.end - s.start for s in chapter.audio.spans) / rate,
                )
                for chapter in self._chapters
            ],
            incomplete=incomplete,
            mastered=Mastered(
                self._output.mastering, self._mastering.loudness, self._mastering.peak_db, level
            ),
            files=self._files,
            files_made=self._made,
            warnings=[*warnings, *(self._read_along.warnings if self._read_along else ())],
            run=run,
            read_along=self._read_along,
        )

    def _key(
        self,
        kind: str,
        chapters: Sequence[tuple[str, Stretch]],
        hashes: Mapping[Path, str],
        part: Mapping[str, object] | None = None,
    ) -> str:
        """The key of a file: the hash of everything that decides its bytes."""
        return content_key(
            {
                "step": f"{kind} {FILE_VERSION}",
                "chapters": [
                    [title, asdict(stretch) | {"path": hashes[stretch.path]}]
                    for title, stretch in chapters
                ],
                "sample_rate": self._narration.sample_rate,
                "mastering": asdict(self._mastering),
                "tags": asdict(self._tags),
                "part": part,
                "cover": hash_bytes(self._cover.data) if self._cover else "",
            }
        )

    def _hashes(self) -> dict[Path, str]:
        return {one.audio.path: one.key or _hash(one.audio.path) for one in self._chapters}

    def _chapter_seconds(self) -> list[tuple[str, float, float]]:
        """Titles of the chapters with their bounds on the whole book's timeline."""
        ends = list(accumulate((chapter.audio.seconds for chapter in self._chapters), initial=0.0))
        return [
            (self._title(chapter.number), start, end)
            for chapter, start, end in zip(self._chapters, ends, ends[1:], strict=False)
        ]

    def _title(self, number: int) -> str:
        return chapter_title(self._narration.book, number)

    def _place(self, utterance: Utterance) -> str:
        if 0 <= utterance.chapter < len(self._narration.book.chapters):
            return f"Chapter {utterance.chapter + 1}"
        return self._title(utterance.chapter)

    def _utterances(self) -> Iterator[Utterance]:
        for utterances in self._narration.utterances.values():
            yield from utterances

    def _path(self, suffix: str) -> Path:
        return self._out / (self._stem + suffix)

    def _chapter_path(self, file: ChapterFile, kind: str) -> Path:
        """In Audiobookshelf's layout all files of a book lie in its folder."""
        folder = self._out if self._output.layout == "audiobookshelf" else self._out / kind
        return folder / f"{file.stem}.{kind}"


def _hash(path: Path) -> str:
    """sha256 of a file; "" where there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
