"""Trains what sits on the recogniser's features: the semantic quantizer and the phone classifier.

The encoder stays as it was. The quantizer learns under a phone loss (straight-through, codes that
nobody uses are drawn anew), so that a token says what is spoken, and under a small feature loss, so
that it says a little of how.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from configs.errors import UserError
from configs.training import RecogniserStage
from model.recogniser import PHONES, SILENCE, PhoneHead, Recogniser, RecogniserConfig
from model.training.alignment import frame_labels
from model.training.corpus import Corpus
from model.training.data import Data, Mixture
from model.training.loop import Compute, Run, Stream
from model.training.tokens import (
    FILE,
    find_model,
    heard,
    of_model,
    save_tokeniser,
    stored_features,
)
from model.training.whisper import encoder_state

POOL = 16
"""Batches that are drawn at once."""
JUDGED = 64
"""Held-out clips that are judged at most."""


class Quantizer(nn.Module):
    """Features (batch, width, frames) -> codes at half the rate.

    The codebook follows its vectors' running means (A. van den Oord et al., VQ-VAE, 2017).
    `project` and `embed` become S2's `ssl_proj` and codebook.
    """

    embed: Tensor
    sizes: Tensor
    sums: Tensor

    def __init__(self, width: int, codes: int, hidden: int = 256) -> None:
        super().__init__()
        self.project = nn.Conv1d(width, width, 2, stride=2)
        self.phones = PhoneHead(width, hidden)
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
            chosen = torch.randint(len(vectors), (int(idle.sum()),), device=vectors.device)
            self.sums[idle], self.sizes[idle] = vectors[chosen], 1.0
        self.embed.copy_(self.sums / self.sizes[:, None])


@dataclass(frozen=True)
class Labelled:
    """A clip's features (frames, width) and its phone classes (frames,)."""

    features: np.ndarray
    labels: np.ndarray


