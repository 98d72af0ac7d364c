"""What a voice sample says: by a Whisper model on this machine, else by the built-in recogniser."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soxr

from configs.errors import UsageError

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

_RATE = 16_000
# Tried in this order where the user names none; only what lies on this machine is loaded.
_KNOWN = ("large-v3-turbo", "large-v3", "large-v2", "medium", "small", "base")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Understood:
    """What was said, in which language (ISO 639-1)."""

    text: str
    language: str


def recognise(audio: np.ndarray, sample_rate: int, whisper: str = "") -> Understood | None:
    """What audio (samples,) float32 says by faster-whisper; None where no model lies here.

    `whisper` is the folder of a model or the name of one that has been downloaded before; "" takes
    the best of those. Nothing is downloaded. Raises UsageError where the named one is not there.
    """
    model = load_whisper(whisper)
    return None if model is None else understand(model, audio, sample_rate)


def load_whisper(whisper: str = "") -> "WhisperModel | None":
    """The Whisper model for `recognise`, to be used several times."""
    folder = find_whisper(whisper)
    if folder is None:
        return None
    from faster_whisper import WhisperModel

    return WhisperModel(str(folder), device="cpu", compute_type="int8", local_files_only=True)


def understand(
    model: "WhisperModel", audio: np.ndarray, sample_rate: int, language: str = ""
) -> Understood | None:
    """What audio (samples,) float32 says, in `language` (ISO 639-1) or what the model takes it for;
    None where the model hears no words."""
    heard = soxr.resample(audio.astype(np.float32), sample_rate, _RATE)
    # One temperature: with several, a hard sample would be drawn at random.
    segments, info = model.transcribe(
        heard,
        language=language or None,
        beam_size=5,
        temperature=0.0,
        condition_on_previous_text=False,
    )
    text = " ".join(segment.text.strip() for segment in segments).strip()
    return Understood(text, info.language) if text else None


def find_whisper(whisper: str = "") -> Path | None:
    """The folder of the Whisper model that `load_whisper` would load."""
    from faster_whisper.utils import download_model
    from huggingface_hub.errors import LocalEntryNotFoundError

    if whisper and (folder := Path(whisper).expanduser()).is_dir():
        return folder
    for name in [whisper] if whisper else _KNOWN:
        try:
            return Path(download_model(name, local_files_only=True))
        except LocalEntryNotFoundError:
            continue
        except ValueError:  # no such name
            break
    if whisper:
        raise UsageError(
            f"VOXLOOM_WHISPER={whisper}: neither the folder of a faster-whisper model nor the name "
            "of one on this machine"
        )
    return None


def builtin_phones(audio: np.ndarray, sample_rate: int) -> tuple[str, ...]:
    """The English phones that the built-in recogniser hears in audio (samples,) float32."""
    import torch

    from model.checkpoint import load_model
    from model.engine import PRETRAINED
    from model.recogniser import SAMPLE_RATE, heard_phones

    low = soxr.resample(audio.astype(np.float32), sample_rate, SAMPLE_RATE)
    return heard_phones(load_model(PRETRAINED).recogniser, torch.from_numpy(low))
