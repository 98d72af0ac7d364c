"""Renders utterances into takes and stores each the moment it is done."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from storage.objects import ObjectStore
from tasks.gate import Gate
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

    A line whose rendering is suspect to the gate is rendered again with another seed, and the best
    of three is stored with its reasons. A line that the engine can't render at all is not stored;
    the answer maps its key to what the engine said. No line stops the others.
    """
    tries: dict[str, list[Take]] = {line.key: [] for line in lines}
    waiting = {line.key: line for line in lines}
    failures: dict[str, str] = {}

    def settle(line: Line) -> None:
        made = tries[line.key]
        best = min(made, key=lambda take: rank(take, line.phones))
        best = replace(best, rejected=tuple(one.reasons[0] for one in made if one is not best))
        store.put(line.key, encode_take(best))
        del waiting[line.key]
        on_take(line, best)

    def done(line: Line, rendering: "Rendering") -> None:
        made = tries[line.key]
        made.append(_take(rendering, engine.sample_rate, line, len(made) + 1, gate))
        if made[-1].verdict != "suspect" or len(made) == ATTEMPTS:
            settle(line)
        else:
            log.info("take %s, attempt %d: %s", line.key, len(made), made[-1].problem)

    for attempt in range(ATTEMPTS):
        if attempt == 1:
            sampling = varied(sampling)
        failures |= _render(list(waiting.values()), attempt, engine, reference, sampling, done)
        for key in failures.keys() & waiting.keys():
            if tries[key]:
                settle(waiting[key])
                del failures[key]
            else:
                del waiting[key]
    return failures


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


def _render(
    lines: Sequence[Line],
    attempt: int,
    engine: "VoiceEngine",
    reference: Any,
    sampling: "Sampling",
    done: Callable[[Line, "Rendering"], None],
) -> Mapping[str, str]:
    """Renders lines in one batch; when the engine fails at it, those left one by one."""
    from model.speaking import Request

    if not lines:
        return {}
    requests = [
        Request(line.phones, take_seed(line.key, attempt), line.characters) for line in lines
    ]
    left = dict(enumerate(lines))

    def told(number: int, rendering: "Rendering") -> None:
        done(left.pop(number), rendering)

    try:
        engine.render(requests, reference, sampling, told)
    except (RuntimeError, ValueError, KeyError, IndexError) as error:
        if len(lines) == 1:
            log.exception("the engine can't render %s", lines[0].phones)
            return {lines[0].key: f"{type(error).__name__}: {error}"}
        log.warning("the engine failed at a batch of %d (%s); one by one now", len(lines), error)
    failures: dict[str, str] = {}
    for line in left.values():
        failures |= _render([line], attempt, engine, reference, sampling, done)
    return failures
