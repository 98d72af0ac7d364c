"""How well does a voice speak, and whose voice is it? `python -m benchmarks.voice --help`

Renders sentences with the built-in voice, or takes WAVs that exist, and has three judges look at
them: Whisper for what was said (WER, CER), Resemblyzer for who said it, DNSMOS for how clean it
sounds. All offline, on fixed weights; no line is rendered twice and none is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks import judges
from benchmarks.clips import (
    Model,
    Output,
    Sample,
    read_clips,
    read_lines,
    read_samples,
    write_clips,
)
from benchmarks.recording import book_errors
from benchmarks.scores import (
    NO_ERRORS,
    Errors,
    Similarities,
    character_errors,
    similarities,
    word_errors,
)
from configs.errors import UsageError, UserError
from tasks.beside import write_bytes

ROOT = Path(__file__).resolve().parent.parent
ALICE = Path(__file__).with_name("alice.txt")
DEMO_VOICE = ROOT / "demo" / "voice.flac"


@dataclass(frozen=True)
class Line:
    """One line as judged. `overall` is DNSMOS OVRL, None where there is no sound at all."""

    written: str
    heard: str
    words: Errors
    characters: Errors
    seconds: float
    overall: float | None


@dataclass(frozen=True)
class Judged:
    """One voice's output as judged; `embeddings` has one (256,) a line."""

    output: Output
    lines: tuple[Line, ...]
    embeddings: tuple[np.ndarray, ...]

    @property
    def words(self) -> Errors:
        """Word errors of all lines together."""
        return sum((line.words for line in self.lines), NO_ERRORS)

    @property
    def characters(self) -> Errors:
        """Character errors of all lines together."""
        return sum((line.characters for line in self.lines), NO_ERRORS)

    @property
    def overall(self) -> float:
        """Mean DNSMOS OVRL; a line without sound counts 1, the scale's lowest."""
        return float(
            np.mean([1.0 if line.overall is None else line.overall for line in self.lines])
        )

    @property
    def failed(self) -> int:
        """Lines of which more than half of the words are wrong: lost, repeated or garbled."""
        return sum(line.words.rate > 0.5 for line in self.lines)


def judge(
    lines: Sequence[str],
    output: Output,
    listener: judges.Listener,
    speaker: judges.SpeakerJudge,
    quality: judges.QualityJudge,
) -> Judged:
    """Have one voice's clips, one a line, written down, embedded and scored."""
    judged, embeddings = [], []
    for written, clip in zip(lines, output.clips, strict=True):
        audio = judges.at_judge_rate(clip, output.sample_rate)
        heard = listener.line(audio)
        judged.append(
            Line(
                written=written,
                heard=heard,
                words=word_errors(written, heard),
                characters=character_errors(written, heard),
                seconds=clip.size / output.sample_rate,
                overall=quality.score(audio).overall if np.any(audio) else None,
            )
        )
        embeddings.append(speaker.embed(audio))
    return Judged(output, tuple(judged), tuple(embeddings))


def compare_voices(
    samples: Sequence[Sample], results: Sequence[Judged], speaker: judges.SpeakerJudge
) -> Similarities:
    """Every sample against every output, and every sample, of which it should be unlike."""
    own = {
        sample.name: speaker.embed(judges.at_judge_rate(sample.audio, sample.sample_rate))
        for sample in samples
    }
    return similarities(own, {result.output.voice: result.embeddings for result in results})


def table(results: Sequence[Judged], likeness: Similarities) -> list[str]:
    """The figures, one voice a line, then the matrix of similarities."""
    head = (
        f"{'voice':<26}{'lines':>6}{'WER':>8}{'CER':>8}{'failed':>8}{'cut':>5}"
        f"{'similar':>9}{'next':>7}{'OVRL':>7}{'seconds':>9}{'speed':>8}"
    )
    rows = [head]
    for result in results:
        output = result.output
        other = likeness.nearest_other(output.voice)
        speed = f"{output.seconds / output.render_seconds:.2f}x" if output.render_seconds else "-"
        rows.append(
            f"{output.voice[:25]:<26}{len(result.lines):>6}"
            f"{result.words.rate:>8.3f}{result.characters.rate:>8.3f}"
            f"{result.failed:>8}{len(output.cut):>5}"
            f"{likeness.own(output.voice):>9.3f}{f'{other[1]:.3f}' if other else '-':>7}"
            f"{result.overall:>7.2f}{output.seconds:>9.1f}{speed:>8}"
        )
    if len(results) > 1:
        words = sum((result.words for result in results), NO_ERRORS)
        characters = sum((result.characters for result in results), NO_ERRORS)
        rows.append(
            f"{'all':<26}{sum(len(r.lines) for r in results):>6}"
            f"{words.rate:>8.3f}{characters.rate:>8.3f}{sum(r.failed for r in results):>8}"
            f"{sum(len(r.output.cut) for r in results):>5}"
        )
    rows.append(
        "failed: more than half of the words wrong; cut: ended at the length bound; "
        "similar: to the own sample; next: to the nearest other"
    )
    if len(likeness.samples) > 1:
        rows += ["", "similarity, mean over the lines: samples down, outputs across"]
        rows.append(" " * 26 + "".join(f"{name[:15]:>17}" for name in likeness.outputs))
        for name, values in zip(likeness.samples, likeness.values, strict=True):
            rows.append(f"{name[:25]:<26}" + "".join(f"{value:>17.3f}" for value in values))
    return rows


