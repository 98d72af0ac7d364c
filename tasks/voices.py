"""Voices: a sample file or a registered name becomes clean sound with a content hash."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from configs.errors import UserError
from storage.keys import hash_bytes
from storage.library import Library, StoredVoice, valid_name
from tasks.audio_in import load_sample
from tasks.takes import decode_flac, dequantize, encode_flac, quantize


@dataclass(frozen=True)
class Voice:
    """A voice sample, the same whether it comes from a file or from the library."""

    name: str
    audio: np.ndarray  # (samples,) float32 in [-1, 1], on the 16-bit grid
    sample_rate: int
    content_hash: str


def find_voice(given: str, library: Library) -> Voice:
    """The voice that the user means: the path of a sample, or the name of a registered voice."""
    path = Path(given).expanduser()
    if path.exists() or given not in library:
        if not path.exists() and path.name == given and not path.suffix:
            known = ", ".join(voice.name for voice in library) or "none yet"
            raise UserError(
                f"There is neither a file nor a registered voice named {given} "
                f"(registered: {known}); give an audio file, or see voxloom voices --help"
            )
        audio, sample_rate = load_sample(path)
        return _voice(path.stem, quantize(audio), sample_rate)
    stored = library.get(given)
    return _voice(given, decode_flac(library.sample(given).read_bytes()), stored.sample_rate)


def register_voice(name: str, sample: Path, library: Library) -> StoredVoice:
    """Normalises a sample and puts it into the library under a name that is free."""
    valid_name(name)  # before the sample is decoded
    audio, sample_rate = load_sample(sample)
    return library.add(
        name,
        encode_flac(quantize(audio), sample_rate),
        seconds=round(len(audio) / sample_rate, 2),
        sample_rate=sample_rate,
        source=sample.name,
        added=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _voice(name: str, pcm: np.ndarray, sample_rate: int) -> Voice:
    content_hash = hash_bytes(sample_rate.to_bytes(4, "little") + pcm.astype("<i2").tobytes())
    return Voice(name, dequantize(pcm), sample_rate, content_hash)
