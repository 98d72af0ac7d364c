"""A book on its way through the house: the plan, and the steps that the flow takes with it."""

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from configs.errors import UserError
from configs.settings import Settings
from flows.delivery import AssembledChapter, Delivered, Narration, deliver
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
from tasks.beside import disk_error
from tasks.calibration import chosen, unit_size
from tasks.casting import load_cast
from tasks.changes import count_reasons, find_changes
from tasks.credits import credit_chapters
from tasks.engines import (
    BUILT_IN,
    ChosenModel,
    check_language,
    load_engine,
    speaking_device,
)
from tasks.lexicon import find_lexicon
from tasks.line_edits import edited, load_edits
from tasks.manifest import Part
from tasks.overlay_book import check_source
from tasks.plan import Pauses, Utterance, plan_chapter
from tasks.read_book import Book, read_book, select_chapters
from tasks.render import Line, Way, find_way, render_takes
from tasks.report import Run as RunReport
from tasks.takes import Take, decode_take
from tasks.voices import AskedVoice, Voice, find_voices

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


def plan_book(order: Order, progress: RunProgress, book: Book | None = None) -> Plan:
    """Reads the book, unless it is given, and the voice sample and plans every utterance.

    Everything that can be wrong with what the user gave is found here, before the long work.
    """
    progress.stage("Reading the book")
    book = book or read_book(order.book, order.reading)
    numbers = (
        select_chapters(book, order.chapters) if order.chapters else list(range(len(book.chapters)))
    )
    characters = sum(
        len(block.text) for number in numbers for block in book.chapters[number].blocks
    )
    guess = round(characters * PHONES_PER_CHARACTER)
    progress.expect(guess, guess)
    if "epub" in order.presets.output.formats:
        check_source(order.book)
    library = Library(order.settings.voices)
    voices = find_voices(order.voice, library)
    cast = load_cast(order.cast) if order.cast else None
    edits = load_edits(order.out)
    given_voices = {edit.speaker: edit.speaker for edit in edits if edit.speaker}
    given_voices |= cast.voices if cast else {}
    speakers = {
        name: find_voices(AskedVoice((given,)), library) for name, given in given_voices.items()
    }
    lexicon = find_lexicon(order.settings.lexicon, order.out, order.lexicon)
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
            number,
            book.chapters[number],
            pauses,
            language,
            order.model.reading,
            lexicon=lexicon,
            cast=cast,
            warn=warnings.append,
        )
        if utterances:
            chapters[number] = edited(utterances, edits)
        else:
            warnings.append(f"Chapter {number + 1} has nothing to be spoken and is left out.")
    if not chapters:
        raise UserError(f"{order.book} has no text that could be spoken in the chosen chapters.")
    if order.presets.output.credits:
        said = credit_chapters(book, book.title or order.book.stem, voices[0].name, language)
        if not said:
            warnings.append(
                f"There are no spoken credits: they are made in English, not {language}."
            )
        for number, credit in said.items():
            spoken = plan_chapter(
                number, credit, pauses, language, order.model.reading, lexicon=lexicon
            )
            chapters[number] = [replace(line, block=-1) for line in spoken]
        chapters = dict(sorted(chapters.items()))
    return Plan(book, language, voices, chapters, tuple(dict.fromkeys(warnings)), speakers)


