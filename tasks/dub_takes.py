"""Takes of dubbed lines: what S1 says to a line several times, of which one is made to sound at the
speed that suits.

What S1 says ("a candidate") is stored under a key of its own. It depends on the words, the voice
and the model, never on the subtitles' times: so other times need other sound at most. A stored
candidate is a byte that tells whether S1 ended by itself, and its tokens (int16, little endian).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from storage.keys import content_key
from storage.objects import ObjectStore
from tasks.dub_fit import FASTEST, SLOWEST, LineRoom, Mode, choose_speed
from tasks.gate import Gate
from tasks.render import ATTEMPTS, Line, Told, Way, choose_takes, refused_lines, varied
from tasks.takes import TAKE_VERSION, Take, take_key, take_seed

if TYPE_CHECKING:
    from model.sampling import Sampling
    from model.speaking import Request, Semantics, VoiceEngine
    from tasks.plan import Utterance

CANDIDATE_VERSION = "1"  # changes when the same model and settings would say something else

# At both ends of a take, which is trimmed: 0.3 to 0.36 s of the built-in voice in two voices.
_SILENT_SECONDS = 0.32
# A line that fits its subtitles at such a speed needs no second candidate.
_COMFORT = (0.97, 1.06)
# What of the settings only makes sound of what is said.
_OF_SOUND = ("steps", "guidance", "speed")


@dataclass(frozen=True)
class SaidLine(Line):
    """A line whose `key` names what decides its candidates."""


@dataclass(frozen=True)
class ChosenLine(Line):
    """A line of which candidate number `candidate` shall sound at `speed`; `key` is its take's,
    `said` what decides its candidates. `fits`: another candidate in its place shall be as long;
    else it has the same speed."""

    said: str = ""
    candidate: int = 0
    speed: float = 1.0
    fits: bool = True


@dataclass(frozen=True)
class FittedLine(SaidLine):
    """The same, and the seconds that its subtitles are shown for and that fit at most (see
    `dub_fit.LineRoom`)."""

    shown: float = 0.0
    most: float = 0.0


@dataclass(frozen=True)
class Fitting:
    """How lines are fitted to their subtitles, and how often S1 may say one for that."""

    mode: Mode
    candidates: int


def said_line(
    utterance: "Utterance", voice_hash: str, model_hash: str, sampling: "Sampling", seed: int
) -> SaidLine:
    """The line of an utterance in a voice."""
    settings = {name: value for name, value in asdict(sampling).items() if name not in _OF_SOUND}
    name = take_key(
        utterance.phones,
        utterance.language,
        voice_hash,
        model_hash,
        settings,
        seed,
        utterance.characters,
    )
    key = content_key({"step": f"said {CANDIDATE_VERSION}", "line": name})
    return SaidLine(key, utterance.phones, utterance.characters, utterance.language)


def chosen_line(
    line: SaidLine, candidate: int, speed: float, sampling: "Sampling", fits: bool = True
) -> ChosenLine:
    """The line whose candidate shall sound at a speed; its key is the hash of all that decides
    the take, whichever candidate that will be of in the end (see `render_chosen`)."""
    key = content_key(
        {
            "step": f"dubbed {TAKE_VERSION}",
            "said": line.key,
            "candidate": candidate,
            "speed": round(speed, 4),
            "fits": fits,
            "steps": sampling.steps,
            "guidance": sampling.guidance,
        }
    )
    return ChosenLine(
        key, line.phones, line.characters, line.language, line.key, candidate, speed, fits
    )


def candidate_key(said: str, number: int) -> str:
    """The key of what S1 says to a line for the time `number` (from 0)."""
    return content_key({"said": said, "candidate": number})


def candidate_request(line: Line, said: str, number: int) -> "Request":
    """What S1 and S2 are asked for a candidate."""
    from model.speaking import Request

    return Request(line.phones, take_seed(said, number), line.characters)


def make_candidates(
    wanted: Sequence[tuple[SaidLine, int]],
    engine: "VoiceEngine",
    reference: Any,
    sampling: "Sampling",
    store: ObjectStore,
) -> dict[str, str]:
    """Stores candidates of lines, each the moment that S1 ends it.

    Number 0 is what the settings make of the line; others draw more freely, since with the settings
    of the built-in voice S1 always says the same. What the engine can't say is left out; the answer
    maps the line's key to what the engine said.
    """

    def say(
        drawing: "Sampling",
        some: Sequence[tuple[SaidLine, int]],
        told: "Callable[[int, Semantics], None]",
    ) -> None:
        requests = [candidate_request(line, line.key, number) for line, number in some]
        engine.semantics(requests, reference, drawing, told)

    def keep(one: tuple[SaidLine, int], semantics: "Semantics") -> None:
        line, number = one
        store.put(candidate_key(line.key, number), encode_candidate(semantics))

    failures: dict[str, str] = {}
    for others, drawing in ((False, sampling), (True, varied(sampling))):
        some = [one for one in wanted if bool(one[1]) is others]
        failures |= refused_lines(some, lambda one: one[0], partial(say, drawing), keep)
    return failures


def load_candidate(store: ObjectStore, said: str, number: int) -> "Semantics | None":
    """A stored candidate; None where there is none."""
    data = store.get(candidate_key(said, number))
    return None if data is None else decode_candidate(data)


def choose_candidate(
    line: FittedLine,
    fitting: Fitting,
    sampling: "Sampling",
    engine: "VoiceEngine",
    store: ObjectStore,
    final: bool = False,
) -> ChosenLine | None:
    """Which candidate of a line sounds at which speed; None while some are missing that are needed
    to tell, or, in the end (`final`), where there is none.

    It hangs on the line's own words and times alone, so that other lines may change.
    """
    room = LineRoom(line.shown, line.most)
    free = fitting.mode == "free"  # the first one is taken, whatever its length
    found: dict[int, float] = {}
    broken: dict[int, float] = {}
    for candidate in range(fitting.candidates):
        semantics = load_candidate(store, line.key, candidate)
        if semantics is None:
            if final:
                continue
            return None
        seconds = expected_seconds(engine, line, semantics)
        (found if semantics.complete else broken)[candidate] = seconds
        if candidate == 0 and semantics.complete:
            choice = choose_speed([seconds], room, fitting.mode)
            fits = seconds / choice.speed <= room.most
            if free or (fits and _COMFORT[0] <= choice.speed <= _COMFORT[1]):
                break
    found = found or broken
    if not found:
        return None
    choice = choose_speed(list(found.values()), room, fitting.mode)
    candidate = list(found)[choice.candidate]
    return chosen_line(line, candidate, choice.speed, sampling, fits=not free)


def render_fitted(
    lines: Sequence[FittedLine],
    way: Way,
    fitting: Fitting,
    sampling: "Sampling",
    store: ObjectStore,
    on_take: Callable[[ChosenLine, Take], None],
) -> dict[str, str]:
    """Says the lines once, those that don't fit their subtitles several times more, and makes sound
    of what fits best, as `render_chosen` does.

    The answer maps the keys of the lines that the engine can't speak to what it said. What could be
    said at all counts, though the engine may have refused to say it again.
    """
    failures: dict[str, str] = {}
    for first, last in ((0, 1), (1, fitting.candidates)):
        wanted = {
            (line.key, candidate): (line, candidate)
            for line in lines
            if line.key not in failures
            and choose_candidate(line, fitting, sampling, way.engine, store) is None
            for candidate in range(first, last)
            if load_candidate(store, line.key, candidate) is None
        }
        some = list(wanted.values())
        failures |= make_candidates(some, way.engine, way.reference, sampling, store)
    chosen: dict[str, ChosenLine] = {}
    for line in lines:
        choice = choose_candidate(line, fitting, sampling, way.engine, store, final=True)
        if choice is not None:
            chosen[choice.key] = choice
            failures.pop(line.key, None)
    missing = [chosen[key] for key in store.missing(chosen)]
    unheard = render_chosen(missing, way.engine, way.reference, sampling, store, on_take, way.gate)
    return failures | {chosen[key].said: why for key, why in unheard.items()}


def render_chosen(
    lines: Sequence[ChosenLine],
    engine: "VoiceEngine",
    reference: Any,
    sampling: "Sampling",
    store: ObjectStore,
    on_take: Callable[[ChosenLine, Take], None],
    gate: Gate,
) -> dict[str, str]:
    """Makes the chosen candidates sound; each take that passes the gate is stored, then told to
    `on_take`, at once.

    In place of a suspect, other candidates of the line sound, as fast as `spoken_as` says, and the
    best of three is stored with its reasons. A line that the engine can't render is not stored; the
    answer maps its key to what the engine said. No line stops the others.
    """

    def speak(attempt: int, lines: Sequence[ChosenLine], told: Told) -> None:
        wanted = {
            (SaidLine(line.said, line.phones, line.characters, line.language), number): None
            for line in lines
            for number in (line.candidate, _spoken_at(line.candidate, attempt))
        }
        missing = [one for one in wanted if load_candidate(store, one[0].key, one[1]) is None]
        make_candidates(missing, engine, reference, sampling, store)
        for place, line in enumerate(lines):
            number, speed = spoken_as(line, attempt, engine, store)
            semantics = load_candidate(store, line.said, number)
            if semantics is None:
                raise ValueError(f"S1 has nothing to say to line {line.said}, candidate {number}")
            request = candidate_request(line, line.said, number)
            at_speed = replace(sampling, speed=speed)
            (rendering,) = engine.acoustics([request], [semantics], reference, at_speed)
            told(place, rendering)

    return choose_takes(lines, speak, engine.sample_rate, store, on_take, gate)


def spoken_as(
    line: ChosenLine, attempt: int, engine: "VoiceEngine", store: ObjectStore
) -> tuple[int, float]:
    """Which candidate sounds at an attempt (0: the chosen one), and its speed: where the line
    `fits`, that which makes it as long as the chosen one, as far as the model can."""
    number = _spoken_at(line.candidate, attempt)
    chosen = load_candidate(store, line.said, line.candidate)
    other = load_candidate(store, line.said, number)
    if number == line.candidate or not line.fits or chosen is None or other is None:
        return number, line.speed
    seconds = [expected_seconds(engine, line, one) for one in (chosen, other)]
    speed = round(seconds[1] / max(seconds[0], 0.01) * line.speed, 2)
    return number, min(max(speed, SLOWEST), FASTEST)


def expected_seconds(engine: "VoiceEngine", line: Line, semantics: "Semantics") -> float:
    """How long a candidate sounds at the speed 1, from its first sound to its last, before it is
    made."""
    from model.speaking import Request

    whole = engine.seconds_of(Request(line.phones, 0, line.characters), semantics, 1.0)
    return max(whole - _SILENT_SECONDS, 0.5 * whole)


def encode_candidate(semantics: "Semantics") -> bytes:
    """A candidate as bytes, the same ones every time."""
    tokens = np.ascontiguousarray(semantics.tokens, dtype="<i2")
    return bytes([semantics.complete]) + tokens.tobytes()


def decode_candidate(data: bytes) -> "Semantics":
    """The candidate that encode_candidate made the bytes of."""
    from model.speaking import Semantics

    return Semantics(np.frombuffer(data[1:], dtype="<i2").astype(np.int16), bool(data[0]))


def _spoken_at(candidate: int, attempt: int) -> int:
    """Which candidate sounds at an attempt: the chosen one, then the first others."""
    others = [number for number in range(ATTEMPTS) if number != candidate]
    return (candidate, *others)[attempt]
