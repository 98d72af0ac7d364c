"""Trains S1: phones to semantic tokens by teacher forcing, its attention shown the way.

    python -m model.training.semantic --data PREPARED --features RECOGNISER --out DIR --minutes 60

Five hours of speech are little for a transformer to find out by itself that text is read from left
to right. The corpus says when each phone is spoken, so two heads of one layer are asked to look at
the phone that comes next (a guided attention as in H. Tachibana et al. (2017), but with known
positions); all other heads are free. Random spans of words are cut from the sentences, so that a
model never learns a whole sentence by heart.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from model.s1 import S1Config, Text2SemanticDecoder
from model.text import phone_ids, with_end
from model.training.alignment import MARKS, Timed, timed_phones
from model.training.corpus import HELD_OUT, Corpus
from model.training.loop import Run, averaged_weights
from model.training.recogniser import CODES

TOKENS_PER_SECOND = 25
CONFIG = S1Config(width=256, heads=4, layers=6, codes=CODES, bert=8, dropout=0.1)
GUIDED = (2, 1)


@dataclass(frozen=True)
class Example:
    phones: tuple[Timed, ...]
    tokens: np.ndarray
    held_out: bool


@dataclass(frozen=True)
class Batch:
    phones: Tensor
    phone_lengths: Tensor
    tokens: Tensor
    token_lengths: Tensor
    spoken: Tensor
    """(batch, T + 1) index of the phone that each target, the end included, belongs to."""


def load(data: Path, features: Path) -> list[Example]:
    corpus = Corpus(data)
    archive = np.load(features / "tokens.npz")
    tokens = np.split(archive["tokens"], np.cumsum(archive["lengths"])[:-1])
    return [
        Example(tuple(timed_phones(clip.row, clip.rate)), tokens[index], clip.book == HELD_OUT)
        for index, clip in enumerate(corpus.clips)
    ]


def cut(example: Example, draw: np.random.Generator) -> Example:
    """A random span of whole words, three at least, with its tokens; cut between phones."""
    words = sorted({item.word for item in example.phones if item.word >= 0})
    if len(words) < 5:
        return example
    first = words[int(draw.integers(0, len(words) - 3))]
    last = words[int(draw.integers(words.index(first) + 2, len(words)))]
    chosen = [i for i, item in enumerate(example.phones) if first <= item.word <= last]
    phones = list(example.phones[chosen[0] : chosen[-1] + 1])
    start = 0.0 if first == words[0] else phones[0].start
    end = len(example.tokens) / TOKENS_PER_SECOND if last == words[-1] else phones[-1].end
    if last == words[-1]:
        phones += example.phones[chosen[-1] + 1 :]
    elif chosen[-1] + 1 < len(example.phones) and example.phones[chosen[-1] + 1].phone in MARKS:
        pause = example.phones[chosen[-1] + 1]
        end = pause.end
        phones.append(
            Timed(
                with_end((pause.phone,))[-1] if pause.phone in ".?!" else ",", pause.start, end, -1
            )
        )
    a, b = round(start * TOKENS_PER_SECOND), round(end * TOKENS_PER_SECOND)
    moved = tuple(Timed(p.phone, p.start - start, p.end - start, p.word) for p in phones)
    return Example(moved, example.tokens[a:b], example.held_out)


def join(first: Example, second: Example) -> Example:
    """Two sentences as one: books have full stops inside a line, the corpus hardly."""
    shift = len(first.tokens) / TOKENS_PER_SECOND
    words = 1 + max(item.word for item in first.phones)
    moved = tuple(
        Timed(p.phone, p.start + shift, p.end + shift, p.word + words if p.word >= 0 else -1)
        for p in second.phones
    )
    tokens = np.concatenate([first.tokens, second.tokens])
    return Example(first.phones + moved, tokens, first.held_out)


def collate(examples: list[Example]) -> Batch:
    """Right-padded tensors; tokens are padded with the end token."""
    size = len(examples)
    text = max(len(e.phones) for e in examples)
    time = max(len(e.tokens) for e in examples)
    phones = torch.zeros(size, text, dtype=torch.long)
    tokens = torch.full((size, time), CONFIG.end)
    spoken = torch.full((size, time + 1), -100)
    for row, example in enumerate(examples):
        phones[row, : len(example.phones)] = torch.tensor(
            phone_ids([p.phone for p in example.phones])
        )
        tokens[row, : len(example.tokens)] = torch.from_numpy(example.tokens.astype(np.int64))
        ends = np.array([p.end for p in example.phones])
        middles = (np.arange(len(example.tokens)) + 0.5) / TOKENS_PER_SECOND
        at = np.searchsorted(ends, middles).clip(max=len(ends) - 1)
        spoken[row, : len(example.tokens)] = torch.from_numpy(at)
        spoken[row, len(example.tokens)] = len(ends) - 1
    lengths = torch.tensor([len(e.phones) for e in examples])
    return Batch(phones, lengths, tokens, torch.tensor([len(e.tokens) for e in examples]), spoken)


def batches(examples: list[Example], size: int, seed: int) -> Iterator[Batch]:
    """Endless training batches of similar length; most sentences are cut, some are joined."""
    draw = np.random.default_rng(seed)
    while True:
        pool = [examples[i] for i in draw.choice(len(examples), size * 16)]
        pool = [cut(e, draw) if draw.random() < 0.67 else e for e in pool]
        short = [e for e in pool if len(e.tokens) < 120]
        pool += [join(a, b) for a, b in zip(short[::8], short[1::8], strict=False)]
        pool = [e for e in pool if 6 <= len(e.tokens) <= 400]
        pool.sort(key=lambda e: len(e.tokens))
        # a batch holds about `size` average sentences, fewer where they are long
        groups: list[list[Example]] = []
        group: list[Example] = []
        most = 0
        for example in pool:
            length = len(example.tokens) + len(example.phones)
            if group and (len(group) + 1) * max(most, length) > size * 200:
                groups.append(group)
                group, most = [], 0
            group.append(example)
            most = max(most, length)
        groups.append(group)
        for index in draw.permutation(len(groups)):
            yield collate(groups[index])


def losses(model: Text2SemanticDecoder, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Mean cross entropy of tokens and end, of the guided heads, and the token accuracy."""
    with torch.autocast("cpu", torch.bfloat16):
        logits, attention = model(
            batch.phones, batch.phone_lengths, batch.tokens, batch.token_lengths, guided=GUIDED
        )
    targets = F.pad(batch.tokens, (0, 1), value=CONFIG.end)
    counted = torch.arange(targets.shape[1]) <= batch.token_lengths[:, None]
    targets = torch.where(counted, targets, -100)
    loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100)
    right = (logits.argmax(2) == targets).sum() / counted.sum()
    assert attention is not None
    spoken = batch.spoken.clamp(min=0)[:, None, :, None].expand(-1, GUIDED[1], -1, 1)
    at_phone = attention.gather(3, spoken)[..., 0]
    guide = -(at_phone * (batch.spoken >= 0)[:, None]).sum() / counted.sum() / GUIDED[1]
    return loss, guide, right


