"""Voices of a dub that nobody gave: they are cut from the video's own sound."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from configs.errors import UserError
from flows.dub_work import DEFAULT_VOICE, DubOrder, DubPlan
from flows.progress import RunProgress
from storage.library import Library
from tasks.beside import write_bytes
from tasks.dub_references import cut_samples
from tasks.voices import AskedVoice, find_voices

if TYPE_CHECKING:
    from model.speaking import VoiceEngine

SAMPLES = "samples"  # a folder in the output folder
_LIST = "samples.json"


def with_cut_voices(
    order: DubOrder, plan: DubPlan, engine: "VoiceEngine", progress: RunProgress
) -> DubPlan:
    """The plan with a voice for each speaker, and a default voice.

    Where there is a default voice, all have one. Else a sample of each speaker who has none is cut
    from the video. It is cut once and stays as it is, so that an edited line does not change a
    voice; who deletes the folder of samples gets new ones. Raises UserError where none can be cut.
    """
    if DEFAULT_VOICE in plan.voices or plan.video is None:
        return plan
    speakers = dict.fromkeys(line.speaker for line in plan.lines)
    lacking = [name for name in speakers if name not in plan.voices]
    folder = order.out / SAMPLES
    cut = _known(folder)
    warnings = []
    if missing := [name for name in lacking if name not in cut]:
        progress.stage("Cutting voices from the video")
        made = cut_samples(
            plan.video.path,
            plan.subtitles,
            missing,
            folder,
            lambda audio, rate: _vector(engine, audio, rate),
            progress.fraction,
        )
        for one in made:
            if one.path is not None:
                cut[one.speaker] = one.path
            if one.why_not:
                warnings.append(
                    f"The voice of {one.speaker or 'whoever has no name'}: {one.why_not}"
                )
        names = {name: path.name for name, path in cut.items()}
        write_bytes(folder / _LIST, json.dumps(names, indent=1, ensure_ascii=False).encode())
    library = Library(order.settings.voices)
    voices = dict(plan.voices)
    for name in lacking:
        if name in cut:
            voices[name] = find_voices(AskedVoice((str(cut[name]),)), library)
    if not voices:
        why = "; ".join(warnings) or "it has no speech that is clean enough"
        raise UserError(f"No voice could be cut from {plan.video.path} ({why}): give --voice.")
    # Who has no voice gets that of whoever says the most.
    said = [line.speaker for line in plan.lines if line.speaker in voices]
    leading = max(said, key=said.count) if said else next(iter(voices))
    voices.setdefault(DEFAULT_VOICE, voices[leading])
    return replace(plan, voices=voices, warnings=(*plan.warnings, *warnings))


def _known(folder: Path) -> dict[str, Path]:
    """The samples that an earlier run cut, by their speakers."""
    try:
        names = json.loads((folder / _LIST).read_text(encoding="utf-8"))
        paths = {str(name): folder / Path(str(file)).name for name, file in names.items()}
    except (OSError, ValueError, AttributeError):
        return {}
    return {name: path for name, path in paths.items() if path.is_file()}


def _vector(engine: "VoiceEngine", audio: np.ndarray, rate: int) -> np.ndarray:
    from model.speaking import Sample

    return engine.voice_vector(Sample(audio, rate))
