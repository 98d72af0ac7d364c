"""A book on its way through the house: the plan, and the steps that the flow takes with it."""

import json
import logging
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from configs.errors import UserError
from configs.settings import Settings
from flows.orders import Order, order_record
from flows.progress import RunProgress
from flows.script import NARRATOR, Script
from storage.derived import DerivedFiles
from storage.files import write_whole
from storage.library import Library
from storage.objects import ObjectStore
from storage.runs import Run, Runs
from tasks.assemble import ChapterAudio, Span, assemble_chapter
from tasks.batches import make_batches
from tasks.beside import disk_error, write_bytes
from tasks.changes import count_reasons, find_changes
from tasks.engines import BUILT_IN, ChosenModel, check_language, load_engine
from tasks.gate import Gate
from tasks.master import BookLevel, book_level
from tasks.package import Packed, package_m4b
from tasks.plan import Pauses, Utterance, plan_chapter
from tasks.read_book import Book, read_book, select_chapters
from tasks.render import Line, render_takes
from tasks.report import ChapterReport, IncompleteTake, Mastering, build_report, write_report
from tasks.report import Run as RunReport
from tasks.subtitles import book_cues, write_srt, write_vtt
from tasks.takes import Take, decode_take
from tasks.voices import Voice, find_voices

if TYPE_CHECKING:
    from model.speaking import VoiceEngine

PHONES_PER_CHARACTER = 0.9  # for the first estimate, before the text is read aloud inside
ASSUMED_SPEED = 60.0  # phones a second, for the very first run on a machine
FEWEST_MEASURED = 10  # utterances; the speed of fewer says nothing of a book's
LANGUAGE = "en"  # where neither the user nor the book says

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What shall be spoken: the chosen chapters' utterances by chapter number (from 0)."""

    book: Book
    language: str
    voices: tuple[Voice, ...]
    chapters: dict[int, list[Utterance]]
    warnings: tuple[str, ...]
    cast: Mapping[str, tuple[Voice, ...]] = field(default_factory=dict)


def plan_book(order: Order, progress: RunProgress) -> Plan:
    """Reads the book and the voice sample and plans every utterance.

    Everything that can be wrong with what the user gave is found here, before the long work.
    """
    progress.stage("Reading the book")
    book = read_book(order.book)
    numbers = (
        select_chapters(book, order.chapters) if order.chapters else list(range(len(book.chapters)))
    )
    characters = sum(
        len(block.text) for number in numbers for block in book.chapters[number].blocks
    )
    guess = round(characters * PHONES_PER_CHARACTER)
    progress.expect(guess, guess)
    library = Library(order.settings.voices)
    voices = find_voices(order.voice, library)
    cast = {name: find_voices(asked, library) for name, asked in order.cast.items()}
    language = order.language or book.language
    if language.lower() in ("", "und", "mul", "zxx"):  # the book does not say
        language = LANGUAGE
    check_language(order.model, language)
    progress.stage("Planning what to say")
    pauses = Pauses(**order.presets.pauses.model_dump())
    chapters: dict[int, list[Utterance]] = {}
    warnings = list(book.warnings)
    for number in numbers:
        utterances = plan_chapter(
            number, book.chapters[number], pauses, language, order.model.reading
        )
        if utterances:
            chapters[number] = utterances
        else:
            warnings.append(f"Chapter {number + 1} has nothing to be spoken and is left out.")
    if not chapters:
        raise UserError(f"{order.book} has no text that could be spoken in the chosen chapters.")
    return Plan(book, language, voices, chapters, tuple(warnings), cast)


