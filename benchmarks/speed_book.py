"""The cost of a book, end to end, by stages: `python -m benchmarks.speed_book --help`

A synthetic book is read with the built-in voice by the very steps of `voxloom audiobook` (plan,
takes with their checks and further attempts, assembly, mastering, encoding, measuring), without
Prefect's API around them. CPU seconds of each stage are those of the threads that work on it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from configs.presets import load_presets
from configs.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
LINES = Path(__file__).with_name("wild.txt")
DEMO = ROOT / "demo" / "voice.flac"
LINES_A_CHAPTER = 100
SPOKEN_WORDS_A_MINUTE = 175
OTHER = "all else"


def book_text(minutes: float) -> str:
    """A Markdown book of about so many minutes, no line of which stands in it twice.

    First come the lines of a novel as they are, then first halves of lines with others' second
    halves.
    """
    lines = [line for line in LINES.read_text().splitlines() if line.strip()]
    words, written, turn = round(minutes * SPOKEN_WORDS_A_MINUTE), 0, 0
    parts = ["# The Book of Halves\n"]
    while written < words:
        line = _line(lines, turn)
        if turn % LINES_A_CHAPTER == 0:
            parts.append(f"## Chapter {turn // LINES_A_CHAPTER + 1}\n")
        parts.append(f"{line}\n")
        written += len(line.split())
        turn += 1
    return "\n".join(parts)


def _line(lines: list[str], turn: int) -> str:
    number, shift = turn % len(lines), turn // len(lines)
    if not shift:
        return lines[number]
    first, second = lines[number].split(), lines[(number + shift) % len(lines)].split()
    return " ".join(first[: len(first) // 2] + second[len(second) // 2 :])


class Stages:
    """CPU seconds and calls of stages, over all threads; a stage inside another counts for itself
    alone."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._inside = threading.local()

    def run(self, stage: str, work: Callable[[], Any]) -> Any:
        """What `work` comes to."""
        outer: list[float] = getattr(self._inside, "spent", [])
        self._inside.spent = mine = [0.0]
        begin = time.thread_time()
        try:
            return work()
        finally:
            taken = time.thread_time() - begin
            self._inside.spent = outer
            if outer:
                outer[0] += taken
            with self._lock:
                self.seconds[stage] += taken - mine[0]
                self.calls[stage] += 1

    def watch(self, owner: object, name: str, stage: str) -> None:
        """Counts the calls of a method for a stage from now on."""
        method = getattr(owner, name)
        setattr(owner, name, lambda *args, **kw: self.run(stage, lambda: method(*args, **kw)))

    def watch_items(self, owner: object, name: str, stage: str) -> None:
        """The same of a method that gives an iterator, each of whose items is a call."""
        method = getattr(owner, name)

        def watched(*args: Any, **kw: Any) -> Iterator[Any]:
            items, nothing = method(*args, **kw), object()
            while (item := self.run(stage, lambda: next(items, nothing))) is not nothing:
                yield item

        setattr(owner, name, watched)


@dataclass(frozen=True)
class Cost:
    """What a book took. `stages`: CPU seconds for a second of audio, child processes' among them;
    `attempts`: renderings for each take kept; `load` of the machine while it ran."""

    audio_seconds: float
    wall_seconds: float
    cpu_seconds: float
    threads: int
    takes: int
    attempts: float
    suspects: int
    peak_gigabytes: float
    stages: dict[str, float]
    load: float
    whisper: bool

    @property
    def faster_than_playback(self) -> float:
        return self.audio_seconds / self.wall_seconds

    @property
    def cpu_share(self) -> float:
        """CPU seconds for a second of audio."""
        return self.cpu_seconds / self.audio_seconds


def cost_of_book(minutes: float, threads: int, whisper: bool = True) -> Cost:
    """Makes the book, in a folder that is thrown away, and says what it cost."""
    with tempfile.TemporaryDirectory(prefix="voxloom-speed-") as folder:
        home = Path(folder) / "home"
        settings = Settings(home=home, threads=threads, log_level="WARNING")
        return _cost(Path(folder), settings, minutes, threads, whisper)


