"""The report beside a dub: what was read, who spoke, how it measures, what to listen to."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tasks.dub_fit import Mode
from tasks.dub_measure import DubMeasured
from tasks.dub_types import Subtitles
from tasks.report import Run, plain

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class DubFile:
    """A file that was written: its path relative to the report, what it is, and how it sounds
    (None for what has no sound)."""

    path: str
    what: str
    seconds: float
    sha256: str
    lufs: float | None = None
    true_peak_db: float | None = None


@dataclass(frozen=True)
class DubSource:
    """What was dubbed: names of files without their folders; `video` is "" where there is none."""

    subtitles: str
    video: str
    language: str
    seconds: float


def build_dub_report(
    source: DubSource,
    subtitles: Subtitles,
    mode: Mode,
    voices: Mapping[str, dict[str, Any]],
    model: dict[str, Any],
    measured: DubMeasured,
    files: Sequence[DubFile],
    warnings: Sequence[str],
    run: Run,
) -> dict[str, Any]:
    """The report as JSON values. All but the section `run` depends on the work alone.

    `voices` say for each speaker what the voice is (at least its `name`), `model` what spoke.
    """
    heard = [cue for cue in measured.cues if cue.onset_ms is not None]
    spoken = sum((cue.end_ms or 0.0) - (cue.onset_ms or 0.0) for cue in heard) / 1000
    report: dict[str, Any] = plain(
        {
            "schema": SCHEMA_VERSION,
            "source": asdict(source) | {"format": subtitles.format, "encoding": subtitles.encoding},
            "mode": mode,
            "voices": dict(voices),
            "model": model,
            "verdict": summary(measured),
            "passed": measured.passed,
            "bars": [asdict(bar) for bar in measured.bars],
            "totals": {
                "cues": len(subtitles.cues),
                "cues_with_speech": len(measured.cues),
                "cues_heard": len(heard),
                "speech_seconds": spoken,
                "lufs": measured.lufs,
                "drift_ms_per_hour": measured.drift_ms_per_hour,
                "drift_interval": measured.drift_interval,
                "iou": measured.iou,
                "alike_share": measured.alike_share,
                "samples": measured.samples,
            },
            "overlaps": measured.overlaps,
            "cues": [asdict(cue) for cue in measured.cues],
            "skipped": [
                {"number": cue.number, "start_ms": cue.start_ms, "shown": cue.shown, "why": cue.why}
                for cue in subtitles.cues
                if not cue.text
            ],
            "repairs": [asdict(repair) for repair in subtitles.repairs],
            "files": [asdict(file) for file in files],
            "warnings": list(warnings),
            "run": asdict(run),
        }
    )
    return report


def summary(measured: DubMeasured) -> str:
    """A sentence on all that was measured."""
    if not measured.cues:
        return "Nothing was to be spoken."
    failed = [bar for bar in measured.bars if not bar.passed]
    told = sum(bool(cue.problem) for cue in measured.cues)
    lines = {0: "", 1: "; 1 cue is worth listening to"}.get(
        told, f"; {told} cues are worth listening to"
    )
    if failed:
        return f"{len(failed)} of {len(measured.bars)} bars are not met{lines}."
    excellent = sum(bar.excellent for bar in measured.bars)
    return f"All {len(measured.bars)} bars are met, {excellent} with room to spare{lines}."
