"""How fast are S2 and the vocoder? `python -m benchmarks.speed_s2 --help`

First a gate: what is fast must equal what is plain, to its last sample. Then times, plain and fast
in turn (ABBA) so that a busy machine slows both alike; what counts is the median of the rounds'
ratios. v2 has random weights of the official shapes, the built-in voice its own.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import soundfile
import torch
from torch import Tensor

from model.device import CPU
from model.engine import Engine
from model.precision import lower_generator, lower_transformer
from model.s2.flow_matching import CFM
from model.s2.vits import V2, SynthesizerTrn
from model.sampling import Sampling
from model.speaking import Request, Sample
from model.text import speak_text
from model.vocoder import generate
from model.weight_norm import fold_weight_norm

ROOT = Path(__file__).resolve().parent.parent
LINES = Path(__file__).with_name("wild.txt")
TAIL = 6400
"""Samples of the last 200 ms of v2, where right padding would be heard."""


@dataclass(frozen=True)
class Check:
    """A measured error and how large it may be."""

    name: str
    error: float
    bound: float

    @property
    def passed(self) -> bool:
        return self.error <= self.bound


@dataclass(frozen=True)
class Ratio:
    """How many times faster than plain: the median, the least and the most of the rounds; and CPU
    seconds for a second of audio, the least of the rounds."""

    name: str
    median: float
    least: float
    most: float
    plain: float
    fast: float


def compare(
    name: str, plain: Callable[[], object], fast: Callable[[], object], seconds: float, rounds: int
) -> Ratio:
    """Runs both, which make `seconds` of audio, in turn; CPU time of this process counts."""
    plain(), fast()
    times: dict[str, list[float]] = {"plain": [], "fast": []}
    ratios = []
    for _ in range(rounds):
        spent = {"plain": 0.0, "fast": 0.0}
        for way, run in (("plain", plain), ("fast", fast), ("fast", fast), ("plain", plain)):
            started = time.process_time()
            run()
            taken = time.process_time() - started
            spent[way] += taken
            times[way].append(taken / seconds)
        ratios.append(spent["plain"] / spent["fast"])
    low, high = min(ratios), max(ratios)
    best = {way: min(found) for way, found in times.items()}
    return Ratio(name, statistics.median(ratios), low, high, best["plain"], best["fast"])


@dataclass(frozen=True)
class Vits:
    """v2 three times: as it is trained, with weight norm folded, and in bf16."""

    plain: SynthesizerTrn
    folded: SynthesizerTrn
    lower: SynthesizerTrn
    voice: Tensor


def official_v2() -> Vits:
    torch.manual_seed(0)
    plain = SynthesizerTrn(V2).eval().requires_grad_(False)
    folded, lower = copy.deepcopy(plain), copy.deepcopy(plain)
    fold_weight_norm(folded)
    fold_weight_norm(lower)
    lower_generator(lower.dec)
    return Vits(plain, folded, lower, torch.randn(1, V2.gin_channels, 1))


def spoken(model: SynthesizerTrn, voice: Tensor, seconds: float) -> Tensor:
    """A line's sound (samples,) from random tokens and phones, the same for each model."""
    draw = torch.Generator().manual_seed(1)
    tokens, phones = round(25 * seconds), round(12 * seconds)
    codes = torch.randint(0, V2.codebook, (1, tokens), generator=draw)
    text = torch.randint(0, V2.symbols, (1, phones), generator=draw)
    noise = torch.randn((1, V2.inter_channels, 2 * tokens), generator=draw)
    latent, _ = model.sample(
        codes, torch.tensor([tokens]), text, torch.tensor([phones]), voice, noise
    )
    return generate(model.dec, [latent], voice)[0]


def relative(made: Tensor, expected: Tensor) -> float:
    return float((made - expected).norm() / expected.norm())


def check_vits(vits: Vits) -> list[Check]:
    """Windows packed across sentences against whole sentences, and bf16 against f32."""
    draw = torch.Generator().manual_seed(2)
    latents = [torch.randn((1, V2.inter_channels, n), generator=draw) for n in (130, 40)]
    packed = generate(vits.folded.dec, latents, vits.voice, frames=88, rows=4)
    whole = [vits.folded.dec(latent, vits.voice)[0, 0] for latent in latents]
    pairs = list(zip(packed, whole, strict=True))
    loudest = max(float(right.abs().max()) for right in whole)
    worst = max(float((made - right).abs().max()) for made, right in pairs)
    end = max(float((made - right)[-TAIL:].abs().max()) for made, right in pairs)
    plain = spoken(vits.plain, vits.voice, 1.0)
    return [
        Check("v2 windows, any sample, of the peak", worst / loudest, 1e-4),
        Check("v2 windows, last 200 ms, of the peak", end / loudest, 1e-4),
        Check(
            "v2 folded f32, relative", relative(spoken(vits.folded, vits.voice, 1.0), plain), 1e-4
        ),
        Check("v2 bf16, relative", relative(spoken(vits.lower, vits.voice, 1.0), plain), 0.02),
    ]


@dataclass(frozen=True)
class Flow:
    """The built-in voice's flow matching, in f32 and in bf16, and one window of its work."""

    f32: CFM
    bf16: CFM
    fea: Tensor
    draft: Tensor
    noise: Tensor
    prompt: Tensor
    begin: float

    @property
    def seconds(self) -> float:
        return (self.fea.shape[2] - self.prompt.shape[2]) / 93.75

    def make(self, cfm: CFM, brief: bool) -> Tensor:
        sampling = Sampling()
        return cfm.inference(
            self.fea,
            None,
            self.prompt,
            sampling.steps,
            self.noise,
            sampling.guidance,
            self.draft,
            self.begin,
            brief,
        )


