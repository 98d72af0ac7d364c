"""What a dub is delivered as: stems, the mix, the video with its new track, subtitles, reports."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import UserError
from flows.dub_work import DubWork, SpokenLine
from tasks.beside import write_bytes
from tasks.dub_measure import measure_dub
from tasks.dub_mix import Dub, Programme, write_dub, write_mix
from tasks.dub_report import DubFile, DubSource, build_dub_report
from tasks.dub_report_html import write_dub_page
from tasks.dub_stems import Cut
from tasks.dub_subtitles import write_dub_subtitles
from tasks.dub_types import RATE, Placement
from tasks.dub_video import Video, dub_notice, extract_audio, mux
from tasks.dub_words import count_lost
from tasks.engines import language_of
from tasks.separate import remove_voice, separator
from tasks.transcribe import load_whisper, understand

_WHAT = {
    ".flac": "what one speaker says",
    ".srt": "subtitles with the times at which it is heard",
    ".vtt": "subtitles with the times at which it is heard",
}
_SOUNDS = {"dub": "the voices", "mix": "the voices over the original sound"}
_TAIL_SECONDS = 0.5  # after the last word, where no video says how long the track is


@dataclass(frozen=True)
class Dubbed:
    """What was delivered: the files, the first of which is what one opens; what the report says of
    it all, how many lines have a problem, and how long the track is in seconds."""

    paths: tuple[Path, ...]
    report: Path
    verdict: str
    lines: int
    problems: int
    seconds: float


def deliver_dub(work: DubWork) -> Dubbed:
    """Makes all files of a dub from its stored takes."""
    order, plan, progress = work.order, work.plan, work.progress
    progress.stage("Fitting the speech to the subtitles")
    placements = work.placements()
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
    notes: list[str] = []
    if plan.video is not None:
        if plan.video.audio:
            sound, why = _mixed(work, plan.video, dub)
            notes = [why] if why else []
            paths.insert(0, sound.path)
        if plan.video.picture:
            progress.stage("Writing the video")
            paths.insert(0, _muxed(work, plan.video, sound, subtitles[0]))
    paths += [*subtitles, *(stem.path for stem in dub.stems)]
    report, lines = _report(work, placements, dub, [dub.programme, sound], paths, notes)
    page = order.out / "report.html"
    write_bytes(
        order.out / "report.json", json.dumps(report, indent=1, ensure_ascii=False).encode()
    )
    write_dub_page(report, page)
    work.finished()
    flawed = {place.line for place in placements if place.problem}
    flawed |= {number for number, line in enumerate(lines) if line.problem}
    return Dubbed(tuple(paths), page, report["verdict"], len(lines), len(flawed), samples / RATE)


def _samples(work: DubWork, placements: list[Placement]) -> int:
    """The length of the track on the grid: the video's, or else until all is said and shown."""
    if work.plan.samples is not None:
        return work.plan.samples
    said = max(placement.start + placement.samples for placement in placements)
    shown = max(cue.end_ms for cue in work.plan.subtitles.cues) * RATE // 1000
    return max(said + round(_TAIL_SECONDS * RATE), shown)


def _mixed(work: DubWork, video: Video, dub: Dub) -> tuple[Programme, str]:
    """The voices over the video's own sound, and a sentence on its voices where they stay."""
    order, progress = work.order, work.progress
    progress.stage("Reading the video's sound")
    original, bed = order.out / ".original.flac", order.out / ".bed.flac"
    try:
        extract_audio(video, original, on_seconds=_share(progress.fraction, video.samples / RATE))
        why = _remove_voice(work, original, bed)
        progress.stage("Mixing")
        ms = RATE // 1000
        spoken = [
            (cue.start_ms * ms, cue.end_ms * ms) for cue in work.plan.subtitles.cues if cue.text
        ]
        mix = write_mix(
            dub,
            bed if bed.exists() else original,
            order.out / "mix.flac",
            order.presets.dubbing,
            order.mode,
            spoken,
            bed.exists(),
            on_progress=progress.fraction,
        )
        return mix, why
    finally:
        original.unlink(missing_ok=True)
        bed.unlink(missing_ok=True)


