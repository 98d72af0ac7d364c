"""Forced alignment: when each phone of a known text is said in a recording.

The best path through the recogniser's frames that says all phones in order (A. J. Viterbi, "Error
Bounds for Convolutional Codes and an Asymptotically Optimum Decoding Algorithm", 1967), over the
states of A. Graves et al., "Connectionist Temporal Classification", 2006, with silence in the place
of the blank: one state for each phone and one before, between and after them that may be skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from model.recogniser import FRAMES_PER_SECOND, PHONES, SAMPLE_RATE, SILENCE, Recogniser
from model.text.marks import PAUSES

LONGEST_SECONDS = 30
_SILENCE = PHONES.index(SILENCE)
_CLASSES = {phone: number for number, phone in enumerate(PHONES) if phone != SILENCE}
_ANY = len(PHONES)  # a column added for sounds that the recogniser has no class for
NEVER = np.float32(-1e30)
"""Less likely than anything."""


@dataclass(frozen=True)
class AlignedPhone:
    """A phone of the text and its time in seconds; `score` is the mean log-probability of its
    frames, at most 0, and 0 for a mark without a pause, which starts and ends at one time."""

    phone: str
    start: float
    end: float
    score: float


def align(recogniser: Recogniser, audio: np.ndarray, phones: Sequence[str]) -> list[AlignedPhone]:
    """When each of `phones` (v2 inventory) is said in audio (samples,) float32 at 16 kHz.

    One result for each phone, in order, without overlap; between them may be silence. A mark is the
    silence where it stands, or nothing. Stress does not count; what is no English phone may be any
    sound. Raises ValueError for audio over 30 s, and for audio with fewer frames than sounds.
    """
    return align_frames(log_probabilities(recogniser, audio), phones)


@torch.inference_mode()
def log_probabilities(recogniser: Recogniser, audio: np.ndarray) -> np.ndarray:
    """Audio (samples,) float32 at 16 kHz, at most 30 s -> (frames, classes) float32, the logarithm
    of how likely each class of `PHONES` is in each frame."""
    if len(audio) > LONGEST_SECONDS * SAMPLE_RATE:
        raise ValueError(f"audio of more than {LONGEST_SECONDS} s can't be aligned at once")
    if len(audio) < SAMPLE_RATE // FRAMES_PER_SECOND:
        return np.zeros((0, len(PHONES)), np.float32)
    samples = torch.from_numpy(np.ascontiguousarray(audio, np.float32)).to(recogniser.mean.device)
    logits = recogniser.phones(recogniser.features(samples[None]))[0]
    return F.log_softmax(logits.float(), 0).T.cpu().numpy()


def is_sound(phone: str) -> bool:
    """Whether a symbol of the inventory is heard: no mark, no pause."""
    return phone[:1].isalpha() and phone not in PAUSES and phone != "SP"


def align_frames(log_probs: np.ndarray, phones: Sequence[str]) -> list[AlignedPhone]:
    """As `align`, from the log-probabilities (frames, classes) of the recogniser's frames."""
    sounds = sum(map(is_sound, phones))
    frames = len(log_probs)
    heard, silent = sound_scores(log_probs, phones)
    starts, ends = best_path(heard, silent)

    def aligned(phone: str, start: int, end: int, scores: np.ndarray) -> AlignedPhone:
        score = float(scores[start:end].mean()) if end > start else 0.0
        return AlignedPhone(phone, start / FRAMES_PER_SECOND, end / FRAMES_PER_SECOND, score)

    found: list[AlignedPhone] = []
    said = 0  # sounds so far
    silence_taken = False
    for phone in phones:
        if is_sound(phone):
            found.append(aligned(phone, int(starts[said]), int(ends[said]), heard[:, said]))
            said, silence_taken = said + 1, False
        else:
            start = int(ends[said - 1]) if said else 0
            end = int(starts[said]) if said < sounds else frames
            found.append(aligned(phone, end if silence_taken else start, end, silent))
            silence_taken = True
    return found


def phone_times(log_probs: np.ndarray, phones: Sequence[str]) -> np.ndarray:
    """First and last + 1 frame (phones, 2) int16 of each of `phones`, as `align_frames` finds."""
    times = [(one.start, one.end) for one in align_frames(log_probs, phones)]
    return np.rint(np.reshape(times, (-1, 2)) * FRAMES_PER_SECOND).astype(np.int16)


def hears(phones: Sequence[str]) -> bool:
    """Whether the recogniser, which knows English, has a class for every sound of `phones`, of
    which there is one at least."""
    sounds = [phone for phone in phones if is_sound(phone)]
    return bool(sounds) and all(phone.rstrip("012") in _CLASSES for phone in sounds)


def sound_scores(log_probs: np.ndarray, phones: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities (frames, sounds) of each sound of `phones`, and (frames,) of silence.

    A sound that the recogniser has no class for is as likely as the likeliest one. Raises
    ValueError where there are fewer frames than sounds.
    """
    classes = [_CLASSES.get(phone.rstrip("012"), _ANY) for phone in phones if is_sound(phone)]
    if len(log_probs) < len(classes):
        raise ValueError(f"{len(log_probs)} frames are too few for {len(classes)} sounds")
    sounding = np.delete(log_probs, _SILENCE, axis=1)
    columns = np.concatenate([log_probs, sounding.max(1, keepdims=True)], axis=1)
    heard = np.ascontiguousarray(columns[:, np.array(classes, np.int64)], np.float32)
    return heard, log_probs[:, _SILENCE].astype(np.float32)


def best_path(heard: np.ndarray, silent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last + 1 frame (sounds,) of each sound on the best path through the scores
    (frames, sounds) of the sounds and (frames,) of silence."""
    frames, count = heard.shape
    if not count:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    # Before sound i (and after the last, for i = count) is silence i; sound i may come from itself
    # (0), from silence i (1) or from sound i - 1 (2), silence i from itself or from sound i - 1.
    origin = np.zeros((frames, count), np.int8)
    entered = np.zeros((frames, count + 1), bool)
    sound = np.full(count, NEVER, np.float32)
    silence = np.full(count + 1, NEVER, np.float32)
    sound[0], silence[0] = heard[0, 0], silent[0]
    before = np.full(count + 1, NEVER, np.float32)  # the sound before sound or silence i
    for frame in range(1, frames):
        before[1:] = sound
        np.greater(before, silence, out=entered[frame])
        pause = np.maximum(before, silence)
        # What comes from the last frame: of `pause`, the better of silence i and sound i - 1.
        np.greater(pause[:-1], sound, out=origin[frame], casting="unsafe")
        origin[frame] += origin[frame] & entered[frame, :-1]
        np.maximum(sound, pause[:-1], out=sound)
        sound += heard[frame]
        silence = pause + silent[frame]
    starts, ends = np.zeros(count, np.int64), np.zeros(count, np.int64)
    sounding = sound[-1] >= silence[-1]
    at = count - 1 if sounding else count
    if sounding:
        ends[at] = frames
    for frame in range(frames - 1, 0, -1):
        if sounding:
            came = int(origin[frame, at])
            if came:
                starts[at] = frame
                sounding = came == 2
                if sounding:
                    at -= 1
                    ends[at] = frame
        elif entered[frame, at]:
            at -= 1
            ends[at] = frame
            sounding = True
    return starts, ends
