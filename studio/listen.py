"""What has been made of a book, to be listened to and mended: chapters, words with times, takes.

All of it is read from what the command line keeps: the record of the run, the assembled chapters,
the store. Edits are those of `voxloom redo`, `say-as` and `cast`; the next run of the job brings
them in, and makes only what they touch.
"""

import io
import json
import logging
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import soundfile
from fastapi import HTTPException

from configs.errors import UserError
from configs.settings import Settings
from flows.dub_redo import REPORT
from flows.orders import Order, last_order
from flows.redo_cli import choose
from flows.script import Script, ScriptLine, said_hash
from flows.work import chapter_audio, plan_book
from storage.derived import DerivedFiles
from storage.library import Library
from storage.objects import ObjectStore
from storage.runs import Run, RunLine
from studio.contents import book_of
from studio.jobs import CAST_FILE
from studio.models import (
    ChapterText,
    LineEdit,
    ListenChapter,
    Listening,
    ListenLine,
    Suspect,
    Takes,
    Word,
)
from studio.models import Take as ShownTake
from studio.speaking import Speaking, quiet
from tasks import line_edits
from tasks.casting import load_cast
from tasks.credits import chapter_title
from tasks.plan import Utterance
from tasks.read_book import Book
from tasks.redone import load_redone
from tasks.takes import Take, decode_take
from tasks.word_times import word_times

MOST_TAKES = 12  # of a line, beside the first one
_KEPT = 6  # planned chapters in memory

log = logging.getLogger(__name__)

Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Made:
    """A book as it was made last: what was asked for, and the record of the run."""

    url: str  # of the job in the API
    order: Order
    run: Run

    @property
    def chapters(self) -> list[tuple[int, str]]:
        """Numbers (from 0; credits lie outside the book's) and keys of the assembled chapters."""
        numbers = sorted({line.chapter for line in self.run.lines})
        return list(zip(numbers, self.run.derived, strict=True))

    def lines(self, chapter: int) -> list[RunLine]:
        return [line for line in self.run.lines if line.chapter == chapter]


@dataclass(frozen=True)
class _Variants:
    """A line, how often lines of its name stand before it, and the takes that it may have."""

    script: Script
    first: ScriptLine  # as it is if nobody makes it again
    chosen: int | None  # the seed of the take that was chosen instead

    def all(self) -> list[ScriptLine]:
        begin = self.first.seed + 1
        seeds = list(range(begin, begin + MOST_TAKES))
        if self.chosen is not None and self.chosen not in seeds:
            seeds.append(self.chosen)
        return [self.first, *(self.script.variant(self.first, seed) for seed in seeds)]


