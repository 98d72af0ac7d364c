"""Training S2: items keep tokens and mel together; a few steps learn."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.recogniser import Recogniser, RecogniserConfig
from model.s2.synthesizer import S2Config, SynthesizerTrnV3
from model.text import phone_ids
from model.training.acoustic import (
    Item,
    Spoken,
    collate,
    grouped,
    guide_loss,
    load_quantizer,
    losses,
    make_item,
    pad,
)
from model.training.alignment import timed_phones
from model.training.corpus import prepare
from model.training.loop import Compute
from model.training.speech import Speech
from model.training.tokens import Tokeniser, heard

TINY = S2Config(
    ssl_dim=12,
    codebook=80,
    inter_channels=8,
    hidden_channels=16,
    filter_channels=16,
    layers=2,
    mrte_hidden=16,
    mrte_heads=2,
    gin_channels=16,
    reference_bins=100,
    wns1_width=16,
    wns1_layers=1,
    dit_dim=32,
    dit_depth=1,
    dit_heads=2,
    dit_dim_head=16,
    text_dim=16,
    conv_layers=1,
    conv_pos_kernel=3,
    conv_pos_groups=2,
    dropout=0.0,
    dit_dropout=0.0,
)


CPU = Compute(torch.device("cpu"), mixed=False)


@pytest.fixture
def spoken(folder: Path, cats: dict, tmp_path: Path) -> Spoken:
    """A clip whose tokens are numbered; word n of it is a tone of 400 * (n + 1) Hz."""
    corpus, _ = prepare(folder, tmp_path / "cache")
    clip = corpus.clips[0]
    tokens = np.arange(corpus.samples(clip) // 960, dtype=np.int16)
    return Spoken(corpus, clip, tokens, Speech(tuple(timed_phones(cats)), True))


def test_mel_is_that_of_the_tokens(spoken: Spoken, cats: dict) -> None:
    phones = [p for p in timed_phones(cats) if p.word >= 0]
    draw = np.random.default_rng(0)
    starts = set()
    for _ in range(40):
        item = make_item(spoken, draw)
        start = item.tokens[0] / 25
        starts.add(float(start))
        assert item.mel.shape[0] == item.reference.shape[0] == 100
        assert item.mel.shape[1] == pytest.approx(len(item.tokens) * 3.75, abs=3)
        # The tone of the mel's middle is the word that its tokens say.
        frame = item.mel.shape[1] // 2
        middle = start + (frame + 0.5) * 256 / 24_000
        word = [p.word for p in phones if p.start + 0.02 < middle < p.end - 0.02]
        if word:
            band = float(item.mel[:, frame].argmax())
            hertz = 400 * (word[0] + 1)
            mel = hertz * 3 / 200 if hertz < 1000 else 15 + np.log(hertz / 1000) * 27 / np.log(6.4)
            assert band == pytest.approx(mel / 51.15 * 101 - 1, abs=1.5)
    assert len(starts) > 3, "nothing was cut"


def test_what_is_not_known_is_left_out(spoken: Spoken) -> None:
    draw = np.random.default_rng(0)
    silent = replace(spoken, speech=None)
    for _ in range(5):
        item = make_item(silent, draw)
        assert item.phones == phone_ids(["UNK"])
        assert (item.spoken == -1).all()
    untimed = replace(spoken, speech=Speech(spoken.speech.phones, False))  # type: ignore[union-attr]
    items = [make_item(untimed, draw) for _ in range(60)]
    assert {len(item.phones) for item in items} == {1, len(untimed.speech.phones)}  # type: ignore[union-attr]
    assert all((item.spoken == -1).all() for item in items)


def test_guesses_stand_for_tokens_at_their_places(spoken: Spoken) -> None:
    draw = np.random.default_rng(0)
    guessing = replace(spoken, guesses=spoken.tokens + 1000)
    items = [make_item(guessing, draw, 0.5) for _ in range(60)]
    shares = [np.mean(item.tokens >= 1000) for item in items]
    assert 15 < sum(share > 0 for share in shares) < 45
    assert max(shares) > 0.7
    for item in items:
        assert np.array_equal(np.diff(item.tokens % 1000), np.ones(len(item.tokens) - 1))
    assert not any((make_item(guessing, draw).tokens >= 1000).any() for _ in range(5))


def test_groups_keep_to_their_seconds(spoken: Spoken) -> None:
    draw = np.random.default_rng(0)
    items = [make_item(spoken, draw) for _ in range(20)]
    groups = grouped(items, 4.0)
    assert sum(len(group) for group in groups) == 20
    for group in groups:
        assert len(group) == 1 or len(group) * max(len(i.tokens) for i in group) <= 4.0 * 25


def test_pad() -> None:
    padded, lengths = pad([torch.ones(2, 3), torch.ones(2, 5)])
    assert padded.shape == (2, 2, 5)
    assert lengths.tolist() == [3, 5]
    assert padded[0].sum() == 6
    numbers, _ = pad([torch.tensor([1, 2]), torch.tensor([3])], value=9)
    assert numbers.tolist() == [[1, 2], [3, 9]]


@pytest.fixture
def tokeniser() -> Tokeniser:
    torch.manual_seed(0)
    recogniser = Recogniser(RecogniserConfig(width=12, heads=2, layers=1, head_width=8))
    return Tokeniser(recogniser, torch.randn(12, 12, 2), torch.randn(12), torch.randn(80, 12))


def test_quantizer_moves_into_s2(tokeniser: Tokeniser) -> None:
    model = SynthesizerTrnV3(TINY)
    load_quantizer(model, tokeniser)
    audio = np.random.default_rng(0).normal(0, 0.1, 24_000).astype(np.float32)
    (features,) = heard(tokeniser.recogniser, audio)
    codes = model.extract_codes(features[None])[0]
    assert np.array_equal(tokeniser.tokens(audio), codes.numpy())
    assert not any(p.requires_grad for p in model.ssl_proj.parameters())


def test_long_sound_is_heard_in_pieces(tokeniser: Tokeniser) -> None:
    audio = np.random.default_rng(0).normal(0, 0.1, 24_000 * 25).astype(np.float32)
    tokens = tokeniser.tokens(audio)
    assert len(tokens) == 25 * 25
    # 24 s at a time; the resampler looks a little over the seam
    assert np.array_equal(tokens[-23:], tokeniser.tokens(audio[24_000 * 24 :])[-23:])


def test_a_few_steps_learn(tokeniser: Tokeniser) -> None:
    torch.manual_seed(0)
    model = SynthesizerTrnV3(TINY)
    load_quantizer(model, tokeniser)
    items = [
        Item(
            phone_ids(["K", "AE1", "T", "."]),
            np.arange(size, dtype=np.int16),
            np.arange(2 * size) * 3 // (2 * size),
            torch.full((100, int(size * 3.75)), -0.5),
            torch.randn(100, 50),
        )
        for size in (20, 12)
    ]
    batch = collate(items)
    optimiser = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=5e-3)
    found = []
    head = torch.nn.Conv1d(16, 732, 1)
    for _ in range(8):
        made = losses(model, head, batch, torch.Generator().manual_seed(0), 60, CPU)
        assert made.phone.item() == pytest.approx(made.head.item())
        optimiser.zero_grad()
        (made.flow + made.rough + made.guide + made.phone).backward()
        optimiser.step()
        found.append([loss.item() for loss in (made.flow, made.rough, made.guide, made.phone)])
    assert found[-1][0] < 0.95 * found[0][0]
    assert found[-1][1] < 0.8 * found[0][1]
    assert found[-1][2] < 0.8 * found[0][2]
    assert found[-1][3] < found[0][3], "with a classifier that does not learn"


def test_items_know_what_is_spoken(spoken: Spoken, cats: dict) -> None:
    draw = np.random.default_rng(0)
    item = make_item(spoken, draw)
    # whole, and not one of the tenth that goes without its phones
    while len(item.tokens) < len(spoken.tokens) or (item.spoken < 0).any():
        item = make_item(spoken, draw)
    assert len(item.spoken) == 2 * len(item.tokens)
    assert (np.diff(item.spoken) >= 0).all()
    for number, phone in enumerate(timed_phones(cats)):
        frame = int((phone.start + phone.end) / 2 * 50)
        if phone.word >= 0:
            assert abs(item.spoken[frame] - number) <= 1


def test_guide_counts_what_is_known_only() -> None:
    weights = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.2, 0.8]]).log()
    both = weights.expand(2, 3, 4, 2)
    spoken = torch.tensor([[-1, -1, -1, -1], [0, 0, 1, 1]])
    assert guide_loss(both[:1], spoken[:1]) == 0
    expected = -(math.log(0.9) + math.log(0.8)) / 2
    assert guide_loss(both, spoken).item() == pytest.approx(expected)
