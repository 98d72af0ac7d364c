"""How fast the engine is against a plain implementation, on this machine, in one run.

First a gate: what is fast and wrong is not measured. Then the two take turns, ABBA, and what counts
is the median of the rounds' ratios, so that a machine that is busy with something else does not
decide. On one thread CPU time is measured, else the clock on the wall. S1 first, then S2
(`benchmarks.speed_s2`), then a book end to end (`benchmarks.speed_book`), on all cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from benchmarks import roofline, speed_book, speed_s1, speed_s2
from benchmarks.speed_s1 import Case
from model.slots import Recording, SlotTable
from tasks.beside import write_bytes

BATCHES = (1, 8, 32, 128, 256)
QUICK = (1, 32)
ROUNDS = 3
CONTEXT = 200
"""Places in a slot when decoding is measured: phones, prompt and half of a sentence."""


@dataclass(frozen=True)
class Measured:
    """Work a second (tokens), the best round's, of both; ratios over the rounds; the engine's
    share of the machine's roofline (None: not computed)."""

    name: str
    precision: str
    batch: int
    plain: float
    engine: float
    ratio: float
    least: float
    most: float
    roofline: float | None = None


def say(text: str) -> None:
    """Progress, beside the table."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def clock() -> float:
    """Seconds: of this process where one thread works, which a busy machine does not stretch."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def seconds(work: Callable[[], object]) -> float:
    """That a piece of work takes."""
    begin = clock()
    work()
    return clock() - begin


def measure(case: Case, rounds: int) -> Measured:
    """A case in so many rounds of plain, engine, engine, plain, after one to warm up."""
    case.plain()
    case.engine()
    plain, engine, ratios = [], [], []
    for _ in range(rounds):
        first = seconds(case.plain)
        made = [seconds(case.engine), seconds(case.engine)]
        theirs = [first, seconds(case.plain)]
        plain += theirs
        engine += made
        ratios.append(sum(theirs) / sum(made))
    return Measured(
        case.name,
        case.precision,
        case.batch,
        case.tokens / min(plain),
        case.tokens / min(engine),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
    )


def gate(quick: bool) -> tuple[dict[str, object], list[str]]:
    """Figures and lines of what was compared; AssertionError where something is not right."""
    compared: list[str] = []

    def note(text: str) -> None:
        compared.append(f"- {text}")
        say(text)

    s1, voice = speed_s1.network(), speed_s1.built_in()
    worst = speed_s1.check_exact(s1, 3 if quick else 12)
    note(f"S1 f32 against a forward pass without a cache: same tokens, logits within {worst:.1e}")
    found: dict[str, object] = {"f32_largest_difference": worst}
    for precision in speed_s1.PRECISIONS:
        count = speed_s1.check_invariance(s1, precision, 6 if quick else 20)
        count += speed_s1.check_invariance(voice, precision, 20)
        note(f"S1 {precision}: {count} sentences, same tokens alone, in a batch, after refills")
    for precision in ("bf16", "int8"):
        for name, one in (("official sizes, random", s1), ("built-in voice", voice)):
            many = speed_s1.sentences(one, 4, 12 if quick else 40)
            made = speed_s1.effect(one, precision, many)
            note(
                f"S1 {precision}, {name}: likeliest token kept {made.agreement:.1%}, "
                f"KL {made.divergence:.1e}, largest difference {made.largest:.2f} "
                f"(logits deviate by {made.deviation:.2f})"
            )
            found[f"{precision}, {name}"] = asdict(made)
    return found, compared


def cases(quick: bool) -> list[Callable[[], Case]]:
    """What is measured, each built when its turn comes."""
    s1 = speed_s1.network()
    made: list[Callable[[], Case]] = []
    for precision in speed_s1.PRECISIONS:
        for batch in QUICK if quick else BATCHES:
            made.append(
                lambda b=batch, p=precision: speed_s1.decode_case(s1, b, CONTEXT, p)  # type: ignore[misc]
            )
        made.append(lambda p=precision: speed_s1.prefill_case(s1, 8, p))  # type: ignore[misc]
    if not quick:  # what refilled slots bring, in the same arithmetic
        made.append(lambda: speed_s1.queue_case(s1, 8, "f32"))
    return made


