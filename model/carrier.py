"""A carrier sentence for texts that are too short to be spoken alone.

S1 and S2 learned from sentences and know little of single words. So a voice model may have very
short texts spoken after words that are always the same; alignment finds the pause between the two,
and what stands before it is cut off. Whether that is better is to be measured for each model's
weights: S1 must go on after the pause.
"""

from __future__ import annotations

import numpy as np

from model.alignment import align_frames, is_sound
from model.recogniser import FRAMES_PER_SECOND

CARRIER = ("AH0", "N", "D", "DH", "EH1", "N", "HH", "IY1", "S", "EH1", "D", ",")
"""“And then he said,”"""
_SHORTEST_PAUSE = 0.04
_LEAD_SECONDS = 0.06  # of the pause, kept before the text,
_FADE_SECONDS = 0.01  # in the first of which sound fades in


def with_carrier(phones: tuple[str, ...], sounds: int) -> tuple[str, ...]:
    """What is spoken for a text: its phones, after the carrier's where at most `sounds` are
    sounds."""
    return CARRIER + phones if 0 < sum(map(is_sound, phones)) <= sounds else phones


def text_start(log_probs: np.ndarray, spoken: tuple[str, ...]) -> float | None:
    """Where, in seconds, the text begins in speech with a carrier, its lead included; None where
    no pause parts the two. `log_probs` (frames, classes) are the recogniser's, no fewer frames than
    `spoken` has sounds."""
    pause = align_frames(log_probs, spoken)[len(CARRIER) - 1]
    if pause.end - pause.start < _SHORTEST_PAUSE - 0.5 / FRAMES_PER_SECOND:
        return None
    return max(pause.start, pause.end - _LEAD_SECONDS)


def cut_off(audio: np.ndarray, sample_rate: int, start: float) -> np.ndarray:
    """Audio (samples,) from `start` seconds on, faded in, so that the cut does not click."""
    kept = audio[round(start * sample_rate) :].copy()
    fade = np.linspace(0.0, 1.0, round(_FADE_SECONDS * sample_rate), dtype=kept.dtype)
    kept[: len(fade)] *= fade[: len(kept)]
    return kept
