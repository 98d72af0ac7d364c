"""Training S1: cut, join and collate keep tokens and phones together; padding changes nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.s1 import S1Config, Text2SemanticDecoder
from model.s1_losses import targets
from model.text import phone_ids
from model.training.alignment import MARKS, timed_phones
from model.training.corpus import prepare
from model.training.semantic import (
    TOKENS_PER_SECOND,
    Example,
    collate,
    cut,
    grouped,
    join,
    losses,
    rejected,
    stored_guesses,
    with_guesses,
)
from model.training.speech import Speech

CODES = 96
TINY = S1Config(width=32, heads=2, layers=3, codes=CODES, bert=4)
GUIDED = (2, 1)


@pytest.fixture
def example(cats: dict) -> Example:
    """Every token is its own number, so that it says when it is spoken."""
    seconds = sum(cats["dur"]) * 0.025
    return Example(tuple(timed_phones(cats)), np.arange(int(seconds * 25), dtype=np.int16))


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


def test_what_is_short_or_without_times_stays_whole(example: Example) -> None:
    for whole in (replace(example, phones=example.phones[:12]), replace(example, timed=False)):
        assert cut(whole, np.random.default_rng(0)) is whole


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
    short = Example(example.phones[:4], example.tokens[:10])
    untimed = replace(short, timed=False, bert=torch.ones(4, 4))
    batch = collate([example, short, untimed], CODES)
    assert batch.phone_lengths.tolist() == [len(example.phones), 4, 4]
    assert batch.token_lengths.tolist() == [len(example.tokens), 10, 10]
    assert batch.phones[1, :4].tolist() == phone_ids(["K", "AE1", "T", "K"])
    assert not batch.phones[1, 4:].any()
    assert batch.tokens[1, :10].tolist() == list(range(10))
    assert (batch.tokens[1, 10:] == CODES).all()
    # The first pad (0.1 s) belongs to the first phone too, which ends at 0.175 s.
    assert batch.spoken[1, :6].tolist() == [0, 0, 0, 0, 1, 1]
    assert batch.spoken[1, 10] == 3
    assert (batch.spoken[1, 11:] == -100).all()
    assert (batch.spoken[0].diff() >= 0).all()
    assert (batch.spoken[2] == -100).all()
    assert batch.bert is not None
    assert batch.bert.sum(dim=(1, 2)).tolist() == [0, 0, 16]
    wanted = targets(batch.tokens, batch.token_lengths, CODES)
    assert wanted[1].tolist() == [*range(10), CODES, *[-100] * (len(example.tokens) - 10)]


def test_groups_are_of_similar_length(example: Example) -> None:
    pool = [replace(example, tokens=np.zeros(n, np.int16)) for n in range(10, 400, 10)]
    groups = grouped(pool, 4)
    assert [example for group in groups for example in group] == pool
    for group in groups:
        longest = max(len(e.tokens) + len(e.phones) for e in group)
        assert len(group) == 1 or len(group) * longest <= 4 * 200


def gradients(model: Text2SemanticDecoder, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    found = {name: p.grad for name, p in model.named_parameters()}
    return {name: grad.clone() for name, grad in found.items() if grad is not None}


def test_padding_changes_no_loss_and_no_gradient(example: Example) -> None:
    """Rows of several lengths together, with BERT features and guided heads: what a padded row
    adds to the losses and to all gradients is what it gives alone, in double precision; and what
    stands in the padding does not matter in the least."""
    torch.manual_seed(0)
    model = Text2SemanticDecoder(TINY).double()
    rows = [
        example,
        Example(example.phones[:4], example.tokens[:10], bert=torch.randn(4, 4).double()),
        Example(example.phones[5:12], example.tokens[20:27], timed=False),
    ]
    together = collate(rows, CODES)
    assert together.bert is not None
    together = replace(together, bert=together.bert.double())
    found = losses(model, together, GUIDED)
    sums = gradients(model, found.entropy + 0.3 * found.guide)
    alone: dict[str, torch.Tensor] = {}
    entropy = guide = 0.0
    counts = np.zeros(3)
    for row in rows:
        single = collate([row], CODES)
        if single.bert is None:  # the others have none, which is the same as zeros
            single = replace(single, bert=torch.zeros(1, 4, len(row.phones)))
        own = losses(model, replace(single, bert=single.bert.double()), GUIDED)  # type: ignore[union-attr]
        entropy, guide = entropy + own.entropy.item(), guide + own.guide.item()
        counts += [own.count.item(), own.known.item(), own.right.item()]
        for name, grad in gradients(model, own.entropy + 0.3 * own.guide).items():
            alone[name] = alone[name] + grad if name in alone else grad
    # logits go through float32 before the cross entropy
    assert found.entropy.item() == pytest.approx(entropy, rel=1e-6)
    assert found.guide.item() == pytest.approx(guide, rel=1e-6)
    assert [found.count.item(), found.known.item(), found.right.item()] == counts.tolist()
    assert sums.keys() == alone.keys()
    for name, grad in alone.items():
        assert torch.allclose(sums[name], grad, rtol=1e-5, atol=1e-6), name

    other = replace(
        together,
        phones=torch.where(
            torch.arange(together.phones.shape[1]) < together.phone_lengths[:, None],
            together.phones,
            7,
        ),
        tokens=torch.where(
            torch.arange(together.tokens.shape[1]) < together.token_lengths[:, None],
            together.tokens,
            5,
        ),
    )
    assert not torch.equal(other.tokens, together.tokens)
    again = losses(model, other, GUIDED)
    assert torch.equal(again.entropy, found.entropy)
    assert torch.equal(again.guide, found.guide)
    for name, grad in gradients(model, again.entropy + 0.3 * again.guide).items():
        # the padding's own embeddings are looked up, but nothing flows back into them
        assert torch.equal(grad, sums[name]), name


def test_rejected_have_the_same_text(example: Example) -> None:
    batch = collate([example, Example(example.phones[:4], example.tokens[:10])], CODES)
    made = rejected(batch, CODES, torch.Generator().manual_seed(0))
    assert torch.equal(made.phones, batch.phones)
    assert (made.token_lengths != batch.token_lengths).all()
    for tokens, length in zip(made.tokens, made.token_lengths, strict=True):
        assert (tokens[:length] < CODES).all()
        assert (tokens[length:] == CODES).all()
    assert (made.spoken == -100).all()


def test_a_few_steps_learn(example: Example) -> None:
    torch.manual_seed(0)
    model = Text2SemanticDecoder(TINY)
    batch = collate([example, Example(example.phones[:4], example.tokens[:10])], CODES)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    found = []
    for _ in range(15):
        made = losses(model, batch, GUIDED)
        optimiser.zero_grad()
        ((made.entropy + made.guide) / 100).backward()
        optimiser.step()
        found.append((made.entropy.item(), made.guide.item()))
    assert found[-1][0] < 0.7 * found[0][0]
    assert found[-1][1] < 0.7 * found[0][1]


def test_guesses_of_a_corpus_are_those_of_teacher_forcing(
    folder: Path, cats: dict, tmp_path: Path, example: Example
) -> None:
    corpus, _ = prepare(folder, tmp_path / "cache")
    clip = corpus.clips[0]
    torch.manual_seed(0)
    s1 = Text2SemanticDecoder(TINY).eval()
    speech = {clip.index: Speech(example.phones, True)}
    tokens = {one.index: example.tokens for one in corpus.clips}
    heard: list[int] = []

    def made() -> dict[int, np.ndarray]:
        return stored_guesses(
            s1, "x", corpus, tokens, speech, lambda _, done, __: heard.append(done)
        )

    guesses = made()
    assert list(guesses) == [clip.index]
    batch = collate([example], CODES)
    logits, _ = s1(batch.phones, batch.phone_lengths, batch.tokens, batch.token_lengths)
    assert guesses[clip.index].tolist() == logits[0, :-1, :-1].argmax(1).tolist()
    heard.clear()
    assert np.array_equal(made()[clip.index], guesses[clip.index])
    assert not heard


def test_guesses_replace_a_share_of_the_given_tokens_in_half_of_the_rows(example: Example) -> None:
    batch = collate([example] * 64, CODES)
    rows, time = batch.tokens.shape
    logits = torch.full((rows, time + 1, CODES + 1), -30.0)
    logits[..., CODES] = 30.0  # the end is never given
    logits[..., 7] = 0.0

    def made() -> torch.Tensor:
        return with_guesses(logits, batch, 0.5, torch.Generator().manual_seed(0))

    given = made()
    assert torch.equal(given, made())
    changed = given != batch.tokens
    assert (given[changed] == 7).all()
    shares = changed.float().mean(1)
    assert 16 < (shares == 0).sum() < 48
    assert shares.max() < 0.6
    assert shares.max() > 0.3