def _remove_voice(work: DubWork, original: Path, bed: Path) -> str:
    """Writes the original without its voice where that can be done; else says why it is not."""
    bed.unlink(missing_ok=True)  # of a run that was killed
    if work.order.mode == "voice-over":
        return ""
    program = separator()
    if program is None:
        return (
            "The original's voices are lowered, not removed: demucs, which can do it, is not there."
        )
    work.progress.stage("Removing the original's voices")
    try:
        remove_voice(original, bed, program, work.progress.fraction)
    except UserError as error:
        return f"The original's voices are lowered, not removed: {error}"
    return ""


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


def _report(
    work: DubWork,
    placements: list[Placement],
    dub: Dub,
    sounds: list[Programme],
    paths: list[Path],
    notes: list[str],
) -> tuple[dict[str, Any], list[SpokenLine]]:
    """Measures the voices as they were written, and tells all that is known, as JSON values."""
    order, plan, progress = work.order, work.plan, work.progress
    lines = work.spoken_lines()
    progress.stage("Listening to the dub")
    lost = _words_lost(work, placements)
    progress.stage("Measuring the dub")
    measured = measure_dub(
        dub.programme.path,
        {stem.speaker: stem.path for stem in dub.stems},
        [_with_problem(place, lines[place.line]) for place in placements],
        plan.subtitles.cues,
        {number: line.speed for number, line in enumerate(lines)},
        dub.programme.samples,
        order.mode,
        lost,
        progress.fraction,
    )
    seconds = dub.programme.samples / RATE
    places = {
        number: list(own)
        for number, own in groupby(work.in_order(placements), key=lambda place: place.line)
    }
    report = build_dub_report(
        DubSource(
            order.subtitles.name,
            plan.video.path.name if plan.video else "",
            plan.language,
            seconds,
        ),
        plan.subtitles,
        order.mode,
        {
            name: {"name": " + ".join(voice.name for voice in voices)}
            for name, voices in plan.voices.items()
        },
        {"name": order.model.title, "content_hash": work.engine_hash},
        measured,
        [_file(path, order.out, sounds, seconds) for path in paths],
        [*plan.warnings, *notes, *work.unheard(placements), *map(_cut_off, dub.cut)],
        work.run_report(lines),
    )
    report["lines"] = [
        {
            "line": number,
            "speaker": line.line.speaker,
            "text": line.line.utterance.text,
            "cues": list(dict.fromkeys(part.cue for part in line.line.parts)),
            "key": line.key,
            "candidate": line.candidate,
            "speed": line.speed,
            "problem": line.problem,
            "redone": line.redone,
            "pieces": [asdict(place) for place in places.get(number, ())],
        }
        for number, line in enumerate(lines)
    ]
    return report, lines


def _with_problem(placement: Placement, line: SpokenLine) -> Placement:
    problems = [one for one in (placement.problem, line.problem) if one]
    return replace(placement, problem="; ".join(problems))


def _words_lost(work: DubWork, placements: list[Placement]) -> float | None:
    """The share of words that Whisper misses in the lines as they are heard in the end; None unless
    it shall hear everything."""
    settings = work.order.settings
    whisper = load_whisper(settings.whisper) if settings.hear_all else None
    if whisper is None:
        return None
    language = language_of(work.plan.language)
    spoken = "" if language.startswith("auto") else language
    lost = words = 0
    for number, own in groupby(work.in_order(placements), key=lambda place: place.line):
        audio = np.concatenate([audio for _, audio, _ in work.clips(list(own))])
        said = understand(whisper, audio, RATE, spoken)
        text = work.plan.lines[number].utterance.text
        more, of = count_lost(text, said.text if said else "", language)
        lost, words = lost + more, words + of
        work.progress.fraction((number + 1) / len(work.plan.lines))
    return lost / words if words else None


def _file(path: Path, folder: Path, sounds: list[Programme], seconds: float) -> DubFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    what = _WHAT.get(path.suffix, "the video with the dub as a further track")
    for sound in sounds:
        if sound.path == path:
            what = _SOUNDS[path.stem]
            return DubFile(path.name, what, seconds, digest, sound.lufs, sound.true_peak_db)
    return DubFile(str(path.relative_to(folder)), what, seconds, digest)


def _cut_off(cut: Cut) -> str:
    who = cut.speaker or "somebody"
    return f"{cut.samples / RATE:.2f} s of what {who} says lie outside the video and are not heard."
