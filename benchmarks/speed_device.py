"""How much speech does this device make in a second? `python -m benchmarks.speed_device --help`

First a gate: lines of the built-in voice, in f32 and from the same tokens, are made on the CPU one
by one and on the device together, and have to sound alike. Then S1, S2 with its checks, and both at
once are timed on the wall, after a round to warm up in which a CUDA device records its graphs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from configs.settings import load_settings
from model.device import CPU, Device
from model.engine import Engine
from model.sampling import Sampling
from model.speaking import Prompt, Request, Sample, VoiceEngine
from model.text import speak_text
from tasks.engines import choose_model, load_engine, speaking_device

ROOT = Path(__file__).resolve().parent.parent
TRANSCRIPT = (
    "Good evening. Pull your chair a little closer to the lamp, pour yourself a cup of tea, and I "
    "will begin the next chapter before we sleep."
)
OFFICIAL = Sampling(top_k=15, temperature=1.0, repetition_penalty=1.35, guidance=0.0)
CHECKED, MOST = 4, 0.05
"""Lines of the gate, and the largest error: a pulse train's phase adds up what rounding does."""


@dataclass(frozen=True)
class Speeds:
    """Seconds of audio a second."""

    s1: float
    s2: float
    whole: float
    audio_seconds: float


def requests_of(lines: int, version: str = "") -> list[Request]:
    """Lines of a novel, over and over, each with a seed of its own; `version` as for
    `speak_text`."""
    texts = (ROOT / "benchmarks" / "wild.txt").read_text().splitlines()
    phones = [speak_text(text, version=version).phones for text in texts[:lines]]
    return [Request(phones[number % len(phones)], number) for number in range(lines)]


def demo() -> Sample:
    audio, rate = soundfile.read(ROOT / "demo" / "voice.flac", dtype="float32")
    return Sample(audio, rate)


def difference(device: Device, requests: Sequence[Request]) -> float:
    """The largest error of the built-in voice's lines, in shares of their energy's root."""
    alone, together = (Engine.load(precision="f32", device=one) for one in (CPU, device))
    voices = [engine.reference([demo()]) for engine in (alone, together)]
    said = alone.semantics(requests, voices[0])
    pairs = zip(
        alone.acoustics(requests, said, voices[0]),
        together.acoustics(requests, said, voices[1]),
        strict=True,
    )
    return max(
        float(np.linalg.norm(one.audio - other.audio) / np.linalg.norm(one.audio))
        for one, other in pairs
    )


def measure(
    engine: VoiceEngine, requests: Sequence[Request], rounds: int, version: str = ""
) -> Speeds:
    """The best of the rounds."""
    spoken = speak_text(TRANSCRIPT, version=version).phones
    voice = engine.reference([demo()], Prompt(spoken) if version else None)
    sampling = OFFICIAL if version else Sampling()
    said = engine.semantics(requests, voice, sampling)
    made = engine.acoustics(requests, said, voice, sampling)
    audio = sum(len(one.audio) for one in made) / engine.sample_rate

    def best(work: Callable[[], object]) -> float:
        work()
        taken = []
        for _ in range(rounds):
            begin = time.perf_counter()
            work()
            taken.append(time.perf_counter() - begin)
        return audio / min(taken)

    return Speeds(
        best(lambda: engine.semantics(requests, voice, sampling)),
        best(lambda: engine.acoustics(requests, said, voice, sampling)),
        best(lambda: engine.render(requests, voice, sampling)),
        audio,
    )


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmark; 1 where the gate is shut."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed_device", description=__doc__)
    add = parser.add_argument
    add("--model", default="", metavar="NAME", help="an installed model (default: the built-in)")
    add("--lines", type=int, default=256, metavar="N", help="spoken at a time (default: 256)")
    add("--rounds", type=int, default=3, metavar="N", help="of which the best counts (default: 3)")
    options = parser.parse_args(arguments)
    settings = load_settings()
    device = speaking_device(settings)
    name = "CPU" if device.where.type == "cpu" else torch.cuda.get_device_name(device.where)
    error = difference(device, requests_of(CHECKED))
    print(f"gate, {name} against the CPU: error {error:.1e}, at most {MOST}")
    if error > MOST:
        return 1
    model = choose_model(options.model, settings.models)
    engine = load_engine(model, settings.threads, settings.precision, None, device)
    requests = requests_of(options.lines, model.reading)
    made = measure(engine, requests, options.rounds, model.reading)
    print(
        "| model | device | S1, audio s/s | S2 and checks | both at once |\n|---|---|---|---|---|"
    )
    print(f"| {model.title} | {name} | {made.s1:.1f} | {made.s2:.1f} | **{made.whole:.1f}** |")
    if device.where.type != "cpu":
        print(f"most memory of the device: {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
