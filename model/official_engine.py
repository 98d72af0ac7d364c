"""The engine of official GPT-SoVITS models, any version: phones in, speech in a sample's voice out.

S1 continues a prompt: the phones and the semantic tokens of the voice sample, where it is known
what that says; then the version's acoustic stage (model/acoustic.py) makes sound of the tokens, one
sentence at a time on a CPU, many together on a GPU. A result depends on its own request alone,
never on the batch.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import soxr
import torch
import transformers
from torch import Tensor, nn
from transformers import HubertModel

from model import recogniser
from model.acoustic import FlowStage, Stage, VitsStage
from model.alignment import LONGEST_SECONDS as LONGEST_ALIGNED
from model.alignment import hears, is_sound, log_probabilities, phone_times
from model.checkpoint import VoiceModel, load_model
from model.decode import Decoder, Sentence, longest_repetition, token_bound
from model.device import CPU, Device, best_device
from model.engine import PRETRAINED, Engine
from model.official import OfficialModel, load_official
from model.overlap import Part, collect, single_threaded, sounded
from model.precision import Precision
from model.pronunciation import UNHEARD, bled, judge
from model.recogniser import Recogniser
from model.s1 import POSITIONS
from model.s2.synthesizer import SynthesizerTrnV3
from model.sampling import Sampling
from model.speaking import (
    Characters,
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
from model.text import Word, phone_ids
from model.text.bert import bert_features, load_bert
from model.windows import Line

ENGINE_VERSION = "5"
"""Part of the content hash: changes when the same weights and requests give another result."""

SLOTS, SLOTS_OF_A_GPU = 8, 32
"""Fewer than the built-in voice's: S1 is six times as large, and so are its cache's rows."""

HUBERT_RATE = 16_000
LONGEST_SECONDS = 10.0
SILENCE_SAMPLES = 9600
"""Appended to the sample for HuBERT: 0.3 s at the 32 kHz that the models think in, at 16 kHz."""

REFERENCE_LEVEL_DB = -20.0
FEWEST_PHONES = 6
"""Shorter texts get a full stop in front: S1 skips over them otherwise."""

LONGEST_TOKENS = 1500
TOKENS_PER_PHONE = 5
"""Twice what slow speech needs: voices and languages differ."""
REPEATED_TOKENS = 50
"""No sentence pauses for two seconds; the built-in voice's half as many is measured on English."""


@dataclass(frozen=True)
class Reference:
    """A voice as the model hears it: what S1 continues (empty where it is not known what the sample
    says), and the acoustic stage's own."""

    phones: tuple[str, ...]
    features: Tensor  # (BERT's width, phones)
    tokens: Tensor  # (tokens,)
    voice: object