class Listen:
    """Answers for books; what was planned last is kept in memory."""

    def __init__(self, settings: Settings, speaking: Speaking) -> None:
        self._settings = settings
        self._speaking = speaking
        self._derived = DerivedFiles(settings.derived)
        self._store = ObjectStore(settings.store_url)
        self._lock = threading.Lock()
        self._records = threading.Lock()
        self._writing = threading.Lock()
        self._orders: dict[object, tuple[Order, Run]] = {}
        self._plans: dict[object, dict[int, Utterance]] = {}
        self._scripts: dict[object, Script] = {}
        self._glances: dict[str, tuple[float, list[tuple[int, str]], dict[int, int], int]] = {}

    def made(self, out: Path, url: str) -> Made:
        """What is known of the book in an output folder; 409 where nothing was begun yet."""
        key = (out, *sorted((path.name, *_stamp(path)) for path in self._settings.runs.glob("*")))
        with self._records:
            if key not in self._orders:
                try:
                    _keep(self._orders, key, last_order(out, self._settings), most=2)
                except UserError as error:
                    raise HTTPException(409, "Nothing of this can be heard yet.") from error
            order, run = self._orders[key]
        if (out / CAST_FILE).exists():  # it may be younger than the run
            order = replace(order, cast=out / CAST_FILE)
        return Made(url, order, run)

    def listening(self, made: Made) -> Listening:
        book = book_of(made.order.book, made.order.reading)
        chapters, suspects, begin = [], [], 0.0
        texts = {(line.chapter, line.index): line.text for line in made.run.lines}
        for number, key in made.chapters:
            seconds, problems, starts, rate = self._glance(key)
            for index, problem in problems:
                start = begin + starts.get(index, 0) / rate
                suspects.append(_suspect(number, index, texts, start, problem))
            chapters.append(
                ListenChapter(
                    number=number + 1,
                    title=chapter_title(book, number),
                    seconds=round(seconds, 3),
                    start=round(begin, 3),
                    audio=f"{made.url}/chapters/{number + 1}/audio?v={key[:16]}" if seconds else "",
                    suspects=len(problems),
                )
            )
            begin += seconds
        suspects = _with_unspoken(suspects, made)
        return Listening(
            title=book.title or made.run.title,
            authors=list(book.authors),
            language=made.order.language or book.language,
            voice=made.run.voice,
            seconds=round(begin, 3),
            chapters=chapters,
            suspects=suspects,
            voices=self.voices(made),
        )

    def voices(self, made: Made) -> list[str]:
        """Who a line may be given to: speakers of the cast with a voice, and registered voices."""
        cast = load_cast(made.order.cast).voices if made.order.cast else {}
        names = [*cast, *(voice.name for voice in Library(self._settings.voices))]
        return list(dict.fromkeys(names))

    def chapter_sound(self, made: Made, number: int) -> Path:
        """The file of an assembled chapter."""
        return self._assembled(made, number)[0]

    def chapter(self, made: Made, number: int) -> ChapterText:
        """The lines of a chapter (from 1) and their words, as they are heard."""
        path, facts = self._assembled(made, number)
        audio = chapter_audio(path, facts)
        rate = audio.sample_rate
        spans = {span.index: span for span in audio.spans}
        times = {
            int(index): np.array(flat, np.int16).reshape(-1, 2) for index, flat in facts["times"]
        }
        problems = {int(index): problem for index, problem in facts["problems"]}
        planned = self._planned(made, number - 1)
        lines = []
        for line in made.lines(number - 1):
            utterance = _as_heard(line, planned.get(line.index))
            span = spans.get(line.index)
            if span is None:
                continue
            same = said_hash(utterance) == line.said
            known = times.get(line.index) if same else None
            words = word_times(
                utterance,
                np.zeros((0, 2), np.int16) if known is None else known,
                span.cut,
                span,
                rate,
            )
            lines.append(
                ListenLine(
                    place=_place(line.chapter, line.index),
                    text=line.text,
                    block=utterance.block,
                    kind=utterance.kind,
                    start=round(span.start / rate, 3),
                    end=round(span.end / rate, 3),
                    words=[
                        Word(
                            first=word.first,
                            last=word.last,
                            start=round(word.start / rate, 3),
                            end=round(word.end / rate, 3),
                        )
                        for word in words
                    ],
                    speaker=utterance.speaker,
                    pause_after=utterance.pause_after,
                    reason=problems.get(line.index, ""),
                    redone=line.redone,
                )
            )
        book = book_of(made.order.book, made.order.reading)
        return ChapterText(number=number, title=chapter_title(book, number - 1), lines=lines)

    def takes(self, made: Made, place: str) -> Takes:
        """The takes of a line that are in the store."""
        line = _line(made, place)
        variants = self._variants(made, line)
        shown = []
        for one in variants.all():
            take = self._take(one.key)
            if take is not None:
                seconds = len(take.audio) / take.sample_rate
                shown.append(
                    ShownTake(
                        seed=one.seed,
                        chosen=one.seed == variants.chosen
                        if one.redone
                        else variants.chosen is None,
                        problem=take.problem,
                        seconds=round(seconds, 3),
                        audio=f"{made.url}/lines/{place}/takes/{one.seed}/audio",
                    )
                )
        return Takes(place=place, text=line.text, takes=shown)

    def make_take(self, made: Made, place: str) -> Takes:
        """Makes the next take of a line."""
        variants = self._variants(made, _line(made, place))
        missing = [one for one in variants.all() if self._take(one.key) is None]
        if not missing:
            raise HTTPException(409, f"There are {MOST_TAKES} other takes of this line; take one.")
        reading = made.order.model.reading
        why = self._speaking.make_take(variants.script, missing[0], self._settings, reading)
        if why:
            raise UserError(f"The model can't speak this line: {why}")
        return self.takes(made, place)

    def take_sound(self, made: Made, place: str, seed: int) -> bytes:
        """A take as a WAV file."""
        variants = self._variants(made, _line(made, place))
        for one in variants.all():
            if one.seed == seed and (take := self._take(one.key)) is not None:
                buffer = io.BytesIO()
                soundfile.write(buffer, take.audio, take.sample_rate, "PCM_16", format="WAV")
                return buffer.getvalue()
        raise HTTPException(404, "There is no such take; make it first.")

    def choose_take(self, made: Made, place: str, seed: int) -> bool:
        """Has a line heard in a take from now on; whether that is a change."""
        variants = self._variants(made, _line(made, place))
        undo = seed == variants.first.seed
        if seed == variants.chosen or (undo and variants.chosen is None):
            return False
        if not any(one.seed == seed for one in variants.all()):
            raise HTTPException(404, "There is no such take; make it first.")
        with self._writing:
            choose(variants.first, made.order.out, None if undo else seed, undo)
        return True

    def edit(self, made: Made, place: str, edit: LineEdit) -> None:
        """Keeps who speaks a line, and the pause after it."""
        line = _line(made, place)
        utterance = self._planned(made, line.chapter).get(line.index)
        if utterance is None or utterance.text != line.text:
            raise HTTPException(409, "This line is not in the book any more; make the book again.")
        if edit.speaker and edit.speaker not in self.voices(made):
            raise HTTPException(400, f"There is no voice or speaker named {edit.speaker}.")
        with self._writing:
            _save(made.order.out, utterance, edit)

    def _glance(self, key: str) -> tuple[float, list[tuple[int, str]], dict[int, int], int]:
        """Of an assembled chapter: seconds, problems, where lines begin, and the rate; all empty
        while it is being made."""
        if key not in self._glances:
            found = self._derived.look(key, ".flac")
            if found is None:
                return 0.0, [], {}, 1
            audio = chapter_audio(*found)
            problems = [(int(index), problem) for index, problem in found[1]["problems"]]
            starts = {span.index: span.start for span in audio.spans}
            flawed = {index: starts[index] for index, _ in problems if index in starts}
            self._glances[key] = audio.seconds, problems, flawed, audio.sample_rate
        return self._glances[key]

    def _assembled(self, made: Made, number: int) -> tuple[Path, dict[str, Any]]:
        key = dict(made.chapters).get(number - 1)
        if key is None:
            raise HTTPException(404, "There is no such chapter.")
        found = self._derived.look(key, ".flac")
        if found is None:
            raise HTTPException(409, "This chapter is being made.")
        return found

    def _take(self, key: str) -> Take | None:
        data = self._store.get(key)
        return None if data is None else decode_take(data)

    def _planned(self, made: Made, number: int) -> dict[int, Utterance]:
        """The lines of a chapter as they are planned now, by their index."""
        key = (number, *_stamps(made, self._settings))
        with self._lock:
            if key not in self._plans:
                plan = plan_book(_alone(made, number), quiet(), _book(made))
                planned = {one.index: one for one in plan.chapters.get(number, ())}
                _keep(self._plans, key, planned)
            return self._plans[key]

    def _variants(self, made: Made, line: RunLine) -> _Variants:
        """The takes that a line has or may have.

        Only its chapter is planned. Which of the lines of its name it is decides the record of the
        run: what two lines have in common there, they have in their names.
        """
        engine = self._speaking.engine(made.order.model)
        key = (line.chapter, *_stamps(made, self._settings))
        with self._lock:
            if key not in self._scripts:
                alone = _alone(made, line.chapter)
                script = Script(alone, plan_book(alone, quiet(), _book(made)), engine)
                _keep(self._scripts, key, script, most=1)
            script = self._scripts[key]
        found = [one for one in script if _at(one.utterance) == (line.chapter, line.index)]
        if not found or found[0].utterance.text != line.text:
            raise HTTPException(409, "This line is not in the book any more; make the book again.")
        records = [one for one in script.record() if one.chapter == line.chapter]
        own = next(one for one in records if one.index == line.index)
        before = [one for one in made.run.lines if one.chapter < line.chapter]
        before += [one for one in records if one.index < line.index]
        occurrence = sum(_alike(one) == _alike(own) for one in before)
        first = replace(script.first(found[0]), occurrence=occurrence)
        choices = {(one.line, one.occurrence): one.seed for one in load_redone(made.order.out)}
        return _Variants(script, first, choices.get((first.name, occurrence)))


