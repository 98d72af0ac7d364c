"""The script of a book: every planned utterance with who speaks it, and the key of its take."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from storage.keys import content_key, hash_bytes
from storage.runs import RunLine
from tasks.assemble import ASSEMBLE_VERSION
from tasks.engines import tuned_engine
from tasks.hearing import Heard, hear
from tasks.plan import Utterance
from tasks.redone import Redone, load_redone
from tasks.render import Line, varied
from tasks.takes import TAKE_VERSION, take_key

if TYPE_CHECKING:
    from flows.orders import Order
    from flows.work import Plan
    from model.sampling import Sampling
    from model.speaking import VoiceEngine

NARRATOR = ""


@dataclass(frozen=True)
class Speaker:
    """A voice of the book, and the engine that speaks it (with what was tuned for the voice)."""

    engine: "VoiceEngine"
    heard: Heard


@dataclass(frozen=True)
class ScriptLine:
    """An utterance and the key of its take.

    `name` is the key that it has if nobody made it again, `occurrence` which of the lines of that
    name it is, `seed` that of its take.
    """

    utterance: Utterance
    key: str
    name: str
    occurrence: int
    seed: int
    redone: bool


class Script:
    """All lines of a planned book. Lines whose speaker has no voice are the narrator's."""

    def __init__(self, order: "Order", plan: "Plan", engine: "VoiceEngine") -> None:
        from model.sampling import Sampling

        self.plan = plan
        self._order = order
        whisper = order.settings.whisper
        voices = {NARRATOR: plan.voices, **plan.cast}
        self.speakers: dict[str, Speaker] = {}
        for name, own in voices.items():
            tuned = tuned_engine(engine, own)
            self.speakers[name] = Speaker(tuned, hear(own, tuned.hearing, plan.language, whisper))
        self._sampling = Sampling(**order.presets.voice.model_dump())
        chosen = {(one.line, one.occurrence): one for one in load_redone(order.out)}
        self._lines: dict[tuple[int, int], ScriptLine] = {}
        self._by_key: dict[str, ScriptLine] = {}
        seen: Counter[str] = Counter()
        for number in sorted(plan.chapters):
            for utterance in plan.chapters[number]:
                line = self._line(utterance, chosen, seen)
                self._lines[utterance.chapter, utterance.index] = line
                self._by_key[line.key] = line

    def __iter__(self) -> Iterator[ScriptLine]:
        """The lines in the book's order."""
        return iter(self._lines.values())

    def line(self, utterance: Utterance) -> ScriptLine:
        return self._lines[utterance.chapter, utterance.index]

    def chapter(self, number: int) -> list[ScriptLine]:
        return [self.line(utterance) for utterance in self.plan.chapters[number]]

    def wanted(self) -> dict[str, Line]:
        """What the renderer has to know, by key."""
        return {key: renderable(line.utterance, key) for key, line in self._by_key.items()}

    def way(self, key: str) -> tuple[str, bool]:
        """Who speaks the line of a key, and whether it was made again: what lines that are rendered
        together have in common."""
        line = self._by_key[key]
        return self._speaker(line.utterance), line.redone

    def sampling(self, redone: bool) -> "Sampling":
        """The settings of lines; those that were made again need another reading for a seed."""
        return varied(self._sampling) if redone else self._sampling

    @property
    def id(self) -> str:
        """Names the run: the same book in the same voices."""
        narrator = self.speakers[NARRATOR]
        content: dict[str, object] = {
            "book": hash_bytes(self._order.book.read_bytes()),
            "voice": narrator.heard.content_hash,
            "model": narrator.engine.content_hash,
            "chapters": list(self.plan.chapters),
            "seed": self._order.seed,
            "presets": self._order.presets.model_dump(),
        }
        if len(self.speakers) > 1:
            content["cast"] = {
                name: speaker.heard.content_hash for name, speaker in self.speakers.items()
            }
        return content_key(content)

    def chapter_key(self, number: int, unspoken: Iterable[str] = ()) -> str:
        """Names a chapter's assembled file: the takes in it (none for the keys `unspoken`) and the
        pauses between them."""
        missing = set(unspoken)
        return content_key(
            {
                "step": f"chapter {ASSEMBLE_VERSION}",
                "number": number,
                "lines": [
                    ["" if line.key in missing else line.key, line.utterance.pause_after]
                    for line in self.chapter(number)
                ],
            }
        )

    def record(self) -> tuple[RunLine, ...]:
        """The lines as the record of the run keeps them."""
        return tuple(self._record(line) for line in self)

    def variant(self, line: ScriptLine, seed: int) -> ScriptLine:
        """The line as it is made again from a seed."""
        key = self._key(line.utterance, seed, True)
        return replace(line, key=key, seed=seed, redone=True)

    def first(self, line: ScriptLine) -> ScriptLine:
        """The line as it is if nobody makes it again."""
        return replace(line, key=line.name, seed=self._order.seed, redone=False)

    def speaker(self, line: ScriptLine) -> Speaker:
        """Who speaks a line."""
        return self.speakers[self._speaker(line.utterance)]

    def _line(
        self, utterance: Utterance, chosen: dict[tuple[str, int], Redone], seen: Counter[str]
    ) -> ScriptLine:
        name = self._key(utterance, self._order.seed, False)
        occurrence = seen[name]
        seen[name] += 1
        choice = chosen.get((name, occurrence))
        if choice is None:
            return ScriptLine(utterance, name, name, occurrence, self._order.seed, False)
        key = self._key(utterance, choice.seed, True)
        return ScriptLine(utterance, key, name, occurrence, choice.seed, True)

    def _key(self, utterance: Utterance, seed: int, redone: bool) -> str:
        speaker = self.speakers[self._speaker(utterance)]
        return take_key(
            utterance.phones,
            utterance.language,
            speaker.heard.content_hash,
            speaker.engine.content_hash,
            asdict(self.sampling(redone)),
            seed,
            utterance.characters,
        )

    def _speaker(self, utterance: Utterance) -> str:
        return utterance.speaker if utterance.speaker in self.speakers else NARRATOR

    def _record(self, line: ScriptLine) -> RunLine:
        utterance = line.utterance
        speaker = self.speakers[self._speaker(utterance)]
        settings = [line.seed, asdict(self.sampling(line.redone))]
        return RunLine(
            utterance.chapter,
            utterance.index,
            utterance.text,
            line.key,
            said=said_hash(utterance),
            voice=_short(speaker.heard.content_hash),
            model=_short([TAKE_VERSION, speaker.engine.content_hash]),
            settings=_short(settings),
            redone=line.redone,
        )


def renderable(utterance: Utterance, key: str) -> Line:
    """What the renderer has to know of an utterance."""
    return Line(key, utterance.phones, utterance.characters, utterance.language)


def said_hash(utterance: Utterance) -> str:
    """Names what is said of an utterance, as the record of a run has it."""
    return _short([utterance.phones, utterance.language])


def _short(content: object) -> str:
    return content_key(content)[:16]