@torch.inference_mode()
def validate(model: Text2SemanticDecoder, examples: list[Example]) -> tuple[float, float]:
    """Token cross entropy and accuracy over whole held-out sentences."""
    was = model.training
    model.eval()
    sums = np.zeros(2)
    groups = [examples[i : i + 16] for i in range(0, len(examples), 16)]
    for group in groups:
        loss, _, right = losses(model, collate(group))
        sums += (loss.item(), right.item())
    model.train(was)
    return float(sums[0] / len(groups)), float(sums[1] / len(groups))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=8e-4)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    examples = load(options.data, options.features)
    training = [e for e in examples if not e.held_out]
    held_out = sorted((e for e in examples if e.held_out), key=lambda e: len(e.tokens))
    held_out = held_out[:: max(1, len(held_out) // 96)]
    model = Text2SemanticDecoder(CONFIG)
    run = Run(options.out, {"s1": model}, options.minutes, options.rate, warmup=120, decay=0.05)
    print(
        len(training),
        "sentences;",
        sum(p.numel() for p in model.parameters()),
        "parameters",
        flush=True,
    )
    source = batches(training, options.batch, seed=run.step)
    for step in run.steps():
        loss, guide, right = losses(model, next(source))
        run.update("s1", loss + 0.3 * guide)
        run.log(loss=loss.item(), guide=guide.item(), right=right.item())
        if step % 500 == 499:
            current = model.state_dict()
            kept = {k: v.clone() for k, v in current.items()}
            model.load_state_dict(run.averages["s1"])
            entropy, accuracy = validate(model, held_out)
            model.load_state_dict(kept)
            print(f"step {step + 1}: held-out loss {entropy:.4f}, right {accuracy:.4f}", flush=True)
    model.load_state_dict(averaged_weights(options.out, "s1"))
    print("held out, averaged weights:", validate(model, held_out))


if __name__ == "__main__":
    main()
