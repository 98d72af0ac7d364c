"""S1's speed: the engine against a plain batched implementation, and a gate that it computes right.

The plain implementation is how S1 is usually decoded in batches: linear layers in f32 as PyTorch
does them, sentences padded to the longest, keys and values that grow by concatenation, attention
with a mask over all of it, and finished rows taken out by selecting the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from model.checkpoint import load_model
from model.decode import decode
from model.engine import PRETRAINED
from model.linear import Precision
from model.s1 import S1Config, Text2SemanticDecoder
from model.sampling import SHORTEST, Sampling
from model.slots import Sentence, SlotTable

SAMPLING = Sampling(top_k=15, temperature=1.0, repetition_penalty=1.35)
GREEDY = Sampling(top_k=1, temperature=1.0)
PRECISIONS: tuple[Precision, ...] = ("f32", "bf16", "int8")
TOLERANCE = 1e-4
"""Of f32 logits against a forward pass without a cache."""
PHONES, PROMPT_PHONES, PROMPT_TOKENS = 40, 30, 100
"""Of a usual sentence, and of a sample of 4 s whose text is known."""


OFFICIAL = S1Config()


def network(config: S1Config = OFFICIAL, seed: int = 0) -> Text2SemanticDecoder:
    """Random weights, by default of official shape, that never end a sentence: the end's logit is
    -10,000."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        s1 = Text2SemanticDecoder(config)
    s1.eval().requires_grad_(False)
    *_, last = s1.h
    last.norm2.weight[0], last.norm2.bias[0] = 0.0, 1.0
    s1.ar_predict_layer.weight[:, 0] = 0.0
    s1.ar_predict_layer.weight[-1] = 0.0
    s1.ar_predict_layer.weight[-1, 0] = -1e4
    return s1


def sentences(s1: Text2SemanticDecoder, count: int, bound: int, seed: int = 0) -> list[Sentence]:
    """Sentences with the same prompt and phones in lognormal numbers."""
    draw = torch.Generator().manual_seed(seed)
    config = s1.config
    spread = torch.randn(count, generator=draw).mul(0.5).exp()
    prompt_phones = torch.randint(0, config.phones, (PROMPT_PHONES,), generator=draw)
    prompt = torch.randint(0, config.codes, (PROMPT_TOKENS,), generator=draw)
    made = []
    for number, factor in enumerate(spread.tolist()):
        own = torch.randint(0, config.phones, (max(5, round(PHONES * factor)),), generator=draw)
        made.append(Sentence(torch.cat([prompt_phones, own]), prompt, number, bound, bound))
    return made


