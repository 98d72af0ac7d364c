"""Where messages go: everything to a log file, warnings of our own also to the terminal."""

import logging
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from configs.errors import UserError

ROOMS = ("configs", "flows", "model", "storage", "studio", "tasks")
HANDLER = "voxloom file"
_KEEP_BYTES = 5_000_000


def log_to(file: Path, level: str, console: Console) -> None:
    """Sets up logging for the process; the file's predecessor is kept once it grows too large."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists() and file.stat().st_size > _KEEP_BYTES:
            file.replace(file.with_suffix(".old.log"))
        handler = logging.FileHandler(file, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"The log file {file} can't be written ({error.strerror}); set VOXLOOM_HOME to a "
            "folder that you may write to"
        ) from error
    logging.raiseExceptions = False  # a log that can't be written must not fill the terminal
    handler.set_name(HANDLER)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    root.addHandler(handler)
    logging.captureWarnings(True)
    terminal = _Terminal(console)
    for room in ROOMS:
        logging.getLogger(room).setLevel(level)
        logging.getLogger(room).addHandler(terminal)


class _Terminal(logging.Handler):
    """Prints warnings as one line each, above the progress bar."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        # Without its traceback, which the log file has.
        self._console.print(f"[yellow]note:[/] {escape(record.getMessage())}", highlight=False)