class Work:
    """The steps of one book. Nothing here knows of Prefect; each step is called by the flow."""

    def __init__(
        self, order: Order, plan: Plan, engine: "VoiceEngine", progress: RunProgress
    ) -> None:
        self.plan = plan
        self._order = order
        self._progress = progress
        self._started = time.time()
        self._store = ObjectStore(order.settings.store_url)
        self._derived = DerivedFiles(order.settings.derived)
        self._failures: dict[str, str] = {}
        self._made = 0
        self._verdicts: dict[int, Mapping[str, int]] = {}  # of each chapter's takes
        progress.stage("Listening to the voice sample")
        self.script = Script(order, plan, engine)
        narrator = self.script.speakers[NARRATOR]
        self._engine, self._heard = narrator.engine, narrator.heard
        self._id = self.script.id
        lines = self.script.wanted()
        missing = [lines[key] for key in self._store.missing(lines)]
        self._missing = {line.key for line in missing}
        before = Runs(order.settings.runs).last(order.out.absolute())
        self.changes = find_changes(
            before.lines if before else (), self.script.record(), self._missing
        )
        self._record("running")
        self._reused = len(lines) - len(missing)
        self.batches = make_batches(
            missing, lambda line: len(line.phones), order.settings.batch_size
        )
        self._waiting = self._missing_by_chapter(self._missing)
        phones = sum(len(line.phones) for line in lines.values())
        progress.expect(phones, sum(len(line.phones) for line in missing))
        self._ways = {
            speaker: self._way(speaker)
            for speaker in {self.script.way(key)[0] for key in self._missing}
        }
        progress.pace.start()

    @property
    def title(self) -> str:
        return self.plan.book.title or self._order.book.stem

    def render(self, number: int) -> list[int]:
        """Renders and stores the takes of a batch; returns the chapters that are now complete."""
        self._progress.stage("Speaking")
        batch = self.batches[number]
        ways: dict[tuple[str, bool], list[Line]] = {}
        for line in batch:
            ways.setdefault(self.script.way(line.key), []).append(line)
        for (speaker, redone), lines in ways.items():
            reference, gate = self._ways[speaker]
            failures = render_takes(
                lines,
                self.script.speakers[speaker].engine,
                reference,
                self.script.sampling(redone),
                self._store,
                self._on_take,
                gate,
            )
            self._failures |= failures
            for key in failures:
                self._progress.advance(len(next(one for one in lines if one.key == key).phones))
        return self._completed({line.key for line in batch})

    def ready_chapters(self) -> list[int]:
        """The chapters of which no take is missing before anything is rendered."""
        return [number for number in self.plan.chapters if number not in self._waiting]

    def assemble(self, number: int) -> "AssembledChapter":
        """Puts a chapter whose takes are all there into one file, unless that is there."""
        utterances = self.plan.chapters[number]
        key = self.script.chapter_key(number, self._failures)
        path, facts = self._derived.make(key, ".flac", lambda path: self._assembled(number, path))
        problems = {int(index): problem for index, problem in facts["problems"]}
        # What the engine refused is not in the file, and why it did is not in the file's key.
        problems |= {
            one.index: f"not spoken, {self._failures[self._key(one)]}"
            for one in utterances
            if self._key(one) in self._failures
        }
        flawed = tuple((one, problems[one.index]) for one in utterances if one.index in problems)
        times = {
            int(index): np.array(flat, np.int16).reshape(-1, 2) for index, flat in facts["times"]
        }
        self._verdicts[number] = facts["verdicts"]
        return AssembledChapter(number, chapter_audio(path, facts), flawed, key, times)

    def _assembled(self, number: int, path: Path) -> dict[str, Any]:
        """Assembles a chapter and returns what is known of it and its takes, as JSON values."""
        problems, times = [], []
        verdicts: Counter[str] = Counter()

        def pieces() -> Iterator[tuple[Utterance, np.ndarray]]:
            for utterance in self.plan.chapters[number]:
                take = self._take(utterance)
                if take is None:
                    yield utterance, np.zeros(0, np.float32)
                    continue
                verdicts[take.verdict] += 1
                if take.problem:
                    problems.append([utterance.index, take.problem])
                if len(take.times):
                    times.append([utterance.index, take.times.ravel().tolist()])
                yield utterance, take.audio

        audio = assemble_chapter(pieces(), self._engine.sample_rate, path)
        return {
            "samples": audio.samples,
            "sample_rate": audio.sample_rate,
            "spans": [asdict(span) for span in audio.spans],
            "problems": problems,
            "times": times,
            "verdicts": verdicts,
        }

    def _way(self, speaker: str) -> tuple[Any, Gate]:
        """The reference of a speaker, and the gate that the takes must pass."""
        own, settings = self.script.speakers[speaker], self._order.settings
        reading = self._order.model.reading
        gate = Gate(own.engine, own.heard.samples, settings.whisper, settings.hear_all, reading)
        return own.engine.reference(own.heard.samples, own.heard.prompt), gate

    def measure(self, chapters: Sequence["AssembledChapter"]) -> BookLevel:
        """Loudness of the book, and the gain that it needs."""
        if self._made >= FEWEST_MEASURED:
            remember_speed(self._order.settings, self._progress.pace.measured)
        self._progress.stage("Measuring the loudness")
        paths = [chapter.audio.path for chapter in chapters]
        return book_level(
            paths,
            self._engine.sample_rate,
            self._order.presets.output.loudness,
            self._progress.fraction,
        )

    def package(self, chapters: Sequence["AssembledChapter"], level: BookLevel) -> Packed:
        """Writes and verifies the audiobook."""
        self._progress.stage("Packing the audiobook")
        titles = [self.plan.book.chapters[chapter.number].title for chapter in chapters]
        return package_m4b(
            self.plan.book,
            [
                (title, chapter.audio.path, chapter.audio.samples)
                for title, chapter in zip(titles, chapters, strict=True)
            ],
            sample_rate=self._engine.sample_rate,
            gain_db=level.gain_db,
            voice_name=self.plan.voices[0].name,
            model_name=self._order.model.title,
            out=self._path(".m4b"),
            on_progress=self._progress.fraction,
        )

    def accompany(
        self, chapters: Sequence["AssembledChapter"], level: BookLevel, packed: Packed
    ) -> Path:
        """Writes what lies beside the audiobook: subtitles, cover, report; returns the report's
        path. The record of the run says from then on that it is finished."""
        cues = book_cues(self._utterances(), [chapter.audio for chapter in chapters])
        writers: dict[str, Callable[..., None]] = {"srt": write_srt, "vtt": write_vtt}
        for kind in self._order.presets.output.subtitles:
            writers[kind](cues, self._path(f".{kind}"))
        if suffix := _picture_suffix(self.plan.book.cover):
            assert self.plan.book.cover is not None
            write_bytes(self._order.out / f"cover{suffix}", self.plan.book.cover)
        path = self._order.out / "report.json"
        write_report(self._report(chapters, level, packed), path)
        self._record("finished")
        return path

    def _report(
        self, chapters: Sequence["AssembledChapter"], level: BookLevel, packed: Packed
    ) -> dict[str, object]:
        rate = self._engine.sample_rate
        incomplete, warnings = [], [*self.plan.warnings, *packed.warnings]
        offset = 0
        for chapter in chapters:
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
            book=self.plan.book,
            voice={
                "name": self.plan.voices[0].name,
                "content_hash": self._heard.content_hash,
                "prompt": " ".join(self._heard.prompt.phones) if self._heard.prompt else "",
            },
            model={"name": self._order.model.title, "content_hash": self._engine.content_hash},
            chapters=[
                ChapterReport(
                    title=self.plan.book.chapters[chapter.number].title,
                    utterances=len(self.plan.chapters[chapter.number]),
                    seconds=chapter.audio.seconds,
                    speech_seconds=sum(s.end - s.start for s in chapter.audio.spans) / rate,
                )
                for chapter in chapters
            ],
            incomplete=incomplete,
            mastering=Mastering(
                before_lufs=level.lufs,
                gain_db=level.gain_db,
                delivered=packed.loudness,
            ),
            warnings=warnings,
            run=RunReport(
                started=datetime.fromtimestamp(self._started)
                .astimezone()
                .isoformat("T", "seconds"),
                wall_seconds=time.time() - self._started,
                made=self._made,
                reused=self._reused,
                why=count_reasons(self.changes),
                verdicts=dict(sum(map(Counter, self._verdicts.values()), Counter[str]())),
            ),
        )

    def _take(self, utterance: Utterance) -> Take | None:
        """An utterance's take; None where there is none because the engine can't render it."""
        key = self._key(utterance)
        if key in self._failures:
            return None
        data = self._store.get(key)
        if data is None:
            raise UserError(
                "A stored take was damaged while the book was being made. Run the same command "
                "again; only what is missing is made."
            )
        return decode_take(data)

    def _on_take(self, line: Line, take: Take) -> None:
        self._made += 1
        self._progress.advance(len(line.phones))

    def _missing_by_chapter(self, missing: set[str]) -> dict[int, set[str]]:
        waiting = {
            number: {self._key(utterance) for utterance in utterances} & missing
            for number, utterances in self.plan.chapters.items()
        }
        return {number: keys for number, keys in waiting.items() if keys}

    def _completed(self, keys: set[str]) -> list[int]:
        for waiting in self._waiting.values():
            waiting -= keys
        done = [number for number, waiting in self._waiting.items() if not waiting]
        for number in done:
            del self._waiting[number]
        return done

    def _utterances(self) -> Iterator[Utterance]:
        for utterances in self.plan.chapters.values():
            yield from utterances

    def _key(self, utterance: Utterance) -> str:
        return self.script.line(utterance).key

    def _path(self, suffix: str) -> Path:
        return self._order.out / (file_stem(self.title) + suffix)

    def _record(self, state: str) -> None:
        Runs(self._order.settings.runs).put(
            Run(
                id=self._id,
                title=self.title,
                book=str(self._order.book),
                voice=self._order.voice.label,
                out=str(self._order.out.absolute()),
                state=state,
                started=self._started,
                takes=tuple(dict.fromkeys(line.key for line in self.script)),
                derived=tuple(
                    self.script.chapter_key(number, self._failures)
                    for number in sorted(self.plan.chapters)
                ),
                lines=self.script.record(),
                order=order_record(self._order),
            )
        )


