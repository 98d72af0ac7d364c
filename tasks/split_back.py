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
_FLOOR_DB = -66.0  # re full scale: under it is no sound, even of a take that is all silence
# Weak consonants at the edges of words are fainter than what counts as sound.
_WEAK_DB = -50.0
_WEAK_SECONDS = 0.04
_MARGIN_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 0.25  # within a cue
_FADE_SECONDS = 0.005

# Phone times are right to about 40 ms.
_REACH_SECONDS = 0.06
_COST_PER_SECOND = 150.0  # decibels that make up for a second beside the border
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
    hold every 5 ms that are less than 40 dB under the loudest ones. Each begins 10 to 50 ms before
    its first sound and ends as much behind its last, unless its neighbour's sound is nearer; pauses
    of more than 250 ms in it are cut to that. A part of which nothing is heard has a piece without
    samples. Raises ValueError for what is not finite mono audio.
    """
    if audio.ndim != 1 or not np.isfinite(audio).all():
        raise ValueError(f"not finite mono audio: {audio.shape}")
    hop = round(_FRAME_SECONDS * sample_rate)
    levels = _levels(audio, sample_rate)
    cuts = _cuts(line, levels, times) if len(line.parts) > 1 else []
    edges = [0, *cuts, len(levels)]
    pieces = []
    for number, part in enumerate(line.parts):
        first, last, onset = _trimmed(levels, edges[number], edges[number + 1])
        sound = _with_short_pauses(
            audio[first * hop : last * hop], levels[first:last], hop, onset - first, sample_rate
        )
        pieces.append(Piece(line.utterance.index, part.cue, sound, (onset - first) * hop))
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


def _trimmed(levels: np.ndarray, start: int, stop: int) -> tuple[int, int, int]:
    """The first and last + 1 frame to keep between two cuts, and the first that sounds."""
    sounding = np.flatnonzero(levels[start:stop] > _SOUND_DB)
    if not sounding.size:
        return start, start, start
    onset, end = start + int(sounding[0]), start + int(sounding[-1]) + 1
    margin, weak = round(_MARGIN_SECONDS / _FRAME_SECONDS), round(_WEAK_SECONDS / _FRAME_SECONDS)
    first, last = onset, end
    while first > max(start, onset - weak) and levels[first - 1] > _WEAK_DB:
        first -= 1
    while last < min(stop, end + weak) and levels[last] > _WEAK_DB:
        last += 1
    return max(start, first - margin), min(stop, last + margin), onset


def _with_short_pauses(
    audio: np.ndarray, levels: np.ndarray, hop: int, onset: int, sample_rate: int
) -> np.ndarray:
    """The audio with the middle of each long pause taken out; `onset` is its first frame that
    sounds."""
    most = round(_LONGEST_PAUSE_SECONDS / _FRAME_SECONDS)
    fade = round(_FADE_SECONDS * sample_rate)
    ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    sounding = onset + np.flatnonzero(levels[onset:] > _SOUND_DB)
    kept = np.zeros(0, np.float32)
    begin = 0
    for before, after in pairwise(sounding.tolist()):
        if after - before - 1 <= most:
            continue
        stop, start = (before + 1 + most // 2) * hop, (after - most + most // 2) * hop
        stretch = audio[begin:stop].astype(np.float32)
        kept = _joined(kept, stretch, ramp)
        begin = start - fade  # what is faded over is heard twice
    return _joined(kept, audio[begin:].astype(np.float32), ramp)


def _joined(before: np.ndarray, after: np.ndarray, ramp: np.ndarray) -> np.ndarray:
    """Two stretches, of which the ends are faded over each other."""
    if not before.size:
        return after
    fade = ramp.size
    over = before[-fade:] * ramp[::-1] + after[:fade] * ramp
    return np.concatenate([before[:-fade], over, after[fade:]])


def _cuts(line: DubLine, levels: np.ndarray, times: np.ndarray) -> list[int]:
    """The frames at which a take is cut between the parts of its line, in order."""
    sounds = _sounds(line)
    known = len(times) >= len(line.utterance.phones) > 0 and any(sounds)
    cuts = _by_times(sounds, levels, times) if known else _by_shares(line, sounds, levels)
    return [int(cut) for cut in np.maximum.accumulate(np.clip(cuts, 0, len(levels)))]


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


def _by_times(sounds: Sequence[Sequence[int]], levels: np.ndarray, times: np.ndarray) -> list[int]:
    per_frame = 1.0 / FRAMES_PER_SECOND / _FRAME_SECONDS
    smooth = _smoothed(levels)
    cuts = []
    for border in range(1, len(sounds)):
        before = [number for part in sounds[:border] for number in part]
        after = [number for part in sounds[border:] for number in part]
        if not before or not after:
            cuts.append(0 if not before else len(levels))
            continue
        end = round(float(times[before[-1], 1]) * per_frame)
        start = max(end, round(float(times[after[0], 0]) * per_frame))
        cuts.append(_quietest(smooth, end, start))
    return cuts


def _quietest(smooth: np.ndarray, end: int, start: int) -> int:
    """The frame before which it is best to cut between a word that ends and one that starts."""
    reach = round(_REACH_SECONDS / _FRAME_SECONDS)
    places = np.arange(max(0, end - reach), min(len(smooth) - 1, start + reach) + 1)
    if not places.size:
        return min(end, len(smooth))
    beside = np.maximum(0, np.maximum(end - places, places - start)) * _FRAME_SECONDS
    return int(places[np.argmin(smooth[places] + _COST_PER_SECOND * beside)])


def _smoothed(levels: np.ndarray) -> np.ndarray:
    """The louder of the two frames at each place between two frames, (frames,)."""
    before = np.concatenate([levels[:1], levels[:-1]])
    return np.maximum(before, levels)


def _by_shares(line: DubLine, sounds: Sequence[Sequence[int]], levels: np.ndarray) -> list[int]:
    """Cuts where so much is said as the part has phones, or characters; each is counted from the
    one before."""
    text, parts = line.utterance.text, line.parts
    weights = [len(part) for part in sounds]
    if not all(weights):
        weights = [part.end - part.start for part in parts]
    said = np.concatenate([[0], np.cumsum(levels > _SOUND_DB)])
    pauses = _pauses(levels)
    smooth = _smoothed(levels)
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
        cuts.append(max(near)[1] if near else max(begun, _quietest(smooth, place, place)))
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
