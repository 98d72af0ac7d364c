"""A dub on its way through the house: the plan, and the steps that the flow takes with it."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from configs.errors import UsageError, UserError
from configs.presets import DubMode, DubPresets
from configs.settings import Settings
from flows.dub_orders import dub_record
from flows.progress import RunProgress
from flows.script import find_speaker
from flows.work import FEWEST_MEASURED, LANGUAGE, remember_speed
from storage.keys import content_key, hash_bytes
from storage.library import Library
from storage.objects import ObjectStore
from storage.runs import Run, Runs
from tasks.batches import make_batches
from tasks.calibration import unit_size
from tasks.dub_cast import cast_subtitles, load_dub_cast, write_cast
from tasks.dub_fit import cue_rooms, line_room, measure_piece, place
from tasks.dub_plan import plan_dub
from tasks.dub_takes import (
    ChosenLine,
    FittedLine,
    Fitting,
    candidate_key,
    choose_candidate,
    render_fitted,
    said_line,
    spoken_as,
)
from tasks.dub_types import DubCast, DubLine, Placement, Subtitles
from tasks.dub_video import Video, probe
from tasks.engines import BUILT_IN, ChosenModel, check_language
from tasks.lexicon import find_lexicon
from tasks.manifest import Part
from tasks.read_subtitles import read_subtitles
from tasks.redone import dub_names, load_redone
from tasks.render import Way, find_way, varied
from tasks.report import Run as RunReport
from tasks.split_back import split_take
from tasks.stretch import fitted_piece
from tasks.subtitle_encoding import is_text
from tasks.takes import Take, decode_take
from tasks.voices import AskedVoice, Voice, find_voices

if TYPE_CHECKING:
    from model.sampling import Sampling
    from model.speaking import VoiceEngine

CAST_FILE = "cast.yaml"
DEFAULT_VOICE = ""  # of speakers that the cast gives no voice of their own
_HEAD = 4096  # bytes; whether they may be text tells subtitle files from videos

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DubOrder:
    """What the user asks for.

    `subtitles` may be a video that holds them, of which track number `track` (from 1) is read.
    `video` is what shall be dubbed; without one, and where `subtitles` is none, only voices are
    made. Without a `voice`, those of the video's speakers are cut from it. `cast` says who speaks
    in which voice; by default it is cast.yaml in the output folder. `candidates` is how often S1
    may say a line.
    """

    subtitles: Path
    voice: AskedVoice | None
    out: Path
    video: Path | None
    mode: DubMode
    language: str
    candidates: int
    seed: int
    presets: DubPresets
    settings: Settings
    model: ChosenModel = BUILT_IN
    cast: Path | None = None
    track: int | None = None
    lexicon: Path | None = None


@dataclass(frozen=True)
class DubPlan:
    """What shall be spoken, in which voices (of speakers, and the default), for which video."""

    subtitles: Subtitles
    language: str
    lines: tuple[DubLine, ...]
    voices: Mapping[str, tuple[Voice, ...]]
    warnings: tuple[str, ...]
    video: Video | None = None

    @property
    def samples(self) -> int | None:
        """How long the video is on the grid; None without one."""
        return self.video.samples if self.video else None


@dataclass(frozen=True)
class SpokenLine:
    """A line with what the report says of it: the key of its take ("" where the engine could not
    speak it), which candidate it is and how fast, the gate's verdict, what is wrong, and the seed
    that it was made again from, if it was."""

    line: DubLine
    key: str
    candidate: int
    speed: float
    verdict: str
    problem: str
    redone: int | None


def plan_dubbing(order: DubOrder, progress: RunProgress) -> DubPlan:
    """Reads the subtitles, the cast and the voice samples, and plans every line.

    Everything that can be wrong with what the user gave is found here, before the long work. On the
    first run this writes the cast file for the user to edit.
    """
    progress.stage("Reading the subtitles")
    read = read_subtitles(order.subtitles, order.track, order.language)
    film = order.video or (None if _is_text(order.subtitles) else order.subtitles)
    video = probe(film) if film else None
    language = order.language or read.language
    if language.lower() in ("", "und", "mul", "zxx"):  # the file does not say
        language = LANGUAGE
    check_language(order.model, language)
    cast_file = order.cast or order.out / CAST_FILE
    write_cast(cast_file, read, order.subtitles.name)
    cast = load_dub_cast(cast_file) if cast_file.exists() else DubCast()
    subtitles = cast_subtitles(read, cast)
    library = Library(order.settings.voices)
    default = AskedVoice((cast.default,)) if cast.default else order.voice
    voices = {} if default is None else {DEFAULT_VOICE: find_voices(default, library)}
    if default is None and (video is None or not video.audio):
        raise UsageError(
            "give --voice SAMPLE, or with --video a film with sound from which voices can be cut"
        )
    for name, given in cast.voices.items():
        voices[name] = find_voices(AskedVoice((given,)), library)
    progress.stage("Planning what to say")
    warnings: list[str] = []
    lines = plan_dub(
        subtitles,
        language,
        order.model.reading,
        lexicon=find_lexicon(order.settings.lexicon, order.out, order.lexicon),
        warn=warnings.append,
    )
    if not lines:
        raise UserError(f"{order.subtitles} has nothing that could be spoken.")
    # Who says nothing need not be listened to.
    spoken = {DEFAULT_VOICE, *(line.speaker for line in lines)}
    voices = {name: own for name, own in voices.items() if name in spoken}
    return DubPlan(subtitles, language, tuple(lines), voices, tuple(warnings), video)


def _is_text(path: Path) -> bool:
    with path.open("rb") as file:
        return is_text(file.read(_HEAD))


class DubWork:
    """The steps of one dub. Nothing here knows of Prefect; each step is called by the flow."""

    def __init__(
        self, order: DubOrder, plan: DubPlan, engine: "VoiceEngine", progress: RunProgress
    ) -> None:
        from model.sampling import Sampling

        self.plan = plan
        self.order = order
        self.progress = progress
        self.started = time.time()
        self._store = ObjectStore(order.settings.store_url)
        self._sampling = Sampling(**order.presets.voice.model_dump())
        self.fitting = Fitting(order.mode, order.candidates)
        self._failures: dict[str, str] = {}  # by the key of what is said
        self._tried: set[str] = set()  # keys of what was said or could not be
        self._choices: dict[int, ChosenLine] = {}  # by the number of the line
        progress.stage("Listening to the voice samples")
        self.speakers = {
            name: find_speaker(engine, voices, plan.language, order.settings.whisper)
            for name, voices in plan.voices.items()
        }
        self.sample_rate = engine.sample_rate
        self._cues = {cue.index: cue for cue in plan.subtitles.cues}
        self._rooms = cue_rooms(plan.subtitles.cues, order.mode, plan.samples)
        chosen = {(one.line, one.occurrence): one.seed for one in load_redone(order.out)}
        names = dub_names((line.speaker, line.utterance.text) for line in plan.lines)
        self._redone = [chosen.get(name) for name in names]
        self._lines = [
            self._fitted_line(line, seed)
            for line, seed in zip(plan.lines, self._redone, strict=True)
        ]
        self._numbers: dict[str, list[int]] = {}  # of the lines that say the same in one voice
        for number, line in enumerate(self._lines):
            self._numbers.setdefault(line.key, []).append(number)
        missing = [number for number in range(len(plan.lines)) if self._missing(number)]
        self.reused = len(plan.lines) - len(missing)
        self.missing = list(dict.fromkeys(self._lines[number].key for number in missing))
        self.batches = self.split(self.missing)
        progress.expect(self.units(self._numbers), self.units(self.missing))
        self._ways = {name: self._way(name) for name in {self._voice_of(one) for one in missing}}
        self._id = self._run_id()
        self._record("running")
        progress.pace.start()

    @property
    def title(self) -> str:
        return (self.plan.video.path if self.plan.video else self.order.subtitles).stem

    @property
    def made(self) -> int:
        """How many lines this run has spoken so far."""
        return len(self._tried - self._failures.keys())

    def render(self, batch: int) -> None:
        """Speaks the lines of a batch, each the moment that it is done kept for good."""
        self.progress.stage("Speaking")
        waiting = set(self.batches[batch])

        def on_take(line: ChosenLine, take: Take) -> None:
            if line.said in waiting:
                waiting.remove(line.said)
                self.progress.advance(self.units([line.said]))

        failures: dict[str, str] = {}
        for part in self.parts(self.batches[batch]):
            failures |= render_fitted(
                part.lines,
                self._ways[part.voice],
                self.fitting,
                part.sampling,
                self._store,
                on_take,
            )
        self.progress.advance(self.units(waiting))
        self.settle(self.batches[batch], failures)

    def split(self, keys: Sequence[str]) -> list[list[str]]:
        """Batches of lines, by their keys."""
        return make_batches(keys, lambda key: self.units([key]), unit_size(self.order.settings))

    def parts(self, keys: Iterable[str]) -> tuple[Part[FittedLine], ...]:
        """What is to be spoken in which voice, for the lines of a batch."""
        ways: dict[tuple[str, bool], list[FittedLine]] = {}
        for key in keys:
            for number in self._numbers[key]:
                way = self._voice_of(number), self._redone[number] is not None
                ways.setdefault(way, []).append(self._lines[number])
        return tuple(
            Part(voice, self._drawing(redone), tuple(lines))
            for (voice, redone), lines in ways.items()
        )

    def units(self, keys: Iterable[str]) -> int:
        """How much work lines are: their phones."""
        return sum(len(self._lines[self._numbers[key][0]].phones) for key in keys)

    def settle(self, keys: Iterable[str], failures: Mapping[str, str]) -> list[int]:
        """From now on, the lines of these keys are what is stored of them; `failures` says why some
        can't be spoken. Returns nothing: a dub is put together at the end."""
        self._tried.update(keys)
        self._failures.update(failures)
        return []

    def again(self) -> list[str]:
        """Looks once more which lines lack something, though they are settled -> their keys."""
        missing = [
            line.key
            for number, line in enumerate(self._lines)
            if line.key not in self._failures and self._missing(number)
        ]
        return list(dict.fromkeys(missing))

    def ready_chapters(self) -> list[int]:
        return []

    def keys(self) -> list[str]:
        """The keys of all that is stored of the dub, as far as it is known which."""
        chosen = [self._choice(number) for number in range(len(self.plan.lines))]
        candidates = [
            candidate_key(line.key, candidate)
            for line in self._lines
            for candidate in range(self.order.candidates)
        ]
        takes = [line.key for line in chosen if line is not None]
        return list(dict.fromkeys([*takes, *candidates]))

    def spoken_lines(self) -> list[SpokenLine]:
        """How each line came to be spoken, in their order."""
        return [self._spoken_line(number) for number in range(len(self.plan.lines))]

    def placements(self) -> list[Placement]:
        """Where each cue's speech is heard."""
        measures = []
        for number, line in enumerate(self.plan.lines):
            take = self._take(number)
            if take is None:
                continue
            _, speed = self._spoken_as(number, take)
            measures += [
                measure_piece(piece, line.speaker, self.sample_rate, speed)
                for piece in split_take(line, take.audio, take.sample_rate, take.times)
                if len(piece.audio) > piece.lead
            ]
        return place(measures, self.plan.subtitles.cues, self.order.mode, self.plan.samples)

    def unheard(self, placements: Sequence[Placement]) -> list[str]:
        """A sentence for each cue with words that were to be spoken and are not heard."""
        heard = {(placement.line, placement.cue) for placement in placements}
        return [
            f"Cue {self._cues[part.cue].number}: nothing is heard of “"
            f"{line.utterance.text[part.start : part.end]}”."
            for number, line in enumerate(self.plan.lines)
            for part in line.parts
            if (number, part.cue) not in heard
        ]

    def in_order(self, placements: Sequence[Placement]) -> list[Placement]:
        """The placements in the order of `clips`: line by line."""
        return sorted(placements, key=lambda placement: placement.line)

    def clips(self, placements: Sequence[Placement]) -> Iterator[tuple[int, np.ndarray, str]]:
        """The sound of all placements line by line: first sample on the grid, mono audio at its
        rate, and speaker."""
        for number, own in groupby(self.in_order(placements), key=lambda one: one.line):
            line, take = self.plan.lines[number], self._take(number)
            assert take is not None  # it has been placed
            split = split_take(line, take.audio, take.sample_rate, take.times)
            pieces = {piece.cue: piece for piece in split}
            for placement in own:
                start, audio = fitted_piece(pieces[placement.cue], self.sample_rate, placement)
                yield start, audio, placement.speaker

    def run_report(self, lines: Sequence[SpokenLine]) -> RunReport:
        """What the report says of this run."""
        return RunReport(
            started=datetime.fromtimestamp(self.started).astimezone().isoformat("T", "seconds"),
            wall_seconds=time.time() - self.started,
            made=self.made,
            reused=self.reused,
            verdicts=dict(Counter(line.verdict for line in lines if line.key)),
        )

    @property
    def engine_hash(self) -> str:
        return self.speakers[DEFAULT_VOICE].engine.content_hash

    def finished(self) -> None:
        """The record of the run says from now on that it is finished."""
        if self.made >= FEWEST_MEASURED:
            remember_speed(self.order.settings, self.progress.pace.measured)
        self._record("finished")

    def _choice(self, number: int) -> ChosenLine | None:
        """Which candidate of a line sounds at which speed; None while some are missing that are
        needed to tell, or, where it was tried, there is none."""
        if number not in self._choices:
            line = self._lines[number]
            engine = self.speakers[self._voice_of(number)].engine
            tried = line.key in self._tried
            choice = choose_candidate(
                line, self.fitting, self._sampling, engine, self._store, final=tried
            )
            if choice is None:
                return None
            self._choices[number] = choice
        return self._choices[number]

    def _missing(self, number: int) -> bool:
        chosen = self._choice(number)
        return chosen is None or self._store.get(chosen.key) is None

    def _take(self, number: int) -> Take | None:
        """A line's take; None where there is none because the engine can't speak it."""
        chosen = self._choice(number)
        if chosen is None or self._lines[number].key in self._failures:
            return None
        data = self._store.get(chosen.key)
        if data is None:
            raise UserError(
                "A stored take was damaged while the dub was being made. Run the same command "
                "again; only what is missing is made."
            )
        return decode_take(data)

    def _spoken_as(self, number: int, take: Take) -> tuple[int, float]:
        """Of which candidate a line's take is, and how fast the model speaks it."""
        chosen = self._choice(number)
        assert chosen is not None
        engine = self.speakers[self._voice_of(number)].engine
        return spoken_as(chosen, take.attempts - 1, engine, self._store)

    def _spoken_line(self, number: int) -> SpokenLine:
        line, chosen, take = self.plan.lines[number], self._choice(number), self._take(number)
        redone = self._redone[number]
        if chosen is None or take is None:
            why = self._failures.get(self._lines[number].key, "the engine says nothing")
            return SpokenLine(line, "", 0, 1.0, "", f"not spoken, {why}", redone)
        candidate, speed = self._spoken_as(number, take)
        return SpokenLine(line, chosen.key, candidate, speed, take.verdict, take.problem, redone)

    def _drawing(self, redone: bool) -> "Sampling":
        """The settings of lines; those that were made again need another reading for a seed."""
        return varied(self._sampling) if redone else self._sampling

    def _fitted_line(self, line: DubLine, redone: int | None) -> FittedLine:
        speaker = self.speakers[line.speaker if line.speaker in self.speakers else DEFAULT_VOICE]
        said = said_line(
            line.utterance,
            speaker.heard.content_hash,
            speaker.engine.content_hash,
            self._drawing(redone is not None),
            self.order.seed if redone is None else redone,
        )
        room = line_room(line.parts, self._cues, self._rooms)
        facts = said.key, said.phones, said.characters, said.language
        return FittedLine(*facts, shown=room.shown, most=room.most)

    def _voice_of(self, number: int) -> str:
        speaker = self.plan.lines[number].speaker
        return speaker if speaker in self.speakers else DEFAULT_VOICE

    def _way(self, voice: str) -> Way:
        own, settings = self.speakers[voice], self.order.settings
        reading = self.order.model.reading
        return find_way(own.engine, own.heard, settings.whisper, settings.hear_all, reading)

    def _run_id(self) -> str:
        return content_key(
            {
                "subtitles": hash_bytes(self.order.subtitles.read_bytes()),
                "voices": {
                    name: speaker.heard.content_hash for name, speaker in self.speakers.items()
                },
                "out": str(self.order.out.absolute()),
            }
        )

    def _record(self, state: str) -> None:
        Runs(self.order.settings.runs).put(
            Run(
                id=self._id,
                title=self.title,
                book=str(self.order.subtitles),
                voice=self.order.voice.label if self.order.voice else "the video's own",
                out=str(self.order.out.absolute()),
                state=state,
                started=self.started,
                takes=tuple(self.keys()),
                order=dub_record(self.order),
            )
        )
