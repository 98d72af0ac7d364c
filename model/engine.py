"""The engine: phones in, speech in a reference voice out, many sentences at a time.

S1 decodes all sentences of a batch together (model/decode.py). S2 and the vocoder take them one by
one as they come, since a single sentence already fills a CPU core; the recogniser hears what they
made. All cores are busy: sentences go beside each other, and beside S1 (model/overlap.py). A result
depends on its own request alone, never on the batch.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import soxr
import torch
from scipy.signal import butter, sosfiltfilt
from torch import Tensor
from torch.nn import functional as F

from model import recogniser
from model.alignment import LONGEST_SECONDS, is_sound, log_probabilities, phone_times
from model.carrier import cut_off, text_start, with_carrier
from model.checkpoint import VoiceModel, load_model, random_model
from model.decode import SLOTS, Sentence, decode, longest_repetition, token_bound
from model.overlap import collect, overlapped, single_threaded, tokens_of
from model.precision import Precision, fastest_precision, lower_transformer
from model.pronunciation import UNHEARD, judge
from model.sampling import Sampling
from model.speaking import (
    Hearing,
    Prompt,
    Rendering,
    Request,
    Sample,
    Semantics,
    check_pairs,
    check_sample,
    seconds_of_tokens,
    to_level,
)
from model.spectral import MelConfig, denormalise_mel, log_mel, normalise_mel
from model.text import phone_ids

ENGINE_VERSION = "5"
"""Part of the content hash: changes when the same weights and requests give another result."""

PRETRAINED = Path(__file__).parent / "pretrained"
DEFAULT_SAMPLING = Sampling()
TOKENS_PER_PHONE = 4
"""Of slow speech. 99.9 % of the training speech, with its copies at 0.84 to 1.2 times its tempo,
has at most 4 tokens a phone (marks included) and 22 more; its median is 2.4 a phone."""
REPEATED_TOKENS = 24
"""In the training speech at most 14 tokens in a row (a long pause) repeat what stands before."""
HEADROOM = 0.6
"""Of some voices, the vocoder makes sound up to 3.5 dB over full scale, which would be clipped."""
RUMBLE_HZ = 50.0
"""What is below is no voice. Of a sample with rumble the model makes more of it: in one reader's
voice nine tenths of the energy was below this, and every fifth line was clipped for it."""
CARRIED_FRAMES = 60
"""Of a later window's prompt, the frames that come from the window before it."""


@dataclass(frozen=True)
class Reference:
    """A voice as the model hears it: the voice vector (1, gin, 1), and a prompt of normalised mel
    (1, bands, frames) with its conditioning (1, width, frames)."""

    voice: Tensor
    prompt_mel: Tensor
    prompt_fea: Tensor


