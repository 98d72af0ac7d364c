"""Training S2: items keep tokens and mel together; a few steps learn."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from model.s2.synthesizer import S2Config, SynthesizerTrnV3
from model.text import phone_ids
from model.training.acoustic import (
    Item,
    Source,
    batches,
    guide_loss,
    load_quantizer,
    losses,
    pad,
)
from model.training.alignment import timed_phones
from model.training.recogniser import Quantizer

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


@pytest.fixture
def source(cats: dict, tmp_path: Path) -> Source:
    """Two timed clips and two untimed ones. Word n of a timed one is a tone of 400 * (n + 1) Hz."""
    samples = int(sum(cats["dur"]) * 0.025 * 24_000)
    time = np.arange(samples) / 24_000
    audio = np.zeros(samples)
    for item in timed_phones(cats):
        if item.word >= 0:
            inside = (time >= item.start) & (time < item.end)
            audio[inside] = 0.3 * np.sin(2 * np.pi * 400 * (item.word + 1) * time[inside])
    pcm = (audio * 32767).astype(np.int16)
    tokens = np.arange(samples // 960)
    for name in ("timed", "untimed"):
        (tmp_path / name).mkdir()
        np.concatenate([pcm, pcm]).tofile(tmp_path / name / "audio.i16")
        clips = [
            {"id": str(i), "offset": i * samples, "samples": samples, "rate": 1.0, "book": "b"}
            for i in range(2)
        ]
        lines = [json.dumps({**clip, "row": cats}) for clip in clips]
        (tmp_path / name / "index.jsonl").write_text("\n".join(lines))
    arrays = {"tokens": np.tile(tokens, 4).astype(np.int16), "lengths": [len(tokens)] * 4}
    np.savez(tmp_path / "tokens.npz", **arrays)
    return Source([tmp_path / "timed", tmp_path / "untimed"], tmp_path, seed=0)


def test_mel_is_that_of_the_tokens(source: Source, cats: dict) -> None:
    spoken = [p for p in timed_phones(cats) if p.word >= 0]
    starts = set()
    for _ in range(40):
        item = source.item()
        start = item.tokens[0] / 25
        starts.add(float(start))
        assert item.mel.shape[0] == item.reference.shape[0] == 100
        assert item.mel.shape[1] == pytest.approx(len(item.tokens) * 3.75, abs=3)
        # The tone of the mel's middle is the word that its tokens say.
        frame = item.mel.shape[1] // 2
        middle = start + (frame + 0.5) * 256 / 24_000
        word = [p.word for p in spoken if p.start + 0.02 < middle < p.end - 0.02]
        if word:
            band = float(item.mel[:, frame].argmax())
            hertz = 400 * (word[0] + 1)
            mel = hertz * 3 / 200 if hertz < 1000 else 15 + np.log(hertz / 1000) * 27 / np.log(6.4)
            assert band == pytest.approx(mel / 51.15 * 101 - 1, abs=1.5)
    assert len(starts) > 3, "nothing was cut"


def test_batches_keep_to_their_seconds(source: Source) -> None:
    stream = batches(source, 4.0)
    for _ in range(6):
        items = next(stream)
        assert len(items) == 1 or sum(len(i.tokens) for i in items) <= 4.0 * 25


def test_pad() -> None:
    padded, lengths = pad([torch.ones(2, 3), torch.ones(2, 5)])
    assert padded.shape == (2, 2, 5)
    assert lengths.tolist() == [3, 5]
    assert padded[0].sum() == 6
    numbers, _ = pad([torch.tensor([1, 2]), torch.tensor([3])], value=9)
    assert numbers.tolist() == [[1, 2], [3, 9]]


def test_quantizer_moves_into_s2() -> None:
    torch.manual_seed(0)
    model, quantizer = SynthesizerTrnV3(TINY), Quantizer(12, 80).eval()
    load_quantizer(model, quantizer.state_dict())
    features = torch.randn(2, 12, 31)
    assert torch.equal(model.extract_codes(features), quantizer.encode(features))
    assert not any(p.requires_grad for p in model.ssl_proj.parameters())


def test_a_few_steps_learn() -> None:
    torch.manual_seed(0)
    model = SynthesizerTrnV3(TINY)
    load_quantizer(model, Quantizer(12, 80).state_dict())
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
    optimiser = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=5e-3)
    found = []
    head = torch.nn.Conv1d(16, 732, 1)
    for _ in range(8):
        made = losses(model, head, items, torch.Generator().manual_seed(0), window=60)
        assert made.phone.item() == pytest.approx(made.head.item())
        optimiser.zero_grad()
        (made.flow + made.rough + made.guide + made.phone).backward()
        optimiser.step()
        found.append([loss.item() for loss in (made.flow, made.rough, made.guide, made.phone)])
    assert found[-1][0] < 0.95 * found[0][0]
    assert found[-1][1] < 0.8 * found[0][1]
    assert found[-1][2] < 0.8 * found[0][2]
    assert found[-1][3] < found[0][3], "with a classifier that does not learn"


def test_items_know_what_is_spoken(source: Source, cats: dict) -> None:
    example = source.examples[0][1]
    item = source.timed_item(source.timed.audio(0), example, whole=True)
    while (item.spoken < 0).any():  # a tenth of the items go without their phones
        item = source.timed_item(source.timed.audio(0), example, whole=True)
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
