"""Trains S2 in the v3 layout: tokens, phones and a voice to mel by flow matching.

Clips whose phones have known times are cut at words or taken whole; others are used without their
phones, which also teaches S2 to do without a prompt's transcript. A clip without times but with a
text is taken whole with its phones where it is short enough.

Left to itself, a small S2 lives on the tokens and never looks at the text: its attention stays
flat, and what the tokens leave open is mumbled. Where it is known when each phone is spoken, two
heads of the cross-attention are asked to look at that phone (a guided attention as in H. Tachibana
et al. (2017), but with known positions), and a linear classifier, which is thrown away afterwards,
has to read that phone off the prior encoder's frames. Some tokens are replaced, as S1 makes
mistakes too, and so that the text is needed: at random, or by what an S1 takes for likeliest.

Another family of S2 is another class like `AcousticTrainer`, with losses of its own, beside it in
stages.py; the items, their batches and the tokens are the same for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from configs.errors import UsageError, UserError
from configs.training import AcousticStage
from model.s2.synthesizer import S2Config, SynthesizerTrnV3
from model.spectral import MelConfig, denormalise_mel, log_mel, normalise_mel
from model.text import phone_ids
from model.training import corpus as corpora
from model.training.alignment import Timed
from model.training.corpus import Clip, Corpus
from model.training.data import Data, Mixture
from model.training.loop import Compute, Run, Stream, step_seed
from model.training.semantic import Example, cut, stored_guesses
from model.training.speech import Speech
from model.training.tokens import (
    BUILT_IN,
    TOKENS_PER_SECOND,
    Tokeniser,
    find_model,
    find_tokeniser,
    of_model,
    stored_tokens,
)

MEL = MelConfig()
GUIDED_HEADS = 2
WRONG_TOKENS = 0.1
"""Share of the tokens that are replaced, in half of the items."""
SHORTEST, LONGEST = 25, 200
"""Tokens of what is trained on; of a longer clip without times a part is taken."""
POOL = 96
"""Items that are drawn at once and put into batches by their length."""
JUDGED_BATCHES = 8
SAMPLE_STEPS, SAMPLE_GUIDANCE = 8, 2.0
"""Of the flow matching, for the samples."""


@dataclass(frozen=True)
class Spoken:
    """A clip to learn from: where its sound is, its tokens, and what it says if that is known."""

    corpus: Corpus
    clip: Clip
    tokens: np.ndarray
    speech: Speech | None
    guesses: np.ndarray | None = None


@dataclass(frozen=True)
class Item:
    """A stretch of speech: phone ids, tokens, normalised mel (bands, frames).

    `spoken` is the index of the phone that each frame of the prior encoder (two a token) says, -1
    where that is unknown. `reference` is the mel of another stretch, for the voice.
    """

    phones: list[int]
    tokens: np.ndarray
    spoken: np.ndarray
    mel: Tensor
    reference: Tensor


def make_item(clip: Spoken, draw: np.random.Generator, guessed: float = 0.0) -> Item:
    """A random span of a clip, or all of it, with another random stretch as the reference.

    Of the clips with guesses, a share `guessed` has a tenth of its tokens to all guessed.
    """
    audio = clip.corpus.audio(clip.clip)
    tokens, start = clip.tokens, 0.0
    if clip.guesses is not None and draw.random() < guessed:
        replaced = draw.random(len(tokens)) < draw.uniform(0.1, 1.0)
        tokens = np.where(replaced, clip.guesses, tokens)
    phones: tuple[Timed, ...] = ()
    timed = clip.speech is not None and clip.speech.timed
    if clip.speech is not None and timed:
        example = Example(clip.speech.phones, tokens)
        if draw.random() >= 0.3:
            piece = cut(example, draw)
            start = _offset(example, piece)
            example = piece
        phones, tokens = example.phones, example.tokens
    elif len(tokens) > LONGEST:
        first = int(draw.integers(len(tokens) - LONGEST))
        tokens, start = tokens[first : first + LONGEST], first / TOKENS_PER_SECOND
    elif clip.speech is not None:
        phones = clip.speech.phones
    if not phones or draw.random() < 0.1:
        ids, spoken = phone_ids(["UNK"]), np.full(2 * len(tokens), -1)
    else:
        ids = phone_ids([p.phone for p in phones])
        spoken = _spoken(phones, len(tokens)) if timed else np.full(2 * len(tokens), -1)
    begin = max(0, round(start * corpora.SAMPLE_RATE))
    hop = corpora.SAMPLE_RATE // TOKENS_PER_SECOND
    stretch = audio[begin : begin + len(tokens) * hop]
    length = int(min(len(audio), draw.uniform(2.0, 6.0) * corpora.SAMPLE_RATE))
    first = int(draw.integers(len(audio) - length + 1))
    reference = audio[first : first + length]
    if draw.random() < 0.3:
        level = 10 ** (-draw.uniform(15, 40) / 20) * np.sqrt(np.mean(reference**2))
        reference = reference + (level * draw.standard_normal(length)).astype(np.float32)
    return Item(ids, tokens, spoken, mel_of(stretch), mel_of(reference))


def _offset(whole: Example, piece: Example) -> float:
    """When in the whole sentence a piece of it begins, in seconds."""
    word = piece.phones[0].word
    same = next(p for p in whole.phones if p.word == word)
    return same.start - piece.phones[0].start


def _spoken(phones: tuple[Timed, ...], tokens: int) -> np.ndarray:
    middles = (np.arange(2 * tokens) + 0.5) / (2 * TOKENS_PER_SECOND)
    ends = np.array([p.end for p in phones])
    return np.searchsorted(ends, middles).clip(max=len(ends) - 1)


def mel_of(audio: np.ndarray) -> Tensor:
    return normalise_mel(log_mel(torch.from_numpy(np.ascontiguousarray(audio))[None], MEL))[0]


def pad(arrays: list[Tensor], value: float = 0.0) -> tuple[Tensor, Tensor]:
    """Right-pads tensors along their last dimension -> (batch, ..., longest), lengths."""
    lengths = torch.tensor([a.shape[-1] for a in arrays])
    most = int(lengths.max())
    return torch.stack([F.pad(a, (0, most - a.shape[-1]), value=value) for a in arrays]), lengths


@dataclass(frozen=True)
class Batch:
    """Right-padded tensors of items, with their lengths."""

    codes: Tensor
    code_lengths: Tensor
    text: Tensor
    text_lengths: Tensor
    spoken: Tensor
    mel: Tensor
    mel_lengths: Tensor
    reference: Tensor
    reference_lengths: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def collate(items: list[Item]) -> Batch:
    codes, code_lengths = pad([torch.from_numpy(i.tokens.astype(np.int64)) for i in items])
    text, text_lengths = pad([torch.tensor(i.phones) for i in items])
    spoken, _ = pad([torch.from_numpy(i.spoken) for i in items], -1)
    mel, mel_lengths = pad([i.mel for i in items])
    reference, reference_lengths = pad([i.reference for i in items])
    return Batch(
        codes,
        code_lengths,
        text,
        text_lengths,
        spoken,
        mel,
        mel_lengths,
        reference,
        reference_lengths,
    )


def grouped(items: list[Item], seconds: float) -> list[list[Item]]:
    """Groups of items of similar length, about `seconds` of speech each."""
    groups: list[list[Item]] = [[]]
    for item in sorted(items, key=lambda item: len(item.tokens)):
        full = (len(groups[-1]) + 1) * len(item.tokens) > seconds * TOKENS_PER_SECOND
        if groups[-1] and full:
            groups.append([])
        groups[-1].append(item)
    return groups


@dataclass
class Insight:
    """What a forward pass had inside: the guided heads' log attention (B, heads, frames, phones)
    and the prior encoder's frames (B, hidden, frames)."""

    log_weights: Tensor
    hidden: Tensor


