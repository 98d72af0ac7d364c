"""Training S1: cut, join and collate keep tokens and phones together; a few steps learn."""

import numpy as np
import pytest
import torch

from model.s1 import S1Config, Text2SemanticDecoder
from model.text import phone_ids
from model.training.alignment import MARKS, timed_phones
from model.training.recogniser import CODES
from model.training.semantic import (
    CONFIG,
    TOKENS_PER_SECOND,
    Example,
    batches,
    collate,
    cut,
    join,
    losses,
)


@pytest.fixture
def example(cats: dict) -> Example:
    """Every token is its own number, so that it says when it is spoken."""
    seconds = sum(cats["dur"]) * 0.025
    return Example(tuple(timed_phones(cats)), np.arange(int(seconds * 25), dtype=np.int16), False)


def test_cut_keeps_tokens_and_phones_together(example: Example) -> None:
    draw = np.random.default_rng(0)
    words = sorted({p.word for p in example.phones if p.word >= 0})
    starts = {w: min(p.start for p in example.phones if p.word == w) for w in words}
    lengths = set()
    for _ in range(100):
        piece = cut(example, draw)
        kept = [w for w in words if any(p.word == w for p in piece.phones)]
        lengths.add(len(kept))
        assert len(kept) >= 3
        assert kept == words[words.index(kept[0]) : words.index(kept[0]) + len(kept)]
        begin = 0.0 if kept[0] == words[0] else starts[kept[0]]
        spoken = [p for p in example.phones if p.word in kept]
        moved = [p for p in piece.phones if p.word >= 0]
        for old, new in zip(spoken, moved, strict=True):
            assert (old.phone, old.word) == (new.phone, new.word)
            assert new.start == pytest.approx(old.start - begin)
        assert piece.tokens[0] == round(begin * TOKENS_PER_SECOND)
        assert np.array_equal(np.diff(piece.tokens), np.ones(len(piece.tokens) - 1))
        if kept[-1] == words[-1]:
            assert piece.tokens[-1] == example.tokens[-1]
            assert piece.phones[-1].phone == "."
        else:
            assert piece.tokens[-1] + 1 == round((begin + piece.phones[-1].end) * TOKENS_PER_SECOND)
            # The comma's pause belongs to the word before it.
            assert (piece.phones[-1].phone in MARKS) == (kept[-1] == words[3])
    assert lengths == {3, 4, 5, 6, 7, 8}


def test_short_sentences_stay_whole(example: Example) -> None:
    short = Example(example.phones[:12], example.tokens, False)
    assert cut(short, np.random.default_rng(0)) is short


def test_join_follows_on(example: Example) -> None:
    both = join(example, example)
    assert len(both.tokens) == 2 * len(example.tokens)
    count = len(example.phones)
    shift = len(example.tokens) / TOKENS_PER_SECOND
    assert both.phones[count].start == pytest.approx(example.phones[0].start + shift)
    words = [p.word for p in both.phones if p.word >= 0]
    assert words == sorted(words)
    assert len(set(words)) == 16


def test_collate_pads(example: Example) -> None:
    short = Example(example.phones[:4], example.tokens[:10], False)
    batch = collate([example, short])
    assert batch.phone_lengths.tolist() == [len(example.phones), 4]
    assert batch.token_lengths.tolist() == [len(example.tokens), 10]
    assert batch.phones[1, :4].tolist() == phone_ids(["K", "AE1", "T", "K"])
    assert not batch.phones[1, 4:].any()
    assert batch.tokens[1, :10].tolist() == list(range(10))
    assert (batch.tokens[1, 10:] == CONFIG.end).all()
    # The first pad (0.1 s) belongs to the first phone too, which ends at 0.175 s.
    assert batch.spoken[1, :6].tolist() == [0, 0, 0, 0, 1, 1]
    assert batch.spoken[1, 10] == 3
    assert (batch.spoken[1, 11:] == -100).all()
    assert (batch.spoken[0].diff() >= 0).all()


def test_batches_hold_only_usable_lengths(example: Example) -> None:
    source = batches([example] * 4, size=4, seed=0)
    for _ in range(12):
        batch = next(source)
        assert (batch.token_lengths >= 6).all()
        assert (batch.token_lengths <= 400).all()
        assert batch.tokens.shape[1] == batch.token_lengths.max()


def test_a_few_steps_learn(example: Example) -> None:
    torch.manual_seed(0)
    model = Text2SemanticDecoder(S1Config(width=32, heads=2, layers=3, codes=CODES, bert=4))
    batch = collate([example, Example(example.phones[:4], example.tokens[:10], False)])
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    found = []
    for _ in range(15):
        loss, guide, right = losses(model, batch)
        optimiser.zero_grad()
        (loss + guide).backward()
        optimiser.step()
        found.append((loss.item(), guide.item()))
        assert 0 <= right <= 1
    assert found[-1][0] < 0.7 * found[0][0]
    assert found[-1][1] < 0.7 * found[0][1]
