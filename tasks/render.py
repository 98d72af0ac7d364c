"""Renders utterances into takes and stores each the moment it is done."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from storage.objects import ObjectStore
from tasks.gate import Gate
from tasks.hearing import Heard
from tasks.takes import (
    Take,
    dequantize,
    encode_take,
    quantize,
    rank,
    take_seed,
)

if TYPE_CHECKING:
    from model.sampling import Sampling
    from model.speaking import Characters, Rendering, VoiceEngine

ATTEMPTS = 3  # the first rendering and two more with other seeds
RETRY_TOP_K = 5  # candidates for a token in those two: with one, another seed says the same again

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Line:
    """What the renderer has to know of an utterance: its key, and what is said."""

    key: str
    phones: tuple[str, ...]
    characters: "tuple[Characters, ...]" = ()
    language: str = "en"


@dataclass(frozen=True)
class Way:
    """How a voice speaks: the engine, its reference of the voice, and the gate of the takes."""

    engine: "VoiceEngine"
    reference: Any
    gate: Gate


AnyLine = TypeVar("AnyLine", bound=Line)
Item = TypeVar("Item")
Result = TypeVar("Result")
Told = Callable[[int, "Rendering"], None]


def find_way(
    engine: "VoiceEngine", heard: Heard, whisper: str, hear_all: bool, reading: str
) -> Way:
    """How an engine speaks in a voice; `whisper`, `hear_all` and `reading` as for `Gate`."""
    gate = Gate(engine, heard.samples, whisper, hear_all, reading)
    return Way(engine, engine.reference(heard.samples, heard.prompt), gate)


def varied(sampling: "Sampling") -> "Sampling":
    """The settings with which another seed gives another reading."""
    return replace(sampling, top_k=max(sampling.top_k, RETRY_TOP_K))


def render_takes(
    lines: Sequence[Line],
    engine: "VoiceEngine",
    reference: Any,
    sampling: "Sampling",
    store: ObjectStore,
    on_take: Callable[[Line, Take], None],
    gate: Gate,
) -> dict[str, str]:
    """Renders lines together; each take that passes is stored, then told to `on_take`, at once.

    A line whose rendering is suspect to the gate is rendered again with another seed, or what went
    wrong in the clearest one so far is mended, and the best of all is stored with its reasons. A
    line that the engine can't render at all is not stored; the answer maps its key to what the
    engine said. No line stops the others.
    """
    from model.speaking import Request

    clearest: dict[str, Rendering] = {}

    def speak(attempt: int, lines: Sequence[Line], told: Told) -> None:
        requests = [
            Request(
                line.phones, take_seed(line.key, attempt), line.characters, clearest.get(line.key)
            )
            for line in lines
        ]

        def keep(number: int, rendering: "Rendering") -> None:
            if engine.mends:
                clearest[lines[number].key] = _clearer(requests[number].earlier, rendering)
            told(number, rendering)

        engine.render(requests, reference, varied(sampling) if attempt else sampling, keep)

    return choose_takes(lines, speak, engine.sample_rate, store, on_take, gate)


def choose_takes(
    lines: Sequence[AnyLine],
    speak: "Callable[[int, Sequence[AnyLine], Told], None]",
    sample_rate: int,
    store: ObjectStore,
    on_take: Callable[[AnyLine, Take], None],
    gate: Gate,
) -> dict[str, str]:
    """The same for any way to speak: `speak(attempt, lines, told)` renders lines for the first
    time (attempt 0) or once more, and calls `told(number, rendering)` as each of them is done."""
    tries: dict[str, list[Take]] = {line.key: [] for line in lines}
    waiting = {line.key: line for line in lines}
    failures: dict[str, str] = {}

    def settle(line: AnyLine) -> None:
        made = tries[line.key]
        best = min(made, key=lambda take: rank(take, line.phones))
        best = replace(best, rejected=tuple(one.reasons[0] for one in made if one is not best))
        store.put(line.key, encode_take(best))
        del waiting[line.key]
        on_take(line, best)

    def done(line: AnyLine, rendering: "Rendering") -> None:
        made = tries[line.key]
        made.append(_take(rendering, sample_rate, line, len(made) + 1, gate))
        if made[-1].verdict != "suspect" or len(made) == ATTEMPTS:
            settle(line)
        else:
            log.info("take %s, attempt %d: %s", line.key, len(made), made[-1].problem)

    for attempt in range(ATTEMPTS):
        failures |= refused_lines(
            list(waiting.values()),
            lambda line: line,
            partial(speak, attempt),
            done,
        )
        for key in failures.keys() & waiting.keys():
            if tries[key]:
                settle(waiting[key])
                del failures[key]
            else:
                del waiting[key]
    return failures


def _clearer(earlier: "Rendering | None", made: "Rendering") -> "Rendering":
    """Which of two renderings of a line to go on with: the one whose words are less doubtful."""
    if earlier is None or made.complete != earlier.complete:
        return made if earlier is None or made.complete else earlier
    if earlier.pronunciation is None or made.pronunciation is None:
        return made
    worse = made.pronunciation.worst.doubt > earlier.pronunciation.worst.doubt
    return earlier if worse else made


def _take(rendering: "Rendering", sample_rate: int, line: Line, attempts: int, gate: Gate) -> Take:
    judgement = gate.judge(rendering, sample_rate, line.phones, line.language)
    return Take(
        audio=dequantize(quantize(np.asarray(rendering.audio))),
        sample_rate=sample_rate,
        tokens=np.asarray(rendering.tokens, np.int16),
        complete=rendering.complete,
        attempts=attempts,
        verdict=judgement.verdict,
        reasons=judgement.reasons,
        measures=judgement.measures,
        doubt=judgement.doubt,
        times=np.asarray(rendering.times, np.int16),
    )


def refused_lines(
    items: Sequence[Item],
    line_of: Callable[[Item], Line],
    make: Callable[[Sequence[Item], Callable[[int, Result], None]], None],
    done: Callable[[Item, Result], None],
) -> dict[str, str]:
    """Makes something of all items at once, or, where the engine fails at it, of those left one by
    one. `make(items, told)` calls `told(number, result)` as each is made. The answer maps the keys
    of the lines that the engine can't render to what it said."""
    if not items:
        return {}
    left = dict(enumerate(items))

    def told(number: int, result: Result) -> None:
        done(left.pop(number), result)

    try:
        make(items, told)
    except (RuntimeError, ValueError, KeyError, IndexError) as error:
        if len(items) == 1:
            line = line_of(items[0])
            log.exception("the engine can't render %s", line.phones)
            return {line.key: f"{type(error).__name__}: {error}"}
        log.warning("the engine failed at a batch of %d (%s); one by one now", len(items), error)
    failures: dict[str, str] = {}
    for item in left.values():
        failures |= refused_lines([item], line_of, make, done)
    return failures
