"""`voxloom doctor`: what there is on this machine, how it speaks fastest, and what to install."""

from typing import Annotated

import typer

from configs.errors import UserError
from flows.options import DebugOption
from flows.start import start, terminal

MARKS = {"ok": "[green]ok[/]", "note": "[yellow]could be better[/]", "missing": "[red]missing[/]"}


def doctor(
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Measure anew how this machine speaks fastest."),
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Show what Voxloom finds on this machine, how it speaks fastest here, and what to install.

    The exit status is 0 when everything that is needed is there.
    """
    settings = start()
    from rich.console import Console
    from rich.markup import escape

    from flows.calibration import calibrate_machine
    from tasks.calibration import stored_calibration
    from tasks.checkup import check_up
    from tasks.engines import speaks_on_gpu

    if calibrate or (stored_calibration(settings) is None and not speaks_on_gpu(settings)):
        terminal().print("Measuring for some ten seconds; best while nothing else runs ...")
        calibrate_machine(settings)
    console, missing = Console(highlight=False, soft_wrap=True), []
    for finding in check_up(settings):
        remedy = f" -> {finding.remedy}" if finding.remedy else ""
        line = f"{finding.name}: {finding.text}{remedy}"
        console.print(f"{MARKS[finding.state]}  {escape(line)}")
        if finding.state == "missing":
            missing.append(finding.name)
    if missing:
        raise UserError(f"what is needed is not all here ({', '.join(missing)}); see above")
