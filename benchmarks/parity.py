"""Do our networks compute what official GPT-SoVITS checkpoints expect?

Official weights are not needed: a case file holds what the reference implementation computed with
weights drawn from the names of its state dict, and this fills our networks by the same rule.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.s1 import S1Config, Text2SemanticDecoder
from model.s2.synthesizer import S2Config, SynthesizerTrnV3
from model.vocoder import Generator, GeneratorConfig

TOLERANCE = 1e-3
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """One array of a case: `error` is max |a-b| / max |b|, or the share of tokens that differ."""

    array: str
    error: float
    exact: bool  # tokens: nothing but equality passes

    @property
    def passed(self) -> bool:
        """Whether this array agrees."""
        return self.error == 0.0 if self.exact else self.error <= TOLERANCE


def _draw(kind: str) -> np.random.Generator:
    digest = hashlib.sha256(kind.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def weight(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of the state-dict entry `name`, float32."""
    draw = _draw(f"{seed}:{name}").standard_normal(shape, dtype=np.float32)
    leaf = name.rsplit(".", 1)[-1]
    if leaf in ("weight_g", "alpha") or (len(shape) <= 1 and leaf in ("weight", "gamma")):
        return (1.0 + 0.1 * draw).astype(np.float32)
    if leaf in ("embed", "embed_avg"):
        return draw
    if len(shape) <= 1:
        return (0.02 * draw).astype(np.float32)
    return (draw / np.sqrt(np.prod(shape[1:], dtype=np.float64))).astype(np.float32)


def inputs(seed: int, label: str, shape: tuple[int, ...], scale: float = 1.0) -> Tensor:
    """A float32 input."""
    draw = _draw(f"input:{seed}:{label}").standard_normal(shape, dtype=np.float32)
    return torch.from_numpy((scale * draw).astype(np.float32))


def tokens(seed: int, label: str, shape: tuple[int, ...], high: int) -> Tensor:
    """An int64 input below `high`."""
    return torch.from_numpy(_draw(f"tokens:{seed}:{label}").integers(0, high, shape, np.int64))


def fill(module: nn.Module, seed: int) -> None:
    """Give every entry of the module's state dict its drawn value, in place, and switch to eval."""
    module.eval()
    for name, entry in module.state_dict().items():
        leaf = name.rsplit(".", 1)[-1]
        if leaf == "inited":
            entry.fill_(1)
        elif entry.is_floating_point() and leaf not in ("inv_freq", "cluster_size", "embed_avg"):
            entry.copy_(torch.from_numpy(weight(seed, name, tuple(entry.shape))))


def wrong_keys(module: nn.Module, listing: Path) -> list[str]:
    """Names whose presence or shape differs from the official state dict's JSON listing."""
    official = {k: tuple(v) for k, v in json.loads(listing.read_text())["keys"].items()}
    ours = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    return sorted(k for k in official.keys() | ours.keys() if official.get(k) != ours.get(k))


def compare(array: str, ours: Tensor, expected: np.ndarray) -> Comparison:
    """Ours against the reference's."""
    theirs = torch.from_numpy(np.asarray(expected))
    if ours.shape != theirs.shape:
        return Comparison(array, float("inf"), not theirs.is_floating_point())
    if theirs.is_floating_point():
        error = (ours.double() - theirs.double()).abs().max() / theirs.double().abs().max()
        return Comparison(array, float(error), False)
    return Comparison(array, float((ours != theirs).double().mean()), True)


@torch.no_grad()
def s1(case: Arrays, listings: Path) -> Iterator[Comparison]:
    """S1 of v2: teacher forcing, then greedy decoding of three texts in one batch."""
    seed = int(case["seed"])
    model = Text2SemanticDecoder(S1Config())
    yield from keys(model, listings / "s1.json")
    fill(model, seed)
    codes = tokens(seed, "s1.y", (2, 40), 1024)
    # The second row is shorter in the case, filled up with end tokens, which the loss counts.
    codes[1, 29:] = model.config.end
    logits, _ = model(
        tokens(seed, "s1.x", (2, 24), 732),
        torch.tensor([24, 24]),
        codes,
        torch.tensor([40, 29]),
        inputs(seed, "s1.bert", (2, 1024, 24), 0.3),
    )
    yield compare("logits", logits[:, :, ::16], case["logits"])
    targets = F.pad(codes, (0, 1), value=model.config.end)
    loss = F.cross_entropy(logits.transpose(1, 2), targets, reduction="sum")
    yield compare("loss", loss, case["loss"])
    texts = [
        (
            tokens(seed, f"s1.inf{i}.x", (size,), 732),
            inputs(seed, f"s1.inf{i}.bert", (1024, size), 0.3),
        )
        for i, size in enumerate((14, 22, 31))
    ]
    prompt = tokens(seed, "s1.prompt", (1, 20), 1024)[0]
    # The reference stops once more than 40 tokens are there.
    for i, row in enumerate(greedy(model, texts, prompt, count=41)):
        yield compare(f"greedy{i}", row, case[f"greedy{i}"])


