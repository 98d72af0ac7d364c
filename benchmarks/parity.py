"""Do our networks compute what official GPT-SoVITS checkpoints expect?

Official weights are not needed: a case file holds what the reference implementation computed with
weights drawn from the names of its state dict, and this fills our networks by the same rule. The
names themselves are compared where listings of the official state dicts lie beside the cases.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.state_dicts import NETWORKS, compare_listing
from model.s1 import S1Config, Text2SemanticDecoder
from model.s2.synthesizer import S2Config, SynthesizerTrnV3
from model.s2.vits import VITS_CONFIGS, SynthesizerTrn, frame_count
from model.vocoder import Generator
from model.weight_norm import fold_weight_norm

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


def compare(array: str, ours: Tensor, expected: np.ndarray) -> Comparison:
    """Ours against the reference's."""
    theirs = torch.from_numpy(np.asarray(expected))
    if ours.shape != theirs.shape:
        return Comparison(array, float("inf"), not theirs.is_floating_point())
    if theirs.is_floating_point():
        error = float((ours.double() - theirs.double()).abs().max())
        scale = float(theirs.double().abs().max())
        return Comparison(array, error / scale if scale else error, False)
    return Comparison(array, float((ours != theirs).double().mean()), True)


@torch.no_grad()
def s1(case: Arrays) -> Iterator[Comparison]:
    """S1 of v2: teacher forcing, then greedy decoding of three texts in one batch."""
    seed = int(case["seed"])
    model = Text2SemanticDecoder(S1Config())
    fill(model, seed)
    end = model.config.end
    length = case["logits"].shape[1] - 1
    codes = tokens(seed, "s1.y", (2, length), 1024)
    # The second row is shorter in the case, filled up with end tokens, which the loss counts.
    codes[1, 29:] = end
    lengths = (codes != end).sum(1)
    logits, _ = model(
        tokens(seed, "s1.x", (2, 24), 732),
        torch.tensor([24, 24]),
        codes,
        lengths,
        inputs(seed, "s1.bert", (2, 1024, 24), 0.3),
    )
    yield compare("logits", logits[:, :, ::16], case["logits"])
    targets = F.pad(codes, (0, 1), value=end)
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
    # The reference stops at the end token, or as soon as more tokens are there than a limit that
    # only shows in the longest row.
    limit = max(len(case[f"greedy{i}"]) for i in range(len(texts)))
    for i, row in enumerate(greedy(model, texts, prompt, limit + 1 - len(prompt))):
        yield compare(f"greedy{i}", until_end(row, end, limit), case[f"greedy{i}"])


def until_end(row: Tensor, end: int, limit: int) -> Tensor:
    """Tokens (T,) up to the first end token, which is left out, and `limit` at most."""
    ends = (row == end).nonzero()
    return row[: min(int(ends[0]), limit) if len(ends) else limit]


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
def s2_vits(version: str, case: Arrays) -> Iterator[Comparison]:
    """S2 of v1, v2, v2Pro and v2ProPlus, with its weight norm folded as it is when it speaks."""
    seed = int(case["seed"])
    model = SynthesizerTrn(VITS_CONFIGS[version])
    fill(model, seed)
    fold_weight_norm(model)
    c = model.config
    refer = inputs(seed, "s2.refer", (1, 1025, 60)).abs()
    second = inputs(seed, "s2.refer2", (1, 1025, 44)).abs()
    both = torch.cat((refer, F.pad(second, (0, refer.shape[2] - second.shape[2]))))
    both_lengths = torch.tensor([refer.shape[2], second.shape[2]])
    alone = model.ref_enc(both[:, : c.reference_bins], both_lengths)[:1]
    speakers = None
    raw = compare("ge_raw", alone, case["ge_raw"])
    if c.speaker_dim:
        speakers = torch.cat(
            [inputs(seed, f"s2.{name}", (1, c.speaker_dim)) for name in ("sv", "sv2")]
        )
        # The reference adds the speaker in place, so that its file holds the sum.
        total = compare("ge_raw", alone + model.sv_emb(speakers[:1])[..., None], case["ge_raw"])
        raw = min(raw, total, key=lambda one: one.error)
    yield raw
    voices = model.reference_embedding(both, both_lengths, speakers)
    voice = voices[:1]
    count = case["m_p"].shape[2] // 2
    codes = tokens(seed, "s2.codes", (1, 1, count), 1024)[0]
    text = tokens(seed, "s2.text", (1, 15), c.symbols)
    said = (codes, torch.tensor([count]), text, torch.tensor([text.shape[1]]))
    mean, log_deviation, lengths = model.prior(*said, voice)
    yield compare("m_p", mean, case["m_p"])
    yield compare("logs_p", log_deviation, case["logs_p"])
    yield compare("z", model.latent(mean, lengths, voice), case["z"])
    for array, ge, speed in (
        ("wav", voice, 1.0),
        ("wav_speed125", voice, 1.25),
        ("wav_two_refs", voices.mean(0, keepdim=True), 1.0),
    ):
        silence = torch.zeros(1, c.inter_channels, frame_count(count, speed))
        audio, _ = model.decode(*said, ge, silence, noise_scale=0.0, speed=speed)
        yield compare(array, audio, case[array])
    frames = 2 * case["extracted_codes"].shape[2]
    extracted = model.extract_codes(inputs(seed, "s2.ssl", (1, c.ssl_dim, frames)))
    yield compare("extracted_codes", extracted[None], case["extracted_codes"])


