"""The calibration of this machine: asked for, or before the first long book."""

from configs.settings import Settings
from flows.progress import RunProgress
from tasks.calibration import store_calibration, stored_calibration
from tasks.engines import speaks_on_gpu
from tasks.machine import this_machine


def calibrate_machine(settings: Settings) -> None:
    """Measures, and keeps what was found; takes some ten seconds."""
    from model.calibration import calibrate

    store_calibration(settings, calibrate(this_machine().cores))


def calibrate_once(settings: Settings, progress: RunProgress) -> None:
    """The same, unless that was done here, with these libraries, or a GPU speaks."""
    if not speaks_on_gpu(settings) and stored_calibration(settings) is None:
        progress.stage("Finding out how this machine speaks fastest")
        calibrate_machine(settings)