def report(
    results: Sequence[Judged], likeness: Similarities, model: Model | None
) -> dict[str, object]:
    """Everything that was measured, for JSON."""
    voices = []
    for result in results:
        output = result.output
        other = likeness.nearest_other(output.voice)
        voices.append(
            {
                "voice": output.voice,
                "wer": result.words.rate,
                "cer": result.characters.rate,
                "word_errors": asdict(result.words),
                "failed_lines": result.failed,
                "cut_lines": list(output.cut),
                "similarity": likeness.own(output.voice),
                "nearest_other": {"sample": other[0], "similarity": other[1]} if other else None,
                "dnsmos_ovrl": result.overall,
                "seconds": output.seconds,
                "render_seconds": output.render_seconds,
                "lines": [asdict(line) | {"wer": line.words.rate} for line in result.lines],
            }
        )
    return {
        "judges": judges.describe(),
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
        "model": asdict(model) if model else None,
        "voices": voices,
        "similarity": {
            "samples": likeness.samples,
            "outputs": likeness.outputs,
            "mean": likeness.values.tolist(),
            "lowest": likeness.lowest.tolist(),
        },
    }


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Render or read, judge, print the table; returns the report."""
    lines = read_lines(options.lines, options.sentences)
    samples = read_samples(options.voices)
    model: Model | None = None
    if options.audio is None:
        # Judging what exists needs no model, and its imports take seconds.
        from benchmarks.rendering import render

        outputs, model = render(lines, samples, options.model, options.threads, say)
        print(
            f"model: {model.content_hash[:12]}, loaded in {model.load_seconds:.1f} s, "
            f"peak memory {model.peak_memory_mb} MB"
        )
        if options.keep is not None:
            write_clips(outputs, options.keep)
    else:
        outputs = read_clips(options.audio, [sample.name for sample in samples], len(lines))
    listener = judges.Listener(options.threads or 0)
    speaker, quality = judges.SpeakerJudge(), judges.QualityJudge()
    results = []
    for output in outputs:
        say(f"judging {output.seconds:.0f} s in the voice of {output.voice}")
        results.append(judge(lines, output, listener, speaker, quality))
    likeness = compare_voices(samples, results, speaker)
    print("\n".join(table(results, likeness)))
    for result in results:
        for number, line in enumerate(result.lines):
            if line.words.rate > 0.5:
                print(
                    f"failed: {result.output.voice} {number:03} {line.written!r}\n"
                    f"     heard {line.heard!r}"
                )
    return report(results, likeness, model)


def measure_book(options: argparse.Namespace) -> dict[str, object]:
    """Judge a long recording against its text; returns the report."""
    found = book_errors(
        options.book,
        options.text,
        options.chapter,
        judges.Listener(options.threads or 0),
        on_heard=lambda seconds: say(f"heard {seconds / 60:.1f} min"),
    )
    errors = found.words
    print(
        f"WER {errors.rate:.4f} ({errors.substituted} substituted, {errors.deleted} deleted, "
        f"{errors.inserted} inserted of {errors.length} words), CER {found.characters.rate:.4f}, "
        f"{found.seconds:.1f} s of audio"
    )
    return {"judges": judges.describe(), "wer": errors.rate, "cer": found.characters.rate} | asdict(
        found
    )


def say(text: str) -> None:
    """Progress, apart from the figures on standard output."""
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.voice",
        description="Measures the built-in voice offline: WER, CER, speaker similarity, DNSMOS, "
        "speed. With --audio it judges WAVs that exist, with --book a long recording.",
    )
    add = parser.add_argument
    add(
        "--voices",
        type=Path,
        nargs="+",
        default=[DEMO_VOICE],
        metavar="SAMPLE",
        help="voice samples; each speaks all lines and is compared with all others",
    )
    add(
        "--sentences",
        type=int,
        default=None,
        metavar="N",
        help="how many lines (default 30; with --lines, all)",
    )
    add(
        "--lines",
        type=Path,
        default=None,
        metavar="FILE",
        help="what to speak, one utterance a line (default: 50 sentences of Alice)",
    )
    add(
        "--audio",
        type=Path,
        metavar="DIR",
        help="judge DIR/SAMPLE/*.wav, or DIR/*.wav as the first sample's, instead of rendering",
    )
    add("--keep", type=Path, metavar="DIR", help="write the rendered WAVs there, as --audio reads")
    add("--book", type=Path, metavar="FILE", help="judge this recording (M4B, WAV ...) instead")
    add("--text", type=Path, metavar="FILE", help="what --book says: plain text, or an EPUB")
    add(
        "--chapter",
        type=int,
        metavar="N",
        help="only the Nth chapter of --book (and of the EPUB in --text), from 1",
    )
    add("--model", type=Path, metavar="DIR", help="voice model to measure (default: the built-in)")
    add("--threads", type=int, metavar="N", help="CPU threads (default: all cores)")
    add("--out", type=Path, metavar="FILE", help="write the report there, as JSON")
    return parser


def _check(options: argparse.Namespace) -> None:
    """Refuse options that contradict each other, before anything long begins."""
    if (options.book is None) != (options.text is None):
        raise UsageError("--book and --text belong together: give the recording and its text")
    if options.chapter is not None and options.book is None:
        raise UsageError("--chapter chooses a part of --book; give one")
    if options.audio is not None:
        for name in ("keep", "model"):
            if getattr(options, name) is not None:
                raise UsageError(f"--{name} is for rendering, and --audio renders nothing")
    for name in ("sentences", "threads", "chapter"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise UsageError(f"--{name} is at least 1, not {value}")
    if options.lines is None:
        options.lines = ALICE
        options.sentences = options.sentences or 30


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 0 when it measured, else the error's status. Bars are not judged here."""
    options = _parser().parse_args(arguments)
    try:
        _check(options)
        judges.require()
        print("\n".join(judges.describe()), flush=True)
        found = measure(options) if options.book is None else measure_book(options)
        if options.out is not None:
            text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
            write_bytes(options.out, text.encode())
    except UserError as error:
        print(f"benchmarks.voice: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
