"""The engine: phones in, speech in a reference voice out, many sentences at a time.

S1 decodes all sentences of a batch together in a table of slots; a slot whose sentence ends takes
the next one at once. S2 and the vocoder take the sentences one by one as they come, since a single
sentence already fills a CPU.

A result depends on its own request alone, never on the batch. Prompts are prefilled one by one; a
decoding step always has the same number of rows and sees a multiple of `REACH` places, so that a
row is computed by the same operations in the same order whatever its neighbours hold; and every
sentence draws from a random generator of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import soxr
import torch
from torch import Tensor
from torch.nn import functional as F

from configs.errors import UserError
from model import recogniser
from model.checkpoint import VoiceModel, load_model, random_model
from model.s1 import POSITIONS
from model.sampling import Sampling, choose_tokens
from model.spectral import MelConfig, denormalise_mel, log_mel, normalise_mel
from model.text import phone_ids

ENGINE_VERSION = "1"
"""Part of the content hash: changes when the same weights and requests give another result."""

PRETRAINED = Path(__file__).parent / "pretrained"
DEFAULT_SAMPLING = Sampling()
SLOTS = 16
REACH = 64
TOKENS_PER_SECOND = 25
FRAMES_PER_TOKEN = 3.75
LONGEST_REFERENCE_SECONDS = 12.0
CARRIED_FRAMES = 60
"""Of a later window's prompt, the frames that come from the window before it."""


@dataclass(frozen=True)
class Request:
    """What is to be said; `seed` decides every random number of its rendering."""

    phones: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Reference:
    """A voice as the model hears it: the voice vector (1, gin, 1), and a prompt of normalised mel
    (1, bands, frames) with its conditioning (1, width, frames)."""

    voice: Tensor
    prompt_mel: Tensor
    prompt_fea: Tensor


@dataclass
class Rendering:
    """Audio (samples,) float32 in [-1, 1] and the semantic tokens (tokens,) int16 it came from.

    `complete` is False when S1 did not end by itself within the bound that the text sets.
    """

    audio: np.ndarray
    tokens: np.ndarray
    complete: bool


