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
from model.engine import DEFAULT_SAMPLING, PRETRAINED, Engine, Reference
from model.overlap import single_threaded
from model.precision import Precision, fastest_precision
from model.sampling import Sampling
from model.slots import Sentence
from model.speaking import Request, Sample, Semantics

SLOT_COUNTS = (8, 16, 32)
PHONES, TOKENS = 30, 50
"""Of a sentence that is spoken to measure: 2 s."""
ROUNDS = 3
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
        thread_rates = _thread_rates(Engine(model, precision), cores)
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
    # What is likeliest to end is drawn as by the product; what is made is counted.
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
    """How many times faster a sentence is in bf16: the median of the rounds, CPU time."""
    if fastest_precision() != "bf16":
        return 0.0
    engines = [Engine(model, "f32"), Engine(model, "bf16")]
    with single_threaded():
        for engine in engines:
            _spoken(engine, 1)
        return statistics.median(
            _seconds(lambda: _spoken(engines[0], 1), time.process_time)
            / _seconds(lambda: _spoken(engines[1], 1), time.process_time)
            for _ in range(ROUNDS)
        )


def _thread_rates(engine: Engine, cores: int) -> dict[int, float]:
    """Sentences a second by the clock; the best of two rounds."""
    rates = dict.fromkeys(thread_counts(cores), 0.0)
    before = torch.get_num_threads()
    try:
        for _ in range(2):
            for threads in rates:
                torch.set_num_threads(threads)
                taken = _seconds(lambda n=2 * threads: _spoken(engine, n), time.perf_counter)
                rates[threads] = max(rates[threads], 2 * threads / taken)
    finally:
        torch.set_num_threads(before)
    return rates


def _seconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    begin = clock()
    work()
    return clock() - begin


def _spoken(engine: Engine, count: int) -> None:
    """So many sentences' sound, of tokens that are always the same."""
    draw = np.random.default_rng(0)
    tokens = draw.integers(0, 512, TOKENS).astype(np.int16)
    request = Request(("AH0", "L") * (PHONES // 2), 0)
    engine.acoustics(
        [request] * count, [Semantics(tokens, True)] * count, _reference(engine), DEFAULT_SAMPLING
    )


def _reference(engine: Engine) -> Reference:
    """Nobody's voice, of the right shape."""
    from model.speaking import Sample

    noise = 0.1 * np.random.default_rng(0).normal(size=4 * engine.sample_rate)
    return engine.reference([Sample(noise.astype(np.float32), engine.sample_rate)])
