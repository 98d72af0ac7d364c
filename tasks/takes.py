"""Takes: one rendering of an utterance as bytes for the store, its key, its seeds, its verdict.

A stored take is a length-prefixed JSON header with what is known of it, the semantic tokens (int16,
little endian) and the audio as FLAC of 16 bits: the same rendering gives the same bytes.
"""

import io
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import soundfile

from storage.keys import content_key

if TYPE_CHECKING:
    from model.speaking import Characters

TAKE_VERSION = "3"  # changes when the same model and settings would give another take

_LENGTH = struct.Struct("<I")
_FULL_SCALE = 32768.0

_TYPICAL = 12.5  # phones a second of natural speech

Verdict = Literal["ok", "suspect", "inconclusive"]


@dataclass(frozen=True)
class Take:
    """A rendering and what is known of it."""

    audio: np.ndarray  # (samples,) float32 in [-1, 1]
    sample_rate: int
    tokens: np.ndarray  # (tokens,) int16, S1's semantic tokens
    complete: bool  # False: S1 ended at its length bound or in a repetition
    attempts: int  # renderings made until this one was taken
    # What the gate says of it (tasks/gate.py): why it is no better, the most doubtful reason first,
    # what was measured, and its worst measure over that one's threshold.
    verdict: Verdict = "ok"
    reasons: tuple[str, ...] = ()
    measures: Mapping[str, float] = field(default_factory=dict)
    doubt: float = 0.0
    rejected: tuple[str, ...] = ()  # what was wrong with the renderings that were not taken
    # First and last + 1 frame (phones, 2) int16, 50 a second, of each of the utterance's phones;
    # (0, 2) where they are not known.
    times: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int16))

    @property
    def problem(self) -> str:
        """What is wrong with a suspect, "" for any other take."""
        return "; ".join(self.reasons) if self.verdict == "suspect" else ""


def take_key(
    phones: Sequence[str],
    language: str,
    voice_hash: str,
    model_hash: str,
    sampling: Mapping[str, float],
    seed: int,
    characters: Sequence["Characters"] = (),
) -> str:
    """The key of an utterance's take: the hash of everything that decides its bytes."""
    values = {
        "step": f"take {TAKE_VERSION}",
        "phones": list(phones),
        "language": language,
        "voice": voice_hash,
        "model": model_hash,
        "sampling": dict(sampling),
        "seed": seed,
    }
    if characters:
        values["characters"] = [asdict(run) for run in characters]
    return content_key(values)


def take_seed(key: str, attempt: int = 0) -> int:
    """The seed of an utterance's own generator, 63 bits, another one for each attempt."""
    name = key if attempt == 0 else content_key({"key": key, "attempt": attempt})
    return int(name[:16], 16) >> 1


def quantize(audio: np.ndarray) -> np.ndarray:
    """(samples,) float in [-1, 1] to int16; what is not a number becomes silence."""
    finite = np.nan_to_num(audio, nan=0.0, posinf=1.0, neginf=-1.0)
    scaled = np.rint(finite.astype(np.float64) * _FULL_SCALE)
    return np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)


def dequantize(pcm: np.ndarray) -> np.ndarray:
    """(samples,) int16 to float32 in [-1, 1); quantize takes it back unchanged."""
    return (pcm.astype(np.float32) / np.float32(_FULL_SCALE)).astype(np.float32)


def encode_flac(pcm: np.ndarray, sample_rate: int) -> bytes:
    """(samples,) int16 as a FLAC file; no samples give no bytes."""
    if not len(pcm):
        return b""
    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, sample_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def decode_flac(data: bytes) -> np.ndarray:
    """The samples of a mono FLAC file of 16 bits, (samples,) int16."""
    if not data:
        return np.zeros(0, np.int16)
    pcm, _ = soundfile.read(io.BytesIO(data), dtype="int16")
    return np.asarray(pcm, np.int16)


def encode_take(take: Take) -> bytes:
    """The take as bytes, the same ones every time."""
    tokens = np.ascontiguousarray(take.tokens, dtype="<i2")
    header = json.dumps(
        {
            "sample_rate": take.sample_rate,
            "tokens": len(tokens),
            "complete": take.complete,
            "attempts": take.attempts,
            "verdict": take.verdict,
            "reasons": list(take.reasons),
            "measures": dict(take.measures),
            "doubt": round(take.doubt, 3),
            "rejected": list(take.rejected),
            "times": take.times.tolist(),
        },
        sort_keys=True,
    ).encode()
    flac = encode_flac(quantize(take.audio), take.sample_rate)
    return _LENGTH.pack(len(header)) + header + tokens.tobytes() + flac


def decode_take(data: bytes) -> Take:
    """The take that encode_take made the bytes of, its audio rounded to 16 bits."""
    (length,) = _LENGTH.unpack_from(data)
    start = _LENGTH.size + length
    header = json.loads(data[_LENGTH.size : start])
    end = start + 2 * header["tokens"]
    return Take(
        audio=dequantize(decode_flac(data[end:])),
        sample_rate=header["sample_rate"],
        tokens=np.frombuffer(data[start:end], dtype="<i2").astype(np.int16),
        complete=header["complete"],
        attempts=header["attempts"],
        verdict=header["verdict"],
        reasons=tuple(header["reasons"]),
        measures=header["measures"],
        doubt=header["doubt"],
        rejected=tuple(header["rejected"]),
        times=np.array(header["times"], np.int16).reshape(-1, 2),
    )


def spoken_phones(phones: Sequence[str]) -> int:
    """How many of the symbols are sounds rather than punctuation."""
    return sum(phone[:1].isalpha() for phone in phones)


def rank(take: Take, phones: Sequence[str]) -> tuple[bool, float, float]:
    """Sorts takes of one utterance, the best first: sound ones, then the least doubtful, then the
    most natural in length."""
    expected = spoken_phones(phones) / _TYPICAL
    unnatural = abs(len(take.audio) / take.sample_rate - expected)
    return take.verdict == "suspect", take.doubt, unnatural