def _book(made: Made) -> Book:
    return book_of(made.order.book, made.order.reading)


def _alone(made: Made, number: int) -> Order:
    """The order with one chapter alone; credits are planned with any."""
    inside = 0 <= number < len(_book(made).chapters)
    return replace(made.order, chapters=str(number + 1)) if inside else made.order


def _keep(kept: dict[object, Kept], key: object, value: Kept, most: int = _KEPT) -> None:
    kept[key] = value
    while len(kept) > most:
        del kept[next(iter(kept))]


def _stamps(made: Made, settings: Settings) -> tuple[object, ...]:
    """What changes when a line may be planned otherwise."""
    out = made.order.out
    files = [settings.lexicon, out / "lexicon.yaml", out / line_edits.FILE, out / "redone.json"]
    files += [made.order.cast] if made.order.cast else []
    return (out, made.run.id, made.run.started, *map(_stamp, files))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
        return stat.st_mtime_ns, stat.st_ino
    except OSError:
        return 0, 0


def _line(made: Made, place: str) -> RunLine:
    for line in made.run.lines:
        if _place(line.chapter, line.index) == place:
            return line
    raise HTTPException(404, "There is no such line.")


def _as_heard(line: RunLine, planned: Utterance | None) -> Utterance:
    """A line as it is planned now, or what is known of it where that is another one."""
    if planned is not None and planned.text == line.text:
        return planned
    return Utterance(line.chapter, line.index, line.text, (), "", 0.0, "paragraph")


