"""Puts the takes of a chapter together: trimmed, faded, with pauses, into one FLAC file."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import soundfile

from tasks.beside import written_beside
from tasks.levels import amplitude, sound_bounds, sound_frames

if TYPE_CHECKING:
    from tasks.plan import Utterance

ASSEMBLE_VERSION = "1"  # changes when the same takes would give another chapter
HEAD_SECONDS = 0.6
TAIL_SECONDS = 2.0
ROOM_TONE_DB = -75.0

# A take's sound: less than 45 dB under its loudest 10 ms. Weak consonants at the edges lie
# 30-40 dB under the vowels; what the vocoder breathes around them is lower.
_BELOW_PEAK_DB = 45.0
_FLOOR_DB = -66.0
_KEEP_SECONDS = 0.03
_FADE_SECONDS = 0.005
_BLOCK = 1 << 15
_FULL_SCALE = 32767


@dataclass(frozen=True)
class Span:
    """Where an utterance is heard, without its pause: samples on its chapter's timeline; `cut`
    samples were trimmed off its take's beginning."""

    chapter: int
    index: int
    start: int
    end: int
    cut: int = 0


@dataclass(frozen=True)
class ChapterAudio:
    """A finished chapter: a mono 16-bit FLAC file and what lies where in it."""

    path: Path
    samples: int
    sample_rate: int
    spans: tuple[Span, ...]

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate


def assemble_chapter(
    pieces: Iterable[tuple["Utterance", np.ndarray]],
    sample_rate: int,
    out: Path,
    head_seconds: float = HEAD_SECONDS,
    tail_seconds: float = TAIL_SECONDS,
    room_tone: bool = False,
) -> ChapterAudio:
    """Streams `(utterance, take)` pairs, takes mono float32 (samples,), into the FLAC file `out`.

    Each take loses the silence at its ends and gets 5 ms fades; the utterance's `pause_after`
    follows. The chapter begins with `head_seconds` and ends with `tail_seconds` of room (the last
    pause counts into it). With `room_tone` at -75 dBFS under everything, since players and checkers
    stumble over digital silence; a book gets its own when it is mastered. One block is in memory at
    a time; the same pieces give the same bytes. Raises `UserError` when the file cannot be written.
    """
    spans: list[Span] = []
    pause = 0
    with written_beside(out) as part:
        tape: _Tape | None = None
        with part.open("wb") as raw:
            try:
                for utterance, take in pieces:
                    sound, cut = _trimmed(take, sample_rate, utterance)
                    if tape is None:
                        seed = utterance.chapter if room_tone else None
                        tape = _Tape(raw, sample_rate, seed)
                        tape.silence(round(head_seconds * sample_rate))
                    tape.silence(pause)
                    start = tape.samples
                    tape.sound(sound)
                    spans.append(Span(utterance.chapter, utterance.index, start, tape.samples, cut))
                    pause = round(utterance.pause_after * sample_rate)
                if tape is None:
                    raise ValueError(f"a chapter without utterances cannot be assembled: {out}")
                tape.silence(max(pause, round(tail_seconds * sample_rate)))
            finally:
                if tape is not None:
                    tape.close()
        samples = tape.samples
    return ChapterAudio(out, samples, sample_rate, tuple(spans))


def _trimmed(take: np.ndarray, sample_rate: int, utterance: "Utterance") -> tuple[np.ndarray, int]:
    """The take without silence at its ends, faded in and out, may be empty; and how many samples
    its beginning lost."""
    if take.ndim != 1 or not np.isfinite(take).all():
        raise ValueError(
            f"the take of utterance {utterance.index} in chapter {utterance.chapter} is not "
            f"finite mono audio (shape {take.shape})"
        )
    frames = sound_frames(take, sample_rate, _BELOW_PEAK_DB, _FLOOR_DB)
    bounds = sound_bounds(frames, take.size, sample_rate, _KEEP_SECONDS)
    kept = take[bounds].astype(np.float32)
    fade = min(round(_FADE_SECONDS * sample_rate), kept.size // 2)
    if fade:
        # Half a raised cosine, without the zero and the one at its ends.
        ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / fade)).astype(np.float32)
        kept[:fade] *= ramp
        kept[-fade:] *= ramp[::-1]
    return kept, bounds.start


class _Tape:
    """A FLAC file that grows: sound and silence, with a seed over one bed of room tone."""

    def __init__(self, raw: BinaryIO, sample_rate: int, seed: int | None) -> None:
        self.samples = 0
        self._sink = _Sink(raw)
        with self._checked():
            self._file = soundfile.SoundFile(
                self._sink, "w", sample_rate, channels=1, format="FLAC", subtype="PCM_16"
            )
        self._tone = None if seed is None else np.random.default_rng(seed)

    def silence(self, samples: int) -> None:
        for start in range(0, samples, _BLOCK):
            self._write(np.zeros(min(_BLOCK, samples - start), dtype=np.float32))

    def sound(self, audio: np.ndarray) -> None:
        for start in range(0, audio.size, _BLOCK):
            self._write(audio[start : start + _BLOCK])

    def close(self) -> None:
        with self._checked():
            self._file.close()

    def _write(self, block: np.ndarray) -> None:
        if self._tone is not None:
            tone = self._tone.standard_normal(block.size, dtype=np.float32)
            block = block + tone * np.float32(amplitude(ROOM_TONE_DB))
        whole = np.rint(np.clip(block, -1.0, 1.0) * _FULL_SCALE).astype(np.int16)
        with self._checked():
            self._file.write(whole)
        self.samples += block.size

    @contextmanager
    def _checked(self) -> Iterator[None]:
        """Around a step of libsndfile: what the disk said counts more than what libsndfile makes
        of it, which can be an assertion or nothing at all."""
        try:
            yield
        except (soundfile.LibsndfileError, AssertionError) as error:
            raise (self._sink.error or error) from error
        if self._sink.error:
            raise self._sink.error


class _Sink:
    """The file under libsndfile, which swallows errors: it remembers the first one."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        return self._remembering(lambda: self._raw.write(data))

    def flush(self) -> None:
        self._remembering(self._raw.flush)

    def seek(self, offset: int, whence: int = 0) -> int:
        # Seeking writes out what is buffered.
        return self._remembering(lambda: self._raw.seek(offset, whence))

    def tell(self) -> int:
        return self._raw.tell()

    def read(self, size: int = -1) -> bytes:
        return self._raw.read(size)

    def _remembering(self, step: Callable[[], int | None]) -> int:
        try:
            return step() or 0
        except OSError as error:
            self.error = self.error or error
            return 0
