"""What clips say: words by Whisper where it is there, else phones by the built-in recogniser."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import soxr

from tasks.transcribe import understand

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

    from model.recogniser import Recogniser

UNKNOWN = ("UNK",)


@dataclass(frozen=True)
class Said:
    """What a clip says: words and their language (ISO 639-1), both "" where no Whisper listened,
    and English phones, UNKNOWN where nothing was understood or another language is spoken."""

    text: str
    language: str
    phones: tuple[str, ...]


def listen(
    audio: np.ndarray, sample_rate: int, whisper: "WhisperModel | None", recogniser: "Recogniser"
) -> Said:
    """What a clip (samples,) float32 of 2 to 12 s says."""
    if whisper is not None:
        understood = understand(whisper, audio, sample_rate)
        if understood is None:
            return Said("", "", UNKNOWN)
        english = understood.language == "en"
        return Said(
            understood.text,
            understood.language,
            _phones(understood.text) if english else UNKNOWN,
        )
    import torch

    from model.recogniser import SAMPLE_RATE, heard_phones

    low = soxr.resample(audio.astype(np.float32), sample_rate, SAMPLE_RATE)
    return Said("", "", heard_phones(recogniser, torch.from_numpy(low)) or UNKNOWN)


def spoken_language(said: Sequence[Said]) -> str:
    """The language of most clips; "" where nobody knows."""
    languages = Counter(one.language for one in said if one.language)
    return languages.most_common(1)[0][0] if languages else ""


def _phones(text: str) -> tuple[str, ...]:
    from model.speaking import spoken_line
    from model.text import speak_text, with_end

    spoken = speak_text(text)
    return UNKNOWN if spoken.is_silent else spoken_line(spoken, with_end)[0]