@contextmanager
def insight(model: SynthesizerTrnV3) -> Iterator[Insight]:
    """Filled by the forward pass within the block."""
    attention = model.enc_p.mrte.cross_attention
    seen = Insight(torch.empty(0), torch.empty(0))

    def look(_: nn.Module, arguments: tuple[Tensor, Tensor, Tensor]) -> None:
        seen.log_weights = attention.log_weights(*arguments)[:, :GUIDED_HEADS]

    def keep(_: nn.Module, arguments: object, outputs: tuple[Tensor, Tensor]) -> None:
        seen.hidden = outputs[0]

    handles = [
        attention.register_forward_pre_hook(look),
        model.enc_p.register_forward_hook(keep),
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def guide_loss(log_weights: Tensor, spoken: Tensor) -> Tensor:
    """Mean negative log attention on the phone that is being spoken, where that is known.

    log_weights (B, heads, frames, phones), spoken (B, frames), -1 where unknown.
    """
    heads = log_weights.shape[1]
    spoken = spoken[:, None]
    at_phone = log_weights.gather(3, spoken.clamp(min=0)[..., None].expand(-1, heads, -1, 1))
    known = spoken >= 0
    return -(at_phone[..., 0] * known).sum() / known.sum().clamp(min=1) / heads


@dataclass(frozen=True)
class Losses:
    """Flow matching outside the prompt; the auxiliary mel of `linear_mel`; the guided attention;
    the phone classifier, for S2 (`phone`) and for the classifier itself (`head`)."""

    flow: Tensor
    rough: Tensor
    guide: Tensor
    phone: Tensor
    head: Tensor


def losses(
    model: SynthesizerTrnV3,
    head: nn.Conv1d,
    batch: Batch,
    draw: torch.Generator,
    window: int,
    compute: Compute,
) -> Losses:
    """All losses of a batch.

    Of every item a window of at most `window` frames goes through the transformer, of which a
    random prefix of up to two thirds is given as the prompt; a tenth of the windows has neither
    prompt nor conditioning, for guidance. Some of the tokens are wrong. All is drawn on the CPU, so
    that it is the same on every device.
    """
    device, size = batch.codes.device, len(batch.codes)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=draw).to(device)

    share = WRONG_TOKENS * (uniform(size, 1) < 0.5)
    wrong = uniform(*batch.codes.shape) < share
    others = torch.randint(model.config.codebook, batch.codes.shape, generator=draw).to(device)
    codes = torch.where(wrong, others, batch.codes)
    with compute.autocast(), insight(model) as seen:
        voice = model.reference_embedding(batch.reference, batch.reference_lengths)
        fea, fea_lengths = model.condition(
            codes, batch.code_lengths, batch.text, batch.text_lengths, voice
        )
        rough = model.linear_mel(fea)
        guesses = head(seen.hidden).float()
        own_guesses = head(seen.hidden.detach()).float()
    spoken = batch.spoken[:, : seen.hidden.shape[2]]
    said = torch.where(spoken < 0, -100, batch.text.gather(1, spoken.clamp(min=0)))
    phones = (said >= 0).sum().clamp(min=1)
    mel, bands = batch.mel, batch.mel.shape[1]
    frames = min(mel.shape[2], fea.shape[2])
    lengths = torch.minimum(batch.mel_lengths, fea_lengths.long()).clamp(max=frames)
    mel, fea, rough = mel[..., :frames], fea[..., :frames], rough[..., :frames].float()
    valid = (torch.arange(frames, device=device) < lengths[:, None])[:, None]
    rough_loss = ((rough - mel).abs() * valid).sum() / valid.sum() / bands

    taken = min(window, frames)
    places = torch.arange(taken, device=device)
    starts = (uniform(size) * (lengths - taken).clamp(min=0)).long()
    at = (starts[:, None] + places)[:, None]
    x1 = mel.gather(2, at.expand(-1, bands, -1))
    conditioning = fea.gather(2, at.expand(-1, fea.shape[1], -1))
    inside = (lengths - starts).clamp(max=taken)
    prefix = uniform(size) * 2 / 3
    prefix = prefix * (uniform(size) < 0.9)
    prompted = (places < (inside * prefix)[:, None])[:, None]
    x0 = torch.randn(x1.shape, generator=draw).to(device)
    t = uniform(size)
    x = torch.where(prompted, 0.0, (1 - t)[:, None, None] * x0 + t[:, None, None] * x1)
    blind = (uniform(size) < 0.1)[:, None, None]
    prompt = torch.where(prompted & ~blind, x1, 0.0)
    conditioning = torch.where(blind, 0.0, conditioning)
    steps = torch.tensor([0.0, 1 / 4, 1 / 8, 1 / 16, 1 / 32])
    dt = steps[torch.randint(5, (size,), generator=draw)].to(device)
    with compute.autocast():
        velocity = model.cfm.estimator(x, prompt, inside, t, dt, conditioning)
    counted = (places < inside[:, None])[:, None] & ~prompted
    error = (velocity.float() - (x1 - x0)).square() * counted
    return Losses(
        flow=error.sum() / counted.sum() / bands,
        rough=rough_loss,
        guide=guide_loss(seen.log_weights, spoken),
        phone=F.cross_entropy(guesses, said, reduction="sum") / phones,
        head=F.cross_entropy(own_guesses, said, reduction="sum") / phones,
    )


