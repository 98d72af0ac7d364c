"""A book on its way through the house: the plan, and the steps that the flow takes with it."""

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from configs.errors import UserError
from configs.presets import Presets
from configs.settings import Settings
from flows.delivery import AssembledChapter, Delivered, Narration, deliver
from flows.progress import RunProgress
from storage.files import write_whole
from storage.keys import content_key, hash_bytes
from storage.library import Library
from storage.objects import ObjectStore
from storage.runs import Run, Runs
from tasks.assemble import assemble_chapter
from tasks.batches import make_batches
from tasks.beside import disk_error
from tasks.credits import credit_chapters
from tasks.engines import BUILT_IN, ChosenModel, check_language, load_engine, tuned_engine
from tasks.hearing import hear
from tasks.lexicon import find_lexicon
from tasks.matter import AS_USUAL, Reading
from tasks.plan import Pauses, Utterance, plan_chapter
from tasks.read_book import Book, read_book, select_chapters
from tasks.render import Line, render_takes
from tasks.report import Run as RunReport
from tasks.takes import Take, decode_take, take_key
from tasks.voices import AskedVoice, Voice, find_voices

if TYPE_CHECKING:
    from model.speaking import VoiceEngine

PHONES_PER_CHARACTER = 0.9  # for the first estimate, before the text is read aloud inside
ASSUMED_SPEED = 60.0  # phones a second, for the very first run on a machine
LANGUAGE = "en"  # where neither the user nor the book says

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Order:
    """What the user asks for.

    `chapters` is like 1-3,5 or "" for all, `language` a BCP 47 tag or "" for the book's own,
    `reading` says what of the book is read.
    """

    book: Path
    voice: AskedVoice
    out: Path
    chapters: str
    language: str
    seed: int
    presets: Presets
    settings: Settings
    model: ChosenModel = BUILT_IN
    reading: Reading = AS_USUAL
    lexicon: Path | None = None  # of this book, beside that of all books


@dataclass(frozen=True)
class Plan:
    """What shall be spoken: the chosen chapters' utterances by chapter number (from 0)."""

    book: Book
    language: str
    voices: tuple[Voice, ...]
    chapters: dict[int, list[Utterance]]
    warnings: tuple[str, ...]


def plan_book(order: Order, progress: RunProgress) -> Plan:
    """Reads the book and the voice sample and plans every utterance.

    Everything that can be wrong with what the user gave is found here, before the long work.
    """
    progress.stage("Reading the book")
    book = read_book(order.book, order.reading)
    numbers = (
        select_chapters(book, order.chapters) if order.chapters else list(range(len(book.chapters)))
    )
    characters = sum(
        len(block.text) for number in numbers for block in book.chapters[number].blocks
    )
    guess = round(characters * PHONES_PER_CHARACTER)
    progress.expect(guess, guess)
    voices = find_voices(order.voice, Library(order.settings.voices))
    check_folder(order.out)
    language = order.language or book.language
    if language.lower() in ("", "und", "mul", "zxx"):  # the book does not say
        language = LANGUAGE
    check_language(order.model, language)
    progress.stage("Planning what to say")
    pauses = Pauses(**order.presets.pauses.model_dump())
    chapters: dict[int, list[Utterance]] = {}
    warnings = list(book.warnings)
    lexicon = find_lexicon(order.settings.lexicon, order.out, order.lexicon)
    for number in numbers:
        utterances = plan_chapter(
            number,
            book.chapters[number],
            pauses,
            language,
            order.model.reading,
            lexicon=lexicon,
            warn=warnings.append,
        )
        if utterances:
            chapters[number] = utterances
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
            chapters[number] = plan_chapter(number, credit, pauses, language, order.model.reading)
        chapters = dict(sorted(chapters.items()))
    return Plan(book, language, voices, chapters, tuple(dict.fromkeys(warnings)))


