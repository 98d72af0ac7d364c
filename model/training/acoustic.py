"""Trains S2 in the v3 layout: tokens, phones and a voice to mel by flow matching.

    python -m model.training.acoustic --data PREPARED... --features RECOGNISER --out DIR

The first corpus of `--data` has phone times, so that sentences can be cut at words; the others
(human readings with machine transcripts) are used whole and without their phones, which also
teaches S2 to do without a prompt's transcript.

Left to itself, a small S2 lives on the tokens and never looks at the text: its attention stays
flat, and what the tokens leave open is mumbled. The corpus knows when each phone is spoken, so two
heads of the cross-attention are asked to look at that phone (a guided attention as in H. Tachibana
et al. (2017), but with known positions), and a linear classifier, which is thrown away afterwards,
has to read that phone off the prior encoder's frames. Some tokens are replaced, as S1 makes
mistakes too, and so that the text is needed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.s2.synthesizer import S2Config, SynthesizerTrnV3
from model.spectral import MelConfig, log_mel, normalise_mel
from model.text import phone_ids
from model.training.alignment import Timed
from model.training.corpus import SAMPLE_RATE, Corpus
from model.training.loop import Run, averaged_weights
from model.training.recogniser import CODES, WIDTH
from model.training.semantic import TOKENS_PER_SECOND, Example, cut, load

MEL = MelConfig()
WINDOW = 480
"""Frames that go through the transformer at once, prompt included; so does the engine."""
GUIDED_HEADS = 2
WRONG_TOKENS = 0.1
"""Share of the tokens that are replaced, in half of the items."""
CONFIG = S2Config(
    ssl_dim=WIDTH,
    codebook=CODES,
    filter_channels=512,
    layers=4,
    mrte_hidden=256,
    gin_channels=256,
    reference_bins=MEL.bands,
    wns1_width=256,
    wns1_layers=3,
    wns1_kernel=3,
    text_dim=256,
    dit_dim=256,
    dit_depth=8,
    dit_heads=4,
    conv_layers=2,
    conv_pos_kernel=7,
    dropout=0.0,
    dit_dropout=0.0,
)


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


class Source:
    """Random items from timed sentences (cut at words) and untimed ones (whole, phones unknown)."""

    def __init__(self, data: list[Path], features: Path, seed: int) -> None:
        self.draw = np.random.default_rng(seed)
        self.timed = Corpus(data[0])
        others = [Corpus(folder) for folder in data[1:]]
        self.untimed = [(corpus, index) for corpus in others for index in range(len(corpus))]
        examples = load(data[0], features)
        self.examples = [
            (i, e) for i, e in enumerate(examples) if not e.held_out and len(e.tokens) > 25
        ]
        archive = np.load(features / "tokens.npz")
        tokens = np.split(archive["tokens"], np.cumsum(archive["lengths"])[:-1])
        self.other_tokens = tokens[len(examples) :]

    def item(self) -> Item:
        draw = self.draw
        if self.untimed and draw.random() < 0.15:
            number = int(draw.integers(len(self.untimed)))
            corpus, index = self.untimed[number]
            return self._make(corpus.audio(index), None, self.other_tokens[number], 0.0)
        index, example = self.examples[int(draw.integers(len(self.examples)))]
        audio = self.timed.audio(index)
        return self.timed_item(audio, example, whole=draw.random() < 0.3)

    def timed_item(self, audio: np.ndarray, example: Example, whole: bool) -> Item:
        """A random span of the sentence, or all of it."""
        start = 0.0
        if not whole:
            piece = cut(example, self.draw)
            start = example.phones[0].start - piece.phones[0].start
            for a in example.phones:
                if a.word == piece.phones[0].word and a.phone == piece.phones[0].phone:
                    start = a.start - piece.phones[0].start
                    break
            example = piece
        return self._make(audio, example.phones, example.tokens, start)

    def _make(
        self,
        audio: np.ndarray,
        timed: tuple[Timed, ...] | None,
        tokens: np.ndarray,
        start: float,
    ) -> Item:
        draw = self.draw
        if timed is None and len(tokens) > 200:
            first = int(draw.integers(len(tokens) - 200))
            tokens, start = tokens[first : first + 200], first / TOKENS_PER_SECOND
        if timed is None or draw.random() < 0.1:
            phones, spoken = phone_ids(["UNK"]), np.full(2 * len(tokens), -1)
        else:
            phones = phone_ids([p.phone for p in timed])
            middles = (np.arange(2 * len(tokens)) + 0.5) / (2 * TOKENS_PER_SECOND)
            ends = np.array([p.end for p in timed])
            spoken = np.searchsorted(ends, middles).clip(max=len(ends) - 1)
        begin = max(0, round(start * SAMPLE_RATE))
        stretch = audio[begin : begin + len(tokens) * (SAMPLE_RATE // TOKENS_PER_SECOND)]
        length = int(min(len(audio), draw.uniform(2.0, 6.0) * SAMPLE_RATE))
        first = int(draw.integers(len(audio) - length + 1))
        reference = audio[first : first + length]
        if draw.random() < 0.3:
            level = 10 ** (-draw.uniform(15, 40) / 20) * np.sqrt(np.mean(reference**2))
            reference = reference + (level * draw.standard_normal(length)).astype(np.float32)
        return Item(phones, tokens, spoken, mel_of(stretch), mel_of(reference))


def mel_of(audio: np.ndarray) -> Tensor:
    return normalise_mel(log_mel(torch.from_numpy(np.ascontiguousarray(audio))[None], MEL))[0]


def pad(arrays: list[Tensor], value: float = 0.0) -> tuple[Tensor, Tensor]:
    """Right-pads tensors along their last dimension -> (batch, ..., longest), lengths."""
    lengths = torch.tensor([a.shape[-1] for a in arrays])
    most = int(lengths.max())
    return torch.stack([F.pad(a, (0, most - a.shape[-1]), value=value) for a in arrays]), lengths


def batches(source: Source, seconds: float) -> Iterator[list[Item]]:
    """Endless groups of items of similar length, about `seconds` of speech each."""
    while True:
        pool = sorted((source.item() for _ in range(96)), key=lambda item: len(item.tokens))
        groups: list[list[Item]] = [[]]
        for item in pool:
            if (
                groups[-1]
                and (len(groups[-1]) + 1) * len(item.tokens) > seconds * TOKENS_PER_SECOND
            ):
                groups.append([])
            groups[-1].append(item)
        for index in source.draw.permutation(len(groups)):
            yield groups[index]


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
    items: list[Item],
    draw: torch.Generator,
    window: int = WINDOW,
) -> Losses:
    """All losses of a batch.

    Of every item a window of at most `window` frames goes through the transformer, of which a
    random prefix of up to two thirds is given as the prompt; a tenth of the windows has neither
    prompt nor conditioning, for guidance. Some of the tokens are wrong.
    """
    codes, code_lengths = pad([torch.from_numpy(i.tokens.astype(np.int64)) for i in items])
    share = WRONG_TOKENS * (torch.rand((len(items), 1), generator=draw) < 0.5)
    wrong = torch.rand(codes.shape, generator=draw) < share
    others = torch.randint(model.config.codebook, codes.shape, generator=draw)
    codes = torch.where(wrong, others, codes)
    text, text_lengths = pad([torch.tensor(i.phones) for i in items])
    reference, reference_lengths = pad([i.reference for i in items])
    with torch.autocast("cpu", torch.bfloat16), insight(model) as seen:
        voice = model.reference_embedding(reference, reference_lengths)
        fea, fea_lengths = model.condition(codes, code_lengths, text, text_lengths, voice)
        rough = model.linear_mel(fea)
        guesses = head(seen.hidden).float()
        own_guesses = head(seen.hidden.detach()).float()
    spoken, _ = pad([torch.from_numpy(i.spoken) for i in items], -1)
    spoken = spoken[:, : seen.hidden.shape[2]]
    said = torch.where(spoken < 0, -100, text.gather(1, spoken.clamp(min=0)))
    phones = (said >= 0).sum().clamp(min=1)
    mel, mel_lengths = pad([i.mel for i in items])
    frames = min(mel.shape[2], fea.shape[2])
    lengths = torch.minimum(mel_lengths, fea_lengths.long()).clamp(max=frames)
    mel, fea, rough = mel[..., :frames], fea[..., :frames], rough[..., :frames].float()
    valid = (torch.arange(frames) < lengths[:, None])[:, None]
    rough_loss = ((rough - mel).abs() * valid).sum() / valid.sum() / MEL.bands

    size = min(window, frames)
    starts = (torch.rand(len(items), generator=draw) * (lengths - size).clamp(min=0)).long()
    at = (starts[:, None] + torch.arange(size))[:, None]
    x1 = mel.gather(2, at.expand(-1, MEL.bands, -1))
    conditioning = fea.gather(2, at.expand(-1, fea.shape[1], -1))
    inside = (lengths - starts).clamp(max=size)
    share = torch.rand(len(items), generator=draw) * 2 / 3
    share = share * (torch.rand(len(items), generator=draw) < 0.9)
    prompted = (torch.arange(size) < (inside * share)[:, None])[:, None]
    x0 = torch.randn(x1.shape, generator=draw)
    t = torch.rand(len(items), generator=draw)
    x = torch.where(prompted, 0.0, (1 - t)[:, None, None] * x0 + t[:, None, None] * x1)
    blind = (torch.rand(len(items), generator=draw) < 0.1)[:, None, None]
    prompt = torch.where(prompted & ~blind, x1, 0.0)
    conditioning = torch.where(blind, 0.0, conditioning)
    steps = torch.tensor([0.0, 1 / 4, 1 / 8, 1 / 16, 1 / 32])
    dt = steps[torch.randint(5, (len(items),), generator=draw)]
    with torch.autocast("cpu", torch.bfloat16):
        velocity = model.cfm.estimator(x, prompt, inside, t, dt, conditioning)
    counted = (torch.arange(size) < inside[:, None])[:, None] & ~prompted
    error = (velocity.float() - (x1 - x0)).square() * counted
    return Losses(
        flow=error.sum() / counted.sum() / MEL.bands,
        rough=rough_loss,
        guide=guide_loss(seen.log_weights, spoken),
        phone=F.cross_entropy(guesses, said, reduction="sum") / phones,
        head=F.cross_entropy(own_guesses, said, reduction="sum") / phones,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-seconds", type=float, default=40)
    parser.add_argument("--rate", type=float, default=1e-3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = SynthesizerTrnV3(CONFIG)
    quantizer = averaged_weights(options.features / "quantizer", "quantizer")
    load_quantizer(model, quantizer)
    head = nn.Conv1d(CONFIG.hidden_channels, CONFIG.symbols, 1)
    run = Run(
        options.out,
        {"s2": model, "head": head},
        options.minutes,
        options.rate,
        warmup=200,
        average=0.998,
    )
    source = Source(options.data, options.features, seed=run.step)
    draw = torch.Generator().manual_seed(run.step)
    parameters = sum(p.numel() for p in model.parameters())
    print(len(source.examples), "sentences,", parameters, "parameters", flush=True)
    stream = batches(source, options.batch_seconds)
    for _ in run.steps():
        found = losses(model, head, next(stream), draw)
        run.update("s2", found.flow + found.rough + 0.1 * found.guide + 0.1 * found.phone)
        run.update("head", found.head)
        run.log(
            flow=found.flow.item(),
            rough=found.rough.item(),
            guide=found.guide.item(),
            phone=found.phone.item(),
        )


def load_quantizer(model: SynthesizerTrnV3, quantizer: dict[str, Tensor]) -> None:
    """Puts the recogniser's quantizer in its place and freezes it."""
    model.ssl_proj.load_state_dict(
        {"weight": quantizer["project.weight"], "bias": quantizer["project.bias"]}
    )
    state = model.quantizer.state_dict()
    for name in state:
        if name.endswith(("embed", "embed_avg")):
            state[name] = quantizer["embed"]
        elif name.endswith("inited"):
            state[name] = torch.ones(1)
    model.quantizer.load_state_dict(state)
    model.ssl_proj.requires_grad_(False)
    model.quantizer.requires_grad_(False)


if __name__ == "__main__":
    main()