class Engine:
    """A loaded voice model; `content_hash` names its weights, configuration and code version."""

    def __init__(self, model: VoiceModel) -> None:
        self._model = model
        self._mel = MelConfig(sample_rate=model.config.sample_rate)
        self.sample_rate = model.config.sample_rate
        version = f"{ENGINE_VERSION}:{model.content_hash}"
        self.content_hash = hashlib.sha256(version.encode()).hexdigest()

    @classmethod
    def load(cls, directory: Path | None = None, threads: int | None = None) -> Engine:
        """The voice model in a folder, by default the built-in one; UserError if it can't load."""
        if threads:
            torch.set_num_threads(threads)
        return cls(load_model(directory or PRETRAINED))

    @classmethod
    def debug(cls, seed: int = 0) -> Engine:
        """A tiny model with random weights, for tests."""
        return cls(random_model(seed))

    @torch.inference_mode()
    def reference(self, audio: np.ndarray, sample_rate: int) -> Reference:
        """A voice from a mono sample (samples,) float32; what is longer than 12 s is left out.

        Raises UserError for less than a second of sound, or samples that are not finite.
        """
        if len(audio) < sample_rate:
            raise UserError("The voice sample is too short; give at least 3 seconds of speech.")
        if not np.isfinite(audio).all():
            raise UserError("The voice sample holds values that are no sound; save it anew as WAV.")
        audio = soxr.resample(audio.astype(np.float32), sample_rate, self.sample_rate)
        audio = audio[: int(LONGEST_REFERENCE_SECONDS * self.sample_rate)]
        audio = _to_level(audio, self._model.config.reference_level_db)
        mel = normalise_mel(log_mel(torch.from_numpy(audio)[None], self._mel))
        s2 = self._model.s2
        voice = s2.reference_embedding(mel, torch.tensor([mel.shape[2]]))
        low = soxr.resample(audio, self.sample_rate, recogniser.SAMPLE_RATE)
        codes = s2.extract_codes(self._model.recogniser.features(torch.from_numpy(low)[None]))
        fea = self._condition(codes, ("UNK",), voice, 1.0)
        frames = min(self._model.config.prompt_frames, mel.shape[2], fea.shape[2])
        start = _liveliest(mel[0], min(mel.shape[2], fea.shape[2]), frames)
        window = slice(start, start + frames)
        return Reference(voice, mel[..., window].clone(), fea[..., window].clone())

    @torch.inference_mode()
    def render(
        self,
        requests: Sequence[Request],
        reference: Reference,
        sampling: Sampling = DEFAULT_SAMPLING,
        on_done: Callable[[int, Rendering], None] | None = None,
    ) -> list[Rendering]:
        """Speaks all requests; calls `on_done(index, rendering)` as each is finished, in any order.

        Phones that the inventory lacks are spoken as UNK, of which the model knows nothing. Raises
        ValueError for a request without phones or with more than S1 has positions for (4000).
        """
        renderings: dict[int, Rendering] = {}
        for index, tokens, complete in self._semantic(requests, sampling):
            audio = self._acoustic(requests[index], tokens, reference, sampling)
            renderings[index] = Rendering(audio, tokens, complete)
            if on_done:
                on_done(index, renderings[index])
        return [renderings[index] for index in range(len(requests))]

    def _semantic(
        self, requests: Sequence[Request], sampling: Sampling
    ) -> Iterator[tuple[int, np.ndarray, bool]]:
        """Yields (index, tokens, ended by itself) as sentences end; the longest start first."""
        s1 = self._model.s1
        end = s1.config.end
        ids = [torch.tensor(phone_ids(request.phones)) for request in requests]
        if any(len(one) == 0 for one in ids):
            raise ValueError("a request has no phones")
        if any(len(one) > POSITIONS for one in ids):
            raise ValueError(f"a request has more than {POSITIONS} phones")
        bounds = [token_bound(len(one)) for one in ids]
        capacity = max(
            (len(one) + bound for one, bound in zip(ids, bounds, strict=True)), default=0
        )
        capacity = -(-(capacity + 1) // REACH) * REACH
        waiting = sorted(range(len(requests)), key=lambda i: len(ids[i]))
        cache = s1.new_cache(SLOTS, capacity)
        slots: list[_Slot | None] = [None] * SLOTS
        logits = torch.zeros(SLOTS, end + 1)
        seen = torch.zeros(SLOTS, end + 1, dtype=torch.bool)
        nothing = torch.zeros(0, dtype=torch.long)
        while waiting or any(slots):
            for number, slot in enumerate(slots):
                if slot is None and waiting:
                    index = waiting.pop()
                    logits[number] = s1.prefill(cache, number, ids[index], nothing)
                    seen[number] = False
                    slots[number] = _Slot(index, requests[index].seed, bounds[index])
                elif slot is None:
                    cache.lengths[number] = 0
            noise = torch.from_numpy(
                np.stack(
                    [
                        slot.noise(end + 1) if slot else np.ones(end + 1, np.float32)
                        for slot in slots
                    ]
                )
            )
            steps = torch.tensor([len(slot.tokens) if slot else 0 for slot in slots])
            chosen = choose_tokens(logits, seen, steps, noise, sampling)
            seen[torch.arange(SLOTS), chosen] = True
            for number, slot in enumerate(slots):
                if slot is None:
                    continue
                token = int(chosen[number])
                if token != end:
                    slot.tokens.append(token)
                if token == end or len(slot.tokens) == slot.bound:
                    yield slot.index, np.array(slot.tokens, np.int16), token == end
                    slots[number] = None
            if any(slots):
                longest = int(cache.lengths.max()) + 1
                reach = min(capacity, -(-longest // REACH) * REACH)
                positions = torch.tensor([len(slot.tokens) - 1 if slot else 0 for slot in slots])
                logits = s1.step(cache, chosen.clamp(max=end), positions, reach)

    def _condition(
        self, codes: Tensor, phones: Sequence[str], voice: Tensor, speed: float
    ) -> Tensor:
        """Codes (1, tokens) and phones -> the flow matching's condition (1, width, frames)."""
        text = torch.tensor([phone_ids(phones)])
        fea, _ = self._model.s2.condition(
            codes, torch.tensor([codes.shape[1]]), text, torch.tensor([text.shape[1]]), voice, speed
        )
        return fea

    def _acoustic(
        self, request: Request, tokens: np.ndarray, reference: Reference, sampling: Sampling
    ) -> np.ndarray:
        """Tokens to audio, window by window; each window continues the one before it."""
        if len(tokens) == 0:
            return np.zeros(0, np.float32)
        codes = torch.from_numpy(tokens.astype(np.int64))[None]
        fea = self._condition(codes, request.phones, reference.voice, sampling.speed)
        draft = self._model.s2.linear_mel(fea)
        frames = fea.shape[2]
        noise = torch.randn(
            (1, self._mel.bands, frames), generator=torch.Generator().manual_seed(request.seed)
        )
        room = self._model.config.window_frames - reference.prompt_mel.shape[2]
        parts = -(-frames // room)
        bounds = [round(part * frames / parts) for part in range(parts + 1)]
        pieces: list[Tensor] = []
        for start, stop in pairwise(bounds):
            prompt, prompt_fea = reference.prompt_mel, reference.prompt_fea
            if pieces:
                carried = min(CARRIED_FRAMES, pieces[-1].shape[2])
                prompt = torch.cat([prompt[..., carried:], pieces[-1][..., -carried:]], 2)
                prompt_fea = torch.cat(
                    [prompt_fea[..., carried:], fea[..., start - carried : start]], 2
                )
            made = self._model.s2.cfm.inference(
                torch.cat([prompt_fea, fea[..., start:stop]], 2),
                None,
                prompt,
                sampling.steps,
                F.pad(noise[..., start:stop], (prompt.shape[2], 0)),
                sampling.guidance,
                F.pad(draft[..., start:stop], (prompt.shape[2], 0)),
                self._model.config.flow_begin,
            )
            pieces.append(made[..., prompt.shape[2] :])
        mel = denormalise_mel(torch.cat(pieces, 2))
        return self._model.vocoder(mel)[0].clamp(-1.0, 1.0).numpy()


class _Slot:
    """A sentence being decoded."""

    def __init__(self, index: int, seed: int, bound: int) -> None:
        self.index, self.bound = index, bound
        self.tokens: list[int] = []
        self._random = np.random.Generator(np.random.Philox(seed))

    def noise(self, classes: int) -> np.ndarray:
        """(classes,) draws from the exponential distribution, one set a step."""
        return self._random.exponential(size=classes).astype(np.float32)


def token_bound(phones: int) -> int:
    """The most tokens that so many phones may take: about twice what slow speech needs."""
    return min(25 + 5 * phones, POSITIONS)


def _to_level(audio: np.ndarray, level_db: float) -> np.ndarray:
    """Scales speech so that the louder half of its 20 ms frames has the RMS `level_db`.

    Peaks stay under 1.
    """
    frame = 480
    powers = np.square(audio[: len(audio) // frame * frame].reshape(-1, frame)).mean(1)
    loud = powers[powers >= np.median(powers)].mean()
    gain = 10 ** (level_db / 20) / max(np.sqrt(loud), 1e-6)
    return (audio * min(gain, 0.99 / max(np.abs(audio).max(), 1e-6))).astype(np.float32)


def _liveliest(mel: Tensor, frames: int, length: int) -> int:
    """Start of the stretch of `length` frames with the most energy in `mel` (bands, time)."""
    energy = mel[:, :frames].mean(0).cumsum(0)
    sums = energy[length - 1 :] - F.pad(energy, (1, 0))[: frames - length + 1]
    return int(sums.argmax())
