"""Split a line's take back into the pieces of its cues, each from its first sound to its last.

Where the times of the take's phones are known, two cues are cut apart at the quietest place near
the border of their words; else where the cue's share of the sound ends, at a pause if there is one.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from model.text.marks import PAUSES
from tasks.dub_types import DubLine, Piece
from tasks.levels import amplitude, frame_levels
from tasks.word_times import FRAMES_PER_SECOND

# Levels are measured every 5 ms, in decibels under the loudest 5 ms of the take.
_FRAME_SECONDS = 0.005
_SOUND_DB = -40.0
_QUIET_DB = -50.0  # a place to cut at need not be quieter
_FLOOR_DB = -66.0  # re full scale: under it is no sound, even of a take that is all silence
_LEAD_SECONDS = 0.02  # kept before the first sound: longer, and the noise in it is heard too early,
_TAIL_SECONDS = 0.04  # and behind the last, for weak consonants
_LONGEST_PAUSE_SECONDS = 0.25  # within a cue
_FADE_SECONDS = 0.005
# A voice whose sample is noisy makes noise in its pauses, too: there, sound is what is louder.
_OVER_NOISE_DB = 6.0
_LOUDEST_NOISE_DB = -24.0
_SHORTEST_PAUSE_SECONDS = 0.04
_LATE_SECONDS = 0.06  # by which phone times have a word begin late after a pause

# Phone times are right to about 40 ms. A quieter place must be so many decibels quieter for each
# second beside the border: with 150, Whisper heard words of the neighbour in some pieces.
_REACH_SECONDS = 0.06
_COST_PER_SECOND = 400.0
# Shares of the sound are much less certain.
_PAUSE_SECONDS = 0.06
_PAUSE_DB = -30.0
_REACH_OF_SHARE = 0.25  # seconds,
_REACH_AT_MARK = 0.5  # and where a mark is printed, at which one pauses


def split_take(
    line: DubLine, audio: np.ndarray, sample_rate: int, times: np.ndarray
) -> list[Piece]:
    """One piece for each part of a line, in order.

    `audio` (samples,) float32 is the line's take, `times` (phones, 2) are the first and last + 1
    frame (50 a second) of each of its phones, (0, 2) where they are not known. Together the pieces
    hold every 5 ms that are less than 40 dB under the loudest ones, but for noise in the pauses
    between two cues. Each begins 20 ms before its first sound and ends 40 ms behind its last,
    unless its neighbour begins or ends there; pauses of more than 250 ms in it are cut to that. A
    part of which nothing is heard has a piece without samples. Raises ValueError for what is not
    finite mono audio.
    """
    if audio.ndim != 1 or not np.isfinite(audio).all():
        raise ValueError(f"not finite mono audio: {audio.shape}")
    hop = round(_FRAME_SECONDS * sample_rate)
    levels = _levels(audio, sample_rate)
    sounds = _sounds(line)
    gaps = _gaps(sounds, len(levels), times)
    sounding = _sounding(levels, gaps)
    cuts = [_quietest(levels, *gap) for gap in gaps] or _by_shares(line, sounds, levels)
    edges = np.maximum.accumulate([0, *cuts, len(levels)]).tolist()
    pieces = []
    for part, (start, stop) in zip(line.parts, pairwise(edges), strict=True):
        first, last, lead = _trimmed(sounding, start, stop)
        kept = audio[first * hop : last * hop].astype(np.float32)
        sound = _with_short_pauses(kept, sounding[first:last], hop, sample_rate)
        pieces.append(Piece(line.utterance.index, part.cue, sound, lead * hop))
    return pieces


def _levels(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Decibels under the loudest frame, (frames,); all of them -100 where nothing sounds."""
    levels = frame_levels(audio, sample_rate, _FRAME_SECONDS)
    loudest = float(levels.max(initial=0.0))
    if loudest <= amplitude(_FLOOR_DB):
        return np.full(levels.size, -100.0)
    decibels = 20.0 * np.log10(np.maximum(levels, 1e-5 * loudest) / loudest)
    decibels[levels <= amplitude(_FLOOR_DB)] = -100.0
    return np.asarray(decibels)


def _trimmed(sounding: np.ndarray, start: int, stop: int) -> tuple[int, int, int]:
    """The first and last + 1 frame to keep between two cuts, and how many of them lead to the first
    that sounds."""
    sounds = start + np.flatnonzero(sounding[start:stop])
    if not sounds.size:
        return start, start, 0
    onset, end = int(sounds[0]), int(sounds[-1]) + 1
    first = max(start, onset - round(_LEAD_SECONDS / _FRAME_SECONDS))
    return first, min(stop, end + round(_TAIL_SECONDS / _FRAME_SECONDS)), onset - first


