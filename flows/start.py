"""What every command begins with: settings, the log, where to write to."""

import os
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from configs.settings import Settings


def start() -> "Settings":
    """Settings and logging of a command."""
    from configs.settings import load_settings
    from flows.logs import log_to

    settings = load_settings()
    log_to(settings.log_file, settings.log_level, terminal())
    if settings.offline:
        os.environ.update(
            HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1"
        )
    return settings


@cache
def terminal() -> "Console":
    """Standard error, where a command says how it is doing."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)