def describe() -> dict[str, object]:
    """The machine and its libraries."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def table(found: list[Measured]) -> list[str]:
    """Lines of Markdown."""
    lines = [
        "| S1 | precision | batch | plain, tokens/s | engine, tokens/s | ratio (least to most) "
        "| of the roofline |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found:
        share = "" if one.roofline is None else f"{one.roofline:.0%}"
        lines.append(
            f"| {one.name} | {one.precision} | {one.batch} | {one.plain:.0f} | {one.engine:.0f} "
            f"| **{one.ratio:.2f}** ({one.least:.2f} to {one.most:.2f}) | {share} |"
        )
    return lines


def with_roofline(one: Measured, machine: roofline.Machine) -> Measured:
    """The same, with its share of what the machine could do."""
    if one.name != "decode":
        return one
    config = speed_s1.OFFICIAL
    most = roofline.bound(machine, config, one.batch, CONTEXT, one.precision)  # type: ignore[arg-type]
    return replace(one, roofline=one.engine / most)


def on_cuda(quick: bool) -> list[roofline.Launched]:
    """What a step launches in bf16, and how fast it is; nothing where there is no CUDA device.

    Not run on a GPU yet.
    """
    if not torch.cuda.is_available():
        return []
    s1 = speed_s1.network().cuda()
    found = []
    for batch in QUICK if quick else BATCHES:
        table = speed_s1.warm_table(s1, batch, CONTEXT, 400, "bf16")
        recording = Recording(table, torch.arange(batch, device=table.device))

        def step(table: SlotTable = table, recording: Recording = recording) -> None:
            recording.step([], table.capacity)

        step(), step()  # the second one records
        found.append(roofline.launched(table, step, batch, 100))
        say(f"CUDA: {found[-1]}")
    return found


def plot(found: list[Measured], path: Path) -> None:
    """Decoding speed over the batch size, one line a precision."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    decoding = [one for one in found if one.name == "decode"]
    for precision in dict.fromkeys(one.precision for one in decoding):
        line = [one for one in decoding if one.precision == precision]
        axes.plot([one.batch for one in line], [one.engine for one in line], "o-", label=precision)
    exact = [one for one in decoding if one.precision == "f32"]
    batches, plain = [one.batch for one in exact], [one.plain for one in exact]
    axes.plot(batches, plain, "o--", color="grey", label="plain")
    axes.set_xscale("log", base=2)
    axes.set_xticks(batches, [str(batch) for batch in batches])
    axes.set(xlabel="sentences at once", ylabel="S1, tokens/s", ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=120)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 0 when it measured, 1 where the gate is shut."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="ratios of S1 and S2 alone, in five minutes")
    add("--rounds", type=int, default=ROUNDS, metavar="N", help="ABBA rounds (default: 3)")
    add("--threads", type=int, default=1, metavar="N", help="CPU threads of S1 (default: 1)")
    add("--minutes", type=float, default=60.0, metavar="N", help="of the book (default: 60)")
    add("--out", type=Path, metavar="DIR", help="write speed.json, speed-table.md, speed.png")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    with torch.inference_mode():
        try:
            checked, compared = gate(options.quick)
        except AssertionError as error:
            print(f"benchmarks.speed: {error}", file=sys.stderr)
            return 1
        machine = roofline.measured(clock)
        found: list[Measured] = []
        for build in cases(options.quick):
            found.append(with_roofline(measure(build(), options.rounds), machine))
            say(table(found)[-1])
        launched = on_cuda(options.quick)
    checks, ratios, _ = speed_s2.measure(options.rounds, 0)
    lines = [*compared, "", *table(found), "", *speed_s2.table(checks, ratios, {})]
    if not ratios:
        print("\n".join(lines))
        return 1
    record: dict[str, object] = {
        "machine": {**describe(), **asdict(machine)},
        "gate": checked,
        "measured": [asdict(one) for one in found],
        "cuda": [asdict(one) for one in launched],
        "s2": {
            "gate": [asdict(one) for one in checks],
            "ratios": [asdict(one) for one in ratios],
        },
        "peak_gigabytes": peak_gigabytes(),
    }
    bounds = [] if launched else ["", "No CUDA device: nothing here has run on one."]
    if options.out is not None:
        write(options.out, record, [*lines, *bounds], found)
    if not options.quick:
        say("a book, end to end")
        book = speed_book.cost_of_book(options.minutes, os.cpu_count() or 1)
        record["book"] = asdict(book)
        lines += ["", *speed_book.table(book)]
        if options.out is not None:
            write(options.out, record, [*lines, *bounds], found)
    print("\n".join([*lines, *bounds]))
    return 0


def write(out: Path, record: dict[str, object], lines: list[str], found: list[Measured]) -> None:
    """The files of a run, or of its first part: the book takes as long as all else."""
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(out / "speed.json", (json.dumps(record, indent=1) + "\n").encode())
    write_bytes(out / "speed-table.md", ("\n".join(lines) + "\n").encode())
    plot(found, out / "speed.png")


def peak_gigabytes() -> float:
    """The most memory that this process has had."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


if __name__ == "__main__":
    sys.exit(main())
