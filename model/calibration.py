"""How this machine speaks fastest: the built-in voice, measured for a few seconds.

What is chosen here either changes no bit of a result (slots, threads) or stands in the key of every
take (precision).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from model.checkpoint import VoiceModel, load_model
from model.decode import SLOTS, decode
from model.engine import DEFAULT_SAMPLING, PRETRAINED, Engine
from model.overlap import single_threaded
from model.precision import Precision, fastest_precision
from model.sampling import Sampling
from model.slots import Sentence
from model.speaking import Request, Sample, Semantics

SLOT_COUNTS = (8, 16, 32)
"""With more, S1 would be faster yet, but S2 would wait for the first sentence of a unit of work."""
PHONES, TOKENS = 20, 30
"""Of a sentence that is spoken to measure: 1.2 s."""
ROUNDS = 2
WORTH = 1.15
"""Less precision has to be so many times faster."""
MARGIN = 0.05
"""Other slots than usual, or fewer threads than cores, have to be faster by this share."""


@dataclass(frozen=True)
class Calibration:
    """What is fastest here: sentences that S1 decodes at once, sentences that go beside each other,
    and the precision of S2; with what was measured (tokens a second by slots, sentences a second by
    threads, how many times faster bf16 is, 0 where the CPU lacks it)."""

    slots: int
    threads: int
    precision: Precision
    slot_rates: dict[int, float]
    thread_rates: dict[int, float]
    bf16_ratio: float


def calibrate(cores: int) -> Calibration:
    """Measures on up to so many cores."""
    model = load_model(PRETRAINED)
    with torch.inference_mode():
        slot_rates = _slot_rates(model)
        ratio = _bf16_ratio(model)
        precision: Precision = "bf16" if ratio > WORTH else "f32"
        thread_rates = _thread_rates(model, precision, cores)
    return Calibration(
        slots=fastest(slot_rates, SLOTS),
        threads=fastest(thread_rates, max(thread_rates)),
        precision=precision,
        slot_rates=slot_rates,
        thread_rates=thread_rates,
        bf16_ratio=ratio,
    )


def fastest(rates: dict[int, float], usual: int) -> int:
    """The number with the highest rate, unless the usual one's is as good but for `MARGIN`."""
    best = max(rates, key=lambda number: rates[number])
    return best if rates[best] > rates[usual] * (1 + MARGIN) else usual


def thread_counts(cores: int) -> list[int]:
    """A quarter and half of the cores, and all."""
    return sorted({max(1, cores // 4), max(1, cores // 2), cores})


def _slot_rates(model: VoiceModel) -> dict[int, float]:
    """S1's tokens a second of CPU time; the best of the rounds."""
    draw = torch.Generator().manual_seed(0)
    sentences = [
        Sentence(
            torch.randint(1, 60, (PHONES,), generator=draw),
            torch.zeros(0, dtype=torch.long),
            number,
            TOKENS,
            TOKENS,
        )
        for number in range(max(SLOT_COUNTS))
    ]
    rates = dict.fromkeys(SLOT_COUNTS, 0.0)
    with single_threaded():
        _said(model, sentences[:2], 2)  # compiles
        for _ in range(ROUNDS):
            for slots in SLOT_COUNTS:
                begin = time.process_time()
                made = _said(model, sentences, slots)
                rates[slots] = max(rates[slots], made / (time.process_time() - begin))
    return rates


def _said(model: VoiceModel, sentences: Sequence[Sentence], slots: int) -> int:
    return sum(len(tokens) for _, tokens, _ in decode(model.s1, sentences, Sampling(), slots))


def _bf16_ratio(model: VoiceModel) -> float:
    """How many times faster a sentence is in bf16: the mean of the rounds, CPU time."""
    if fastest_precision() != "bf16":
        return 0.0
    speak = [_speaking(model, "f32"), _speaking(model, "bf16")]
    with single_threaded():
        for one in speak:
            one(1)
        rounds = [[_seconds(one, 1) for one in (*speak, *reversed(speak))] for _ in range(ROUNDS)]
    return statistics.mean((a + d) / (b + c) for a, b, c, d in rounds)


def _thread_rates(model: VoiceModel, precision: Precision, cores: int) -> dict[int, float]:
    """Sentences a second, were the machine idle: those a second of CPU time, times threads. What
    threads cost each other stretches CPU time, what else the machine does stretches it little."""
    speak = _speaking(model, precision)
    rates = dict.fromkeys(thread_counts(cores), 0.0)
    before = torch.get_num_threads()
    try:
        for _ in range(ROUNDS):
            for threads in rates:
                torch.set_num_threads(threads)
                taken = _seconds(speak, 2 * threads)
                rates[threads] = max(rates[threads], 2 * threads * threads / taken)
    finally:
        torch.set_num_threads(before)
    return rates


def _seconds(work: Callable[[int], None], count: int) -> float:
    """CPU seconds, of all threads."""
    begin = time.process_time()
    work(count)
    return time.process_time() - begin


def _speaking(model: VoiceModel, precision: Precision) -> Callable[[int], None]:
    """What makes so many sentences' sound, of the same tokens in nobody's voice."""
    engine = Engine(model, precision)
    draw = np.random.default_rng(0)
    noise = 0.1 * draw.normal(size=2 * engine.sample_rate)
    reference = engine.reference([Sample(noise.astype(np.float32), engine.sample_rate)])
    said = Semantics(draw.integers(0, model.s2.config.codebook, TOKENS).astype(np.int16), True)
    request = Request(("AH0", "L") * (PHONES // 2), 0)

    def speak(count: int) -> None:
        engine.acoustics([request] * count, [said] * count, reference, DEFAULT_SAMPLING)

    return speak
