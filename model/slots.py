"""S1 over a table of slots: static caches, packed prefill, and a step that stays on the device.

A slot holds a sentence. `fill` puts waiting sentences into free slots, all of them in one pass over
the weights; `step` draws a token in each slot and goes on with it. All that a step needs and makes
stands in tensors of fixed shapes, and it asks nothing of the device, so that a CUDA device records
it once and replays it. What a slot comes to depends on its own sentence alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from model.graphs import CAPTURING
from model.kernels import attend
from model.linear import Linear, Precision, packed
from model.philox import exponential, seed_words
from model.recogniser import PHONES
from model.s1 import ENDING, FUSION, LINGERED, RARE, SILENT, DecoderLayer, Text2SemanticDecoder
from model.sampling import Sampling, choose_tokens

REACH = 64
"""Places are seen in multiples of this, where a kernel does not know how many are filled."""
PACKED = 1024
"""Rows of one prefill: more bring nothing, and would need more memory."""
_PERIODS = 64
"""The longest cycle that a stuck sentence may go round in, in tokens: 2.5 s."""


@dataclass(frozen=True)
class Sentence:
    """What S1 continues: phones (P) ids and prompt tokens (T, may be 0), with BERT features
    (1, bert, P), which another thread may still be at, or None for none; at most `bound` tokens are
    made of it, and it is given up where more than `repeats` of them in a row only repeat what
    stands before them."""

    phones: Tensor
    prompt: Tensor
    seed: int
    bound: int
    repeats: int
    bert: Tensor | Future[Tensor] | None = None

    @property
    def places(self) -> int:
        """The most that it takes in a cache."""
        return len(self.phones) + len(self.prompt) + self.bound


class _Layer:
    """A layer's packed weights."""

    def __init__(self, layer: DecoderLayer, precision: Precision, single: bool) -> None:
        attention, up, down = layer.self_attn, layer.linear1, layer.linear2

        def linear(weight: Tensor, bias: Tensor, relu: bool = False) -> Linear:
            return packed(weight, bias, precision, relu, single)

        self.qkv = linear(attention.in_proj_weight, attention.in_proj_bias)
        self.join = linear(attention.out_proj.weight, attention.out_proj.bias)
        self.up, self.down = linear(up.weight, up.bias, True), linear(down.weight, down.bias)
        self.norm1, self.norm2 = layer.norm1, layer.norm2

    def after_attention(self, x: Tensor, attended: Tensor) -> Tensor:
        """x and what its attention found (rows, width) -> the layer's output."""
        x = self.norm1(x + self.join(attended))
        return self.norm2(x + self.down(self.up(x)))


