"""Levels of audio and where the sound in it begins and ends."""

import numpy as np

FRAME_SECONDS = 0.01


def decibels(amplitude: float) -> float:
    """dB relative to full scale; -inf for silence."""
    return float(20.0 * np.log10(amplitude)) if amplitude > 0.0 else float("-inf")


def amplitude(level_db: float) -> float:
    """The amplitude that lies `level_db` relative to full scale."""
    return float(10.0 ** (level_db / 20.0))


def frame_levels(audio: np.ndarray, sample_rate: int, seconds: float = FRAME_SECONDS) -> np.ndarray:
    """RMS of each 10 ms (or `seconds`) of `audio` (samples,) -> (frames,); the last frame may be
    shorter."""
    hop = max(1, round(seconds * sample_rate))
    starts = np.arange(0, audio.size, hop)
    if starts.size == 0:
        return np.zeros(0)
    power = np.add.reduceat(np.square(audio, dtype=np.float64), starts)
    lengths = np.diff(np.append(starts, audio.size))
    return np.sqrt(power / lengths)


def sound_frames(
    audio: np.ndarray, sample_rate: int, below_peak_db: float, floor_db: float
) -> np.ndarray:
    """Which 10 ms frames hold sound (frames,) bool.

    A frame does when its level is less than `below_peak_db` under the loudest frame and above
    `floor_db` (dBFS): a threshold that follows the recording's level, with a bottom under it.
    """
    levels = frame_levels(audio, sample_rate)
    if levels.size == 0:
        return np.zeros(0, dtype=bool)
    threshold = max(float(levels.max()) * amplitude(-below_peak_db), amplitude(floor_db))
    return levels > threshold


def sound_bounds(frames: np.ndarray, samples: int, sample_rate: int, keep: float) -> slice:
    """From the first to the last frame with sound, and `keep` seconds more at either end.

    The slice is in samples and empty when no frame holds sound.
    """
    sounding = np.flatnonzero(frames)
    if sounding.size == 0:
        return slice(0, 0)
    hop = max(1, round(FRAME_SECONDS * sample_rate))
    margin = round(keep * sample_rate)
    start = max(0, int(sounding[0]) * hop - margin)
    stop = min(samples, (int(sounding[-1]) + 1) * hop + margin)
    return slice(start, stop)