def _with_short_pauses(
    audio: np.ndarray, sounding: np.ndarray, hop: int, sample_rate: int
) -> np.ndarray:
    """The audio with the middle of each long pause between sounds taken out."""
    most = round(_LONGEST_PAUSE_SECONDS / _FRAME_SECONDS)
    fade = round(_FADE_SECONDS * sample_rate)
    ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    kept = audio[:0]
    begin = 0
    for before, after in pairwise(np.flatnonzero(sounding).tolist()):
        if after - before - 1 > most:
            stop, start = (before + 1 + most // 2) * hop, (after - most + most // 2) * hop
            kept = _joined(kept, audio[begin:stop], ramp)
            begin = start - fade  # what is faded over is heard twice
    return _joined(kept, audio[begin:], ramp)


def _joined(before: np.ndarray, after: np.ndarray, ramp: np.ndarray) -> np.ndarray:
    """Two stretches, of which the ends are faded over each other."""
    if not before.size:
        return after
    fade = ramp.size
    over = before[-fade:] * ramp[::-1] + after[:fade] * ramp
    return np.concatenate([before[:-fade], over, after[fade:]])


def _sounds(line: DubLine) -> list[list[int]]:
    """The numbers of the phones of each part that are heard. What is said for a token that goes
    over a border belongs to the part in which it begins."""
    starts = [part.start for part in line.parts]
    sounds: list[list[int]] = [[] for _ in line.parts]
    phone = 0
    for token in line.utterance.tokens:
        part = max(0, bisect_right(starts, token.start) - 1)
        for number in range(phone, phone + token.phones):
            if line.utterance.phones[number] not in PAUSES:
                sounds[part].append(number)
        phone += token.phones
    return sounds


def _gaps(sounds: Sequence[Sequence[int]], frames: int, times: np.ndarray) -> list[tuple[int, int]]:
    """Between two parts each, the frames at which the last sound ends and the next one starts; []
    where no times are known. They are in order."""
    if len(times) <= max((number for part in sounds for number in part), default=len(times)):
        return []
    per_frame = 1.0 / FRAMES_PER_SECOND / _FRAME_SECONDS
    edges = [0]
    for place in range(1, len(sounds)):
        before = [number for part in sounds[:place] for number in part]
        after = [number for part in sounds[place:] for number in part]
        if before and after:
            edges += [round(float(times[before[-1], 1]) * per_frame)]
            edges += [round(float(times[after[0], 0]) * per_frame)]
        else:
            edges += [frames if before else 0] * 2
    rising = np.maximum.accumulate(edges).clip(0, frames).tolist()
    return list(zip(rising[1::2], rising[2::2], strict=True))


def _sounding(levels: np.ndarray, gaps: Sequence[tuple[int, int]]) -> np.ndarray:
    """Which frames are sound, (frames,) bool; in the gaps between parts, noise is none."""
    sounding = levels > _SOUND_DB
    for end, start in gaps:
        pause = slice(end, start - round(_LATE_SECONDS / _FRAME_SECONDS))
        if pause.stop - end >= _SHORTEST_PAUSE_SECONDS / _FRAME_SECONDS:
            noise = min(float(np.median(levels[pause])), _LOUDEST_NOISE_DB)
            sounding[pause] &= levels[pause] > noise + _OVER_NOISE_DB
    return np.asarray(sounding)


def _quietest(levels: np.ndarray, end: int, start: int) -> int:
    """The frame before which it is best to cut between a word that ends and one that starts."""
    reach = round(_REACH_SECONDS / _FRAME_SECONDS)
    places = np.arange(max(1, end - reach), min(len(levels) - 1, start + reach) + 1)
    if not places.size:
        return end
    beside = np.maximum(0, np.maximum(end - places, places - start)) * _FRAME_SECONDS
    # Of a silent gap, most belongs to the end of the word before it.
    aside = np.abs(places - (end + 2 * start) / 3) * _FRAME_SECONDS
    loudness = np.maximum(np.maximum(levels[places - 1], levels[places]), _QUIET_DB)
    return int(places[np.argmin(loudness + _COST_PER_SECOND * beside + aside)])


def _by_shares(line: DubLine, sounds: Sequence[Sequence[int]], levels: np.ndarray) -> list[int]:
    """Cuts where so much is said as the part has phones, or characters; each is counted from the
    one before."""
    text, parts = line.utterance.text, line.parts
    weights = [len(part) for part in sounds]
    if not all(weights):
        weights = [part.end - part.start for part in parts]
    said = np.concatenate([[0], np.cumsum(levels > _SOUND_DB)])
    pauses = _pauses(levels)
    cuts: list[int] = []
    for border in range(1, len(parts)):
        begun = cuts[-1] if cuts else 0
        share = weights[border - 1] / max(1, sum(weights[border - 1 :]))
        aimed = said[begun] + share * (said[-1] - said[begun])
        place = int(np.searchsorted(said, aimed))
        marked = not text[parts[border - 1].end - 1].isalnum()
        reach = (_REACH_AT_MARK if marked else _REACH_OF_SHARE) / _FRAME_SECONDS
        near = [
            (stop - start - abs((start + stop) / 2 - place) / 2, (start + stop) // 2)
            for start, stop in pauses
            if start > begun and start - reach <= place <= stop + reach
        ]
        cuts.append(max(near)[1] if near else max(begun, _quietest(levels, place, place)))
    return cuts


def _pauses(levels: np.ndarray) -> list[tuple[int, int]]:
    """Runs of quiet frames between sound, from and to before, that are long enough."""
    loud = np.flatnonzero(levels > _PAUSE_DB)
    least = _PAUSE_SECONDS / _FRAME_SECONDS
    return [
        (before + 1, after)
        for before, after in pairwise(loud.tolist())
        if after - before - 1 >= least
    ]
