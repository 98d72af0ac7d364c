"""What there is on this machine of what Voxloom needs and can use, and what to install."""

import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from configs.errors import UserError
from configs.settings import Settings
from storage.models import Models
from tasks.calibration import stored_calibration
from tasks.engines import BUILT_IN, load_voice_model, speaking_device, speaks_on_gpu
from tasks.ffmpeg import ffmpeg_path
from tasks.machine import installed, this_machine
from tasks.transcribe import find_whisper

PACKAGE = "voxloom"
LEAST_MEMORY, LEAST_DISK = 2.0, 1.0  # gigabytes
_LANGUAGES = ("chinese", "japanese", "korean")
_INSTALL = "pip install -c constraints.txt -e '.[{}]' in Voxloom's folder"

State = Literal["ok", "note", "missing"]


@dataclass(frozen=True)
class Finding:
    """One line. "missing" is what Voxloom can't do without, "note" what it could be better with;
    `remedy` says what to do about either, "" where there is nothing to be done."""

    state: State
    name: str
    text: str
    remedy: str = ""


def check_up(settings: Settings) -> Iterator[Finding]:
    """Finds out, one thing after the other."""
    machine = this_machine()
    yield Finding("ok", "system", f"{platform.platform()}, Python {platform.python_version()}")
    sets = ", ".join(machine.instructions) or "not known"
    text = f"{machine.processor}, {machine.cores} cores, instructions: {sets}"
    yield Finding("ok", "processor", text)
    yield _memory(machine.memory_gigabytes)
    yield _disk(settings.home)
    yield from _packages()
    yield _torch()
    yield device_finding(settings)
    yield _ffmpeg()
    yield _voice()
    yield _whisper(settings.whisper)
    for extra in _LANGUAGES:
        yield _extra(extra, f"{extra.capitalize()} text with official models")
    yield _extra("train", "training voice models")
    yield _models(settings)
    yield calibration_finding(settings)


def calibration_finding(settings: Settings) -> Finding:
    """What the calibration has found."""
    found = stored_calibration(settings)
    if speaks_on_gpu(settings):
        return Finding("ok", "calibration", "none is needed for a GPU")
    if found is None:
        remedy = "voxloom doctor --calibrate"
        return Finding("note", "calibration", "none of this machine as it is now", remedy)
    ratio = float(found["bf16_ratio"])
    lower = f"bf16 is {ratio:.2f} times as fast as f32" if ratio else "no bf16 here"
    slots, threads = found["slot_rates"], found["thread_rates"]
    text = (
        f"S2 in {found['precision']} ({lower}), {found['threads']} sentences side by side "
        f"({_rates(threads, 2)} a second), S1 in {found['slots']} slots "
        f"({_rates(slots, 0)} tokens a second)"
    )
    return Finding("ok", "calibration", text)


def _rates(rates: dict[str, float], places: int) -> str:
    return ", ".join(f"{number}: {rate:.{places}f}" for number, rate in rates.items())


def _memory(gigabytes: float | None) -> Finding:
    if gigabytes is None:
        return Finding("ok", "memory", "not known")
    if gigabytes < LEAST_MEMORY:
        remedy = f"the built-in voice needs {LEAST_MEMORY:.0f} GB, official models twice as much"
        return Finding("note", "memory", f"{gigabytes} GB", remedy)
    return Finding("ok", "memory", f"{gigabytes} GB")


def _disk(home: Path) -> Finding:
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(there).free / 1e9
    text = f"{free:.1f} GB free for {home}"
    if free < LEAST_DISK:
        return Finding("note", "disk", text, "free some space, or set VOXLOOM_HOME")
    return Finding("ok", "disk", text)


def _packages() -> Iterator[Finding]:
    """Packages that Voxloom depends on, those that are not there or too old."""
    try:
        lacking = _lacking("")
    except PackageNotFoundError:
        yield Finding("missing", "packages", "Voxloom is not installed", _INSTALL.format("dev"))
        return
    if lacking:
        remedy = "pip install -c constraints.txt -e . in Voxloom's folder"
        yield Finding("missing", "packages", f"not installed: {', '.join(lacking)}", remedy)


def _lacking(extra: str) -> list[str]:
    """Requirements of Voxloom, or of one of its extras, that nothing here meets."""
    lacking = []
    for line in requires(PACKAGE) or ():
        needed = Requirement(line)
        asked = needed.marker is None or needed.marker.evaluate({"extra": extra})
        if extra and (needed.marker is None or needed.marker.evaluate({"extra": ""})):
            continue
        found = installed(needed.name) if asked else None
        if asked and (found is None or not needed.specifier.contains(found, prereleases=True)):
            lacking.append(f"{needed.name}{needed.specifier}")
    return lacking


def _extra(name: str, purpose: str) -> Finding:
    try:
        lacking = _lacking(name)
    except PackageNotFoundError:  # said above
        lacking = [PACKAGE]
    if not lacking:
        return Finding("ok", name, f"for {purpose}")
    return Finding("note", name, f"not installed, for {purpose}", _INSTALL.format(name))


def _torch() -> Finding:
    import torch

    text = f"PyTorch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"
    if torch.cuda.is_available():
        cards = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
        text += f", CUDA {torch.version.cuda}: {', '.join(cards)}"
    else:
        text += ", no CUDA device"
    return Finding("ok", "PyTorch", text)


def device_finding(settings: Settings) -> Finding:
    """What speaks."""
    import torch

    try:
        device = speaking_device(settings)
    except UserError as error:
        return Finding("missing", "speaks on", "no CUDA device", str(error))
    if device.where.type == "cpu":
        unused = " (VOXLOOM_DEVICE is cpu)" if torch.cuda.is_available() else ""
        return Finding("ok", "speaks on", f"the processor{unused}")
    graphs = "steps are recorded" if device.graphs else "VOXLOOM_GRAPHS is off"
    return Finding("ok", "speaks on", f"{torch.cuda.get_device_name(device.where)}, {graphs}")


def _ffmpeg() -> Finding:
    try:
        return Finding("ok", "ffmpeg", str(ffmpeg_path()))
    except UserError as error:
        return Finding("missing", "ffmpeg", "not usable", str(error))


def _voice() -> Finding:
    try:
        model = load_voice_model(BUILT_IN, None)
    except UserError as error:
        return Finding("missing", "built-in voice", "not whole", str(error))
    return Finding("ok", "built-in voice", f"{model.config.name}, {model.content_hash[:12]}")


def _whisper(name: str) -> Finding:
    try:
        folder = find_whisper(name)
    except UserError as error:
        return Finding("missing", "Whisper", "not where it is said to be", str(error))
    if folder is None:
        remedy = "put a faster-whisper model into a folder and name it with VOXLOOM_WHISPER"
        return Finding("note", "Whisper", "none, for a second opinion on doubtful lines", remedy)
    return Finding("ok", "Whisper", str(folder))


def _models(settings: Settings) -> Finding:
    names = list(Models(settings.models))
    if not names:
        remedy = "voxloom models pull v2ProPlus"
        return Finding("note", "official models", "none, for other languages", remedy)
    return Finding("ok", "official models", ", ".join(names))