class SlotTable:
    """So many slots of at most `capacity` phones and tokens, read and written by index.

    The network's sizes are S1's own; `precision` is that of the linear layers and, where it is not
    f32, bf16 that of keys and values; sums, norms and logits are f32.
    """

    def __init__(
        self,
        s1: Text2SemanticDecoder,
        slots: int,
        capacity: int,
        sampling: Sampling,
        precision: Precision = "f32",
    ) -> None:
        self.s1, self.sampling, self.config = s1, sampling, s1.config
        self.device = s1.ar_predict_layer.weight.device
        self.capacity = -(-capacity // REACH) * REACH
        self._layers = [_Layer(layer, precision, slots == 1) for layer in s1.h]
        # Small, and it decides.
        self._head = packed(s1.ar_predict_layer.weight, None, "f32")
        self._dtype = torch.float32 if precision == "f32" else torch.bfloat16
        config = s1.config
        depth = config.width // config.heads
        shape = (slots, config.heads, self.capacity, depth)
        self.keys = [self._empty(shape) for _ in self._layers]
        self.values = [self._empty(shape) for _ in self._layers]

        def whole(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.long, device=self.device)

        self.lengths = whole(slots)
        """Places filled in each slot; what stands behind them is never seen."""
        self.texts = whole(slots) + 1
        """Phones among them."""
        self.sounds = whole(slots, self.capacity + 2)
        """Their classes."""
        self.reading = whole(slots)
        """The phone that guided attention has come to."""
        self.stayed = whole(slots)
        """For how many tokens it has been there."""
        classes = config.codes + 1
        self.logits = torch.zeros(slots, classes, device=self.device)
        """Of the next token."""
        self.seen = torch.zeros(slots, classes, dtype=torch.bool, device=self.device)
        self.seeds = whole(slots, 2)
        self.tokens = whole(slots, self.capacity + 1)
        self.counts = whole(slots)
        """Tokens made."""
        self.prompts = whole(slots)
        """Tokens of the prompt, before them."""
        self.bounds = whole(slots)
        self.repeats = whole(slots)
        self.done = torch.ones(slots, dtype=torch.bool, device=self.device)
        """Nothing more is made here; also of free slots."""
        self.ended = torch.zeros(slots, dtype=torch.bool, device=self.device)
        """The sentence ended by itself."""
        self._same = whole(slots, _PERIODS)
        self._periods = torch.arange(1, _PERIODS + 1, device=self.device)
        self._place = torch.arange(self.capacity, device=self.device)

    def _empty(self, shape: tuple[int, ...]) -> Tensor:
        """Zeros for a cache."""
        if self.device.type != "cpu":
            return torch.zeros(shape, dtype=self._dtype, device=self.device)
        # Large NumPy arrays get large pages, which are read faster; zeros take none until written.
        if self._dtype == torch.bfloat16:
            return torch.from_numpy(np.zeros(shape, np.uint16)).view(torch.bfloat16)
        return torch.from_numpy(np.zeros(shape, np.float32))

    def fill(self, entries: Sequence[tuple[int, Sentence]]) -> None:
        """Puts sentences into slots, whatever stood there, and computes their first logits."""
        group: list[tuple[int, Sentence]] = []
        rows = 0
        for slot, one in entries:
            length = len(one.phones) + len(one.prompt)
            if group and rows + length > PACKED:
                self._prefill(group)
                group, rows = [], 0
            group.append((slot, one))
            rows += length
        if group:
            self._prefill(group)

    def _prefill(self, entries: Sequence[tuple[int, Sentence]]) -> None:
        """Linear layers see the rows of all sentences at once, attention sees each one's own."""
        pieces: list[Tensor] = []
        bounds = [0]
        for slot, one in entries:
            pieces.append(self._reset(slot, one))
            bounds.append(bounds[-1] + len(pieces[-1]))
        x = torch.cat(pieces)
        biases = {slot: self._ahead(len(one.phones), len(one.prompt)) for slot, one in entries}
        heads = self.config.heads
        ends = torch.tensor(bounds[1:], device=self.device) - 1
        last = len(self._layers) - 1
        for number, layer in enumerate(self._layers):
            qkv = layer.qkv(x).view(len(x), 3, heads, -1)
            found = []
            for (slot, one), start, stop in zip(entries, bounds, bounds[1:], strict=False):
                q, k, v = qkv[start:stop].permute(1, 2, 0, 3)
                self.keys[number][slot, :, : stop - start] = k
                self.values[number][slot, :, : stop - start] = v
                text = len(one.phones)
                if number == self.config.guided_layer and self.config.held and len(one.prompt):
                    near = (k[0, :text] * q[0, -1]).sum(1)
                    self.reading[slot] = near.argmax()
                if number == last:
                    found.append(_seen(q[:, -1:], k, v))
                    continue
                found.append(_seen(q[:, :text], k[:, :text], v[:, :text]))
                if len(one.prompt):
                    found.append(_seen(q[:, text:], k, v, biases[slot].to(q.dtype)))
            if number == last:
                x = x[ends]
            x = layer.after_attention(x, torch.cat(found))
        slots = torch.tensor([slot for slot, _ in entries], device=self.device)
        self.logits[slots] = self._head(x)

    def _ahead(self, text: int, time: int) -> Tensor:
        """Added to the scores of `time` tokens behind `text` phones (time, text + time): a token
        sees what stands before it, and itself."""
        place = self._place[: text + time]
        bias = torch.zeros(time, text + time, device=self.device)
        return bias.masked_fill_(place > place[text:, None], float("-inf"))

    def _reset(self, slot: int, one: Sentence) -> Tensor:
        """A slot's state at the beginning of a sentence -> what S1 sees first (rows, width)."""
        s1, text, time = self.s1, len(one.phones), len(one.prompt)
        phones, prompt = one.phones.to(self.device), one.prompt.to(self.device)
        bert = one.bert.result() if isinstance(one.bert, Future) else one.bert
        bert = None if bert is None else bert.to(self.device)
        self.lengths[slot], self.texts[slot] = text + time, text
        self.sounds[slot, :text] = s1.sound_of[phones]
        self.reading[slot], self.stayed[slot] = 0, 0
        self.seen[slot] = False
        self.seen[slot, prompt] = True
        self.seeds[slot] = torch.tensor(seed_words(one.seed), device=self.device)
        self.counts[slot], self.prompts[slot] = 0, time
        self.bounds[slot], self.repeats[slot] = one.bound, one.repeats
        self.done[slot], self.ended[slot] = False, False
        self._same[slot] = 0
        x = s1.embed_phones(phones[None], bert)[0]
        if not time:
            return x
        return torch.cat([x, s1.embed_tokens(prompt, torch.arange(time, device=self.device))])

    def step(self, rows: Tensor, reach: int) -> None:
        """One token in each slot of `rows` (rows), which hold sentences or are done.

        `reach`, a multiple of `REACH`, covers the longest slot after this step.
        """
        chosen = self._choose(rows)
        self._advance(rows, chosen, reach)

    def _choose(self, rows: Tensor) -> Tensor:
        """Draws tokens and notes them -> (rows)."""
        counts, seeds = self.counts[rows], self.seeds[rows]
        chosen = choose_tokens(
            self.logits[rows],
            self.seen[rows],
            counts,
            lambda classes: exponential(seeds, counts, classes),
            self.sampling,
        )
        running, ended = ~self.done[rows], chosen == self.config.end
        going_on = running & ~ended
        self.seen[rows, chosen] = True
        # Behind `counts` there is room for one that does not count.
        earlier = (counts[:, None] - self._periods).clamp_min(0)
        before = self.tokens[rows[:, None], earlier]
        same = (before == chosen[:, None]) & (self._periods <= counts[:, None])
        same = torch.where(same, self._same[rows] + 1, 0)
        self._same[rows] = same
        self.tokens[rows, counts] = chosen
        counts = counts + going_on
        self.counts[rows] = counts
        over = (same.amax(1) > self.repeats[rows]) | (counts >= self.bounds[rows])
        self.ended[rows] |= running & ended
        self.done[rows] |= ended | over
        return chosen

    def _advance(self, rows: Tensor, chosen: Tensor, reach: int) -> None:
        """Goes on with the chosen tokens: the logits of the next ones."""
        positions = (self.prompts[rows] + self.counts[rows] - 1).clamp_min(0)
        x = self.s1.embed_tokens(chosen, positions)
        held = self.config.held
        first = past = none = rows[:0]
        weights = torch.zeros(len(rows), 0, 0, device=self.device)
        for number, layer in enumerate(self._layers):
            qkv = layer.qkv(x).float().view(len(rows), 3, self.config.heads, -1)
            if held and number == self.config.guided_layer:
                first, past = self._window(rows)
                shape = (len(rows), self.config.guided_heads, reach)
                shares = torch.zeros(shape, device=self.device)
                attended = self._attend(number, rows, qkv, reach, first, past, shares)
                now = self._follow(rows, shares[:, 0], reach)
            else:
                attended = self._attend(number, rows, qkv, reach, none, none, weights)
            x = layer.after_attention(x, attended)
        self.lengths[rows] += (~self.done[rows]).long()
        logits = self._head(x)
        if held:
            logits[:, :-1] += FUSION * torch.log(now @ self.s1.sounds_of_codes.T + RARE)
            early = self.reading[rows] < self.texts[rows] - ENDING
            logits[:, self.config.end].masked_fill_(early, float("-inf"))
        self.logits[rows] = logits

    def _attend(
        self,
        number: int,
        rows: Tensor,
        qkv: Tensor,
        reach: int,
        first: Tensor,
        past: Tensor,
        weights: Tensor,
    ) -> Tensor:
        """model.kernels.attend of a layer -> (rows, width)."""
        keys, values = self.keys[number], self.values[number]
        if self.device.type == "cpu":
            out = torch.empty(len(rows), *qkv.shape[2:])
            attend(
                qkv.numpy(),
                rows.numpy(),
                self.lengths.numpy(),
                _bits(keys),
                _bits(values),
                first.numpy(),
                past.numpy(),
                weights.numpy(),
                out.numpy(),
                (0,) * out.shape[2],
            )
        else:
            out = attend_by_operators(
                qkv, rows, self.lengths, keys, values, first, past, weights, reach
            )
        return out.flatten(1)

    def _window(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The phones that may come next: from the first (rows) up to the second (rows)."""
        here = self.reading[rows]
        following = self.sounds[rows, here + 1]
        furthest = torch.where(following == SILENT, here + 2, here + 1)
        furthest = furthest + self.stayed[rows] // LINGERED
        return here, torch.minimum(furthest + 1, self.texts[rows])

    def _follow(self, rows: Tensor, shares: Tensor, reach: int) -> Tensor:
        """Goes on to the phone with the largest of the shares (rows, reach) -> what sounds now
        (rows, classes)."""
        here, chosen = self.reading[rows], shares.argmax(1)
        self.stayed[rows] = torch.where(chosen == here, self.stayed[rows] + 1, 0)
        self.reading[rows] = chosen
        now = shares.new_zeros(len(rows), len(PHONES))
        return now.scatter_add(1, self.sounds[rows, :reach], shares)


class Recording:
    """Steps of a table's slots on a CUDA device, recorded as one graph for each reach.

    Not run on a GPU yet; what it records is the very code that runs on a CPU.
    """

    def __init__(self, table: SlotTable, rows: Tensor) -> None:
        self._table, self._rows = table, rows
        self._graphs: dict[int, torch.cuda.CUDAGraph | None] = {}
        self._memory = torch.cuda.graph_pool_handle()  # one for all: they never run side by side

    def step(self, _held: list[int], reach: int) -> None:
        """A step of all the slots; at the first one with this reach libraries get ready, at the
        second one it is recorded."""
        if reach not in self._graphs:
            self._graphs[reach] = None
            self._table.step(self._rows, reach)
            return
        graph = self._graphs[reach]
        if graph is None:
            graph = torch.cuda.CUDAGraph()
            with (
                CAPTURING,
                torch.cuda.graph(graph, pool=self._memory, capture_error_mode="thread_local"),
            ):
                self._table.step(self._rows, reach)
            self._graphs[reach] = graph
        graph.replay()


def _seen(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """Attention within a sentence: queries, keys and values (heads, places, depth), and what is
    added to the scores (queries, keys) -> (queries, width)."""
    mask = None if bias is None else bias[None, None]
    found = F.scaled_dot_product_attention(q[None], k[None], v[None], mask)[0]
    return found.transpose(0, 1).flatten(1)


def attend_by_operators(
    qkv: Tensor,
    rows: Tensor,
    lengths: Tensor,
    keys: Tensor,
    values: Tensor,
    first: Tensor,
    past: Tensor,
    weights: Tensor,
    reach: int,
) -> Tensor:
    """`model.kernels.attend` by PyTorch's operators, over the first `reach` places, for devices
    that it is not for. Where `rows` are all slots, they stand in order."""
    q, k, v = qkv.unbind(1)
    new = lengths[rows]
    keys[rows, :, new] = k.to(keys.dtype)
    values[rows, :, new] = v.to(values.dtype)
    place = torch.arange(reach, device=qkv.device)
    seen = (place <= new[:, None])[:, None].repeat(1, qkv.shape[2], 1)
    guided = weights.shape[1]
    if guided:
        window = (place >= first[:, None]) & (place < past[:, None])
        seen[:, :guided] = window[:, None]
    bias = torch.zeros(seen.shape, device=qkv.device).masked_fill(~seen, float("-inf"))
    known, heard = keys[:, :, :reach], values[:, :, :reach]
    if len(rows) < len(keys):
        known, heard = known[rows], heard[rows]
    if guided:
        scores = q[:, :guided, None].float() @ known[:, :guided].float().transpose(2, 3)
        scores = scores[:, :, 0] / math.sqrt(q.shape[2])
        weights.copy_((scores + bias[:, :guided]).softmax(-1))
    return F.scaled_dot_product_attention(
        q[:, :, None].to(known.dtype), known, heard, bias[:, :, None].to(known.dtype)
    )[:, :, 0].to(qkv.dtype)


def _bits(cache: Tensor) -> np.ndarray:
    """A cache for the kernel: NumPy has no bf16."""
    return (cache.view(torch.uint16) if cache.dtype == torch.bfloat16 else cache).numpy()