def _alike(line: RunLine) -> tuple[str, str, str]:
    return line.said, line.voice, line.model


def _at(utterance: Utterance) -> tuple[int, int]:
    return utterance.chapter, utterance.index


def _save(out: Path, utterance: Utterance, edit: LineEdit) -> None:
    """Puts what changes of a line to what was changed of lines before."""
    kept = line_edits.LineEdit(*line_edits.place_of(utterance))
    others = []
    for one in line_edits.load_edits(out):
        if one.place == kept.place:
            kept = one
        else:
            others.append(one)
    if edit.reset:
        kept = replace(kept, speaker=None, pause_after=None)
    if edit.speaker is not None:
        kept = replace(kept, speaker=edit.speaker)
    if edit.pause_after is not None:
        kept = replace(kept, pause_after=edit.pause_after)
    if kept.speaker is not None or kept.pause_after is not None:
        others.append(kept)
    line_edits.save_edits(out, others)


def _place(chapter: int, index: int) -> str:
    return f"{chapter + 1}:{index + 1}"


def _with_unspoken(suspects: list[Suspect], made: Made) -> list[Suspect]:
    """The suspects with those that the report alone knows: lines that the model could not speak."""
    reports = sorted(made.order.out.glob(f"**/{REPORT}"))
    if made.run.state != "finished" or not reports:
        return suspects
    try:
        told = json.loads(reports[0].read_text(encoding="utf-8"))["incomplete_takes"]
        listed = [
            Suspect(
                place=_place(one["chapter"], one["index"]),
                text=one["text"],
                start=one["start_seconds"],
                reason=one["reason"],
            )
            for one in told
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("the report %s can't be read: %s", reports[0], error)
        return suspects
    known = {one.place for one in suspects}
    more = [one for one in listed if one.place not in known]
    return sorted([*suspects, *more], key=lambda one: one.start)


def _suspect(
    number: int, index: int, texts: dict[tuple[int, int], str], start: float, problem: str
) -> Suspect:
    return Suspect(
        place=_place(number, index),
        text=texts.get((number, index), ""),
        start=round(start, 3),
        reason=problem,
    )
