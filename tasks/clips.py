"""Chooses the clips of a recording that a voice is learned from, and says what was left out."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from configs.errors import UserError
from tasks.cleaning import Cleanness, fault, measure
from tasks.recordings import cut
from tasks.reference import FRAME_SECONDS
from tasks.reference import SHORTEST_SECONDS as SHORTEST_SAMPLE
from tasks.slicing import slices

LEAST_SECONDS = 20.0
LONGEST_SAMPLE = 10.0
# Cosine of the voice vectors of two clips of 5 to 6 s. Measured with three readers: one person's
# mostly 0.85 to 1, two people's 0.45 to 0.89: it tells a stranger, not two voices that are alike.
LEAST_LIKENESS = 0.65
ANOTHER_VOICE = "another voice"
TOO_MUCH = "more than was asked for"
NO_SPEECH = "no speech (silence, music, noise)"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A slice of a recording (its number), from `start` on, in seconds; `why_not` is "" for one to
    learn from; `vector` is how the model hears its voice, empty where that was not asked."""

    recording: int
    start: float
    seconds: float
    snr_db: float
    why_not: str
    vector: tuple[float, ...] = ()


def candidates(
    recording: int,
    decoded: Path,
    likely: np.ndarray,
    voice_vector: Callable[[np.ndarray, int], np.ndarray],
    on_fraction: Callable[[float], None],
) -> list[Candidate]:
    """Slices a decoded recording at its pauses and measures every slice."""
    stretches = slices(likely)
    found = []
    for number, (audio, rate) in enumerate(cut(decoded, stretches)):
        start, stop = stretches[number]
        first, last = int(start / FRAME_SECONDS), int(stop / FRAME_SECONDS) + 1
        clean: Cleanness = measure(audio, rate, likely[first:last])
        why_not = fault(clean)
        vector = () if why_not else tuple(voice_vector(audio, rate).tolist())
        found.append(Candidate(recording, start, stop - start, clean.snr_db, why_not, vector))
        on_fraction((number + 1) / len(stretches))
    return found


@dataclass(frozen=True)
class Chosen:
    """The clips to learn from, in order, and the seconds left out by reason."""

    clips: tuple[Candidate, ...]
    dropped: dict[str, float]

    @property
    def seconds(self) -> float:
        return sum(clip.seconds for clip in self.clips)


def choose(found: Sequence[Candidate], recorded_seconds: float, most_seconds: float) -> Chosen:
    """Of all slices the clean ones of the person who speaks most, the cleanest first, up to
    `most_seconds`.

    Raises UserError where less than `LEAST_SECONDS` are usable, with what was left out and why.
    """
    dropped = {NO_SPEECH: max(0.0, recorded_seconds - sum(one.seconds for one in found))}
    for one in found:
        if one.why_not:
            dropped[one.why_not] = dropped.get(one.why_not, 0.0) + one.seconds
    usable = [one for one in found if not one.why_not]
    kept = []
    for one, like in zip(usable, likeness([one.vector for one in usable]), strict=True):
        if like >= LEAST_LIKENESS:
            kept.append(one)
        else:
            dropped[ANOTHER_VOICE] = dropped.get(ANOTHER_VOICE, 0.0) + one.seconds
    seconds = sum(one.seconds for one in kept)
    if seconds < LEAST_SECONDS:
        raise UserError(
            f"Only {seconds:.0f} s of clear speech of one person were found, and cloning needs at "
            f"least {LEAST_SECONDS:.0f} s ({told(dropped)}). Give more recordings, or register a "
            "short sample with: voxloom voices add NAME SAMPLE"
        )
    clips: list[Candidate] = []
    for one in sorted(kept, key=lambda one: -one.snr_db):
        if sum(clip.seconds for clip in clips) + one.seconds <= max(most_seconds, LEAST_SECONDS):
            clips.append(one)
        else:
            dropped[TOO_MUCH] = dropped.get(TOO_MUCH, 0.0) + one.seconds
    clips.sort(key=lambda one: (one.recording, one.start))
    return Chosen(tuple(clips), {why: round(s, 2) for why, s in dropped.items() if s >= 0.05})


def told(dropped: dict[str, float]) -> str:
    """What was left out, in words, the most first."""
    most_first = sorted(dropped.items(), key=lambda item: -item[1])
    return "left out: " + ", ".join(f"{s:.0f} s {why}" for why, s in most_first if s >= 0.5)


def best_sample(clips: Sequence[Candidate]) -> int:
    """Number of the clip that shall be the voice's sample: the cleanest of 3 to 10 s."""
    fit = [
        number
        for number, clip in enumerate(clips)
        if SHORTEST_SAMPLE <= clip.seconds <= LONGEST_SAMPLE
    ]
    return max(fit or range(len(clips)), key=lambda number: clips[number].snr_db)


def hold_out(count: int, sample: int) -> list[int]:
    """Numbers of the clips that are not learned from but judged by: about one in six, at least one
    and at most six, evenly spread, never the sample; of a single clip none."""
    others = [number for number in range(count) if number != sample]
    wanted = min(6, max(1, round(count / 6)), len(others))
    return [others[int((place + 0.5) * len(others) / wanted)] for place in range(wanted)]


def likeness(vectors: Sequence[tuple[float, ...]]) -> list[float]:
    """Cosine of each vector with the one that is most like the others (the medoid)."""
    if len(vectors) < 3:
        return [1.0] * len(vectors)
    unit = np.asarray(vectors, np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True) + 1e-9
    cosines = unit @ unit.T
    medoid = int(np.median(cosines, axis=1).argmax())
    return [float(value) for value in cosines[medoid]]
