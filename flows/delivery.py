"""What is done with the chapters of a book when all are spoken: levelled, packed, reported."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.presets import OutputPreset
from flows.progress import RunProgress
from tasks.assemble import ChapterAudio
from tasks.beside import write_bytes
from tasks.master import BookLevel, book_level
from tasks.names import file_stem
from tasks.package import Packed, package_m4b
from tasks.plan import Utterance
from tasks.read_book import Book
from tasks.report import ChapterReport, IncompleteTake, Mastering, Run, build_report, write_report
from tasks.subtitles import book_cues, write_srt, write_vtt


@dataclass(frozen=True)
class AssembledChapter:
    """A chapter's audio, and the utterances in it that did not come out right, with the reason."""

    number: int
    audio: ChapterAudio
    flawed: tuple[tuple[Utterance, str], ...]


@dataclass(frozen=True)
class Narration:
    """What was spoken, and by whom. `voice` and `model` are what the report says of them, their
    "name" among it."""

    book: Book
    title: str
    utterances: dict[int, list[Utterance]]  # by chapter number
    sample_rate: int
    voice: dict[str, str]
    model: dict[str, str]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Delivered:
    """What the user gets."""

    packed: Packed
    report: Path
    flawed: int  # utterances worth listening to


def deliver(
    narration: Narration,
    chapters: Sequence[AssembledChapter],
    output: OutputPreset,
    out: Path,
    progress: RunProgress,
    run: Callable[[], Run],
) -> Delivered:
    """Makes the files of a book in the folder `out`; `run` is asked at the end for the report."""
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
        self._out = out
        self._progress = progress

    def made(self, run: Callable[[], Run]) -> Delivered:
        level = self._measure()
        packed = self._package(level)
        self._accompany()
        report = self._out / "report.json"
        write_report(self._report(level, packed, run()), report)
        return Delivered(packed, report, sum(len(chapter.flawed) for chapter in self._chapters))

    def _measure(self) -> BookLevel:
        """Loudness of the book, and the gain that it needs."""
        self._progress.stage("Measuring the loudness")
        return book_level(
            [chapter.audio.path for chapter in self._chapters],
            self._narration.sample_rate,
            self._output.loudness,
            self._progress.fraction,
        )

    def _package(self, level: BookLevel) -> Packed:
        """Writes and verifies the audiobook."""
        self._progress.stage("Packing the audiobook")
        return package_m4b(
            self._narration.book,
            [
                (self._title(chapter.number), chapter.audio.path, chapter.audio.samples)
                for chapter in self._chapters
            ],
            sample_rate=self._narration.sample_rate,
            gain_db=level.gain_db,
            voice_name=self._narration.voice["name"],
            model_name=self._narration.model["name"],
            out=self._path(".m4b"),
            on_progress=self._progress.fraction,
        )

    def _accompany(self) -> None:
        """Writes what lies beside the audiobook: subtitles and cover."""
        audio = [chapter.audio for chapter in self._chapters]
        cues = book_cues(self._utterances(), audio)
        writers: dict[str, Callable[..., None]] = {"srt": write_srt, "vtt": write_vtt}
        for kind in self._output.subtitles:
            writers[kind](cues, self._path(f".{kind}"))
        cover = self._narration.book.cover
        if cover and (suffix := _picture_suffix(cover)):
            write_bytes(self._out / f"cover{suffix}", cover)

    def _report(self, level: BookLevel, packed: Packed, run: Run) -> dict[str, object]:
        narration, rate = self._narration, self._narration.sample_rate
        incomplete, warnings = [], [*narration.warnings, *packed.warnings]
        offset = 0
        for chapter in self._chapters:
            starts = {span.index: span.start for span in chapter.audio.spans}
            for utterance, problem in chapter.flawed:
                start = (offset + starts[utterance.index]) / rate
                incomplete.append(
                    IncompleteTake(utterance.chapter, utterance.index, utterance.text, start)
                )
                warnings.append(
                    f"Chapter {utterance.chapter + 1}, utterance {utterance.index + 1}: {problem}."
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
            mastering=Mastering(
                before_lufs=level.lufs,
                gain_db=level.gain_db,
                delivered=packed.loudness,
            ),
            warnings=warnings,
            run=run,
        )

    def _title(self, number: int) -> str:
        return self._narration.book.chapters[number].title

    def _utterances(self) -> Iterator[Utterance]:
        for utterances in self._narration.utterances.values():
            yield from utterances

    def _path(self, suffix: str) -> Path:
        return self._out / (file_stem(self._narration.title) + suffix)


def _picture_suffix(picture: bytes) -> str:
    """.jpg or .png by the picture's first bytes; "" for another kind."""
    if picture.startswith(b"\xff\xd8\xff"):
        return ".jpg"
    return ".png" if picture.startswith(b"\x89PNG\r\n\x1a\n") else ""