@torch.no_grad()
def s2_flow_matching(upsample: float, case: Arrays) -> Iterator[Comparison]:
    """S2 of v3 (`upsample` 1.875) and v4 (2.0)."""
    seed = int(case["seed"])
    model = SynthesizerTrnV3(S2Config(upsample=upsample))
    fill(model, seed)
    fold_weight_norm(model)
    refer = inputs(seed, "s2.refer", (1, 1025, 60)).abs()
    ge = model.reference_embedding(refer, torch.tensor([60]))
    yield compare("ge", ge, case["ge"])
    count = round(case["fea"].shape[2] / (2 * upsample))
    codes = tokens(seed, "s2.codes", (1, 1, count), 1024)[0]
    text = tokens(seed, "s2.text", (1, 15), 732)
    fea, lengths = model.condition(codes, torch.tensor([count]), text, torch.tensor([15]), ge)
    yield compare("fea", fea, case["fea"])
    noise = inputs(seed, "cfm.noise", (1, 100, fea.shape[2]))
    prompt = inputs(seed, "cfm.prompt", (1, 100, 10), 0.5)
    mel = model.cfm.inference(fea, lengths, prompt, 4, noise)
    yield compare("mel", mel, case["mel"])
    mel = model.cfm.inference(fea, lengths, prompt, 2, noise, cfg_rate=0.5)
    yield compare("mel_cfg", mel, case["mel_cfg"])


@torch.no_grad()
def vocoder(case: Arrays) -> Iterator[Comparison]:
    """The v4 vocoder."""
    seed = int(case["seed"])
    model = Generator()
    fill(model, seed)
    frames = case["wav"].shape[2] // model.config.hop_samples
    yield compare("wav", model(inputs(seed, "voc.mel", (1, 100, frames))), case["wav"])


CASES: dict[str, Callable[[Arrays], Iterator[Comparison]]] = {
    "s1_v2": s1,
    "s2_v1": partial(s2_vits, "v1"),
    "s2_v2": partial(s2_vits, "v2"),
    "s2_v2Pro": partial(s2_vits, "v2Pro"),
    "s2_v2ProPlus": partial(s2_vits, "v2ProPlus"),
    "s2_v3": partial(s2_flow_matching, 1.875),
    "s2_v4": partial(s2_flow_matching, 2.0),
    "vocoder_v4": vocoder,
}


def case_name(path: Path) -> str | None:
    """The case a file is of: its stem, or what stands before `_` and an addition (a seed, say)."""
    names = [name for name in CASES if path.stem == name or path.stem.startswith(f"{name}_")]
    return max(names, key=len, default=None)


def run_case(path: Path) -> Iterator[Comparison]:
    """Compare one case file."""
    with np.load(path) as case:
        arrays = dict(case)
    name = case_name(path)
    assert name is not None
    yield from CASES[name](arrays)


def report_keys(folder: Path) -> int:
    """Print one line a listing in the folder; how many differ from our networks."""
    failed = 0
    for path in sorted(folder.glob("*.json")):
        if path.stem not in NETWORKS:
            print(f"keys of {path.stem}: not implemented yet, not compared")
            continue
        result = compare_listing(path)
        wrong = result.wrong
        verdict = "FAIL: " + ", ".join(wrong[:5]) if wrong else "pass"
        print(f"keys of {path.stem:<29} {result.keys:>4} listed, {len(wrong)} differ  {verdict}")
        failed += bool(wrong)
    return failed


def main(arguments: list[str] | None = None) -> int:
    """Print one line an array and a listing; 0 if all that is implemented agrees, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description=__doc__)
    parser.add_argument(
        "--cases",
        type=Path,
        required=True,
        help="folder of .npz case files; key listings are looked for in state_dicts beside it",
    )
    folder = parser.parse_args(arguments).cases
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        print(f"{folder} holds no case files (*.npz)", file=sys.stderr)
        return 2
    failed = 0
    for path in paths:
        if case_name(path) is None:
            continue
        for result in run_case(path):
            verdict = "pass" if result.passed else "FAIL"
            measure = "unequal" if result.exact else "error"
            print(
                f"{path.stem:<13} {result.array:<16} {measure:<8} {result.error:9.2e}  {verdict}",
                flush=True,
            )
            failed += not result.passed
        gc.collect()
    for path in paths:
        if case_name(path) is None:
            print(f"{path.stem:<13} not implemented yet, not compared")
    failed += report_keys(folder.absolute().parent / "state_dicts")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
