"""Chooses from a recording the few seconds of speech that a voice is cloned from."""

import logging

import numpy as np
import soxr

SHORTEST_SECONDS = 3.0

# What the voice activity detector (Silero VAD, which comes with faster-whisper) listens to.
_RATE = 16_000
_HOP = 512
FRAME_SECONDS = _HOP / _RATE
# A pause this long separates phrases; a cut keeps a little of it.
_PAUSE_SECONDS = 0.2
_KEEP_SECONDS = 0.1

log = logging.getLogger(__name__)


def choose_speech(audio: np.ndarray, sample_rate: int, longest: float) -> np.ndarray:
    """The stretch of at most `longest` seconds that holds the most speech, cut at pauses.

    audio (samples,) float32 mono -> a part of it; all of it where it is no longer than that. Where
    several stretches are as good, the first. Where nobody seems to speak for 3 s, the beginning.
    """
    if audio.size <= longest * sample_rate:
        return audio
    stretch = best_stretch(speech_probabilities(audio, sample_rate), longest)
    if stretch is None:
        log.warning(
            "no clear speech was found in the voice sample; its first %.0f seconds are used",
            longest,
        )
        stretch = (0.0, longest)
    start, stop = (round(seconds * sample_rate) for seconds in stretch)
    stop = min(stop, start + int(longest * sample_rate))
    log.info("of the voice sample, %.2f s to %.2f s", start / sample_rate, stop / sample_rate)
    return np.ascontiguousarray(audio[start:stop])


def speech_probabilities(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """How likely somebody speaks in each 32 ms of audio (samples,) -> (frames,) in [0, 1]."""
    from faster_whisper.vad import get_vad_model

    heard = soxr.resample(audio.astype(np.float32), sample_rate, _RATE)
    heard = heard / max(float(np.abs(heard).max(initial=0.0)), 1e-6)
    padded = np.pad(heard, (0, -len(heard) % _HOP)).astype(np.float32)
    return np.asarray(get_vad_model()(padded), np.float64).reshape(-1)


def best_stretch(likely: np.ndarray, longest: float) -> tuple[float, float] | None:
    """Where the most speech is, from and to in seconds: 3 s to `longest`, from pause to pause.

    A frame of `likely` (frames,) counts by how sure it is: certain speech half a point, certain
    silence half a point less than nothing. Only where no stretch between pauses fits is a longer
    phrase cut off. None where nothing holds 3 s of speech.
    """
    most = int((longest - 2 * _KEEP_SECONDS) / FRAME_SECONDS)
    least = SHORTEST_SECONDS / FRAME_SECONDS
    points = np.concatenate([[0.0], np.cumsum(likely - 0.5)])
    spoken = np.concatenate([[0], np.cumsum(likely >= 0.5)])
    found = phrases(likely)
    between = [
        (start, stop)
        for number, (start, _) in enumerate(found)
        for _, stop in found[number:]
        if stop - start <= most
    ]
    cut_off = [(start, min(start + most, len(likely))) for start, _ in found]
    for candidates in (between, cut_off):
        fit = [(start, stop) for start, stop in candidates if spoken[stop] - spoken[start] >= least]
        if fit:
            start, stop = max(fit, key=lambda one: points[one[1]] - points[one[0]])
            seconds = len(likely) * FRAME_SECONDS
            return (
                max(0.0, start * FRAME_SECONDS - _KEEP_SECONDS),
                min(seconds, stop * FRAME_SECONDS + _KEEP_SECONDS),
            )
    return None


def phrases(likely: np.ndarray) -> list[tuple[int, int]]:
    """Runs of frames (start, stop) with speech; shorter gaps than a pause belong to a phrase."""
    speaking = np.flatnonzero(likely >= 0.5)
    if speaking.size == 0:
        return []
    breaks = np.flatnonzero(np.diff(speaking) * FRAME_SECONDS > _PAUSE_SECONDS)
    starts = speaking[np.concatenate([[0], breaks + 1])]
    stops = speaking[np.concatenate([breaks, [speaking.size - 1]])] + 1
    return list(zip(starts.tolist(), stops.tolist(), strict=True))
