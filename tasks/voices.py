"""Voices: a sample file or a registered name becomes clean sound with a content hash."""

import errno
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from configs.errors import UserError
from storage.keys import hash_bytes
from storage.library import Clone, Library, StoredVoice, valid_name
from tasks.audio_in import load_sample
from tasks.takes import decode_flac, dequantize, encode_flac, quantize

_MAX_TRANSCRIPT_BYTES = 100_000
_NO_PATH = (errno.ENAMETOOLONG, errno.EINVAL)  # what stat says of a text that no path can be


@dataclass(frozen=True)
class AskedVoice:
    """What the user gives for a voice: samples (paths or registered names) of one speaker, and
    what the first one says (None: unknown, "": shall not be used)."""

    samples: tuple[str, ...]
    transcript: str | None = None

    @property
    def label(self) -> str:
        return " + ".join(self.samples)


@dataclass(frozen=True)
class Tuning:
    """Weights that were tuned for a voice: their file, and the model that they belong to."""

    path: Path
    model: str
    model_hash: str


@dataclass(frozen=True)
class Voice:
    """A voice sample, the same whether it comes from a file or from the library."""

    name: str
    audio: np.ndarray  # (samples,) float32 in [-1, 1], on the 16-bit grid
    sample_rate: int
    content_hash: str  # of the sound
    transcript: str | None = None  # what is said in it; None: unknown, "": shall not be used
    tuning: Tuning | None = None


def find_voices(asked: AskedVoice, library: Library) -> tuple[Voice, ...]:
    """The samples that the user means; the transcript belongs to the first."""
    first, *others = (find_voice(given, library) for given in asked.samples)
    if asked.transcript is not None:
        first = replace(first, transcript=asked.transcript)
    return (first, *others)


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
    pcm = decode_flac(library.sample(given).read_bytes())
    voice = _voice(given, pcm, stored.sample_rate, stored.transcript or None)
    weights = library.tuning(given)
    if weights is None or stored.clone is None or stored.clone.tuning is None:
        return voice
    tuning = Tuning(weights, stored.clone.tuning.model, stored.clone.tuning.model_hash)
    return replace(voice, tuning=tuning)


def register_voice(
    name: str, sample: Path, library: Library, transcript: str = "", consent: str = ""
) -> StoredVoice:
    """Normalises a sample and puts it into the library under a name that is free; `consent` is the
    statement that the voice may be used."""
    valid_name(name)  # before the sample is decoded
    audio, sample_rate = load_sample(sample)
    return library.add(
        name,
        encode_flac(quantize(audio), sample_rate),
        seconds=round(len(audio) / sample_rate, 2),
        sample_rate=sample_rate,
        source=sample.name,
        added=datetime.now(UTC).isoformat(timespec="seconds"),
        transcript=transcript,
        consent=consent,
    )


def read_transcript(given: str) -> str:
    """What a sample says: the text itself, or what the file of that name holds (UTF-8).

    Raises UserError for a file that is no such text.
    """
    path = Path(given).expanduser()
    try:
        if not given or not path.is_file():
            return given.strip()
        if path.stat().st_size > _MAX_TRANSCRIPT_BYTES:
            raise UserError(f"{path} is too long for what a voice sample says; give its words only")
        return " ".join(path.read_text(encoding="utf-8-sig").split())
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text in UTF-8; save it as UTF-8 and try again") from error
    except OSError as error:
        if error.errno in _NO_PATH:
            return given.strip()
        raise UserError(f"{path} can't be read: {error.strerror}") from error


def clone_lines(clone: Clone) -> list[str]:
    """What cloning found out about a voice, for people to read."""
    numbers = clone.metrics
    lines = [
        f"consent   {clone.consent}",
        f"licence   {clone.licence or 'not said'}",
        f"learned   from {clone.seconds_used:.0f} s of {', '.join(clone.recordings)}",
    ]
    lines += [f"left out  {seconds:.1f} s: {why}" for why, seconds in clone.dropped.items()]
    if clone.tuning:
        lines.append(f"tuned     {clone.tuning.method}, for {clone.tuning.model}")
        lines.append(f"          model {clone.tuning.model_hash[:16]}")
        lines.append(f"share     {numbers.get('share', 1.0)} of the way from the untuned model")
    else:
        lines.append(f"tuned     no: {clone.why_untuned}")
    for name, what in (
        ("likeness", f"likeness to clips held out (cosine by {numbers.get('likeness_judge')})"),
        ("word_error", "words missed (Whisper)"),
        ("phone_error", "phones missed (built-in recogniser)"),
    ):
        values = [numbers.get(f"{name}_{when}") for when in ("before", "after")]
        shown = ", ".join(f"{v:.3f}" for v in values if isinstance(v, float | int))
        if shown:
            when = "before, after" if values[1] is not None else "before"
            lines.append(f"measured  {what}, {when}: {shown}")
    for part in ("s2", "s1"):
        points = [point for point in clone.curve if point["part"] == part]
        if points:
            losses = " ".join(f"{point['step']}:{point['held_out']:.4f}" for point in points)
            lines.append(f"curve     {part}, held-out loss by step: {losses}")
    for clip in clone.clips:
        lines.append(
            f"clip      {clip.file} {clip.seconds:.1f} s, {clip.recording} at {clip.start:.1f} s: "
            f"{clip.says or 'not understood'}"
        )
    return lines


def cut_voice(voice: Voice, audio: np.ndarray) -> Voice:
    """The same voice with a part of its sound."""
    return _voice(voice.name, quantize(audio), voice.sample_rate)


def _voice(name: str, pcm: np.ndarray, sample_rate: int, transcript: str | None = None) -> Voice:
    content_hash = hash_bytes(sample_rate.to_bytes(4, "little") + pcm.astype("<i2").tobytes())
    return Voice(name, dequantize(pcm), sample_rate, content_hash, transcript)
