"""Does the voice lose or repeat a sentence? `python -m benchmarks.endurance --help`

Speaks many lines as the product does, with its checks and further attempts, and has Whisper write
down what came of them: a line is lost where more than half of its words are missing, and repeated
where more than half as many were added. All offline, on fixed weights.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import judges
from benchmarks.clips import Output, Sample, read_lines, read_samples, write_clips
from benchmarks.scores import NO_ERRORS, Errors, normalise, word_errors
from benchmarks.voice import DEMO_VOICE, say
from configs.errors import UserError
from storage.objects import ObjectStore
from tasks.batches import make_batches
from tasks.beside import write_bytes
from tasks.gate import Gate
from tasks.plan import Pauses, plan_chapter
from tasks.read_book import Block, Chapter
from tasks.render import Line, render_takes
from tasks.takes import Take, take_key

if TYPE_CHECKING:
    from model.engine import Engine

SENTENCES = Path(__file__).with_name("wild.txt")
ODD = Path(__file__).with_name("odd.txt")
_BATCH = 64


@dataclass(frozen=True)
class Spoken:
    """A line and its takes, none where there is nothing to say; `failures` are what the engine said
    of utterances that it could not render. `audio` is mono float32."""

    written: str
    takes: tuple[Take, ...]
    failures: tuple[str, ...]
    audio: np.ndarray


@dataclass(frozen=True)
class Verdict:
    """What Whisper heard of a line; `errors` is None where no word is written."""

    written: str
    heard: str
    errors: Errors | None
    seconds: float
    problems: tuple[str, ...]
    rejected: tuple[str, ...]
    complete: bool

    @property
    def lost(self) -> bool:
        return self.errors is not None and self.errors.deleted > self.errors.length / 2

    @property
    def repeated(self) -> bool:
        return self.errors is not None and self.errors.inserted > self.errors.length / 2


def speak_lines(lines: Sequence[str], engine: Engine, sample: Sample, seed: int) -> list[Spoken]:
    """Speaks each line as `voxloom speak --lines` does, into a store that is thrown away."""
    from model import speaking
    from model.engine import DEFAULT_SAMPLING

    plans = [
        plan_chapter(number, Chapter("", (Block("paragraph", line),)), Pauses())
        for number, line in enumerate(lines)
    ]
    sampling = asdict(DEFAULT_SAMPLING)
    keys = [
        [take_key(one.phones, "en", sample.name, "", sampling, seed) for one in plan]
        for plan in plans
    ]
    wanted = {
        key: Line(key, one.phones)
        for plan, own in zip(plans, keys, strict=True)
        for one, key in zip(plan, own, strict=True)
    }
    takes: dict[str, Take] = {}
    failures: dict[str, str] = {}
    reference = engine.reference([speaking.Sample(sample.audio, sample.sample_rate)])
    gate = Gate(engine, [speaking.Sample(sample.audio, sample.sample_rate)])
    with tempfile.TemporaryDirectory(prefix="voxloom-") as folder:
        store = ObjectStore(folder)

        def keep(line: Line, take: Take) -> None:
            takes[line.key] = take

        for batch in make_batches(list(wanted.values()), lambda line: len(line.phones), _BATCH):
            failures |= render_takes(batch, engine, reference, DEFAULT_SAMPLING, store, keep, gate)
            say(f"{len(takes)} of {len(wanted)} utterances spoken")
    spoken = []
    for line, plan, own in zip(lines, plans, keys, strict=True):
        pieces = [np.zeros(0, np.float32)]
        for utterance, key in zip(plan, own, strict=True):
            if key in takes:
                pause = round(utterance.pause_after * engine.sample_rate)
                pieces += [takes[key].audio, np.zeros(pause, np.float32)]
        spoken.append(
            Spoken(
                line,
                tuple(takes[key] for key in own if key in takes),
                tuple(failures[key] for key in own if key in failures),
                np.concatenate(pieces),
            )
        )
    return spoken


def judge(spoken: Spoken, sample_rate: int, listener: judges.Listener) -> Verdict:
    """Has Whisper write down a line, and compares."""
    heard = ""
    if spoken.audio.size:
        heard = listener.line(judges.at_judge_rate(spoken.audio, sample_rate))
    suspects = [take for take in spoken.takes if take.verdict == "suspect"]
    problems = [reason for take in suspects for reason in take.reasons]
    return Verdict(
        written=spoken.written,
        heard=heard,
        errors=word_errors(spoken.written, heard) if normalise(spoken.written) else None,
        seconds=spoken.audio.size / sample_rate,
        problems=(*problems, *(f"not spoken, {failure}" for failure in spoken.failures)),
        rejected=tuple(problem for take in spoken.takes for problem in take.rejected),
        complete=all(take.complete for take in spoken.takes),
    )


def kind(problem: str) -> str:
    """A problem without its place, to be counted."""
    return problem.partition(" at ")[0] if " at " in problem and problem[-1] == "s" else problem


def table(verdicts: Sequence[Verdict], utterances: int, seconds: float, wall: float) -> list[str]:
    """The figures, the lines behind them below."""
    errors = sum((one.errors for one in verdicts if one.errors), NO_ERRORS)
    retried = [one for one in verdicts if one.rejected]
    rows = [
        f"{'lines':<36}{len(verdicts):>8}",
        f"{'utterances':<36}{utterances:>8}",
        f"{'seconds of speech':<36}{seconds:>8.1f}",
        f"{'seconds of speech a second':<36}{seconds / wall:>8.2f}",
        f"{'WER':<36}{errors.rate if errors.length else 0.0:>8.3f}",
        f"{'lost (over half of the words)':<36}{sum(one.lost for one in verdicts):>8}",
        f"{'repeated (over half added)':<36}{sum(one.repeated for one in verdicts):>8}",
        f"{'ended at the bound or stuck':<36}{sum(not one.complete for one in verdicts):>8}",
        f"{'kept with a problem':<36}{sum(bool(one.problems) for one in verdicts):>8}",
        f"{'tried again':<36}{len(retried):>8}",
    ]
    reasons = Counter(kind(problem) for one in retried for problem in one.rejected)
    rows += [f"  {reason:<48}{count:>4}" for reason, count in reasons.most_common()]
    for one in verdicts:
        names = [name for name in ("lost", "repeated") if getattr(one, name)] + list(one.problems)
        if names:
            rows.append(f"{', '.join(names)}: {one.written!r}\n     heard {one.heard!r}")
    return rows


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Speak, judge, print the table; returns the report."""
    from model.engine import Engine

    lines = read_lines(options.lines, options.sentences)
    (sample,) = read_samples([options.voice])
    engine = Engine.load(options.model, options.threads)
    started = time.perf_counter()
    spoken = speak_lines(lines, engine, sample, options.seed)
    wall = time.perf_counter() - started
    if options.keep is not None:
        clips = tuple(one.audio for one in spoken)
        write_clips([Output(sample.name, clips, engine.sample_rate)], options.keep)
    listener = judges.Listener(options.threads or 0)
    verdicts = []
    for number, one in enumerate(spoken):
        if number % 20 == 0:
            say(f"judged {number} of {len(spoken)} lines")
        verdicts.append(judge(one, engine.sample_rate, listener))
    seconds = sum(one.seconds for one in verdicts)
    print("\n".join(table(verdicts, sum(len(one.takes) for one in spoken), seconds, wall)))
    return {
        "judges": judges.describe(),
        "model": engine.content_hash,
        "voice": sample.name,
        "seed": options.seed,
        "render_seconds": wall,
        "lost": sum(one.lost for one in verdicts),
        "repeated": sum(one.repeated for one in verdicts),
        "incomplete": sum(not one.complete for one in verdicts),
        "lines": [asdict(one) | {"lost": one.lost, "repeated": one.repeated} for one in verdicts],
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.endurance",
        description="Speaks many lines with the built-in voice as the product does, and counts the "
        "lost and the repeated ones, offline.",
    )
    add = parser.add_argument
    add(
        "--lines",
        type=Path,
        default=SENTENCES,
        metavar="FILE",
        help="what to speak, one text a line (default: 200 sentences of The Call of the Wild; "
        f"{ODD.name} beside it has odd ones)",
    )
    add("--sentences", type=int, metavar="N", help="only the first N lines")
    add("--voice", type=Path, default=DEMO_VOICE, metavar="SAMPLE", help="voice sample")
    add("--seed", type=int, default=0, metavar="N", help="another seed reads another way")
    add("--keep", type=Path, metavar="DIR", help="write the lines there, as WAV")
    add("--model", type=Path, metavar="DIR", help="voice model to measure (default: the built-in)")
    add("--threads", type=int, metavar="N", help="CPU threads (default: all cores)")
    add("--out", type=Path, metavar="FILE", help="write the report there, as JSON")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 0 when it measured, else the error's status. Bars are not judged here."""
    options = _parser().parse_args(arguments)
    try:
        judges.require()
        found = measure(options)
        if options.out is not None:
            text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
            write_bytes(options.out, text.encode())
    except UserError as error:
        print(f"benchmarks.endurance: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