def greedy(
    model: Text2SemanticDecoder, texts: list[tuple[Tensor, Tensor]], prompt: Tensor, count: int
) -> Tensor:
    """Prompt and `count` tokens (texts, P + count) each the likeliest, penalty 1.35.

    texts: phones (n) and BERT features (bert, n) each. Ending is up to the caller: the end token
    appears where it is the likeliest, from the twelfth token on, as in the reference.
    """
    longest = max(len(phones) for phones, _ in texts)
    cache = model.new_cache(len(texts), longest + len(prompt) + count)
    logits = torch.stack(
        [
            model.prefill(cache, slot, phones, prompt, bert[None])
            for slot, (phones, bert) in enumerate(texts)
        ]
    )
    said = prompt.expand(len(texts), -1)
    for step in range(count):
        past = logits.gather(1, said)
        logits = logits.scatter(1, said, torch.where(past < 0, past * 1.35, past / 1.35))
        classes = logits[:, :-1] if step < 11 else logits
        latest = classes.argmax(1)
        said = torch.cat((said, latest[:, None]), dim=1)
        positions = torch.full_like(latest, len(prompt) + step)
        reach = longest + len(prompt) + step + 1
        logits = model.step(cache, latest, positions, reach)
    return said


@torch.no_grad()
def s2(upsample: float, listing: str, case: Arrays, listings: Path) -> Iterator[Comparison]:
    """S2 of v3 (`upsample` 1.875) and v4 (2.0)."""
    seed = int(case["seed"])
    model = SynthesizerTrnV3(S2Config(upsample=upsample))
    yield from keys(model, listings / listing)
    fill(model, seed)
    refer = inputs(seed, "s2.refer", (1, 1025, 60)).abs()
    ge = model.reference_embedding(refer, torch.tensor([60]))
    yield compare("ge", ge, case["ge"])
    codes = tokens(seed, "s2.codes", (1, 1, 12), 1024)[0]
    text = tokens(seed, "s2.text", (1, 15), 732)
    fea, lengths = model.condition(codes, torch.tensor([12]), text, torch.tensor([15]), ge)
    yield compare("fea", fea, case["fea"])
    noise = inputs(seed, "cfm.noise", (1, 100, fea.shape[2]))
    prompt = inputs(seed, "cfm.prompt", (1, 100, 10), 0.5)
    mel = model.cfm.inference(fea, lengths, prompt, 4, noise)
    yield compare("mel", mel, case["mel"])
    mel = model.cfm.inference(fea, lengths, prompt, 2, noise, cfg_rate=0.5)
    yield compare("mel_cfg", mel, case["mel_cfg"])


@torch.no_grad()
def vocoder(case: Arrays, listings: Path) -> Iterator[Comparison]:
    """The v4 vocoder."""
    seed = int(case["seed"])
    model = Generator(GeneratorConfig())
    yield from keys(model, listings / "vocoder_v4.json")
    fill(model, seed)
    yield compare("wav", model(inputs(seed, "voc.mel", (1, 100, 20))), case["wav"])


def keys(model: nn.Module, listing: Path) -> Iterator[Comparison]:
    """The state dict's names and shapes, where the official listing is at hand."""
    if listing.exists():
        official = len(json.loads(listing.read_text())["keys"])
        yield Comparison("state dict", len(wrong_keys(model, listing)) / official, True)


CASES: dict[str, Callable[[Arrays, Path], Iterator[Comparison]]] = {
    "s1_v2": s1,
    "s2_v3": lambda case, listings: s2(1.875, "s2_v3.json", case, listings),
    "s2_v4": lambda case, listings: s2(2.0, "s2_v4.json", case, listings),
    "vocoder_v4": vocoder,
}


def run_case(path: Path) -> Iterator[Comparison]:
    """Compare one case file; official key listings are looked for in ../state_dicts."""
    with np.load(path) as case:
        yield from CASES[path.stem](dict(case), path.parent.parent / "state_dicts")


def main(arguments: list[str] | None = None) -> int:
    """Print one line an array; 0 if all that is implemented agrees, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description=__doc__)
    parser.add_argument("--cases", type=Path, required=True, help="folder of .npz case files")
    folder = parser.parse_args(arguments).cases
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        print(f"{folder} holds no case files (*.npz)", file=sys.stderr)
        return 2
    failed = 0
    for path in paths:
        if path.stem not in CASES:
            continue
        for result in run_case(path):
            verdict = "pass" if result.passed else "FAIL"
            measure = "unequal" if result.exact else "error"
            print(f"{path.stem:<12} {result.array:<12} {measure:<8} {result.error:9.2e}  {verdict}")
            failed += not result.passed
        gc.collect()
    for path in paths:
        if path.stem not in CASES:
            print(f"{path.stem:<12} not implemented yet, not compared")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
