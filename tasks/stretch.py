"""Time stretching of speech to an exact length, with its first sound where it was."""

import numpy as np
import soxr
from python_stretch import Signalsmith

from tasks.dub_types import RATE, Piece, Placement

# The stretcher looks 60 ms to either side and smears what is sudden over some 10 ms. So it hears
# silence before and after, and the first sound is the original's, which passes into the stretched.
_MARGIN_SECONDS = 0.06
_HEAD_SECONDS = _PASS_SECONDS = 0.01


def stretch(audio: np.ndarray, sample_rate: int, samples: int) -> np.ndarray:
    """`audio` (n,) float32 at the same pitch in (samples,).

    The spectral method of Signalsmith Stretch (https://signalsmith-audio.co.uk/code/stretch/); the
    same input gives the same bytes. The same length gives the audio itself.
    """
    if samples == audio.size or audio.size == 0:
        return _exactly(audio.astype(np.float32, copy=False), samples)
    factor = audio.size / max(1, samples)
    margin = round(_MARGIN_SECONDS * sample_rate)
    stretcher = Signalsmith.Stretch(0)
    stretcher.preset(1, sample_rate)
    stretcher.setTimeFactor(factor)
    padded = np.pad(audio.astype(np.float32, copy=False), margin)
    # The library moves the input's beginning to the output's: its latency is compensated.
    stretched = np.asarray(stretcher.process(padded[None, :]))[0]
    stretched = _exactly(stretched[round(margin / factor) :], samples)
    return _with_head(audio, stretched, sample_rate)


def fitted_piece(piece: Piece, sample_rate: int, placement: Placement) -> tuple[int, np.ndarray]:
    """A piece as it is mixed: the sample of the grid at which it begins, and its audio at `RATE`.

    Its first sound is on sample `placement.start`, its end exactly `placement.samples` later. The
    lead before it is not stretched; what of it would lie before the grid is left out.
    """
    lead = round(piece.lead * RATE / sample_rate)
    native = max(1, round(placement.samples * sample_rate / RATE))
    speech = stretch(piece.audio[piece.lead :], sample_rate, native)
    audio = np.concatenate([piece.audio[: piece.lead].astype(np.float32, copy=False), speech])
    audio = _exactly(soxr.resample(audio, sample_rate, RATE), lead + placement.samples)
    missing = max(0, lead - placement.start)
    return placement.start - lead + missing, audio[missing:]


def _with_head(audio: np.ndarray, stretched: np.ndarray, sample_rate: int) -> np.ndarray:
    head = round(_HEAD_SECONDS * sample_rate)
    passing = round(_PASS_SECONDS * sample_rate)
    if min(audio.size, stretched.size) < head + passing:
        return stretched
    share = np.ones(head + passing, np.float32)
    share[head:] = np.linspace(1.0, 0.0, passing, dtype=np.float32)
    stretched = stretched.copy()
    first = slice(0, head + passing)
    stretched[first] = share * audio[first] + (1.0 - share) * stretched[first]
    return stretched


def _exactly(audio: np.ndarray, samples: int) -> np.ndarray:
    return np.pad(audio[:samples], (0, max(0, samples - audio.size)))