def piece(clip: Labelled, frames: int, draw: np.random.Generator) -> Labelled:
    """So many frames of a clip from an even one on; a clip that is shorter is said repeatedly."""
    length = len(clip.labels) // 2 * 2
    if length < frames:
        return Labelled(
            np.resize(clip.features[:length], (frames, clip.features.shape[1])),
            np.resize(clip.labels[:length], frames),
        )
    start = 2 * int(draw.integers((length - frames) // 2 + 1))
    return Labelled(clip.features[start : start + frames], clip.labels[start : start + frames])


class RecogniserTrainer:
    """Quantizer and phone classifier; see `Trainer`."""

    def __init__(self, config: RecogniserStage, data: Data, compute: Compute, out: Path) -> None:
        self.config, self.compute = config, compute
        codes, head_width = config.sizes.codes, config.sizes.head_width
        model = find_model(config.start or "built-in")
        if config.start:
            codes, head_width = model.s2.config.codebook, model.recogniser.config.head_width
        if config.whisper:
            self.recogniser = Recogniser(RecogniserConfig(head_width=head_width))
            self.recogniser.load_state_dict(encoder_state(Path(config.whisper)), strict=False)
        else:
            old = model.recogniser
            self.recogniser = Recogniser(replace(old.config, head_width=head_width))
            kept = {k: v for k, v in old.state_dict().items() if not k.startswith("phones.")}
            self.recogniser.load_state_dict(kept, strict=False)
        self.recogniser.eval().requires_grad_(False)
        if not config.start:
            _standardise(self.recogniser, data.corpora)
        self.training, self.held_out = _labelled(self.recogniser, data)
        width = self.recogniser.config.width
        self.quantizer = Quantizer(width, codes)
        self.head = PhoneHead(width, head_width)
        if config.start:
            self.head.load_state_dict(model.recogniser.phones.state_dict())
            learned = of_model(model)
            with torch.no_grad():
                self.quantizer.project.weight.copy_(learned.weight)
                assert self.quantizer.project.bias is not None
                self.quantizer.project.bias.copy_(learned.bias)
                self.quantizer.embed.copy_(learned.embed)
                self.quantizer.sums.copy_(learned.embed)
        else:
            self._begin_codes()
        self.modules: dict[str, nn.Module] = {
            "quantizer": self.quantizer.to(compute.device),
            "head": self.head.to(compute.device),
        }
        self.tokens, self.sizes = "", {"codes": codes, "head_width": head_width}
        self.stream = Stream(self._pool, config.seed)
        self.out = out

    def step(self, run: Run) -> dict[str, float]:
        x, y = next(self.stream)
        with self.compute.autocast():
            logits, rebuilt, commitment, _ = self.quantizer(x)
            direct = self.head(F.dropout(x, 0.1))
        phone = F.cross_entropy(logits.float(), y)
        rebuild = F.mse_loss(rebuilt.float(), x)
        head = F.cross_entropy(direct.float(), y)
        run.update("quantizer", phone + 0.5 * rebuild + 0.25 * commitment)
        run.update("head", head)
        return {
            "phone": phone.item(),
            "rebuild": rebuild.item(),
            "commit": commitment.item(),
            "head": head.item(),
        }

    def validate(self) -> dict[str, float]:
        """Cross entropies and shares of right frames, from tokens (`phone`, `right`) and from
        features (`head`, `head right`); how many codes are in use (`perplexity`)."""
        sums = np.zeros(4)
        counts = np.zeros(len(self.quantizer.sizes))
        total = 0
        for clip in self.held_out:
            logits, direct, codes = self._heard(clip)
            y = torch.from_numpy(clip.labels[: logits.shape[1]])
            for place, found in enumerate((logits, direct)):
                sums[place] += F.cross_entropy(found.T, y, reduction="sum").item()
                sums[2 + place] += float((found.argmax(0) == y).sum())
            counts += np.bincount(codes.numpy(), minlength=len(counts))
            total += len(y)
        share = counts / counts.sum()
        perplexity = float(np.exp(-(share * np.log(share + 1e-12)).sum()))
        names = ("phone", "head", "right", "head right")
        return dict(zip(names, (sums / total).tolist(), strict=True)) | {"perplexity": perplexity}

    def sample(self, folder: Path) -> None:
        """`phones.txt`: what held-out clips say and what was heard, from tokens and features."""
        folder.mkdir(parents=True, exist_ok=True)
        lines = []
        errors = np.zeros(3)
        for clip in self.held_out[: self.config.samples]:
            logits, direct, _ = self._heard(clip)
            said = runs(clip.labels)
            from_tokens = runs(logits.argmax(0).numpy())
            from_features = runs(direct.argmax(0).numpy())
            errors += distance(said, from_tokens), distance(said, from_features), len(said)
            lines += [
                f"said          {' '.join(said)}",
                f"from tokens   {' '.join(from_tokens)}",
                f"from features {' '.join(from_features)}",
                "",
            ]
        rates = errors[:2] / max(errors[2], 1)
        head = f"phone error rate: {rates[0]:.3f} from tokens, {rates[1]:.3f} from features\n\n"
        (folder / "phones.txt").write_text(head + "\n".join(lines), encoding="utf-8")

    def finish(self, run: Run) -> None:
        """Writes the recogniser with its quantizer for the other stages."""
        recogniser = copy.deepcopy(self.recogniser)
        recogniser.phones.load_state_dict(run.averages["head"])
        save_tokeniser(self.out / FILE, recogniser, run.averages["quantizer"])

    def _heard(self, clip: Labelled) -> tuple[Tensor, Tensor, Tensor]:
        """Phone logits (phones, frames) from tokens and from features, and the tokens' codes."""
        length = len(clip.labels) // 2 * 2
        x = torch.from_numpy(clip.features[:length].astype(np.float32)).T[None]
        x = x.to(self.compute.device)
        logits, _, _, codes = self.quantizer(x)
        return logits[0].float().cpu(), self.head(x)[0].float().cpu(), codes[0].cpu()

    def _pool(self, draw: np.random.Generator) -> list[tuple[Tensor, Tensor]]:
        batches = []
        for _ in range(POOL):
            pieces = [
                piece(self.training(draw), self.config.frames // 2 * 2, draw)
                for _ in range(self.config.batch)
            ]
            x = torch.from_numpy(np.stack([p.features for p in pieces]).astype(np.float32))
            y = torch.from_numpy(np.stack([p.labels for p in pieces]))
            device = self.compute.device
            batches.append((x.transpose(1, 2).to(device), y.to(device)))
        return batches

    def _begin_codes(self) -> None:
        """The codebook begins with vectors of the data."""
        draw = np.random.default_rng(self.config.seed)
        first = np.concatenate([piece(self.training(draw), 100, draw).features for _ in range(400)])
        with torch.no_grad():
            x = torch.from_numpy(first.astype(np.float32)).T[None]
            vectors = self.quantizer.project(x)[0].T
            chosen = draw.choice(len(vectors), len(self.quantizer.embed))
            self.quantizer.embed.copy_(vectors[torch.from_numpy(chosen)])
            self.quantizer.sums.copy_(self.quantizer.embed)


def _standardise(recogniser: Recogniser, corpora: list[Corpus]) -> None:
    """Sets mean and deviation from about 300 clips."""
    clips = [(corpus, clip) for corpus in corpora for clip in corpus.clips]
    recogniser.mean.zero_()
    recogniser.deviation.fill_(1.0)
    some = clips[:: max(1, len(clips) // 300)]
    parts = [part for corpus, clip in some for part in heard(recogniser, corpus.audio(clip))]
    values = torch.cat(parts, dim=1)
    recogniser.mean.copy_(values.mean(1))
    recogniser.deviation.copy_(values.std(1).clamp(min=1e-4))


def _labelled(recogniser: Recogniser, data: Data) -> tuple[Mixture[Labelled], list[Labelled]]:
    """Clips whose phone times are known: those to train on, and those that judge."""
    digest = hashlib.sha256()
    for tensor in recogniser.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    training: list[list[Labelled]] = []
    held_out: list[Labelled] = []
    for corpus, speech in zip(data.corpora, data.speech(), strict=True):
        features = stored_features(recogniser, digest.hexdigest()[:16], corpus, data.on_done)
        training.append([])
        for number, clip in enumerate(corpus.clips):
            said, array = speech.get(clip.index), features[number]
            if said is None or not said.timed or len(array) < 2:
                continue
            labelled = Labelled(array, frame_labels(list(said.phones), len(array)))
            if clip.name not in data.held_out:
                training[-1].append(labelled)
            elif clip.rate == 1.0:
                held_out.append(labelled)
    if not held_out or not any(training):
        raise UserError(
            "Too few clips have phones with known times: the stage recogniser needs English "
            "speech with its text, some of it held out."
        )
    held_out.sort(key=lambda clip: len(clip.labels))
    return Mixture(training, data.shares), held_out[:: max(1, len(held_out) // JUDGED)]


def runs(labels: np.ndarray) -> list[str]:
    """The phones of frames, silence left out."""
    return [PHONES[k] for k, _ in groupby(labels.tolist()) if PHONES[k] != SILENCE]


def distance(said: list[str], heard: list[str]) -> int:
    """The number of phones to be put in, taken out or replaced (V. Levenshtein, 1966)."""
    row = list(range(len(heard) + 1))
    for i, phone in enumerate(said, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (phone != other))
    return row[-1]