class OfficialEngine:
    """A loaded official model; `content_hash` names its weights, the version of this code and the
    precision of the arithmetic."""

    mends = False  # whether other tokens say the same sounds is not known

    def __init__(
        self, model: OfficialModel, precision: Precision = "f32", device: Device = CPU
    ) -> None:
        """Moves the model to the device."""
        for network in (model.s1, model.s2, model.vocoder, model.speaker):
            if network is not None:
                network.to(device.where)
        self._model, self._device = model, device
        self._precision: Precision = precision
        hubert: nn.Module = HubertModel.from_pretrained(
            model.hubert, local_files_only=True, dtype=torch.float32
        )
        self._hubert = hubert.to(device.where).eval().requires_grad_(False)
        inventory: Literal["v1", "v2"] = "v1" if model.version == "v1" else "v2"
        self._bert = load_bert(model.roberta, device.where) if model.roberta else None
        slots = SLOTS if device.where.type == "cpu" else SLOTS_OF_A_GPU
        self._decoder = Decoder(model.s1, slots, precision, device.graphs)
        self._stage: Stage
        if isinstance(model.s2, SynthesizerTrnV3):
            self._stage = FlowStage(model, precision, device.graphs)
            self.hearing = Hearing(LONGEST_SECONDS, False, "needed", inventory)
        else:
            self._stage = VitsStage(model, precision, device.graphs)
            self.hearing = Hearing(LONGEST_SECONDS, True, "useful", inventory)
        self.sample_rate = model.sample_rate
        version = f"{ENGINE_VERSION}:{precision}:{model.content_hash}"
        self.content_hash = hashlib.sha256(version.encode()).hexdigest()

    @classmethod
    def load(
        cls,
        folder: Path,
        threads: int | None = None,
        precision: Precision = "f32",
        device: Device | None = None,
    ) -> OfficialEngine:
        """The model in a folder, by default on this machine's best device; UserError if it can't be
        loaded."""
        if threads:
            torch.set_num_threads(threads)
        # Who speaks with a model need not know which of its weights are left unused.
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        return cls(load_official(folder), precision, device or best_device())

    def voice_vector(self, sample: Sample) -> np.ndarray:
        """As the built-in voice's reference encoder hears it: all versions on one scale."""
        return Engine(_built_in()).voice_vector(sample)

    @torch.inference_mode()
    @single_threaded()
    def reference(self, samples: Sequence[Sample], prompt: Prompt | None = None) -> Reference:
        """A voice from samples of one speaker, of which 10 s each are heard.

        The first one says the prompt; v1 to v2ProPlus do without (None) and average the voice over
        the samples. Raises UserError for less than a second of sound, or samples that are not
        finite, ValueError for several samples or no prompt in v3 and v4.
        """
        for sample in samples:
            check_sample(sample)
        if len(samples) > 1 and not self.hearing.several:
            raise ValueError("this version hears one sample")
        if prompt is None and self.hearing.prompt == "needed":
            raise ValueError("this version needs to know what the sample says")
        heard = [_heard(sample) for sample in samples]
        codes = self._codes(heard[0])
        phones = prompt.phones if prompt else ()
        ids = torch.tensor(phone_ids(phones, self.hearing.inventory), device=self._device.where)
        voice = self._stage.listen(heard, codes, ids)
        features = self._features(phones, prompt.characters if prompt else ())
        return Reference(phones, features, codes[0] if prompt else codes[0, :0], voice)

    @torch.inference_mode()
    def render(
        self,
        requests: Sequence[Request],
        reference: Reference,
        sampling: Sampling,
        on_done: Callable[[int, Rendering], None] | None = None,
    ) -> list[Rendering]:
        """Speaks all requests; calls `on_done(index, rendering)` as each is finished, in any order.

        Phones that the inventory lacks are spoken as UNK. Raises ValueError for a request without
        phones or with more than S1 has positions for (4000, with the prompt's).
        """
        with single_threaded() as threads:
            said = self._said(requests, reference, sampling, threads)
            return collect(self._sounded(said, requests, reference, sampling, threads), on_done)

    @torch.inference_mode()
    def semantics(
        self,
        requests: Sequence[Request],
        reference: Reference,
        sampling: Sampling,
        on_done: Callable[[int, Semantics], None] | None = None,
    ) -> list[Semantics]:
        """What S1 says to all requests, without any sound: the first half of `render`.

        Raises ValueError as `render` does.
        """
        with single_threaded() as threads:
            return collect(self._said(requests, reference, sampling, threads), on_done)

    @torch.inference_mode()
    def acoustics(
        self,
        requests: Sequence[Request],
        semantics: Sequence[Semantics],
        reference: Reference,
        sampling: Sampling,
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
        at both ends included."""
        return seconds_of_tokens(len(semantics.tokens), speed)

    def _said(
        self,
        requests: Sequence[Request],
        reference: Reference,
        sampling: Sampling,
        threads: int,
    ) -> Iterator[tuple[int, Semantics]]:
        """What S1 says to each request, by its index, as it ends."""
        if any(not request.phones for request in requests):
            raise ValueError("a request has no phones")
        targets = [_with_head(request) for request in requests]
        if any(len(target.phones) + len(reference.phones) > POSITIONS for target in targets):
            raise ValueError(f"a request has more than {POSITIONS} phones, the prompt's included")
        readers = ThreadPoolExecutor(threads)
        try:
            sentences = self._sentences(targets, reference, readers)
            for index, tokens, complete in self._decoder.decode(sentences, sampling):
                yield index, Semantics(tokens, complete)
        finally:
            readers.shutdown(cancel_futures=True)

    def _sounded(
        self,
        said: Iterable[tuple[int, Semantics]],
        requests: Sequence[Request],
        reference: Reference,
        sampling: Sampling,
        threads: int,
    ) -> Iterator[tuple[int, Rendering]]:
        """The sound of what S1 says to each request, by its index, as it comes."""

        def speak(lines: Sequence[Line]) -> list[np.ndarray]:
            made = self._stage.speak(lines, reference.voice, sampling, self._device.rows)
            return [audio.clamp(-1.0, 1.0).cpu().numpy() for audio in made]

        def finish(part: Part, audio: np.ndarray | None) -> tuple[int, Rendering]:
            sound = np.zeros(0, np.float32) if audio is None else audio
            made = Rendering(sound, part.said.tokens, part.said.complete)
            phones = requests[part.number].phones
            return part.number, self._listened(made, phones, reference.phones)

        parts = (self._part(index, one, requests[index]) for index, one in said)
        yield from sounded(parts, speak, finish, self._device, threads)

    def _part(self, number: int, said: Semantics, request: Request) -> Part:
        target = _with_head(request)
        phones = torch.tensor(phone_ids(target.phones, self.hearing.inventory))
        codes = torch.from_numpy(said.tokens.astype(np.int64))[None]
        line = Line(codes, phones, target.seed) if len(said.tokens) else None
        return Part(number, said, line, len(said.tokens))

    def _listened(
        self, made: Rendering, phones: tuple[str, ...], prompt: tuple[str, ...]
    ) -> Rendering:
        """A rendering with how well and when it says `phones`, where those are English, and
        whether it says what was only to be heard in the sample."""
        low = soxr.resample(made.audio, self.sample_rate, recogniser.SAMPLE_RATE)
        if not hears(phones) or len(low) > LONGEST_ALIGNED * recogniser.SAMPLE_RATE:
            return made
        log_probs = log_probabilities(_ears(self._device.where), low)
        if len(log_probs) < sum(map(is_sound, phones)) or not np.isfinite(log_probs).all():
            return replace(made, pronunciation=UNHEARD)
        pronunciation, times = judge(log_probs, phones), phone_times(log_probs, phones)
        if hears(prompt):
            pronunciation = replace(pronunciation, bled=bled(log_probs, prompt, phones))
        return replace(made, pronunciation=pronunciation, times=times)

    def _codes(self, audio: Sample) -> Tensor:
        """Semantic tokens of a sample (1, tokens)."""
        low = soxr.resample(audio.audio, audio.sample_rate, HUBERT_RATE)
        low = np.pad(low, (0, SILENCE_SAMPLES))
        heard = self._hubert(torch.from_numpy(low)[None].to(self._device.where))
        return self._model.s2.extract_codes(heard.last_hidden_state.transpose(1, 2))

    def _sentences(
        self, targets: Sequence[Request], reference: Reference, readers: ThreadPoolExecutor
    ) -> list[Sentence]:
        """What S1 continues. Readers find out what Chinese characters mean, in the order in which
        S1 takes the sentences, while it says those before them."""
        features = {}
        for index in sorted(range(len(targets)), key=lambda i: -len(targets[i].phones)):
            features[index] = readers.submit(self._read, targets[index], reference)
        prompt = reference.tokens
        sentences = []
        for index, target in enumerate(targets):
            ids = phone_ids((*reference.phones, *target.phones), self.hearing.inventory)
            own = ids[len(reference.phones) :]
            bound = min(token_bound(len(own), TOKENS_PER_PHONE), LONGEST_TOKENS)
            bound = min(bound, POSITIONS - len(prompt))
            repeats = REPEATED_TOKENS + TOKENS_PER_PHONE * longest_repetition(own)
            phones = torch.tensor(ids)
            sentences.append(Sentence(phones, prompt, target.seed, bound, repeats, features[index]))
        return sentences

    @torch.inference_mode()
    def _read(self, target: Request, reference: Reference) -> Tensor:
        """BERT features (1, width, P) of the prompt's phones and the target's."""
        own = self._features(target.phones, target.characters)
        return torch.cat([reference.features, own], 1)[None]

    def _features(self, phones: Sequence[str], characters: Sequence[Characters]) -> Tensor:
        """BERT features of phones (width, P): of their characters in Chinese, else zeros."""
        width = self._model.s1.config.bert
        if self._bert is None or not characters:
            return torch.zeros(width, len(phones), device=self._device.where)
        words, place = [], 0
        for run in characters:
            words.append(_word(phones[place : run.start]))
            said = tuple(phones[run.start : run.stop])
            words.append(Word("", 0, 0, "", said, "zh", run.text, run.word2ph))
            place = run.stop
        return bert_features(words, self._bert, len(phones))


@cache
def _built_in() -> VoiceModel:
    """The built-in voice, which lends its ears: official models have none of their own."""
    return load_model(PRETRAINED)


@cache
def _ears(where: torch.device) -> Recogniser:
    """The built-in voice's recogniser on a device."""
    own = _built_in().recogniser
    return own if where.type == "cpu" else copy.deepcopy(own).to(where)


def _heard(sample: Sample) -> Sample:
    """The first 10 s of a sample at the level of the speech that the models learned from."""
    audio = sample.audio[: int(LONGEST_SECONDS * sample.sample_rate)].astype(np.float32)
    return Sample(to_level(audio, REFERENCE_LEVEL_DB), sample.sample_rate)


def _with_head(request: Request) -> Request:
    if len(request.phones) >= FEWEST_PHONES:
        return request
    moved = tuple(replace(run, start=run.start + 1) for run in request.characters)
    return Request((".", *request.phones), request.seed, moved)


def _word(phones: Sequence[str]) -> Word:
    """Phones of no Chinese characters."""
    return Word("", 0, 0, "", tuple(phones))
