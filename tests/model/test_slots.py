"""S1's table of slots: it agrees with the plain forward pass, and attention keeps to the text."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch

from model.kernels import attend
from model.linear import Precision
from model.recogniser import PHONES
from model.s1 import ENDING, FUSION, LINGERED, RARE, S1Config, Text2SemanticDecoder
from model.sampling import SHORTEST, Sampling
from model.slots import PACKED, Sentence, SlotTable, attend_by_operators
from model.text import phone_ids
from model.text.symbols import SYMBOLS

GREEDY = Sampling(top_k=1, temperature=1.0)
NOTHING = torch.zeros(0, dtype=torch.long)


def network(held: bool, codes: int = 32) -> Text2SemanticDecoder:
    guided = {"guided_layer": 1, "guided_heads": 1} if held else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = Text2SemanticDecoder(
            S1Config(width=32, heads=2, layers=3, codes=codes, bert=4, **guided)
        )
        if held:
            made.sounds_of_codes.copy_(torch.rand(codes, len(PHONES)))
        made.bert_proj.bias.data.normal_()
    return made.eval().requires_grad_(False)


def history(table: SlotTable, slot: int) -> torch.Tensor:
    return table.tokens[slot, : table.counts[slot]]


@pytest.mark.parametrize(
    ("precision", "error"), [("f32", 1e-5), ("bf16", 0.1), ("int8", 0.1)], ids=str
)
def test_logits_are_those_of_the_forward_pass(precision: Precision, error: float) -> None:
    s1 = network(held=False)
    draw = torch.Generator().manual_seed(3)
    entries = []
    for slot, (phones, prompt) in enumerate([(6, 0), (40, 1), (1, 4), (9, 70)]):
        ids = torch.randint(0, 700, (phones,), generator=draw)
        tokens = torch.randint(0, 32, (prompt,), generator=draw)
        entries.append((3 - slot, Sentence(ids, tokens, slot, 30, 99)))
    table = SlotTable(s1, 5, 120, Sampling(top_k=5, temperature=1.0), precision)
    for cache in table.keys + table.values:
        cache.normal_()  # left by another sentence
    table.fill(entries)
    rows = torch.arange(4)
    for _ in range(20):
        for slot, one in entries:
            if table.done[slot]:
                continue
            tokens = torch.cat([one.prompt, history(table, slot)])
            lengths = torch.tensor([len(one.phones)]), torch.tensor([len(tokens)])
            expected, _ = s1(one.phones[None], lengths[0], tokens[None], lengths[1])
            assert (table.logits[slot] - expected[0, -1]).abs().max() < error
        table.step(rows, 128)
    assert table.counts[:4].min() >= SHORTEST


def test_a_prefill_of_many_is_that_of_each() -> None:
    s1 = network(held=True)
    draw = torch.Generator().manual_seed(3)
    many = [
        Sentence(
            torch.randint(0, 700, (PACKED // 5 + n,), generator=draw),
            torch.randint(0, 32, (3 * (n % 3),), generator=draw),
            n,
            30,
            99,
        )
        for n in range(7)
    ]
    together = SlotTable(s1, 7, 300, GREEDY)
    together.fill(list(enumerate(many)))
    for slot, one in enumerate(many):
        table = SlotTable(s1, 1, 300, GREEDY)
        table.fill([(0, one)])
        length = len(one.phones) + len(one.prompt)
        assert torch.equal(table.logits[0], together.logits[slot])
        assert table.reading[0] == together.reading[slot]
        for mine, theirs in zip(table.keys, together.keys, strict=True):
            assert torch.equal(mine[0, :, :length], theirs[slot, :, :length])


def test_held_attention_reads_on_phone_by_phone_and_ends_with_the_text() -> None:
    held = network(held=True)
    sounds = [symbol for symbol in SYMBOLS["v2"] if symbol in PHONES][:18]
    phones = torch.tensor(phone_ids([*sounds[:9], ",", *sounds[9:], "."]))
    table = SlotTable(held, 2, 128, GREEDY)
    table.fill([(0, Sentence(phones, NOTHING, 0, 90, 90))])
    places, stays = [0], [0]
    while not table.done[0]:
        table.step(torch.tensor([0]), 128)
        places.append(int(table.reading[0]))
        stays.append(int(table.stayed[0]))
        may_end = bool(torch.isfinite(table.logits[0, held.config.end]))
        assert may_end == (places[-1] >= len(phones) - ENDING)
        assert torch.isfinite(table.logits[0, :-1]).all()
    over_marks = {8: 10, 18: 20}
    passed = 0
    for (before, after), stayed in zip(pairwise(places), stays, strict=False):
        assert after - before >= 0
        assert after <= max(before + 1, over_marks.get(before, 0)) + stayed // LINGERED
        passed += after != before
    assert passed > 3


def test_tokens_that_sound_like_the_phone_are_likelier() -> None:
    held = network(held=True)
    phones = torch.tensor(phone_ids(["S", "IY1", "."]))
    chances = []
    for sound in ("S", "AA"):
        one = copy.deepcopy(held)
        one.sounds_of_codes.zero_()
        one.sounds_of_codes[5, PHONES.index(sound)] = 1.0
        table = SlotTable(one, 1, 64, GREEDY)
        table.fill([(0, Sentence(phones, NOTHING, 0, 30, 30))])
        table.texts[0] = 1  # only the first phone may be said
        table.step(torch.tensor([0]), 64)
        chances.append(table.logits[0, 5] - table.logits[0, 6])
    assert chances[0] - chances[1] == pytest.approx(FUSION * np.log(1.01 / RARE), abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("guided", [0, 2])
def test_the_kernel_is_what_operators_compute(dtype: torch.dtype, guided: int) -> None:
    """And so the path of devices that the kernel is not for is tested, too."""
    draw = torch.Generator().manual_seed(0)
    qkv = torch.randn(3, 3, 4, 16, generator=draw)
    rows, lengths = torch.tensor([4, 0, 2]), torch.tensor([0, 9, 37, 9, 63])
    first, past = torch.tensor([3, 0, 5]), torch.tensor([4, 1, 12])
    made = []
    for by_kernel in (True, False):
        draw.manual_seed(1)
        keys = torch.randn(5, 4, 64, 16, generator=draw).to(dtype)
        values = torch.randn(5, 4, 64, 16, generator=draw).to(dtype)
        weights = torch.zeros(3, guided, 64)
        out = torch.empty(3, 4, 16)
        if by_kernel:
            stored = [
                c.view(torch.uint16) if dtype == torch.bfloat16 else c for c in (keys, values)
            ]
            arrays = (qkv, rows, lengths, *stored, first, past, weights, out)
            attend(*(array.numpy() for array in arrays), (0,) * 16)
        else:
            out = attend_by_operators(qkv, rows, lengths, keys, values, first, past, weights, 64)
        made.append((out, weights, keys, values))
    error = 1e-5 if dtype == torch.float32 else 0.05
    for mine, theirs in zip(made[0][:2], made[1][:2], strict=True):
        assert torch.allclose(mine, theirs, atol=error)
    for mine, theirs in zip(made[0][2:], made[1][2:], strict=True):
        assert torch.equal(mine, theirs)
