"""What a dub is delivered as: stems, the mix, the video with its new track, subtitles, reports."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from configs.errors import UserError
from flows.dub_work import DubWork
from tasks.beside import write_bytes
from tasks.dub_mix import Dub, Programme, write_dub, write_mix
from tasks.dub_subtitles import write_dub_subtitles
from tasks.dub_types import RATE, Placement
from tasks.dub_video import Video, dub_notice, extract_audio, mux
from tasks.engines import language_of

_TAIL_SECONDS = 0.5  # after the last word, where no video says how long the track is


@dataclass(frozen=True)
class Dubbed:
    """What was delivered: the files, the first of which is what one opens; how many lines have a
    problem, and how long the track is in seconds."""

    paths: tuple[Path, ...]
    report: Path
    lines: int
    problems: int
    seconds: float


def deliver_dub(work: DubWork) -> Dubbed:
    """Makes all files of a dub from its stored takes."""
    order, plan, progress = work.order, work.plan, work.progress
    progress.stage("Fitting the speech to the subtitles")
    placements, unheard = work.placements()
    if not placements:
        raise UserError(
            f"The model could speak none of the {len(plan.lines)} lines of {order.subtitles}; the "
            "log file has the details."
        )
    samples = _samples(work, placements)
    language = language_of(plan.language)
    subtitles = write_dub_subtitles(
        plan.subtitles.cues, placements, order.out, f"dub.{language}", _notice(work)
    )
    progress.stage("Writing the voices")
    dub = write_dub(
        work.clips(placements), samples, order.out, order.presets.dubbing, progress.fraction
    )
    paths = [dub.programme.path]
    sound = dub.programme
    if plan.video is not None:
        if plan.video.audio:
            sound = _mixed(work, plan.video, dub)
            paths.insert(0, sound.path)
        if plan.video.picture:
            progress.stage("Writing the video")
            paths.insert(0, _muxed(work, plan.video, sound, subtitles[0]))
    progress.stage("Writing the report")
    facts = _facts(work, placements, unheard, dub)
    paths += subtitles
    report = order.out / "report.json"
    write_bytes(report, json.dumps(facts, indent=1, ensure_ascii=False).encode())
    work.finished()
    flawed = {line["line"] for line in facts["lines"] if line["problems"]}
    return Dubbed(tuple(paths), report, len(plan.lines), len(flawed), samples / RATE)


def _samples(work: DubWork, placements: list[Placement]) -> int:
    """The length of the track on the grid: the video's, or else until all is said and shown."""
    if work.plan.samples is not None:
        return work.plan.samples
    said = max(placement.start + placement.samples for placement in placements)
    shown = max(cue.end_ms for cue in work.plan.subtitles.cues) * RATE // 1000
    return max(said + round(_TAIL_SECONDS * RATE), shown)


def _mixed(work: DubWork, video: Video, dub: Dub) -> Programme:
    """The voices over the video's own sound."""
    order, progress = work.order, work.progress
    progress.stage("Reading the video's sound")
    original = order.out / ".original.flac"
    try:
        extract_audio(video, original, on_seconds=_share(progress.fraction, video.samples / RATE))
        progress.stage("Mixing")
        ms = RATE // 1000
        spoken = [
            (cue.start_ms * ms, cue.end_ms * ms) for cue in work.plan.subtitles.cues if cue.text
        ]
        return write_mix(
            dub,
            original,
            order.out / "mix.flac",
            order.presets.dubbing,
            order.mode,
            spoken,
            on_progress=progress.fraction,
        )
    finally:
        original.unlink(missing_ok=True)


def _notice(work: DubWork) -> str:
    names = [voice.name for voices in work.plan.voices.values() for voice in voices]
    return dub_notice(list(dict.fromkeys(names)), work.order.model.title)


def _muxed(work: DubWork, video: Video, sound: Programme, subtitles: Path) -> Path:
    order, plan, progress = work.order, work.plan, work.progress
    return mux(
        video,
        sound.path,
        order.out,
        plan.language,
        _notice(work),
        subtitles,
        on_seconds=_share(progress.fraction, video.samples / RATE),
    )


def _share(report: Callable[[float], None], seconds: float) -> Callable[[float], None]:
    return lambda done: report(min(1.0, done / max(seconds, 0.001)))


def _facts(
    work: DubWork, placements: list[Placement], unheard: list[str], dub: Dub
) -> dict[str, Any]:
    """What is known of the run and its lines, as JSON values."""
    plan = work.plan
    places: dict[int, list[Placement]] = {}
    for placement in placements:
        places.setdefault(placement.line, []).append(placement)
    lines = []
    for number, spoken in enumerate(work.spoken_lines()):
        own = places.get(number, [])
        problems = [one for one in (spoken.problem, *(place.problem for place in own)) if one]
        lines.append(
            {
                "line": number,
                "speaker": spoken.line.speaker,
                "text": spoken.line.utterance.text,
                "candidate": spoken.candidate,
                "speed": spoken.speed,
                "pieces": [asdict(place) for place in own],
                "problems": list(dict.fromkeys(problems)),
            }
        )
    return {
        "subtitles": {
            "file": str(work.order.subtitles),
            "format": plan.subtitles.format,
            "encoding": plan.subtitles.encoding,
            "repairs": [asdict(repair) for repair in plan.subtitles.repairs],
            "left_out": [
                {"cue": cue.number, "shown": cue.shown, "why": cue.why}
                for cue in plan.subtitles.cues
                if cue.why
            ],
        },
        "language": plan.language,
        "voices": {
            name or "default": [voice.name for voice in voices]
            for name, voices in plan.voices.items()
        },
        "mode": work.order.mode,
        "run": {"made": work.made, "reused": work.reused},
        "samples": dub.programme.samples,
        "loudness": {"lufs": dub.programme.lufs, "true_peak_db": dub.programme.true_peak_db},
        "warnings": [*plan.warnings, *unheard],
        "lines": lines,
    }
