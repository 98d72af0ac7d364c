"""What the calibration of this machine found, kept in the home folder until hardware or libraries
change."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from configs.settings import Settings
from storage.files import write_whole
from storage.keys import content_key
from tasks.engines import speaks_on_gpu
from tasks.machine import Machine, this_machine

if TYPE_CHECKING:
    from model.calibration import Calibration

CALIBRATION_VERSION = 1  # changes when another calibration would be measured or chosen
UTTERANCES_A_THREAD = 64
"""In a unit of work. S2 waits at its beginning until S1 has spoken some, and again in each round
of further attempts; the larger a unit, the less that counts."""
MOST_UTTERANCES = 512
UTTERANCES_OF_A_GPU = 256  # S1 decodes up to 64 of them at once

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chosen:
    """How the built-in voice works; None: the engine's own choice."""

    slots: int | None = None
    threads: int | None = None
    precision: Literal["f32", "bf16"] | None = None


def machine_key(machine: Machine) -> str:
    """The name of everything that a calibration depends on."""
    return content_key({"version": CALIBRATION_VERSION, **asdict(machine)})


def stored_calibration(settings: Settings) -> dict[str, Any] | None:
    """What was found on this very machine, with these libraries; None where nothing was."""
    try:
        found = json.loads(_file(settings).read_bytes())
        if found["machine"] != machine_key(this_machine()):
            return None
        _chosen(found)
        return dict(found)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s can't be read (%s): as if there were none", _file(settings), error)
        return None


def store_calibration(settings: Settings, found: "Calibration") -> None:
    """Keeps it."""
    record = {"machine": machine_key(this_machine()), **asdict(found)}
    write_whole(_file(settings), (json.dumps(record, indent=1) + "\n").encode())


def chosen(settings: Settings) -> Chosen:
    """As the user says, else as was calibrated here, else nothing; what was calibrated is how the
    CPU speaks."""
    if speaks_on_gpu(settings):
        return Chosen(None, settings.threads, settings.precision)
    found = stored_calibration(settings)
    best = Chosen() if found is None else _chosen(found)
    return Chosen(
        best.slots, settings.threads or best.threads, settings.precision or best.precision
    )


def unit_size(settings: Settings) -> int:
    """Utterances in one unit of work: as the user says, else enough for all threads or a GPU."""
    usual = settings.batch_size
    if "batch_size" in settings.model_fields_set:
        return usual
    if speaks_on_gpu(settings):
        return max(usual, UTTERANCES_OF_A_GPU)
    threads = chosen(settings).threads or this_machine().cores
    return min(max(usual, UTTERANCES_A_THREAD * threads), MOST_UTTERANCES)


def _chosen(found: Mapping[str, Any]) -> Chosen:
    precision: Literal["f32", "bf16"] = "bf16" if found["precision"] == "bf16" else "f32"
    return Chosen(max(1, int(found["slots"])), max(1, int(found["threads"])), precision)


def _file(settings: Settings) -> Path:
    return settings.home / "calibration.json"
