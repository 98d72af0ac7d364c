"""`voxloom studio`, and with it the command line as a whole: the program's entry point.

Studio stands above the flows, so that the flows' command line can't know of it; it is added here.
"""

import fcntl
import socket
import sys
import threading
import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from configs.errors import UserError
from flows.cli import app, main
from flows.options import DebugOption
from flows.start import start, terminal

if TYPE_CHECKING:
    import uvicorn

PORT = 8643


def studio(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Where it listens; 0: any that is free.")
    ] = PORT,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help="Listen to other machines, too, at this address (0.0.0.0: all). Who comes from "
            "there needs the token that is printed; nothing is encrypted on the way.",
        ),
    ] = "127.0.0.1",
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Do not open the page in a browser.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Make audiobooks and dubs on a page in your browser.

    It runs on this machine, for this machine alone unless --host is given, until Ctrl-C. What it
    makes goes on at the next start.

    [bold]Example[/]

    voxloom studio --port 8000
    """
    settings = start()
    import uvicorn

    from studio.app import create_app
    from studio.security import LOCAL_NAMES, secret

    home = settings.home / "studio"
    home.mkdir(parents=True, exist_ok=True)
    held = _hold(home)
    token = "" if host in LOCAL_NAMES else secret(home, "token")
    listener = _listener(host, port)
    port = listener.getsockname()[1]
    name = host if token and host not in ("0.0.0.0", "::") else "localhost"
    address = f"http://{f'[{name}]' if ':' in name else name}:{port}/"
    address += f"?token={token}" if token else ""
    config = uvicorn.Config(
        create_app(settings, token),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,  # pages that are open listen for ever
    )
    server = uvicorn.Server(config)
    terminal().print(f"Voxloom Studio: [bold]{address}[/]", soft_wrap=True)
    terminal().print("Ctrl-C ends it.")
    if not no_browser:
        _open(server, address)
    server.run(sockets=[listener])
    held.close()


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"Studio can't listen at {host}, port {port} ({error}); choose another one with --port"
        ) from error


def _hold(home: Path) -> TextIO:
    """One Studio at a time: two would make the same jobs."""
    lock = (home / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            "Studio runs already; use its page, or set VOXLOOM_HOME for another one"
        ) from None
    return lock


def _open(server: "uvicorn.Server", address: str) -> None:
    """Opens the page as soon as there is one."""

    def wait() -> None:
        while not server.started and not server.should_exit:
            time.sleep(0.1)
        if server.started:
            webbrowser.open(address)

    threading.Thread(target=wait, daemon=True).start()


app.command(rich_help_panel="Make")(studio)

if __name__ == "__main__":
    sys.exit(main())