@dataclass(frozen=True)
class AssembledChapter:
    """A chapter's audio, the utterances in it that did not come out right, with the reason, a name
    for what is in the audio file, and by the index of each utterance the times of its phones in its
    take, where they are known."""

    number: int
    audio: ChapterAudio
    flawed: tuple[tuple[Utterance, str], ...]
    key: str = ""
    times: Mapping[int, np.ndarray] = field(default_factory=dict)


def chapter_audio(path: Path, facts: dict[str, Any]) -> ChapterAudio:
    """An assembled chapter from what `Work` keeps beside its file."""
    spans = tuple(Span(**span) for span in facts["spans"])
    return ChapterAudio(path, facts["samples"], facts["sample_rate"], spans)


def builtin_engine(settings: Settings) -> "VoiceEngine":
    """The voice model that the project carries."""
    return load_engine(BUILT_IN, settings.threads)


def engine_of(model: ChosenModel) -> Callable[[Settings], "VoiceEngine"]:
    """What loads the engine of a model."""
    if model is BUILT_IN:
        return builtin_engine
    return lambda settings: load_engine(model, settings.threads)


def file_stem(title: str) -> str:
    """A file name for a title: no separators, no control characters, at most 120 bytes."""
    kept = "".join(" " if unicodedata.category(char).startswith("C") else char for char in title)
    kept = re.sub(r'[/\\:*?"<>|]+', " ", kept)
    kept = " ".join(kept.split()).strip(". ")
    return kept.encode()[:120].decode(errors="ignore").strip(". ") or "audiobook"


def check_folder(folder: Path) -> None:
    """Raises UserError unless files can be written into the folder, which is made if need be."""
    probe = folder / ".voxloom-probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(b"x")
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise disk_error(error, probe) from error


def remembered_speed(settings: Settings) -> float:
    """Phones a second of the last run on this machine, for the first estimate."""
    return measured_speed(settings) or ASSUMED_SPEED


def measured_speed(settings: Settings) -> float | None:
    """The same, None where nothing was measured yet."""
    try:
        return max(0.1, float(json.loads(_speed_file(settings).read_text())["phones_per_second"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember_speed(settings: Settings, phones_per_second: float | None) -> None:
    if phones_per_second is not None:
        data = json.dumps({"phones_per_second": round(phones_per_second, 2)}).encode()
        write_whole(_speed_file(settings), data)


def _speed_file(settings: Settings) -> Path:
    return settings.home / "speed.json"


def _picture_suffix(picture: bytes | None) -> str:
    """.jpg or .png by the picture's first bytes; "" for none or another kind."""
    if picture and picture.startswith(b"\xff\xd8\xff"):
        return ".jpg"
    return ".png" if picture and picture.startswith(b"\x89PNG\r\n\x1a\n") else ""