class Work:
    """The steps of one book. Nothing here knows of Prefect; each step is called by the flow."""

    def __init__(
        self, order: Order, plan: Plan, engine: "VoiceEngine", progress: RunProgress
    ) -> None:
        from model.sampling import Sampling

        self.plan = plan
        self._order = order
        self._engine = engine = tuned_engine(engine, plan.voices)
        self._progress = progress
        self._started = time.time()
        self._sampling = Sampling(**order.presets.voice.model_dump())
        self._store = ObjectStore(order.settings.store_url)
        self._failures: dict[str, str] = {}
        self._made = 0
        progress.stage("Listening to the voice sample")
        self._heard = hear(plan.voices, engine.hearing, plan.language, order.settings.whisper)
        sampling = asdict(self._sampling)
        self._keys = {
            (utterance.chapter, utterance.index): take_key(
                utterance.phones,
                utterance.language,
                self._heard.content_hash,
                engine.content_hash,
                sampling,
                order.seed,
                utterance.characters,
            )
            for utterance in self._utterances()
        }
        self._id = content_key(
            {
                "book": hash_bytes(order.book.read_bytes()),
                "voice": self._heard.content_hash,
                "model": engine.content_hash,
                "chapters": list(plan.chapters),
                "seed": order.seed,
                "presets": order.presets.model_dump(),
            }
        )
        self._folder = order.settings.work / self._id
        self._record("running")
        lines = {
            self._key(utterance): Line(self._key(utterance), utterance.phones, utterance.characters)
            for utterance in self._utterances()
        }
        missing = [lines[key] for key in self._store.missing(lines)]
        self._reused = len(lines) - len(missing)
        self.batches = make_batches(
            missing, lambda line: len(line.phones), order.settings.batch_size
        )
        self._waiting = self._missing_by_chapter({line.key for line in missing})
        phones = sum(len(line.phones) for line in lines.values())
        progress.expect(phones, sum(len(line.phones) for line in missing))
        if missing:
            self._reference = engine.reference(self._heard.samples, self._heard.prompt)
        progress.pace.start()

    @property
    def title(self) -> str:
        return self.plan.book.title or self._order.book.stem

    def render(self, number: int) -> list[int]:
        """Renders and stores the takes of a batch; returns the chapters that are now complete."""
        self._progress.stage("Speaking")
        batch = self.batches[number]
        failures = render_takes(
            batch, self._engine, self._reference, self._sampling, self._store, self._on_take
        )
        self._failures |= failures
        for key in failures:
            self._progress.advance(len(next(line for line in batch if line.key == key).phones))
        return self._completed({line.key for line in batch})

    def ready_chapters(self) -> list[int]:
        """The chapters of which no take is missing before anything is rendered."""
        return [number for number in self.plan.chapters if number not in self._waiting]

    def assemble(self, number: int) -> AssembledChapter:
        """Puts a chapter whose takes are all there into one file."""
        flawed: list[tuple[Utterance, str]] = []

        def pieces() -> Iterator[tuple[Utterance, np.ndarray]]:
            for utterance in self.plan.chapters[number]:
                take, problem = self._take(utterance)
                if problem:
                    flawed.append((utterance, problem))
                yield utterance, take

        path = self._folder / f"{number + 1:04d}.flac"
        audio = assemble_chapter(pieces(), self._engine.sample_rate, path)
        return AssembledChapter(number, audio, tuple(flawed))

    def deliver(self, chapters: Sequence[AssembledChapter]) -> Delivered:
        """Makes the files of the book. The record of the run says from then on that it is
        finished."""
        remember_speed(self._order.settings, self._progress.pace.measured)
        narration = Narration(
            book=self.plan.book,
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
        shutil.rmtree(self._folder, ignore_errors=True)
        return delivered

    def _run_report(self) -> RunReport:
        started = datetime.fromtimestamp(self._started).astimezone().isoformat("T", "seconds")
        wall_seconds = time.time() - self._started
        return RunReport(started, wall_seconds, self._made, self._reused)

    def _take(self, utterance: Utterance) -> tuple[np.ndarray, str]:
        """The audio of an utterance's take and what is wrong with it; silence where there is none
        because the engine can't render it."""
        key = self._key(utterance)
        if key in self._failures:
            return np.zeros(0, np.float32), f"not spoken, {self._failures[key]}"
        data = self._store.get(key)
        if data is None:
            raise UserError(
                "A stored take was damaged while the book was being made. Run the same command "
                "again; only what is missing is made."
            )
        take = decode_take(data)
        return take.audio, take.problem

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
        return self._keys[utterance.chapter, utterance.index]

    def _record(self, state: str) -> None:
        Runs(self._order.settings.runs).put(
            Run(
                id=self._id,
                title=self.title,
                book=str(self._order.book),
                voice=self._order.voice.label,
                out=str(self._order.out),
                state=state,
                started=self._started,
                takes=tuple(dict.fromkeys(self._keys.values())),
            )
        )


def builtin_engine(settings: Settings) -> "VoiceEngine":
    """The voice model that the project carries."""
    return load_engine(BUILT_IN, settings.threads)


def engine_of(model: ChosenModel) -> Callable[[Settings], "VoiceEngine"]:
    """What loads the engine of a model."""
    if model is BUILT_IN:
        return builtin_engine
    return lambda settings: load_engine(model, settings.threads)


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
    try:
        return max(0.1, float(json.loads(_speed_file(settings).read_text())["phones_per_second"]))
    except (OSError, ValueError, KeyError, TypeError):
        return ASSUMED_SPEED


def remember_speed(settings: Settings, phones_per_second: float | None) -> None:
    if phones_per_second is not None:
        data = json.dumps({"phones_per_second": round(phones_per_second, 2)}).encode()
        write_whole(_speed_file(settings), data)


def _speed_file(settings: Settings) -> Path:
    return settings.home / "speed.json"