class Plain:
    """The plain batched implementation."""

    def __init__(self, s1: Text2SemanticDecoder, sampling: Sampling) -> None:
        self.s1, self.sampling = s1, sampling
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self.hidden = torch.zeros(0)
        self.seen = torch.zeros(0)
        self.position = 0
        self.logits = torch.zeros(0)

    def prefill(self, batch: Sequence[Sentence]) -> None:
        """All with prompts of one length; phones are padded on the left to the longest."""
        s1, rows = self.s1, len(batch)
        text, time = max(len(one.phones) for one in batch), len(batch[0].prompt)
        x = torch.zeros(rows, text + time, s1.config.width)
        self.hidden = torch.zeros(rows, text + time, dtype=torch.bool)
        for row, one in enumerate(batch):
            before = text - len(one.phones)
            x[row, before:text] = s1.embed_phones(one.phones[None], None)[0]
            self.hidden[row, :before] = True
        prompts = torch.stack([one.prompt for one in batch])
        x[:, text:] = s1.embed_tokens(prompts, torch.arange(time))
        place = torch.arange(text + time)
        ahead = (place >= text) & (place > place[:, None])
        visible = ~(ahead | self.hidden[:, None])
        visible |= torch.eye(text + time, dtype=torch.bool)  # padding sees itself, not nothing
        self.keys, self.values = [], []
        for layer in s1.h:
            q, k, v = layer.self_attn.split(x)
            found = F.scaled_dot_product_attention(q, k, v, visible[:, None])
            self.keys.append(k)
            self.values.append(v)
            x = layer.after_attention(x, layer.self_attn.join(found))
        self.logits = s1.ar_predict_layer(x[:, -1])
        self.seen, self.position = prompts, time

    def warm(self, rows: int, context: int) -> None:
        """As if so many rows of so many places had been prefilled."""
        config = self.s1.config
        shape = (rows, config.heads, context, config.width // config.heads)
        self.keys = [torch.randn(shape) for _ in self.s1.h]
        self.values = [torch.randn(shape) for _ in self.s1.h]
        self.hidden = torch.zeros(rows, context, dtype=torch.bool)
        self.hidden[1:, :1] = True  # not all are equally long
        self.seen = torch.zeros(rows, PROMPT_TOKENS, dtype=torch.long)
        self.logits, self.position = torch.randn(rows, config.codes + 1), PROMPT_TOKENS

    def step(self) -> Tensor:
        """One token a row -> (rows)."""
        chosen = self._choose()
        going_on = (chosen != self.s1.config.end).nonzero()[:, 0]  # the reference looks every step
        if len(going_on) < len(chosen):
            self.keep(going_on)
            chosen = chosen[going_on]
        self.seen = torch.cat([self.seen, chosen[:, None]], 1)
        self.hidden = F.pad(self.hidden, (0, 1))
        x = self.s1.embed_tokens(chosen[:, None], torch.full((len(chosen), 1), self.position))
        for number, layer in enumerate(self.s1.h):
            q, k, v = layer.self_attn.split(x)
            self.keys[number] = torch.cat([self.keys[number], k], 2)
            self.values[number] = torch.cat([self.values[number], v], 2)
            mask = ~self.hidden[:, None, None] if len(x) > 1 else None
            found = F.scaled_dot_product_attention(q, self.keys[number], self.values[number], mask)
            x = layer.after_attention(x, layer.self_attn.join(found))
        self.position += 1
        self.logits = self.s1.ar_predict_layer(x[:, 0])
        return chosen

    def _choose(self) -> Tensor:
        logits, penalty = self.logits.clone(), self.sampling.repetition_penalty
        if self.position < PROMPT_TOKENS + SHORTEST:
            logits[:, -1] = float("-inf")
        had = logits.gather(1, self.seen)
        logits.scatter_(1, self.seen, torch.where(had < 0, had * penalty, had / penalty))
        likeliest = logits.argmax(1)
        if self.sampling.top_k == 1:
            return likeliest
        logits /= self.sampling.temperature
        least = logits.topk(self.sampling.top_k, 1).values[:, -1:]
        shares = logits.masked_fill(logits < least, float("-inf")).softmax(1)
        drawn = (shares / torch.empty_like(shares).exponential_()).argmax(1)
        end = self.s1.config.end
        return torch.where(likeliest == end, end, drawn)

    def keep(self, rows: Tensor) -> None:
        """Goes on with these rows alone."""
        self.logits = self.logits[rows]
        self.keys = [keys.index_select(0, rows) for keys in self.keys]
        self.values = [values.index_select(0, rows) for values in self.values]
        self.hidden, self.seen = self.hidden[rows], self.seen[rows]


def warm_table(
    s1: Text2SemanticDecoder, rows: int, context: int, steps: int, precision: Precision
) -> SlotTable:
    """A table as if so many slots of so many places had been filled."""
    table = SlotTable(s1, rows, context + steps, SAMPLING, precision)
    for cache in table.keys + table.values:
        cache.normal_()
    table.lengths.fill_(context)
    table.bounds.fill_(10**6)
    table.repeats.fill_(10**6)
    table.done.fill_(False)
    table.logits.normal_()
    return table


@dataclass(frozen=True)
class Case:
    """Something to measure: both do the same work, `tokens` of it, each time they are called."""

    name: str
    precision: Precision
    batch: int
    tokens: int
    plain: Callable[[], object]
    engine: Callable[[], object]


def decode_case(s1: Text2SemanticDecoder, batch: int, context: int, precision: Precision) -> Case:
    """Steps at a context: both go on from there each time."""
    steps = max(2, 16 // batch)
    plain = Plain(s1, SAMPLING)
    plain.warm(batch, context)
    position, logits, seen, hidden = plain.position, plain.logits, plain.seen, plain.hidden
    table = warm_table(s1, batch, context, steps, precision)
    rows = torch.arange(batch)

    def run_plain() -> None:
        # What the last run added is forgotten; a second copy of the caches would be too large.
        plain.keys = [keys[:, :, :context] for keys in plain.keys]
        plain.values = [values[:, :, :context] for values in plain.values]
        plain.position, plain.logits, plain.seen, plain.hidden = position, logits, seen, hidden
        for _ in range(steps):
            plain.step()

    def run_engine() -> None:
        table.lengths.fill_(context)
        table.counts.zero_()
        for _ in range(steps):
            table.step(rows, table.capacity)

    return Case("decode", precision, batch, batch * steps, run_plain, run_engine)


def prefill_case(s1: Text2SemanticDecoder, batch: int, precision: Precision) -> Case:
    """Phones and prompts of sentences of different lengths; padding is no work."""
    many = sentences(s1, batch, 64)
    capacity = max(one.places for one in many)
    table = SlotTable(s1, batch, capacity, SAMPLING, precision)
    tokens = sum(len(one.phones) + len(one.prompt) for one in many)
    plain = Plain(s1, SAMPLING)
    return Case(
        "prefill",
        precision,
        batch,
        tokens,
        lambda: plain.prefill(many),
        lambda: table.fill(list(enumerate(many))),
    )


def queue_case(s1: Text2SemanticDecoder, batch: int, precision: Precision) -> Case:
    """Twice as many sentences as a batch has rows, with lognormal numbers of tokens.

    Plain: batches of sentences with like numbers of phones, from which rows are taken as they end.
    """
    many = sentences(s1, 2 * batch, 0, seed=1)
    draw = torch.Generator().manual_seed(2)
    spread = torch.randn(len(many), generator=draw).mul(0.2).exp().tolist()
    bounds = [
        max(SHORTEST, round((len(one.phones) - PROMPT_PHONES) * 2.4 * factor))
        for one, factor in zip(many, spread, strict=True)
    ]
    many = [
        Sentence(one.phones, one.prompt, one.seed, bound, 10**6)
        for one, bound in zip(many, bounds, strict=True)
    ]
    ordered = sorted(many, key=lambda one: len(one.phones))
    plain = Plain(s1, SAMPLING)

    def run_plain() -> int:
        made = 0
        for start in range(0, len(ordered), batch):
            group = ordered[start : start + batch]
            plain.prefill(group)
            left = torch.tensor([one.bound for one in group])
            for step in range(int(left.max())):
                going_on = (left > step).nonzero()[:, 0]
                if len(going_on) < len(left):
                    plain.keep(going_on)
                    left = left[going_on]
                made += len(plain.step())
        return made

    def run_engine() -> int:
        return sum(len(tokens) for _, tokens, _ in decode(s1, many, SAMPLING, batch, precision))

    return Case("queue", precision, batch, sum(bounds), run_plain, run_engine)


def check_exact(s1: Text2SemanticDecoder, steps: int) -> float:
    """Greedy f32 against a forward pass without a cache, in a batch of three; the largest
    difference of a logit. AssertionError for another token or one beyond `TOLERANCE`."""
    many = [_short(s1, number) for number in range(3)]
    table = SlotTable(s1, 3, 256, GREEDY)
    table.fill(list(enumerate(many)))
    worst = 0.0
    for step in range(steps):
        logits = table.logits.clone()
        table.step(torch.arange(3), table.capacity)
        for slot, one in enumerate(many):
            tokens = torch.cat([one.prompt, table.tokens[slot, :step]])
            lengths = torch.tensor([len(one.phones)]), torch.tensor([len(tokens)])
            expected, _ = s1(one.phones[None], lengths[0], tokens[None], lengths[1])
            worst = max(worst, (logits[slot, :-1] - expected[0, -1, :-1]).abs().max().item())
            best = expected[0, -1, :-1].argmax()  # the end is out of the question here
            if table.tokens[slot, step] != best:
                raise AssertionError("f32 draws other tokens than a forward pass")
    if worst > TOLERANCE:
        raise AssertionError(f"f32 is off by {worst:.1e}")
    return worst


def check_invariance(s1: Text2SemanticDecoder, precision: Precision, steps: int) -> int:
    """Sentences alone, in a batch, and after a refill -> how many were compared; AssertionError
    where one comes to other tokens."""
    many = [_short(s1, number, steps + number % 3) for number in range(7)]
    made = [
        {i: tokens.tolist() for i, tokens, _ in decode(s1, many, SAMPLING, slots, precision)}
        for slots in (7, 3)
    ]
    for index, one in enumerate(many):
        ((_, alone, _),) = decode(s1, [one], SAMPLING, 1, precision)
        if any(alone.tolist() != batch[index] for batch in made):
            raise AssertionError(f"{precision}: a sentence is not the same alone and in a batch")
    return len(many)


@dataclass(frozen=True)
class Effect:
    """What a precision changes of f32's logits when it is told f32's tokens: how often the
    likeliest token stays, the mean KL divergence (nats), the largest difference of a logit, and the
    logits' standard deviation to compare it with."""

    agreement: float
    divergence: float
    largest: float
    deviation: float


def effect(s1: Text2SemanticDecoder, precision: Precision, many: Sequence[Sentence]) -> Effect:
    """Of a precision, over greedy decoding of sentences."""
    steps = min(one.bound for one in many) - 1
    tables = [
        SlotTable(s1, len(many), max(one.places for one in many), GREEDY, kind)
        for kind in ("f32", precision)
    ]
    rows = torch.arange(len(many))
    same, divergences, largest, deviations = [], [], [], []
    for table in tables:
        table.fill(list(enumerate(many)))
    for step in range(steps):
        exact, other = (table.logits[:, :-1].clone() for table in tables)
        known = (exact > -1e3) & (other > -1e3)
        exact, other = (x.masked_fill(~known, -1e3) for x in (exact, other))
        running = ~tables[0].done
        same.append((exact.argmax(1) == other.argmax(1))[running])
        first, second = exact.log_softmax(1), other.log_softmax(1)
        divergences.append((first.exp() * (first - second)).sum(1)[running])
        largest.append((exact - other)[running].abs().amax(1))
        deviations.append(exact.std(1)[running])
        tables[0].step(rows, tables[0].capacity)
        told = tables[0].tokens[:, step]
        tables[1].logits.fill_(-1e3).scatter_(1, told[:, None], 1e3)
        tables[1].step(rows, tables[1].capacity)
        tables[1].done |= tables[0].done
        if tables[0].done.all():
            break
    return Effect(
        torch.cat(same).float().mean().item(),
        torch.cat(divergences).mean().item(),
        torch.cat(largest).max().item(),
        torch.cat(deviations).mean().item(),
    )


def built_in() -> Text2SemanticDecoder:
    """The built-in voice's S1."""
    return load_model(PRETRAINED).s1


def _short(s1: Text2SemanticDecoder, number: int, bound: int = 40) -> Sentence:
    draw = torch.Generator().manual_seed(number)
    return Sentence(
        torch.randint(0, s1.config.phones, (12 + 5 * (number % 4),), generator=draw),
        torch.randint(0, s1.config.codes, (9 * (number % 3),), generator=draw),
        number,
        bound,
        10**6,
    )
