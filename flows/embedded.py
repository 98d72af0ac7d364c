"""Prefect's API for one machine: a quiet child process that starts early and dies with us.

Prefect can start such a child itself, but only when the first flow runs, with its output in the
terminal, and it outlives a parent that is killed. This one is started while the book is read,
writes to a log file, ends when the pipe from its parent closes, and has a database of its own, so
that runs side by side don't lock each other out. Nothing in that database is needed to go on.
"""

import fcntl
import logging
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from configs.errors import UserError

LOGGING = Path(__file__).resolve().parent.parent / "configs" / "prefect-logging.yaml"
_SERVICES = (
    "CANCELLATION_CLEANUP",
    "EVENT_LOGGER",
    "EVENT_PERSISTER",
    "FOREMAN",
    "LATE_RUNS",
    "PAUSE_EXPIRATIONS",
    "SCHEDULER",
    "TASK_RUN_RECORDER",
    "TRIGGERS",
)
_POLL_SECONDS = 0.1

log = logging.getLogger(__name__)


class EmbeddedApi:
    """Starts the API at once and returns; `wait` before the first flow, `stop` at the end."""

    def __init__(self, home: Path, log_file: Path) -> None:
        """`home` is the folder for Prefect's files; `log_file` takes what the child prints."""
        home.mkdir(parents=True, exist_ok=True)
        log_file.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_over(home)
        self._log_file = log_file
        self._run = Path(tempfile.mkdtemp(prefix="run-", dir=home))
        self._lock = (self._run / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._template = home / f"migrated-{version('prefect')}.db"
        self._database = self._run / "prefect.db"
        migrated = self._template.is_file()
        if migrated:
            shutil.copyfile(self._template, self._database)
        with socket.create_server(("127.0.0.1", 0)) as listener, log_file.open("wb") as output:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
            os.environ.update(_environment(os.environ, self.url, self._run, migrated))
            for name in [name for name in os.environ if _foreign(name)]:
                del os.environ[name]
            self._child = subprocess.Popen(
                [sys.executable, "-m", "flows.embedded", str(listener.fileno())],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=[listener.fileno()],
                cwd=LOGGING.parent.parent,  # where the packages are, wherever we were called from
                start_new_session=True,  # Ctrl-C in the terminal is for us alone
            )

    def wait(self, timeout_seconds: float) -> None:
        """Returns when the API answers; raises UserError when it does not come up."""
        deadline = time.monotonic() + timeout_seconds
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while self._child.poll() is None and time.monotonic() < deadline:
            try:
                with opener.open(f"{self.url}/health", timeout=5):
                    break
            except (OSError, urllib.error.URLError):
                time.sleep(_POLL_SECONDS)
        else:
            raise UserError(f"Prefect's embedded API did not start; {self._log_file} says why")
        if not self._template.exists():
            self._keep_template()

    def stop(self) -> None:
        """Ends the child and removes its database."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        try:
            self._child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        shutil.rmtree(self._run, ignore_errors=True)
        self._lock.close()

    def _keep_template(self) -> None:
        """Keeps the fresh database for the next start, which then needs no migration."""
        part = self._run / "template.db"
        with closing(sqlite3.connect(self._database)) as source, closing(
            sqlite3.connect(part)
        ) as copy:  # fmt: skip
            source.backup(copy)
        part.replace(self._template)


def _environment(
    environment: "os._Environ[str]", url: str, run: Path, migrated: bool
) -> dict[str, str]:
    """What Prefect's client and server read: no telemetry, no services, no network but loopback."""
    local = "127.0.0.1,localhost"
    before = environment.get("NO_PROXY") or environment.get("no_proxy")
    no_proxy = f"{before},{local}" if before else local
    return {
        "DO_NOT_TRACK": "1",
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{run / 'prefect.db'}",
        "PREFECT_API_DATABASE_MIGRATE_ON_START": "false" if migrated else "true",
        "PREFECT_API_URL": url,
        "PREFECT_HOME": str(run),
        "PREFECT_LOGGING_SETTINGS_PATH": str(LOGGING),
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_UI_ENABLED": "false",
    } | {f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false" for service in _SERVICES}


_OURS = frozenset(_environment(os.environ, "", Path(), False))


def _foreign(name: str) -> bool:
    """Settings of the user's for another Prefect would lead this one astray."""
    return name.startswith("PREFECT_") and name not in _OURS


def _remove_left_over(home: Path) -> None:
    """Removes the folders of runs that were killed: nobody holds their lock."""
    for run in home.glob("run-*"):
        try:
            with (run / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(run, ignore_errors=True)
        except OSError as error:
            log.debug("%s stays: %s", run, error)


def _serve(descriptor: int) -> None:
    """In the child: serves the API on an inherited socket until the parent closes its pipe."""

    def watch() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    import uvicorn
    from prefect.server.api.server import create_app

    listener = socket.socket(fileno=descriptor)
    config = uvicorn.Config(
        create_app(ephemeral=True, final=True), log_level="error", lifespan="on"
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
