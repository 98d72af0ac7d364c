"""The engine: phones in, speech in a reference voice out, many sentences at a time.

S1 decodes all sentences of a batch together (model/decode.py). S2 and the vocoder take them as they
come: one by one on a CPU, of which a single sentence already fills a core, many together on a GPU;
the recogniser hears what they made. All are busy at a time (model/overlap.py). A result depends on
its own request alone, never on the batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import soxr
import torch
from scipy.signal import butter, sosfiltfilt
from torch import Tensor
from torch.nn import functional as F

from model import recogniser
from model.alignment import LONGEST_SECONDS, is_sound, log_probabilities, phone_times
from model.built_in_stage import BuiltInStage, Reference, Spoken
from model.carrier import cut_off, text_start, with_carrier
from model.checkpoint import VoiceModel, load_model, random_model
from model.decode import SLOTS, Decoder, Sentence, longest_repetition, token_bound
from model.device import CPU, Device, best_device
from model.overlap import Part, collect, single_threaded, sounded
from model.precision import Precision, fastest_precision
from model.pronunciation import UNHEARD, judge
from model.s1 import RARE
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
from model.spectral import MelConfig, log_mel, normalise_mel
from model.splice import Splice, splice, troubled
from model.text import phone_ids
from model.windows import Kept, Line, conditions

ENGINE_VERSION = "7"
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
SLOTS_OF_A_GPU = 64
"""Sentences that S1 decodes at once there."""


class Engine:
    """A loaded voice model; `content_hash` names its weights, configuration, code version and the
    precision of its arithmetic, `model_hash` the weights and the configuration alone."""

    hearing = Hearing(longest_seconds=12.0, several=True, prompt="unused")

    def __init__(
        self,
        model: VoiceModel,
        precision: Precision = "f32",
        slots: int | None = None,
        device: Device = CPU,
    ) -> None:
        """Moves the model to the device."""
        for network in (model.recogniser, model.s1, model.s2, model.vocoder):
            network.to(device.where)
        self._model = model
        self._precision: Precision = precision
        self._device = device
        self._slots = slots or (SLOTS if device.where.type == "cpu" else SLOTS_OF_A_GPU)
        self._decoder = Decoder(model.s1, self._slots, graphs=device.graphs)
        self._stage = BuiltInStage(model, precision, device.graphs)
        # By which sounds each token may be, which only such an S1 knows.
        self.mends = model.s1.config.held and not model.config.carried_sounds
        if self.mends:
            self._log_probs = torch.log(model.s1.sounds_of_codes.float() + RARE).cpu().numpy()
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
        slots: int | None = None,
        device: Device | None = None,
    ) -> Engine:
        """The voice model in a folder, by default the built-in one, on this machine's best device
        and in its fastest precision unless they are given; UserError if it can't load. S1 decodes
        in so many `slots`, which changes no result."""
        if threads:
            torch.set_num_threads(threads)
        device = device or best_device()
        model = load_model(directory or PRETRAINED)
        return cls(model, precision or fastest_precision(device.where), slots, device)

    @classmethod
    def debug(cls, seed: int = 0) -> Engine:
        """A tiny model with random weights, for tests."""
        return cls(random_model(seed))

    def tuned(self, tensors: Mapping[str, Tensor]) -> Engine:
        """An engine of its own with what was tuned for a voice; it shares all other weights.

        Raises UserError for a tuning of another model.
        """
        from model.tuning import apply_tuning

        model = apply_tuning(self._model, tensors)
        return Engine(model, self._precision, self._slots, self._device)

    @torch.inference_mode()
    @single_threaded()
    def voice_vector(self, sample: Sample) -> np.ndarray:
        """What the reference encoder makes of a sample of at least a second, (gin,) float32."""
        _, mel = self._listen(sample)
        return self._embedded(mel)[0, :, 0].cpu().numpy()

    @torch.inference_mode()
    @single_threaded()
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
        voice = torch.stack([self._embedded(one) for _, one in heard]).mean(0)
        low = soxr.resample(audio, self.sample_rate, recogniser.SAMPLE_RATE)
        sound = torch.from_numpy(low)[None].to(self._device.where)
        codes = s2.extract_codes(self._model.recogniser.features(sound))
        unknown = torch.tensor(phone_ids(("UNK",)), device=self._device.where)
        (fea,) = conditions(s2, [Line(codes, unknown, 0)], voice, 1.0)
        frames = min(self._model.config.prompt_frames, mel.shape[2], fea.shape[2])
        start = _liveliest(mel[0], min(mel.shape[2], fea.shape[2]), frames)
        window = slice(start, start + frames)
        return Reference(voice, mel[..., window].clone(), fea[..., window].clone())

    def _listen(self, sample: Sample) -> tuple[np.ndarray, Tensor]:
        """A sample's sound as the model wants it, and its normalised mel (1, bands, frames)."""
        audio = soxr.resample(sample.audio.astype(np.float32), sample.sample_rate, self.sample_rate)
        audio = audio[: int(self.hearing.longest_seconds * self.sample_rate)]
        audio = to_level(audio, self._model.config.reference_level_db)
        mel = normalise_mel(log_mel(torch.from_numpy(audio)[None], self._mel))
        return audio, mel.to(self._device.where)

    def _embedded(self, mel: Tensor) -> Tensor:
        """The voice vector (1, gin, 1) of a normalised mel."""
        lengths = torch.tensor([mel.shape[2]], device=mel.device)
        return self._model.s2.reference_embedding(mel, lengths)

    @torch.inference_mode()
    def render(
        self,
        requests: Sequence[Request],
        reference: Reference,
        sampling: Sampling = DEFAULT_SAMPLING,
        on_done: Callable[[int, Rendering], None] | None = None,
    ) -> list[Rendering]:
        """Speaks all requests; calls `on_done(index, rendering)` as each is finished, in any order.

        Of a request with an earlier rendering that went wrong somewhere, only the stretch between
        two silences around it is made anew, where there are such (model/splice.py). Phones that the
        inventory lacks are spoken as UNK, of which the model knows nothing. Raises
        ValueError for a request without phones or with more than S1 has positions for (4000).
        """
        with single_threaded() as threads:
            said = self._said(requests, sampling)
            return collect(self._sounded(said, requests, reference, sampling, threads), on_done)

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
        """Sound of what S1 said to all requests: the second half of `render`.

        Raises ValueError for a request without phones, or where the two do not match in number.
        """
        check_pairs(requests, semantics)
        with single_threaded() as threads:
            said = enumerate(semantics)
            return collect(self._sounded(said, requests, reference, sampling, threads), on_done)

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
        for index, tokens, complete in self._decoder.decode(sentences, sampling):
            yield index, Semantics(tokens, complete)

    def _sounded(
        self,
        said: Iterable[tuple[int, Semantics]],
        requests: Sequence[Request],
        reference: Reference,
        sampling: Sampling,
        threads: int,
    ) -> Iterator[tuple[int, Rendering]]:
        """The sound of what S1 says to each request, by its index, as it comes."""

        def speak(lines: Sequence[Line]) -> list[Spoken]:
            return self._stage.speak(lines, reference, sampling, self._device.rows)

        def finish(part: Part, spoken: Spoken | None) -> tuple[int, Rendering]:
            sound, mel = np.zeros(0, np.float32), None
            if spoken is not None:
                audio, mel = spoken.audio.cpu().numpy(), spoken.mel
                sound = np.clip(HEADROOM * _without_rumble(audio, self.sample_rate), -1.0, 1.0)
            made = Rendering(sound, part.said.tokens, part.said.complete, mel=mel)
            request = requests[part.number]
            return part.number, self._heard(made, request.phones, self._spoken(request).phones)

        parts = (self._part(index, one, requests[index]) for index, one in said)
        yield from sounded(parts, speak, finish, self._device, threads)

    def _part(self, number: int, said: Semantics, request: Request) -> Part:
        """What is to be spoken of what S1 says to a request: all of it, or a stretch by which an
        earlier rendering is mended."""
        kept, new = None, len(said.tokens)
        earlier = request.earlier
        if earlier is not None and (mended := self._spliced(said, request.phones, earlier)):
            said = Semantics(mended.tokens, True)
            new = len(mended.tokens) - mended.before - mended.after
            share = earlier.mel.shape[2] / len(earlier.tokens)
            before = round(mended.before * share)
            after = round((len(earlier.tokens) - mended.after) * share)
            kept = Kept(earlier.mel[..., :before], earlier.mel[..., after:])
        codes = torch.from_numpy(said.tokens.astype(np.int64))[None]
        phones = torch.tensor(phone_ids(self._spoken(request).phones))
        line = Line(codes, phones, request.seed, kept) if len(said.tokens) else None
        return Part(number, said, line, new)

    def _spliced(
        self, said: Semantics, phones: tuple[str, ...], earlier: Rendering
    ) -> Splice | None:
        """How what S1 says now mends an earlier rendering; None where all of it has to be new."""
        heard = earlier.pronunciation
        if not (self.mends and said.complete and earlier.complete) or heard is None:
            return None
        trouble = troubled(heard, earlier.times, phones)
        if trouble is None or heard.worst.doubt <= 1.0:  # it was not the words
            return None
        return splice(earlier.tokens, said.tokens, phones, trouble, self._log_probs)

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