class Engine:
    """A loaded voice model; `content_hash` names its weights, configuration, code version and the
    precision of its arithmetic, `model_hash` the weights and the configuration alone."""

    hearing = Hearing(longest_seconds=12.0, several=True, prompt="unused")

    def __init__(self, model: VoiceModel, precision: Precision = "f32", slots: int = SLOTS) -> None:
        self._model = model
        self._precision: Precision = precision
        self._slots = slots
        self._cfm = model.s2.cfm
        if precision == "bf16":
            self._cfm = copy.deepcopy(model.s2.cfm)  # the model's own is tuned, too
            lower_transformer(self._cfm.estimator)
        self._mel = MelConfig(sample_rate=model.config.sample_rate)
        self.sample_rate = model.config.sample_rate
        self.model_hash = model.content_hash
        version = f"{ENGINE_VERSION}:{precision}:{model.content_hash}"
        self.content_hash = hashlib.sha256(version.encode()).hexdigest()

    @classmethod
    def load(
        cls,
        directory: Path | None = None,
        threads: int | None = None,
        precision: Precision | None = None,
        slots: int = SLOTS,
    ) -> Engine:
        """The voice model in a folder, by default the built-in one, in this machine's fastest
        precision unless one is given; UserError if it can't load. S1 decodes in so many `slots`,
        which changes no result."""
        if threads:
            torch.set_num_threads(threads)
        return cls(load_model(directory or PRETRAINED), precision or fastest_precision(), slots)

    @classmethod
    def debug(cls, seed: int = 0) -> Engine:
        """A tiny model with random weights, for tests."""
        return cls(random_model(seed))

    def tuned(self, tensors: Mapping[str, Tensor]) -> Engine:
        """An engine of its own with what was tuned for a voice; it shares all other weights.

        Raises UserError for a tuning of another model.
        """
        from model.tuning import apply_tuning

        return Engine(apply_tuning(self._model, tensors), self._precision, self._slots)

    @torch.inference_mode()
    def voice_vector(self, sample: Sample) -> np.ndarray:
        """What the reference encoder makes of a sample of at least a second, (gin,) float32."""
        _, mel = self._listen(sample)
        vector = self._model.s2.reference_embedding(mel, torch.tensor([mel.shape[2]]))
        return vector[0, :, 0].numpy()

    @torch.inference_mode()
    def reference(self, samples: Sequence[Sample], prompt: Prompt | None = None) -> Reference:
        """A voice from samples of one speaker, of which 12 s each are heard.

        The voice vectors are averaged, the first sample is the prompt of the flow matching; this
        model makes nothing of what is said in it. Raises UserError for less than a second of sound,
        or samples that are not finite.
        """
        for sample in samples:
            check_sample(sample)
        heard = [self._listen(sample) for sample in samples]
        s2 = self._model.s2
        audio, mel = heard[0]
        voices = [s2.reference_embedding(one, torch.tensor([one.shape[2]])) for _, one in heard]
        voice = torch.stack(voices).mean(0)
        low = soxr.resample(audio, self.sample_rate, recogniser.SAMPLE_RATE)
        codes = s2.extract_codes(self._model.recogniser.features(torch.from_numpy(low)[None]))
        fea = self._condition(codes, ("UNK",), voice, 1.0)
        frames = min(self._model.config.prompt_frames, mel.shape[2], fea.shape[2])
        start = _liveliest(mel[0], min(mel.shape[2], fea.shape[2]), frames)
        window = slice(start, start + frames)
        return Reference(voice, mel[..., window].clone(), fea[..., window].clone())

    def _listen(self, sample: Sample) -> tuple[np.ndarray, Tensor]:
        """A sample's sound as the model wants it, and its normalised mel (1, bands, frames)."""
        audio = soxr.resample(sample.audio.astype(np.float32), sample.sample_rate, self.sample_rate)
        audio = audio[: int(self.hearing.longest_seconds * self.sample_rate)]
        audio = to_level(audio, self._model.config.reference_level_db)
        return audio, normalise_mel(log_mel(torch.from_numpy(audio)[None], self._mel))

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
        with single_threaded() as threads:
            said = self._said(requests, sampling)
            sounding = self._sounder(requests, reference, sampling)
            return collect(overlapped(said, sounding, threads, tokens_of), on_done)

    @torch.inference_mode()
    def semantics(
        self,
        requests: Sequence[Request],
        reference: Reference,
        sampling: Sampling = DEFAULT_SAMPLING,
        on_done: Callable[[int, Semantics], None] | None = None,
    ) -> list[Semantics]:
        """What S1 says to all requests, without any sound: the first half of `render`.

        This model's S1 does not hear the reference. Raises ValueError as `render` does.
        """
        with single_threaded():
            return collect(self._said(requests, sampling), on_done)

    @torch.inference_mode()
    def acoustics(
        self,
        requests: Sequence[Request],
        semantics: Sequence[Semantics],
        reference: Reference,
        sampling: Sampling = DEFAULT_SAMPLING,
        on_done: Callable[[int, Rendering], None] | None = None,
    ) -> list[Rendering]:
        """Sound of what S1 said to all requests, one by one: the second half of `render`.

        Raises ValueError for a request without phones, or where the two do not match in number.
        """
        check_pairs(requests, semantics)
        with single_threaded() as threads:
            sounding = self._sounder(requests, reference, sampling)
            return collect(overlapped(enumerate(semantics), sounding, threads, tokens_of), on_done)

    def seconds_of(self, request: Request, semantics: Semantics, speed: float = 1.0) -> float:
        """How long a request will sound that S1 says so, before it is made (seconds); the silence
        at both ends included. A carrier, which will be cut off, takes its phones' share."""
        spoken = self._spoken(request).phones
        share = len(request.phones) / max(1, len(spoken))
        return seconds_of_tokens(len(semantics.tokens), speed) * share

    def _spoken(self, request: Request) -> Request:
        """The request with what is said before it."""
        carried = self._model.config.carried_sounds
        return replace(request, phones=with_carrier(request.phones, carried))

    def _said(
        self, requests: Sequence[Request], sampling: Sampling
    ) -> Iterator[tuple[int, Semantics]]:
        """What S1 says to each request, by its index, as it ends."""
        sentences = [_sentence(self._spoken(request)) for request in requests]
        for index, tokens, complete in decode(self._model.s1, sentences, sampling, self._slots):
            yield index, Semantics(tokens, complete)

    def _sounder(
        self, requests: Sequence[Request], reference: Reference, sampling: Sampling
    ) -> Callable[[tuple[int, Semantics]], tuple[int, Rendering]]:
        """What turns a request's number and what S1 said to it into its sound."""

        def sounding(numbered: tuple[int, Semantics]) -> tuple[int, Rendering]:
            index, said = numbered
            spoken = self._spoken(requests[index])
            audio = self._acoustic(spoken, said.tokens, reference, sampling)
            made = Rendering(audio, said.tokens, said.complete)
            return index, self._heard(made, requests[index].phones, spoken.phones)

        return sounding

    def _heard(
        self, made: Rendering, phones: tuple[str, ...], spoken: tuple[str, ...]
    ) -> Rendering:
        """A rendering of `spoken` without its carrier, if it has one, and how well and when it
        says `phones`. What can't be told from its carrier is left out."""
        low = soxr.resample(made.audio, self.sample_rate, recogniser.SAMPLE_RATE)
        if len(low) > LONGEST_SECONDS * recogniser.SAMPLE_RATE:
            return made
        log_probs = log_probabilities(self._model.recogniser, low)
        sounds = sum(map(is_sound, spoken))
        if not sounds:
            return made
        nothing = Rendering(made.audio[:0], made.tokens[:0], made.complete, UNHEARD)
        if len(log_probs) < sounds or not np.isfinite(log_probs).all():
            return nothing if spoken != phones else replace(made, pronunciation=UNHEARD)
        if spoken == phones:
            times = phone_times(log_probs, phones)
            return replace(made, pronunciation=judge(log_probs, phones), times=times)
        start = text_start(log_probs, spoken)
        if start is None:
            return nothing
        token = round(start * self.sample_rate / len(made.audio) * len(made.tokens))
        heard = log_probs[round(start * recogniser.FRAMES_PER_SECOND) :]
        audio = cut_off(made.audio, self.sample_rate, start)
        return Rendering(
            audio,
            made.tokens[token:],
            made.complete,
            judge(heard, phones),
            phone_times(heard, phones),
        )

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
            made = self._cfm.inference(
                torch.cat([prompt_fea, fea[..., start:stop]], 2),
                None,
                prompt,
                sampling.steps,
                F.pad(noise[..., start:stop], (prompt.shape[2], 0)),
                sampling.guidance,
                F.pad(draft[..., start:stop], (prompt.shape[2], 0)),
                self._model.config.flow_begin,
                brief=True,
            )
            pieces.append(made[..., prompt.shape[2] :])
        mel = denormalise_mel(torch.cat(pieces, 2))
        sound = _without_rumble(self._model.vocoder(mel)[0].numpy(), self.sample_rate)
        return np.clip(HEADROOM * sound, -1.0, 1.0)


def _sentence(request: Request) -> Sentence:
    ids = phone_ids(request.phones)
    # A text that repeats itself may be spoken so.
    repeats = REPEATED_TOKENS + TOKENS_PER_PHONE * longest_repetition(ids)
    bound = token_bound(len(ids), TOKENS_PER_PHONE)
    nothing = torch.zeros(0, dtype=torch.long)
    return Sentence(torch.tensor(ids), nothing, request.seed, bound, repeats)


def _without_rumble(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """(samples,) without what is below `RUMBLE_HZ`; a Butterworth filter, forwards
    and backwards, so that nothing moves."""
    if len(audio) < sample_rate // 100:
        return audio
    sections = butter(2, RUMBLE_HZ, "highpass", fs=sample_rate, output="sos")
    return sosfiltfilt(sections, audio, padlen=min(len(audio) - 1, sample_rate)).astype(np.float32)


def _liveliest(mel: Tensor, frames: int, length: int) -> int:
    """Start of the stretch of `length` frames with the most energy in `mel` (bands, time)."""
    energy = mel[:, :frames].mean(0).cumsum(0)
    sums = energy[length - 1 :] - F.pad(energy, (1, 0))[: frames - length + 1]
    return int(sums.argmax())
