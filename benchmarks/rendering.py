"""Speaks the benchmark's lines with the built-in model, and takes the time."""

import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.clips import Model, Output, Sample
from model import speaking
from model.engine import Engine
from model.speaking import Request
from model.text import speak_text


def render(
    lines: Sequence[str],
    samples: Sequence[Sample],
    directory: Path | None,
    threads: int | None,
    say: Callable[[str], None],
) -> tuple[list[Output], Model]:
    """Speak every line in every voice with the model in `directory` (None: the built-in one).

    `say` hears of the progress.
    """
    started = time.perf_counter()
    engine = Engine.load(directory, threads)
    load_seconds = time.perf_counter() - started
    outputs = []
    for sample in samples:
        say(f"rendering {len(lines)} lines in the voice of {sample.name}")
        outputs.append(render_voice(engine, lines, sample))
    # Linux counts kilobytes. No judge is loaded yet, so this is the product's own peak.
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return outputs, Model(engine.content_hash, load_seconds, peak)


def render_voice(engine: Engine, lines: Sequence[str], sample: Sample) -> Output:
    """Speak every line in one voice, once, with default settings; a line's seed is its number.

    `render_seconds` covers all that the product does for it: phones, the sample's features, the
    model. Nothing is warmed up before.
    """
    started = time.perf_counter()
    requests = [Request(speak_text(line).phones, number) for number, line in enumerate(lines)]
    reference = engine.reference([speaking.Sample(sample.audio, sample.sample_rate)])
    renderings = engine.render(requests, reference)
    wall = time.perf_counter() - started
    cut = tuple(i for i, rendering in enumerate(renderings) if not rendering.complete)
    clips = tuple(rendering.audio for rendering in renderings)
    return Output(sample.name, clips, engine.sample_rate, cut, wall)