class LostTakeError(UserError):
    """A take that was there, or was said to be, is not in the store."""


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
        self._verdicts: dict[int, Mapping[str, int]] = {}  # of each chapter's takes
        progress.stage("Listening to the voice sample")
        self.script = Script(order, plan, engine)
        narrator = self.script.speakers[NARRATOR]
        self._engine, self._heard = narrator.engine, narrator.heard
        self._id = self.script.id
        self._lines = self.script.wanted()
        self.missing = self._store.missing(self._lines)
        before = Runs(order.settings.runs).last(order.out.absolute())
        self.changes = find_changes(
            before.lines if before else (), self.script.record(), set(self.missing)
        )
        self._record("running")
        self._reused = len(self._lines) - len(self.missing)
        self.batches = [[self._lines[key] for key in keys] for keys in self.split(self.missing)]
        self._waiting = self._missing_by_chapter(set(self.missing))
        progress.expect(self.units(self._lines), self.units(self.missing))
        self._show_chapters()
        self._ways = {
            speaker: self._way(speaker)
            for speaker in {self.script.way(key)[0] for key in self.missing}
        }
        progress.pace.start()

    @property
    def title(self) -> str:
        return self.plan.book.title or self._order.book.stem

    @property
    def made(self) -> int:
        """How many takes this run has made, once all is rendered."""
        return len(self.missing) - len(self._failures)

    def render(self, number: int) -> list[int]:
        """Renders and stores the takes of a batch; returns the chapters that are now complete."""
        self._progress.stage("Speaking")
        keys = [line.key for line in self.batches[number]]
        failures: dict[str, str] = {}
        for part in self.parts(keys):
            way = self._ways[part.voice]
            failures |= render_takes(
                part.lines,
                way.engine,
                way.reference,
                part.sampling,
                self._store,
                self._on_take,
                way.gate,
            )
        self._progress.advance(self.units(failures))
        return self.settle(keys, failures)

    def split(self, keys: Sequence[str]) -> list[list[str]]:
        """Batches of lines, by their keys."""
        size = unit_size(self._order.settings)
        return make_batches(keys, lambda key: len(self._lines[key].phones), size)

    def parts(self, keys: Iterable[str]) -> tuple[Part[Line], ...]:
        """What is to be spoken in which voice with which settings, for the lines of a batch."""
        ways: dict[tuple[str, bool], list[Line]] = {}
        for key in keys:
            ways.setdefault(self.script.way(key), []).append(self._lines[key])
        return tuple(
            Part(speaker, self.script.sampling(redone), tuple(lines))
            for (speaker, redone), lines in ways.items()
        )

    def units(self, keys: Iterable[str]) -> int:
        """How much work lines are: their phones."""
        return sum(len(self._lines[key].phones) for key in keys)

    def settle(self, keys: Iterable[str], failures: Mapping[str, str]) -> list[int]:
        """From now on, the lines of these keys are in the store, but for those that can't be
        spoken, with the reasons; returns the chapters that are now complete."""
        self._failures.update(failures)
        settled = list(keys)
        for key in settled:
            self._count(key)
        return self._completed(set(settled))

    def again(self) -> list[str]:
        """Looks once more which takes are missing, though they are settled -> their keys."""
        spoken = [key for key in self._lines if key not in self._failures]
        missing = self._store.missing(spoken)
        self._waiting = self._missing_by_chapter(set(missing))
        return missing

    def keys(self) -> list[str]:
        """The keys of all takes of the book."""
        return list(self._lines)

    def ready_chapters(self) -> list[int]:
        """The chapters of which no take is missing before anything is rendered."""
        return [number for number in self.plan.chapters if number not in self._waiting]

    def assemble(self, number: int) -> AssembledChapter:
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

    def _way(self, speaker: str) -> Way:
        own, settings = self.script.speakers[speaker], self._order.settings
        reading = self._order.model.reading
        return find_way(own.engine, own.heard, settings.whisper, settings.hear_all, reading)

    def deliver(self, chapters: Sequence[AssembledChapter]) -> Delivered:
        """Makes the files of the book. The record of the run says from then on that it is
        finished."""
        if self.made >= FEWEST_MEASURED:
            remember_speed(self._order.settings, self._progress.pace.measured)
        narration = Narration(
            book=self.plan.book,
            source=self._order.book,
            title=self.title,
            utterances=self.plan.chapters,
            sample_rate=self._engine.sample_rate,
            voice={
                "name": self.plan.voices[0].name,
                "content_hash": self._heard.content_hash,
                "prompt": " ".join(self._heard.prompt.phones) if self._heard.prompt else "",
            },
            model={"name": self._order.model.title, "content_hash": self._engine.content_hash},
            warnings=self.plan.warnings,
        )
        output = self._order.presets.output
        delivered = deliver(
            narration, chapters, output, self._order.out, self._progress, self._run_report
        )
        self._record("finished")
        return delivered

    def _run_report(self) -> RunReport:
        return RunReport(
            started=datetime.fromtimestamp(self._started).astimezone().isoformat("T", "seconds"),
            wall_seconds=time.time() - self._started,
            made=self.made,
            reused=self._reused,
            why=count_reasons(self.changes),
            verdicts=dict(sum(map(Counter, self._verdicts.values()), Counter[str]())),
        )

    def _take(self, utterance: Utterance) -> Take | None:
        """An utterance's take; None where there is none because the engine can't render it."""
        key = self._key(utterance)
        if key in self._failures:
            return None
        data = self._store.get(key)
        if data is None:
            raise LostTakeError(
                "A stored take was damaged while the book was being made. Run the same command "
                "again; only what is missing is made."
            )
        return decode_take(data)

    def _on_take(self, line: Line, take: Take) -> None:
        self._progress.advance(len(line.phones))
        self._count(line.key)

    def _count(self, key: str) -> None:
        """One line less is left of the chapters that have it."""
        for number in self._chapters_of.pop(key, ()):
            self._left[number] -= 1
            self._show_chapter(number)

    def _show_chapters(self) -> None:
        """Tells which chapters there are and how much of each is spoken."""
        chapters = self.plan.book.chapters
        self._progress.chapters(
            {
                number: chapters[number].title if 0 <= number < len(chapters) else ""
                for number in self.plan.chapters
            }
        )
        self._left = {number: len(self._waiting.get(number, ())) for number in self.plan.chapters}
        self._chapters_of: dict[str, list[int]] = {}
        for number, keys in self._waiting.items():
            for key in keys:
                self._chapters_of.setdefault(key, []).append(number)
        for number in self.plan.chapters:
            self._show_chapter(number)

    def _show_chapter(self, number: int) -> None:
        share = self._left[number] / max(1, len(self.plan.chapters[number]))
        self._progress.chapter(number, 1 - min(1.0, share))

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


def chapter_audio(path: Path, facts: dict[str, Any]) -> ChapterAudio:
    """An assembled chapter from what `Work` keeps beside its file."""
    spans = tuple(Span(**span) for span in facts["spans"])
    return ChapterAudio(path, facts["samples"], facts["sample_rate"], spans)


def builtin_engine(settings: Settings) -> "VoiceEngine":
    """The voice model that the project carries."""
    return _fastest_engine(BUILT_IN, settings)


def engine_of(model: ChosenModel) -> Callable[[Settings], "VoiceEngine"]:
    """What loads the engine of a model."""
    if model is BUILT_IN:
        return builtin_engine
    return partial(_fastest_engine, model)


def _fastest_engine(model: ChosenModel, settings: Settings) -> "VoiceEngine":
    """The engine of a model, as fast as this machine was found to make it."""
    best = chosen(settings)
    # Of official models nobody has heard what less precision does.
    precision = settings.precision if model.official else best.precision
    device = speaking_device(settings)
    return load_engine(model, best.threads, precision, best.slots, device)


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
