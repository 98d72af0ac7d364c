"""What every engine is asked and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from configs.errors import UserError
from model.text import Spoken

if TYPE_CHECKING:  # it imports PyTorch, which many who only ask don't need
    from model.pronunciation import Pronunciation
    from model.sampling import Sampling

TOKENS_PER_SECOND = 25  # semantic tokens, at the speed 1


@dataclass(frozen=True)
class Characters:
    """Chinese text under a stretch of phones, for models that also read characters (by BERT).

    The phones from number `start` on are those of `text`, `word2ph` of them for each character.
    """

    start: int
    text: str
    word2ph: tuple[int, ...]

    @property
    def stop(self) -> int:
        return self.start + sum(self.word2ph)


@dataclass(frozen=True)
class Request:
    """What is to be said; `seed` decides every random number of its rendering.

    `earlier` is a rendering of the same phones that is to be mended by engines that can (`mends`),
    with the same settings but for S1's.
    """

    phones: tuple[str, ...]
    seed: int
    characters: tuple[Characters, ...] = ()
    earlier: Rendering | None = None


@dataclass(frozen=True)
class Sample:
    """A recording of a voice: mono audio (samples,) float32 in [-1, 1], and its rate in Hz."""

    audio: np.ndarray
    sample_rate: int


@dataclass(frozen=True)
class Prompt:
    """What is said in a sample."""

    phones: tuple[str, ...]
    characters: tuple[Characters, ...] = ()


@dataclass(frozen=True)
class Semantics:
    """What S1 makes of a request: semantic tokens (tokens,) int16, and whether it ended by
    itself (see `Rendering`)."""

    tokens: np.ndarray
    complete: bool


@dataclass
class Rendering:
    """Audio (samples,) float32 in [-1, 1] and the semantic tokens (tokens,) int16 it came from.

    `complete` is False when S1 did not end by itself: it reached the bound that the text sets, or
    got stuck in a repetition. `pronunciation` is None where the engine can't hear its language.
    `times` (phones, 2) int16 are the first and last + 1 frame (50 a second) of each phone of the
    request, marks too; (0, 2) where they are not known. `mel` is what an engine that mends keeps of
    it, a normalised mel (1, bands, frames).
    """

    audio: np.ndarray
    tokens: np.ndarray
    complete: bool
    pronunciation: Pronunciation | None = None
    times: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int16))
    mel: Any = None


@dataclass(frozen=True)
class Hearing:
    """What an engine makes of voice samples.

    `longest_seconds` of a sample are heard. `several`: whether more samples than one are averaged.
    `prompt`: whether it helps to know what the first sample says, in phones of `inventory`.
    """

    longest_seconds: float
    several: bool
    prompt: Literal["unused", "useful", "needed"]
    inventory: Literal["v1", "v2"] = "v2"


class VoiceEngine(Protocol):
    """A loaded model that speaks; `content_hash` names its weights and the version of its code,
    `mends` says whether it makes anew only a stretch of an earlier rendering."""

    sample_rate: int
    mends: bool
    content_hash: str
    hearing: Hearing

    def reference(self, samples: Sequence[Sample], prompt: Prompt | None = None) -> Any:
        """A voice from samples of one speaker, the first of which says the prompt.

        Raises UserError for less than a second of sound, or samples that are not finite.
        """

    def voice_vector(self, sample: Sample) -> np.ndarray:
        """How the voice of at least a second of sound is, as a vector for cosines."""

    def render(
        self,
        requests: Sequence[Request],
        reference: Any,
        sampling: Sampling,
        on_done: Callable[[int, Rendering], None] | None = None,
    ) -> list[Rendering]:
        """Speaks all requests; calls `on_done(index, rendering)` as each is finished, in any order.

        A rendering depends on its own request alone. Raises ValueError for a request without phones
        or with too many.
        """

    def semantics(
        self,
        requests: Sequence[Request],
        reference: Any,
        sampling: Sampling,
        on_done: Callable[[int, Semantics], None] | None = None,
    ) -> list[Semantics]:
        """The first half of `render`: what S1 says to the requests, long before any sound."""

    def acoustics(
        self,
        requests: Sequence[Request],
        semantics: Sequence[Semantics],
        reference: Any,
        sampling: Sampling,
        on_done: Callable[[int, Rendering], None] | None = None,
    ) -> list[Rendering]:
        """The second half of `render`: sound of what S1 said to the requests, at the sampling's
        speed. Raises ValueError for a request without phones or where the two do not match."""

    def seconds_of(self, request: Request, semantics: Semantics, speed: float) -> float:
        """How long a request will sound that S1 says so, before it is made (seconds); the silence
        at both ends included."""


def seconds_of_tokens(tokens: int, speed: float = 1.0) -> float:
    """How long the sound of so many semantic tokens is, in seconds: known before it is made."""
    return tokens / TOKENS_PER_SECOND / speed


def check_pairs(requests: Sequence[Request], semantics: Sequence[Semantics]) -> None:
    """Raises ValueError unless each request has phones and what S1 says to it."""
    if len(requests) != len(semantics):
        raise ValueError(f"{len(requests)} requests, but {len(semantics)} answers of S1")
    if any(not request.phones for request in requests):
        raise ValueError("a request has no phones")


def spoken_line(
    spoken: Spoken, close: Callable[[tuple[str, ...]], tuple[str, ...]]
) -> tuple[tuple[str, ...], tuple[Characters, ...]]:
    """A text's phones, with the marks that `close` changes at their end, and its characters."""
    runs: list[Characters] = []
    place = 0
    for word in spoken.words:
        if word.language == "zh" and word.characters:
            if runs and runs[-1].stop == place:
                last = runs.pop()
                text, word2ph = last.text + word.characters, (*last.word2ph, *word.word2ph)
                runs.append(Characters(last.start, text, word2ph))
            else:
                runs.append(Characters(place, word.characters, word.word2ph))
        place += len(word.phones)
    phones = close(spoken.phones)
    if runs and runs[-1].stop == place and len(phones) == place + 1:  # the mark that was added
        last = runs.pop()
        runs.append(Characters(last.start, last.text + phones[-1], (*last.word2ph, 1)))
    return phones, tuple(runs)


def check_sample(sample: Sample) -> None:
    """Raises UserError for a sample that no voice can be made of."""
    if len(sample.audio) < sample.sample_rate:
        raise UserError("The voice sample is too short; give at least 3 seconds of speech.")
    if not np.isfinite(sample.audio).all():
        raise UserError("The voice sample holds values that are no sound; save it anew as WAV.")


def to_level(audio: np.ndarray, level_db: float) -> np.ndarray:
    """Scales speech so that the louder half of its 20 ms frames has the RMS `level_db`.

    Peaks stay under 1. A frame is 480 samples: 20 ms at 24 kHz.
    """
    frame = 480
    powers = np.square(audio[: len(audio) // frame * frame].reshape(-1, frame)).mean(1)
    loud = powers[powers >= np.median(powers)].mean()
    gain = 10 ** (level_db / 20) / max(np.sqrt(loud), 1e-6)
    return (audio * min(gain, 0.99 / max(np.abs(audio).max(), 1e-6))).astype(np.float32)