def _cost(folder: Path, settings: Settings, minutes: float, threads: int, whisper: bool) -> Cost:
    from rich.console import Console

    from flows.orders import Order
    from flows.progress import RunProgress
    from flows.work import Work, builtin_engine, plan_book
    from tasks.transcribe import find_whisper
    from tasks.voices import AskedVoice

    book = folder / "book.md"
    book.write_text(book_text(minutes))
    order = Order(
        book=book,
        voice=AskedVoice((str(DEMO),)),
        out=folder / "out",
        chapters="",
        language="en",
        seed=0,
        presets=load_presets(None),
        settings=settings,
    )
    stages = Stages()
    progress = RunProgress(Console(stderr=True, highlight=False), 60.0)
    torch.set_num_threads(threads)
    begin, cpu = time.perf_counter(), _cpu_seconds()
    plan = stages.run("planning", lambda: plan_book(order, progress))
    engine: Any = stages.run("loading", lambda: builtin_engine(settings))
    work = stages.run("reference", lambda: Work(order, plan, engine, progress))
    stages.watch_items(engine, "_said", "S1")
    stages.watch(engine._stage, "speak", "S2")
    if engine._device.rows == 1:  # a GPU's time is not the CPU's
        stages.watch(engine._stage, "_vocoder", "vocoder")
    stages.watch(engine, "_heard", "recogniser")
    for way in work._ways.values():
        stages.watch(way.gate, "judge", "gate")
        if not whisper:
            way.gate._whisper_name = None
    stages.watch(work._store, "put", "storing")
    ready = [number for batch in range(len(work.batches)) for number in work.render(batch)]
    chapters = [stages.run("assembly", lambda n=n: work.assemble(n)) for n in sorted(ready)]
    children = _cpu_seconds(resource.RUSAGE_CHILDREN)
    delivered = stages.run("delivery", lambda: work.deliver(chapters))
    stages.seconds["delivery"] += _cpu_seconds(resource.RUSAGE_CHILDREN) - children
    wall, cpu = time.perf_counter() - begin, _cpu_seconds() - cpu
    seconds = delivered.seconds
    stages.seconds[OTHER] = cpu - sum(stages.seconds.values())
    takes = sum(map(len, work.batches))
    return Cost(
        audio_seconds=round(seconds, 1),
        wall_seconds=round(wall, 1),
        cpu_seconds=round(cpu, 1),
        threads=threads,
        takes=takes,
        attempts=round(stages.calls["gate"] / takes, 3),
        suspects=delivered.flawed,
        peak_gigabytes=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        stages={name: round(spent / seconds, 4) for name, spent in stages.seconds.most_common()},
        load=round(os.getloadavg()[0], 2),
        whisper=whisper and find_whisper() is not None,
    )


def _cpu_seconds(who: int | None = None) -> float:
    """Of this process and of its children that have ended, or of one of the two."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN) if who is None else (who,)
    usages = [resource.getrusage(kind) for kind in kinds]
    return sum(one.ru_utime + one.ru_stime for one in usages)


def table(cost: Cost) -> list[str]:
    """Lines of Markdown."""
    lines = [
        f"{cost.audio_seconds / 60:.1f} min of audio, {cost.takes} takes, {cost.attempts:.2f} "
        f"renderings each, {cost.suspects} suspect; Whisper {'there' if cost.whisper else 'not'}; "
        f"{cost.threads} threads; load {cost.load}: **{cost.faster_than_playback:.2f} times** as "
        f"fast as playback, {cost.cpu_share:.3f} CPU seconds for a second of audio, "
        f"{cost.peak_gigabytes} GB at most.",
        "",
        "| stage | CPU seconds for a second of audio | share |",
        "|---|---|---|",
    ]
    for name, spent in cost.stages.items():
        lines.append(f"| {name} | {spent:.4f} | {spent / cost.cpu_share:.1%} |")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Makes the book and prints what it cost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed_book", description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=60.0, metavar="N", help="length of the book (default: 60)")
    add("--threads", type=int, default=os.cpu_count() or 1, metavar="N", help="default: all cores")
    add("--no-whisper", action="store_true", help="no second opinion, though a model is there")
    add("--out", type=Path, metavar="FILE", help="write the figures there, as JSON")
    options = parser.parse_args(arguments)
    cost = cost_of_book(options.minutes, options.threads, not options.no_whisper)
    print("\n".join(table(cost)))
    if options.out is not None:
        options.out.write_text(json.dumps(asdict(cost), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
