"""Trains what sits on the recogniser's features: the semantic quantizer and the phone classifier.

    python -m model.training.recogniser features --whisper model.bin --data PREPARED... --out DIR
    python -m model.training.recogniser train --out DIR --minutes 8
    python -m model.training.recogniser tokens --out DIR

The encoder stays as Whisper left it. The quantizer learns under a phone loss (straight-through,
codes that nobody uses are drawn anew), so that a token says what is spoken, and under a small
feature loss, so that it says a little of how.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import soxr
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.recogniser import PHONES, SAMPLE_RATE, PhoneHead, Recogniser, RecogniserConfig
from model.training import corpus as corpora
from model.training.alignment import frame_labels, timed_phones
from model.training.loop import Run, averaged_weights
from model.training.whisper import encoder_state

WIDTH = RecogniserConfig().width
CODES = 512


class Features:
    """Recogniser features: `array(i)` is float16 (frames, width) of clip i over all corpora."""

    def __init__(self, out: Path) -> None:
        with (out / "features.jsonl").open(encoding="utf-8") as lines:
            self.entries = [json.loads(line) for line in lines]
        self._data = np.memmap(out / "features.f16", dtype=np.float16, mode="r").reshape(-1, WIDTH)

    def array(self, index: int) -> np.ndarray:
        entry = self.entries[index]
        return self._data[entry["offset"] : entry["offset"] + entry["frames"]]


class Quantizer(nn.Module):
    """Features (batch, width, frames) -> codes at half the rate.

    The codebook follows its vectors' running means (A. van den Oord et al., VQ-VAE, 2017).
    `project` and `embed` become S2's `ssl_proj` and codebook.
    """

    embed: Tensor
    sizes: Tensor
    sums: Tensor

    def __init__(self, width: int = WIDTH, codes: int = CODES) -> None:
        super().__init__()
        self.project = nn.Conv1d(width, width, 2, stride=2)
        self.phones = PhoneHead(width, 256)
        self.rebuild = nn.Conv1d(width, width, 3, padding=1)
        self.register_buffer("embed", torch.randn(codes, width))
        self.register_buffer("sizes", torch.ones(codes))
        self.register_buffer("sums", torch.randn(codes, width))

    def encode(self, features: Tensor) -> Tensor:
        """(batch, width, frames) -> (batch, frames // 2) nearest codes."""
        return self._nearest(self.project(features).transpose(1, 2))

    def _nearest(self, vectors: Tensor) -> Tensor:
        distance = self.embed.square().sum(1) - 2 * vectors @ self.embed.T
        return distance.argmin(-1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """-> phone logits (batch, phones, frames), rebuilt features, commitment loss, codes."""
        vectors = self.project(features).transpose(1, 2).float()
        codes = self._nearest(vectors.detach())
        chosen = F.embedding(codes, self.embed)
        commitment = F.mse_loss(vectors, chosen)
        passed = vectors + (chosen - vectors).detach()
        doubled = passed.transpose(1, 2).repeat_interleave(2, dim=2)
        if self.training:
            self._follow(vectors.detach().flatten(0, 1), codes.flatten())
        return self.phones(doubled), self.rebuild(doubled), commitment, codes

    @torch.no_grad()
    def _follow(self, vectors: Tensor, codes: Tensor, keep: float = 0.99) -> None:
        counts = torch.bincount(codes, minlength=len(self.sizes)).float()
        totals = torch.zeros_like(self.sums).index_add_(0, codes, vectors)
        self.sizes.mul_(keep).add_(counts, alpha=1 - keep)
        self.sums.mul_(keep).add_(totals, alpha=1 - keep)
        idle = self.sizes < 0.2
        if idle.any():
            drawn = vectors[torch.randint(len(vectors), (int(idle.sum()),))]
            self.sums[idle], self.sizes[idle] = drawn, 1.0
        self.embed.copy_(self.sums / self.sizes[:, None])


def extract(whisper: Path, data: list[Path], out: Path) -> None:
    """Writes every clip's standardised features; mean and deviation come from about 300 clips."""
    out.mkdir(parents=True, exist_ok=True)
    recogniser = Recogniser()
    recogniser.load_state_dict(encoder_state(whisper), strict=False)
    recogniser.eval()

    def features(audio: np.ndarray) -> np.ndarray:
        low = soxr.resample(audio, corpora.SAMPLE_RATE, SAMPLE_RATE).astype(np.float32)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            return recogniser.features(torch.from_numpy(low)[None])[0].T.float().numpy()

    sets = [corpora.Corpus(folder) for folder in data]
    sample = np.concatenate(
        [features(sets[0].audio(i)) for i in range(0, len(sets[0]), max(1, len(sets[0]) // 300))]
    )
    recogniser.mean.copy_(torch.from_numpy(sample.mean(0)))
    recogniser.deviation.copy_(torch.from_numpy(sample.std(0)))
    torch.save(recogniser.state_dict(), out / "encoder.pt")
    offset, began = 0, time.monotonic()
    with (
        (out / "features.f16.part").open("wb") as file,
        (out / "features.jsonl.part").open("w", encoding="utf-8") as index,
    ):
        for number, corpus in enumerate(sets):
            for clip in range(len(corpus)):
                array = features(corpus.audio(clip)).astype(np.float16)
                file.write(array.tobytes())
                entry = {"corpus": number, "clip": clip, "offset": offset, "frames": len(array)}
                index.write(json.dumps(entry) + "\n")
                offset += len(array)
                if clip % 1000 == 0:
                    print(
                        number, clip, len(corpus), round(time.monotonic() - began), "s", flush=True
                    )
    (out / "features.f16.part").replace(out / "features.f16")
    (out / "features.jsonl.part").replace(out / "features.jsonl")


def labelled(out: Path, data: list[Path]) -> list[tuple[int, np.ndarray, bool]]:
    """(feature index, frame labels, held out) of every clip whose phone times are known."""
    features = Features(out)
    sets = [corpora.Corpus(folder) for folder in data]
    found = []
    for index, entry in enumerate(features.entries):
        clip = sets[entry["corpus"]].clips[entry["clip"]]
        if "dur" in clip.row:
            labels = frame_labels(timed_phones(clip.row, clip.rate), entry["frames"])
            found.append((index, labels, clip.book == corpora.HELD_OUT))
    return found


def train(data: list[Path], out: Path, minutes: float, frames: int = 200, batch: int = 32) -> None:
    features = Features(out)
    rows = labelled(out, data)
    training = [row for row in rows if not row[2] and len(row[1]) >= frames]
    print(len(training), "clips to train on")
    quantizer, head = Quantizer(), PhoneHead(WIDTH, 256)
    draw = np.random.default_rng(0)
    first = np.concatenate(
        [features.array(r[0])[:100] for r in training[:: max(1, len(training) // 400)]]
    )
    with torch.no_grad():
        vectors = quantizer.project(torch.from_numpy(first.astype(np.float32)).T[None])[0].T
        quantizer.embed.copy_(vectors[torch.randperm(len(vectors))[:CODES]])
        quantizer.sums.copy_(quantizer.embed)
    run = Run(
        out / "quantizer", {"quantizer": quantizer, "head": head}, minutes, 1e-3, average=0.99
    )
    for _ in run.steps():
        picks, labels = [], []
        for row in draw.choice(len(training), batch):
            index, label, _ = training[row]
            start = 2 * int(draw.integers((len(label) - frames) // 2 + 1))
            picks.append(features.array(index)[start : start + frames].astype(np.float32))
            labels.append(label[start : start + frames])
        x = torch.from_numpy(np.stack(picks)).transpose(1, 2)
        y = torch.from_numpy(np.stack(labels))
        with torch.autocast("cpu", torch.bfloat16):
            logits, rebuilt, commitment, _ = quantizer(x)
            direct = head(F.dropout(x, 0.1))
        phone_loss = F.cross_entropy(logits.float(), y)
        rebuild_loss = F.mse_loss(rebuilt.float(), x)
        run.update("quantizer", phone_loss + 0.5 * rebuild_loss + 0.25 * commitment)
        head_loss = F.cross_entropy(direct.float(), y)
        run.update("head", head_loss)
        run.log(
            phone=phone_loss.item(),
            rebuild=rebuild_loss.item(),
            commit=commitment.item(),
            head=head_loss.item(),
        )
    report(features, [row for row in rows if row[2]], out)


@torch.inference_mode()
def report(features: Features, held_out: list[tuple[int, np.ndarray, bool]], out: Path) -> None:
    """Prints frame accuracy on the held-out book and how the codes are used."""
    quantizer, head = Quantizer().eval(), PhoneHead(WIDTH, 256).eval()
    quantizer.load_state_dict(averaged_weights(out / "quantizer", "quantizer"))
    head.load_state_dict(averaged_weights(out / "quantizer", "head"))
    right = direct = total = 0
    counts = np.zeros(CODES)
    for index, labels, _ in held_out:
        length = len(labels) // 2 * 2
        x = torch.from_numpy(features.array(index)[:length].astype(np.float32)).T[None]
        logits, _, _, codes = quantizer(x)
        right += int((logits[0].argmax(0).numpy() == labels[:length]).sum())
        direct += int((head(x)[0].argmax(0).numpy() == labels[:length]).sum())
        total += length
        counts += np.bincount(codes[0].numpy(), minlength=CODES)
    share = counts / counts.sum()
    perplexity = float(np.exp(-(share * np.log(share + 1e-12)).sum()))
    print(
        f"held out: {total} frames, phones from tokens {right / total:.3f},",
        f"from features {direct / total:.3f}",
    )
    print(
        f"codes used {int((counts > 0).sum())} of {CODES}, perplexity {perplexity:.0f};",
        f"phones {len(PHONES)}",
    )


@torch.inference_mode()
def tokens(out: Path) -> None:
    """Writes every clip's semantic tokens (25 per second) to `tokens.npz`."""
    features = Features(out)
    quantizer = Quantizer().eval()
    quantizer.load_state_dict(averaged_weights(out / "quantizer", "quantizer"))
    arrays = [
        quantizer.encode(torch.from_numpy(features.array(i).astype(np.float32)).T[None])[0]
        .numpy()
        .astype(np.int16)
        for i in range(len(features.entries))
    ]
    lengths = np.array([len(a) for a in arrays])
    np.savez(out / "tokens.npz", tokens=np.concatenate(arrays), lengths=lengths)
    print(len(arrays), "clips,", int(lengths.sum()), "tokens")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["features", "train", "tokens"])
    parser.add_argument("--whisper", type=Path)
    parser.add_argument("--data", type=Path, nargs="+", default=[])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    if options.stage == "features":
        extract(options.whisper, options.data, options.out)
    elif options.stage == "train":
        train(options.data, options.out, options.minutes)
    else:
        tokens(options.out)


if __name__ == "__main__":
    main()
