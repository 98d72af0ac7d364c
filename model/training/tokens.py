"""Where a run's semantic tokens come from: a recogniser and a quantizer, trained or built in."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import soxr
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from configs.errors import UserError
from model.checkpoint import VoiceModel, load_model
from model.engine import PRETRAINED
from model.recogniser import SAMPLE_RATE, Recogniser, RecogniserConfig
from model.training import corpus as corpora
from model.training.corpus import Arrays, Corpus, OnDone, stored_arrays

TOKENS_PER_SECOND = 25
BUILT_IN = "built-in"
FILE = "recogniser.safetensors"
"""What a run of the stage recogniser leaves when it is done."""
log = logging.getLogger(__name__)
_HEARD_SECONDS = 24
"""Longer sound is heard piece by piece; a whole number of tokens."""


@dataclass(frozen=True, eq=False)
class Tokeniser:
    """A recogniser and what makes tokens of its features: `ssl_proj` and the codebook of S2.

    `weight` (width, width, 2) and `bias` (width,) of the projection, `embed` (codes, width).
    """

    recogniser: Recogniser
    weight: Tensor
    bias: Tensor
    embed: Tensor

    @property
    def codes(self) -> int:
        return len(self.embed)

    @cached_property
    def hash(self) -> str:
        """Names all that tokens depend on; the phone classifier does not count."""
        digest = hashlib.sha256()
        state = self.recogniser.state_dict()
        kept = {k: v for k, v in state.items() if not k.startswith("phones.")}
        own = {"weight": self.weight, "bias": self.bias, "embed": self.embed}
        for name, tensor in (kept | own).items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    @torch.inference_mode()
    def tokens(self, audio: np.ndarray) -> np.ndarray:
        """Audio (samples,) at 24 kHz of any length -> tokens (n,) int16, 25 a second."""
        pieces = [np.zeros(0, np.int16)]
        for x in heard(self.recogniser, audio):
            vectors = F.conv1d(x[None], self.weight, self.bias, stride=2)[0].T
            distance = self.embed.square().sum(1) - 2 * vectors @ self.embed.T
            pieces.append(distance.argmin(1).numpy().astype(np.int16))
        return np.concatenate(pieces)


@torch.inference_mode()
def heard(recogniser: Recogniser, audio: np.ndarray) -> list[Tensor]:
    """Features (width, frames) of the pieces of audio (samples,) at 24 kHz, two frames at least."""
    low = soxr.resample(audio, corpora.SAMPLE_RATE, SAMPLE_RATE).astype(np.float32)
    size = _HEARD_SECONDS * SAMPLE_RATE
    pieces = [low[start : start + size] for start in range(0, len(low), size)]
    # under two frames there is no token
    pieces = [piece for piece in pieces if len(piece) >= 640]
    return [recogniser.features(torch.from_numpy(piece)[None])[0] for piece in pieces]


def stored_tokens(tokeniser: Tokeniser, corpus: Corpus, on_done: OnDone) -> dict[int, np.ndarray]:
    """The tokens of a corpus' clips, by their index; made once."""
    with corpora.locked(corpus.folder):
        arrays = stored_arrays(
            corpus.folder / f"tokens-{tokeniser.hash}.i16",
            np.int16,
            1,
            len(corpus.clips),
            lambda i: tokeniser.tokens(corpus.audio(corpus.clips[i])),
            lambda done: on_done("tokens", done, len(corpus.clips)),
        )
    return {clip.index: arrays[i] for i, clip in enumerate(corpus.clips)}


def stored_features(recogniser: Recogniser, name: str, corpus: Corpus, on_done: OnDone) -> Arrays:
    """The features (frames, width) float16 of a corpus' clips; made once."""

    def make(index: int) -> np.ndarray:
        pieces = heard(recogniser, corpus.audio(corpus.clips[index]))
        width = recogniser.config.width
        return np.concatenate([np.zeros((0, width)), *(piece.T.numpy() for piece in pieces)])

    with corpora.locked(corpus.folder):
        return stored_arrays(
            corpus.folder / f"features-{name}.f16",
            np.float16,
            recogniser.config.width,
            len(corpus.clips),
            make,
            lambda done: on_done("features", done, len(corpus.clips)),
        )


def find_model(name: str) -> VoiceModel:
    """The voice model in a folder, or the built-in one; a run's random numbers stay as they are."""
    with torch.random.fork_rng(devices=[]):
        return load_model(PRETRAINED if name == BUILT_IN else Path(name))


def of_model(model: VoiceModel) -> Tokeniser:
    codebook = model.s2.quantizer.vq.codebook
    weight, bias = model.s2.ssl_proj.weight, model.s2.ssl_proj.bias
    assert bias is not None
    return Tokeniser(model.recogniser, weight, bias, codebook.embed)


def save_tokeniser(path: Path, recogniser: Recogniser, quantizer: Mapping[str, Tensor]) -> None:
    """Writes what a run of the stage recogniser has learned; `quantizer` is `Quantizer`'s state."""
    tensors = {f"recogniser.{k}": v for k, v in recogniser.state_dict().items()}
    tensors |= {
        "weight": quantizer["project.weight"],
        "bias": quantizer["project.bias"],
        "embed": quantizer["embed"],
    }
    part = path.with_name(path.name + ".part")
    config = json.dumps(asdict(recogniser.config))
    save_file(
        {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, part, {"config": config}
    )
    part.replace(path)


def load_tokeniser(run: Path) -> Tokeniser:
    """What a run of the stage recogniser has learned; UserError where it is not done yet."""
    path = run / FILE
    if not path.exists():
        raise UserError(f"{run} is no finished run of the stage recogniser: finish it first.")
    try:
        with safe_open(path, "pt") as file:
            config = RecogniserConfig(**json.loads((file.metadata() or {})["config"]))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        recogniser = Recogniser(config)
        prefix = "recogniser."
        recogniser.load_state_dict(
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        )
        found = Tokeniser(
            recogniser.eval().requires_grad_(False),
            tensors["weight"],
            tensors["bias"],
            tensors["embed"],
        )
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"{path} is damaged ({error}): train that stage again.") from error
    return found


def find_tokeniser(name: str, run: Path) -> Tokeniser:
    """The tokeniser that a configuration's `recogniser` names.

    A finished run, a voice model's folder, or "built-in"; by default the run `recogniser` beside
    `run`, else the built-in voice.
    """
    beside = run.absolute().parent / "recogniser"
    if not name:
        name = str(beside) if beside.is_dir() else BUILT_IN
    log.info("tokens of %s", name)
    if name == BUILT_IN or (Path(name) / "config.json").exists():
        return of_model(find_model(name))
    return load_tokeniser(Path(name))