def built_in(engine: Engine) -> Flow:
    """A window of 2.6 s after the prompt of the demo's voice, from random tokens."""
    model = engine._model
    reference = engine.reference([_demo()])
    draw = torch.Generator().manual_seed(3)
    codes = torch.randint(0, model.s2.config.codebook, (1, 65), generator=draw)
    text = torch.randint(1, 60, (1, 30), generator=draw)
    fea, _ = model.s2.condition(
        codes, torch.tensor([65]), text, torch.tensor([30]), reference.voice, 1.0
    )
    pad = (reference.prompt_mel.shape[2], 0)
    bands = model.s2.config.mels
    lower = copy.deepcopy(model.s2.cfm)
    lower_transformer(lower.estimator)
    return Flow(
        model.s2.cfm,
        lower,
        torch.cat([reference.prompt_fea, fea], 2),
        torch.nn.functional.pad(model.s2.linear_mel(fea), pad),
        torch.nn.functional.pad(torch.randn((1, bands, fea.shape[2]), generator=draw), pad),
        reference.prompt_mel,
        model.config.flow_begin,
    )


def check_flow(flow: Flow) -> list[Check]:
    right = flow.make(flow.f32, True)
    return [
        Check("built-in mel, bf16, relative", relative(flow.make(flow.bf16, True), right), 0.02),
        Check(
            "built-in mel, brief unconditional pass, relative",
            relative(right, flow.make(flow.f32, False)),
            0.2,
        ),
    ]


def end_to_end(engines: dict[str, Engine], count: int) -> dict[str, float]:
    """CPU seconds of S1, S2, vocoder and the recogniser's check for a second of audio."""
    lines = LINES.read_text().splitlines()[:count]
    requests = [Request(speak_text(line).phones, number) for number, line in enumerate(lines)]
    found = {}
    for name, engine in engines.items():
        reference = engine.reference([_demo()])
        engine.render(requests[:1], reference)
        started = time.process_time()
        made = engine.render(requests, reference)
        taken = time.process_time() - started
        found[name] = taken * engine.sample_rate / sum(len(one.audio) for one in made)
    return found


def _demo() -> Sample:
    audio, rate = soundfile.read(ROOT / "demo" / "voice.flac", dtype="float32")
    return Sample(audio, rate)


@torch.inference_mode()
def measure(rounds: int, lines: int) -> tuple[list[Check], list[Ratio], dict[str, float]]:
    """The gate, and where it is passed the ratios and the costs end to end."""
    torch.set_num_threads(1)
    vits = official_v2()
    engines = {
        precision: Engine.load(precision=precision, device=CPU) for precision in ("f32", "bf16")
    }
    flow = built_in(engines["f32"])
    checks = [*check_vits(vits), *check_flow(flow)]
    if not all(check.passed for check in checks):
        return checks, [], {}

    def say(model: SynthesizerTrn) -> Callable[[], object]:
        return lambda: spoken(model, vits.voice, 2.0)

    plain = say(vits.plain)
    ratios = [
        compare("v2, f32 folded", plain, say(vits.folded), 2.0, rounds),
        compare("v2, bf16", plain, say(vits.lower), 2.0, rounds),
        compare(
            "built-in flow, f32 brief",
            lambda: flow.make(flow.f32, False),
            lambda: flow.make(flow.f32, True),
            flow.seconds,
            rounds,
        ),
        compare(
            "built-in flow, bf16 brief",
            lambda: flow.make(flow.f32, False),
            lambda: flow.make(flow.bf16, True),
            flow.seconds,
            rounds,
        ),
    ]
    return checks, ratios, end_to_end(engines, lines) if lines else {}


def table(checks: Sequence[Check], ratios: Sequence[Ratio], costs: dict[str, float]) -> list[str]:
    """Lines of Markdown."""
    rows = ["| gate of S2 | error | bound | |", "|---|---|---|---|"]
    for check in checks:
        passed = "ok" if check.passed else "FAILED"
        rows.append(f"| {check.name} | {check.error:.2e} | {check.bound:.0e} | {passed} |")
    if ratios:
        rows += ["", "| S2, one thread | ratio to plain f32 (least to most) | CPU s for a second |"]
        rows.append("|---|---|---|")
    for one in ratios:
        rows.append(
            f"| {one.name} | **{one.median:.2f}** ({one.least:.2f} to {one.most:.2f}) "
            f"| {one.plain:.3f} > {one.fast:.3f} |"
        )
    if costs:
        rows += ["", "| built-in voice with checks | CPU s for a second of audio |", "|---|---|"]
    return rows + [f"| {name} | {cost:.3f} |" for name, cost in costs.items()]


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmark; 1 where the gate is not passed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed_s2", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of ABBA (default 5)")
    parser.add_argument(
        "--lines", type=int, default=8, metavar="N", help="spoken end to end (default 8; 0: none)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures there, as JSON")
    options = parser.parse_args(arguments)
    checks, ratios, costs = measure(options.rounds, options.lines)
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    print("\n".join(table(checks, ratios, costs)))
    if options.out is not None:
        found = {
            "gate": [asdict(one) for one in checks],
            "ratios": [asdict(one) for one in ratios],
            "end_to_end": costs,
        }
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    return 0 if ratios else 1


if __name__ == "__main__":
    sys.exit(main())