class AcousticTrainer:
    """S2 in the v3 layout; see `Trainer`."""

    def __init__(self, config: AcousticStage, data: Data, compute: Compute, out: Path) -> None:
        self.config, self.compute = config, compute
        started = find_model(config.start) if config.start else None
        if started is not None:
            self.tokeniser = of_model(started)
            self.s2 = SynthesizerTrnV3(started.s2.config)
            self.s2.load_state_dict(started.s2.state_dict())
        else:
            self.tokeniser = find_tokeniser(config.recogniser, out)
            self.s2 = SynthesizerTrnV3(s2_config(config, self.tokeniser))
        load_quantizer(self.s2, self.tokeniser)
        self.head = nn.Conv1d(self.s2.config.hidden_channels, self.s2.config.symbols, 1)
        self.vocoder = (started or find_model(BUILT_IN)).vocoder
        self.training, self.held_out = self._clips(data)
        draw = np.random.default_rng(0)
        some = [make_item(clip, draw) for clip in self.held_out[:POOL]]
        groups = grouped(some, config.batch_seconds)[:JUDGED_BATCHES]
        self.judged = [collate(group) for group in groups]
        self.modules: dict[str, nn.Module] = {
            "s2": self.s2.to(compute.device),
            "head": self.head.to(compute.device),
        }
        self.tokens, self.sizes = self.tokeniser.hash, asdict(self.s2.config)
        self.stream = Stream(self._pool, config.seed)

    def step(self, run: Run) -> dict[str, float]:
        batch = next(self.stream).to(self.compute.device)
        draw = torch.Generator().manual_seed(step_seed(self.config.seed, run.step))
        found = losses(self.s2, self.head, batch, draw, self.config.window, self.compute)
        guided = self.config.guide * found.guide + self.config.phone * found.phone
        run.update("s2", found.flow + found.rough + guided)
        run.update("head", found.head)
        return {
            "flow": found.flow.item(),
            "rough": found.rough.item(),
            "guide": found.guide.item(),
            "phone": found.phone.item(),
        }

    def validate(self) -> dict[str, float]:
        """The losses on held-out clips, with the same spans and noise every time."""
        sums: dict[str, float] = {}
        for number, batch in enumerate(self.judged):
            found = losses(
                self.s2,
                self.head,
                batch.to(self.compute.device),
                torch.Generator().manual_seed(number),
                self.config.window,
                self.compute,
            )
            for name in ("flow", "rough", "guide", "phone"):
                sums[name] = sums.get(name, 0.0) + getattr(found, name).item() / len(self.judged)
        return sums

    def sample(self, folder: Path) -> None:
        """WAVs of held-out clips made from their true tokens; their beginning is the prompt."""
        folder.mkdir(parents=True, exist_ok=True)
        step = max(1, len(self.held_out) // max(1, self.config.samples))
        for number, clip in enumerate(self.held_out[::step][: self.config.samples]):
            audio = clip.corpus.audio(clip.clip)
            made = self._made(clip, audio)
            soundfile.write(folder / f"{number}-made.wav", made, corpora.SAMPLE_RATE)
            soundfile.write(folder / f"{number}-true.wav", audio, corpora.SAMPLE_RATE)

    def finish(self, run: Run) -> None:
        """The checkpoint is all there is."""

    def _made(self, clip: Spoken, audio: np.ndarray) -> np.ndarray:
        """A clip's first window from its tokens; the first third of it is given as the prompt."""
        device = self.compute.device
        mel = mel_of(audio)[None].to(device)
        tokens = clip.tokens[: self.config.window * TOKENS_PER_SECOND * 256 // 24_000]
        whole = len(tokens) == len(clip.tokens)
        phones = ["UNK"]
        if clip.speech is not None and whole:
            phones = [p.phone for p in clip.speech.phones]
        codes = torch.from_numpy(tokens.astype(np.int64))[None].to(device)
        text = torch.tensor([phone_ids(phones)]).to(device)
        voice = self.s2.reference_embedding(mel, torch.tensor([mel.shape[2]], device=device))
        fea, _ = self.s2.condition(
            codes,
            torch.tensor([codes.shape[1]], device=device),
            text,
            torch.tensor([text.shape[1]], device=device),
            voice,
        )
        frames = min(fea.shape[2], mel.shape[2])
        prompt = mel[..., : frames // 3]
        noise = torch.randn((1, mel.shape[1], frames), generator=torch.Generator().manual_seed(0))
        made = self.s2.cfm.inference(
            fea[..., :frames], None, prompt, SAMPLE_STEPS, noise.to(device), SAMPLE_GUIDANCE
        )
        made[..., : prompt.shape[2]] = prompt
        return self.vocoder(denormalise_mel(made).cpu())[0].clamp(-1, 1).numpy()

    def _pool(self, draw: np.random.Generator) -> list[Batch]:
        guessed = self.config.guessed
        items = [make_item(self.training(draw), draw, guessed) for _ in range(POOL)]
        items = [item for item in items if item.mel.shape[1] > 8]
        groups = grouped(items, self.config.batch_seconds)
        return [collate(groups[index]) for index in draw.permutation(len(groups))]

    def _clips(self, data: Data) -> tuple[Mixture[Spoken], list[Spoken]]:
        training: list[list[Spoken]] = []
        held_out: list[Spoken] = []
        guesser = find_model(self.config.guesses) if self.config.guesses else None
        if guesser is not None and of_model(guesser).hash != self.tokeniser.hash:
            raise UsageError(f"guesses: the S1 of {self.config.guesses} speaks other tokens")
        for corpus, speech in zip(data.corpora, data.speech(), strict=True):
            tokens = stored_tokens(self.tokeniser, corpus, data.on_done)
            guesses: dict[int, np.ndarray] = {}
            if guesser is not None:
                name = guesser.content_hash[:16]
                guesses = stored_guesses(guesser.s1, name, corpus, tokens, speech, data.on_done)
            training.append([])
            for clip in corpus.clips:
                index = clip.index
                made, said = tokens[index], speech.get(index)
                spoken = Spoken(corpus, clip, made, said, guesses.get(index))
                if len(spoken.tokens) <= SHORTEST:
                    continue
                if clip.name not in data.held_out:
                    training[-1].append(spoken)
                elif clip.rate == 1.0:
                    held_out.append(spoken)
        if not held_out or not any(training):
            raise UserError(
                f"Too few clips are longer than {SHORTEST / TOKENS_PER_SECOND:.0f} s: the stage "
                "acoustic needs some to train on and some held out."
            )
        return Mixture(training, data.shares), held_out


def s2_config(config: AcousticStage, tokeniser: Tokeniser) -> S2Config:
    """Sizes from the configuration, from the tokens and from the mel."""
    sizes = config.sizes.model_dump()
    made = S2Config(**sizes, dropout=0.0, dit_dropout=0.0, mels=MEL.bands)
    codes, width = tokeniser.embed.shape
    return replace(made, ssl_dim=width, codebook=codes, reference_bins=MEL.bands)


def load_quantizer(model: SynthesizerTrnV3, tokeniser: Tokeniser) -> None:
    """Puts the tokens' quantizer in its place and freezes it."""
    model.ssl_proj.load_state_dict({"weight": tokeniser.weight, "bias": tokeniser.bias})
    state = model.quantizer.state_dict()
    for name in state:
        if name.endswith(("embed", "embed_avg")):
            state[name] = tokeniser.embed
        elif name.endswith("inited"):
            state[name] = torch.ones(1)
    model.quantizer.load_state_dict(state)
    model.ssl_proj.requires_grad_(False)
    model.quantizer.requires_grad_(False)
