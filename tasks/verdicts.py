"""Rules that delivered files are held to, and whether they keep them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.measure import Measured

if TYPE_CHECKING:
    from tasks.master import Mastering

LOUDNESS_TOLERANCE_LU = 1.0
NOISE_LIMIT_DB = -60.0
# A limiter and an encoder are precise to a few hundredths of a decibel, as are their measures.
_EPSILON = 0.005

LONGEST_FILE_SECONDS = 120 * 60
_RMS_DB = (-23.0, -18.0)
_HEAD_SECONDS, _TAIL_SECONDS = (0.5, 1.0), (1.0, 5.0)
_MP3_KBITS, _MP3_RATE = 192, 44_100


@dataclass(frozen=True)
class Verdict:
    """One measured value, what it should be, and whether it is."""

    name: str
    value: float
    wanted: str
    passed: bool


def verdicts(
    measured: Measured, preset: str, mastering: "Mastering", kind: str
) -> tuple[Verdict, ...]:
    """Whether a delivered file is as its preset wants it.

    `kind` is its format: "m4b" is the whole book in one file, to which rules on files of single
    chapters don't apply; an MP3 file has a constant bit rate, whatever the preset.
    """
    found = _levels(measured, preset, mastering)
    if preset == "acx":
        found += [
            _between("head_seconds", measured.head_seconds, _HEAD_SECONDS),
            _between("tail_seconds", measured.tail_seconds, _TAIL_SECONDS),
            _exactly("channels", measured.channels, 1),
        ]
        if kind != "m4b":
            found.append(_most("seconds", measured.seconds, LONGEST_FILE_SECONDS))
    if kind == "mp3":
        constant = measured.constant_rate
        found += [
            Verdict("constant_rate", float(constant), "yes", constant),
            _least("kbits", measured.kbits, _MP3_KBITS),
            _exactly("sample_rate", measured.sample_rate, _MP3_RATE),
        ]
    return tuple(found)


def _levels(measured: Measured, preset: str, mastering: "Mastering") -> list[Verdict]:
    noise = _most("noise_floor_db", measured.noise_floor_db, NOISE_LIMIT_DB)
    if preset == "acx":
        peak = _most("sample_peak_db", measured.sample_peak_db, mastering.peak_db)
        return [_between("rms_db", measured.rms_db, _RMS_DB), peak, noise]
    if mastering.loudness is None:  # as it was spoken: nothing was promised of its level
        return [noise]
    low, high = (mastering.loudness + sign * LOUDNESS_TOLERANCE_LU for sign in (-1, 1))
    return [
        _between("integrated_lufs", measured.integrated_lufs, (low, high)),
        _most("true_peak_dbtp", measured.true_peak_dbtp, mastering.peak_db),
        noise,
    ]


def _between(name: str, value: float, bounds: tuple[float, float]) -> Verdict:
    low, high = bounds
    return Verdict(name, value, f"{low:g} to {high:g}", low - _EPSILON <= value <= high + _EPSILON)


def _most(name: str, value: float, most: float) -> Verdict:
    return Verdict(name, value, f"at most {most:g}", value <= most + _EPSILON)


def _least(name: str, value: float, least: float) -> Verdict:
    return Verdict(name, value, f"at least {least:g}", value >= least - _EPSILON)


def _exactly(name: str, value: float, wanted: float) -> Verdict:
    return Verdict(name, value, f"{wanted:g}", value == wanted)
