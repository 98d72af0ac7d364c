"""Says whether a clip of a recording is clean enough to learn a voice from, and if not, why not."""

from dataclasses import dataclass

import numpy as np
import soxr
from scipy import signal

from tasks.audio_in import CLIPPED_SHARE, clipped_share
from tasks.levels import decibels, frame_levels
from tasks.reference import FRAME_SECONDS
from tasks.slicing import SHORTEST_SECONDS

# Thresholds, from speech of several readers mixed with noise and music at known ratios.
LEAST_SPEECH = 0.5  # mean probability that somebody speaks
LEAST_LEVEL_DB = -45.0  # of the louder half; under it 16 bits and most microphones are noise
LEAST_SNR_DB = 18.0  # speech over what sounds beneath it
_TONAL_FLATNESS = 0.2  # music's notes stand out of their spectrum; noise is flatter

_PAUSE_LIKELY, _PAUSE_SECONDS = 0.15, 0.15

_RATE = 16_000
_WINDOW, _HOP = 1024, 256
_LOWEST_HZ, _HIGHEST_HZ = 80.0, 7000.0
# The share of the frames below which a frequency is taken to hold what sounds all the time, and how
# far that lies under the mean where it is noise (its power is distributed exponentially).
_QUIET_SHARE = 0.15
_QUIET_BIAS = -np.log(1.0 - _QUIET_SHARE)


@dataclass(frozen=True)
class Cleanness:
    """What was measured of a clip.

    `snr_db`: speech over its background. `flatness` of the background's spectrum (geometric over
    arithmetic mean): 1 for white noise, near 0 for notes.
    """

    seconds: float
    speech: float
    level_db: float
    clipped: float
    snr_db: float
    flatness: float


def measure(audio: np.ndarray, sample_rate: int, likely: np.ndarray) -> Cleanness:
    """Measures a clip (samples,) float32; `likely` (frames,) how likely somebody speaks in it.

    The background is found by minimum statistics (R. Martin, "Noise power spectral density
    estimation based on optimal smoothing and minimum statistics", 2001): speech leaves every
    frequency alone again and again within a second, a hum, a hiss and held notes don't. What comes
    and goes, like plucked notes, is heard in the pauses.
    """
    levels = frame_levels(audio, sample_rate)
    loud = levels[levels >= np.median(levels)] if levels.size else np.zeros(1)
    level = float(np.sqrt(np.square(loud).mean()))
    heard = soxr.resample(audio.astype(np.float32), sample_rate, _RATE)
    heard = np.pad(heard, (0, max(0, _WINDOW - heard.size)))
    frequencies, _, spectrum = signal.stft(
        heard, _RATE, nperseg=_WINDOW, noverlap=_WINDOW - _HOP, boundary=None
    )
    top = min(_HIGHEST_HZ, 0.45 * sample_rate)
    power = np.square(np.abs(spectrum[(frequencies >= _LOWEST_HZ) & (frequencies <= top)]))
    background = np.quantile(power, _QUIET_SHARE, axis=1) / _QUIET_BIAS + 1e-14
    ratio = power.mean(1).sum() / background.sum()
    pauses = _pause_frames(likely, power.shape[1])
    if pauses.sum() * _HOP >= _PAUSE_SECONDS * _RATE:
        frames = power.sum(0) + 1e-14
        ratio = min(ratio, frames[~pauses].mean() / np.median(frames[pauses]))
    return Cleanness(
        seconds=audio.size / sample_rate,
        speech=float(likely.mean()) if likely.size else 0.0,
        level_db=decibels(level),
        clipped=clipped_share(audio),
        snr_db=float(10 * np.log10(max(ratio, 1.0))),
        flatness=float(np.exp(np.log(background).mean()) / background.mean()),
    )


def _pause_frames(likely: np.ndarray, frames: int) -> np.ndarray:
    """Which of so many frames of the spectrum lie where surely nobody speaks, (frames,) bool."""
    middles = (np.arange(frames) * _HOP + _WINDOW / 2) / _RATE
    places = (middles / FRAME_SECONDS).astype(int).clip(max=max(likely.size - 1, 0))
    return likely[places] < _PAUSE_LIKELY if likely.size else np.zeros(frames, bool)


def fault(clip: Cleanness) -> str:
    """Why a clip is not learned from, "" where it is."""
    if clip.seconds < SHORTEST_SECONDS:
        return "too short"
    if clip.speech < LEAST_SPEECH:
        return "hardly any speech"
    if clip.level_db < LEAST_LEVEL_DB:
        return "too quiet"
    if clip.clipped > CLIPPED_SHARE:
        return "clipped (recorded too loud)"
    if clip.snr_db < LEAST_SNR_DB:
        tonal = clip.flatness < _TONAL_FLATNESS
        return "music under the speech" if tonal else "noise under the speech"
    return ""
