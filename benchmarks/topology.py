"""The pool of docker-compose.yml as plain processes on this machine, for tests and measurements.

PostgreSQL, Redis, an S3 server over HTTP, Prefect's API and its services, what runs the flows of
the pool, and two workers. Each is started in the order of its needs, waited for, and started again
when it dies, as a container with `restart: unless-stopped` would be. All listen on 127.0.0.1
only; passwords are made up once and kept in the topology's folder, readable by its owner alone.

    python -m benchmarks.topology FOLDER      (or scripts/pool-up FOLDER)
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
PORTS = ("postgres", "redis", "s3", "prefect")
SECRETS = ("postgres", "redis", "s3_key", "s3_secret", "prefect")
BUCKET = "voxloom"
POOL_WORK = ("-m", "flows.cli", "pool", "work")
START_SECONDS = 180.0
STOP_SECONDS = 15.0
FIRST_WAIT, LONGEST_WAIT = 0.5, 10.0  # before a process is started again
POSTGRES_BINARIES = "/usr/lib/postgresql/*/bin"  # Debian keeps them off the PATH


@dataclass
class Service:
    """A process that is kept alive. `ready` says whether it answers."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    ready: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None
    held_until: float = 0.0  # it stays down till then (monotonic seconds)
    failures: int = 0
    started: float = 0.0
    starts: int = 0


@dataclass
class Topology:
    """`folder` keeps data, logs, passwords and ports from one start to the next.

    `workers` are names; `flows` and `worker` what Python is to run as the two kinds of Voxloom's
    processes, `{name}` standing for the name; `environment` is for them alone.
    """

    folder: Path
    workers: Sequence[str] = ("worker-1", "worker-2")
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)
    flows: Sequence[str] = (*POOL_WORK, "--devices", "none", "--name", "flows")
    worker: Sequence[str] = (*POOL_WORK, "--devices", "cpu", "--books", "0", "--name", "{name}")
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)

    def __post_init__(self) -> None:
        self.folder = self.folder.absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "log").mkdir(exist_ok=True)
        kept = self._kept()
        self.ports: dict[str, int] = kept["ports"]
        self.secrets: dict[str, str] = kept["secrets"]
        self.services: dict[str, Service] = {}
        self._began = time.monotonic()
        self._stopping = threading.Event()
        self._lock = threading.RLock()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    # Addresses

    @property
    def queue_url(self) -> str:
        return self._postgres_url("postgresql", "voxloom")

    @property
    def store_url(self) -> str:
        return f"s3://{BUCKET}"

    @property
    def api_url(self) -> str:
        return f"http://{HOST}:{self.ports['prefect']}/api"

    @property
    def s3_url(self) -> str:
        return f"http://{HOST}:{self.ports['s3']}"

    @property
    def auth(self) -> str:
        return f"voxloom:{self.secrets['prefect']}"

    def client(self) -> dict[str, str]:
        """The environment of every Voxloom process of the pool, and of who submits to it."""
        return {
            "AWS_ACCESS_KEY_ID": self.secrets["s3_key"],
            "AWS_SECRET_ACCESS_KEY": self.secrets["s3_secret"],
            "AWS_ENDPOINT_URL": self.s3_url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "DO_NOT_TRACK": "1",
            "PREFECT_API_URL": self.api_url,
            "PREFECT_API_AUTH_STRING": self.auth,
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "VOXLOOM_QUEUE": self.queue_url,
            "VOXLOOM_STORE": self.store_url,
        }

    # Life

    def start(self) -> None:
        """Starts everything and returns when all of it answers."""
        self.start_stores()
        self._run(self._redis())
        self._migrate()
        self._run(self._api())
        self._run(self._services())
        self._run(self._voxloom("flows", self.flows))
        self.start_workers()
        self._tell("the pool is up")

    def start_stores(self) -> None:
        """Starts PostgreSQL and the S3 server alone."""
        self._write_client()
        self._prepare_postgres()
        self._watcher.start()
        self._run(self._postgres())
        self._databases()
        self._run(self._s3())
        self._bucket()

    def start_workers(self) -> None:
        for name in self.workers:
            self._run(self._voxloom(name, self.worker))

    def stop(self) -> None:
        """Ends everything, the last started first."""
        self._stopping.set()
        for service in reversed(self.services.values()):
            _end(service.process)
        self._tell("the pool is down")

    def kill(self, name: str, down_seconds: float = 0.0) -> None:
        """SIGKILL to the process and all that it started; it is started again after a while."""
        with self._lock:
            service = self.services[name]
            service.held_until = time.monotonic() + down_seconds
            self._tell(f"SIGKILL to {name}")
            self.signal(name, signal.SIGKILL)

    def signal(self, name: str, number: signal.Signals) -> None:
        """A signal to the process and all that it started, if it lives."""
        process = self.services[name].process
        if process is not None and process.poll() is None:
            for pid in [process.pid, *descendants(process.pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def log(self, name: str) -> Path:
        """What a service prints."""
        return self.folder / "log" / f"{name}.log"

    def wait_ready(self, name: str, seconds: float = START_SECONDS) -> None:
        """Returns when a service answers; RuntimeError when it does not."""
        deadline = time.monotonic() + seconds
        while not self.services[name].ready():
            if time.monotonic() > deadline or self._stopping.is_set():
                raise RuntimeError(f"{name} does not answer; {self.log(name)} says why")
            time.sleep(0.2)

    def _run(self, service: Service) -> None:
        began = time.monotonic()
        with self._lock:
            self.services[service.name] = service
            self._spawn(service)
        self.wait_ready(service.name)
        self._tell(f"{service.name} answers after {time.monotonic() - began:.1f} s")

    def _spawn(self, service: Service) -> None:
        with self.log(service.name).open("ab") as output:
            service.process = subprocess.Popen(
                list(service.command),
                env={**_plain_environment(), **service.environment},
                cwd=self.folder if service.name == "postgres" else ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        service.started = time.monotonic()
        service.starts += 1

    def _watch(self) -> None:
        """Starts again what has died, later and later while it keeps dying."""
        while not self._stopping.wait(0.2):
            with self._lock:
                for service in self.services.values():
                    self._revive(service)

    def _revive(self, service: Service) -> None:
        now = time.monotonic()
        if service.process is None:
            if now >= service.held_until and not self._stopping.is_set():
                self._tell(f"{service.name} is started again")
                self._spawn(service)
        elif (status := service.process.poll()) is not None:
            self._tell(f"{service.name} has ended (status {status})")
            service.failures = 0 if now - service.started > 30 else service.failures + 1
            wait = min(FIRST_WAIT * 2**service.failures, LONGEST_WAIT)
            service.held_until = max(service.held_until, now + wait)
            service.process = None

    # The services

    def _prepare_postgres(self) -> None:
        data = self.folder / "postgres"
        if data.exists():
            return
        data.mkdir(mode=0o700)
        password = self.folder / "postgres-password"
        password.touch(0o600)
        password.write_text(self.secrets["postgres"])
        if os.geteuid() == 0:  # PostgreSQL refuses to be run by root
            self.folder.chmod(0o711)
            for path in (data, password):
                shutil.chown(path, "postgres", "postgres")
        subprocess.run(
            [
                *_as_postgres(),
                _postgres_binary("initdb"),
                f"--pgdata={data}",
                "--username=voxloom",
                f"--pwfile={password}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
            ],
            check=True,
            cwd="/",
            stdout=self.log("initdb").open("wb"),
        )
        password.unlink()

    def _postgres(self) -> Service:
        port = self.ports["postgres"]
        command = [
            *_as_postgres(),
            _postgres_binary("postgres"),
            *("-D", str(self.folder / "postgres")),
            *("-h", HOST, "-p", str(port), "-k", "", "-c", "max_connections=200"),
        ]
        probe = [_postgres_binary("pg_isready"), "-q", "-h", HOST, "-p", str(port)]
        return Service(
            "postgres", command, {}, lambda: subprocess.run(probe, check=False).returncode == 0
        )

    def _databases(self) -> None:
        import psycopg

        with psycopg.connect(self._postgres_url("postgresql", "postgres"), autocommit=True) as db:
            there = {name for (name,) in db.execute("SELECT datname FROM pg_database")}
            for name in ("prefect", "voxloom"):
                if name not in there:
                    db.execute(f"CREATE DATABASE {name}")

    def _redis(self) -> Service:
        from redis import Redis
        from redis.exceptions import RedisError

        data, port, password = self.folder / "redis", self.ports["redis"], self.secrets["redis"]
        data.mkdir(exist_ok=True)
        settings = data / "redis.conf"  # a file: a command line is everybody's to read
        settings.touch(0o600)
        settings.write_text(
            f"bind {HOST}\nport {port}\ndir {data}\nrequirepass {password}\nappendonly yes\n"
        )

        def ready() -> bool:
            try:
                return bool(Redis(HOST, port, password=password, socket_timeout=2).ping())
            except RedisError:
                return False

        return Service("redis", ["redis-server", str(settings)], {}, ready)

    def _s3(self) -> Service:
        data, port = self.folder / "s3", self.ports["s3"]
        data.mkdir(exist_ok=True)
        command = [
            str(Path(self.python).with_name("nanio")),
            *("serve", "--data-dir", str(data), "--host", HOST, "--port", str(port)),
            "--no-access-log",
        ]
        environment = {
            "NANIO_ACCESS_KEY": self.secrets["s3_key"],
            "NANIO_SECRET_KEY": self.secrets["s3_secret"],
        }
        return Service("s3", command, environment, lambda: _answers(self.s3_url))

    def _bucket(self) -> None:
        import s3fs

        client = self.client()
        files = s3fs.S3FileSystem(
            key=client["AWS_ACCESS_KEY_ID"],
            secret=client["AWS_SECRET_ACCESS_KEY"],
            endpoint_url=client["AWS_ENDPOINT_URL"],
        )
        if not files.exists(BUCKET):
            files.mkdir(BUCKET)

    def _server_environment(self) -> dict[str, str]:
        redis = f"redis://:{self.secrets['redis']}@{HOST}:{self.ports['redis']}"
        return {
            **pool_settings(),
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_REDIS_MESSAGING_URL": f"{redis}/0",
            "PREFECT_SERVER_API_AUTH_STRING": self.auth,
            "PREFECT_SERVER_API_HOST": HOST,
            "PREFECT_SERVER_API_PORT": str(self.ports["prefect"]),
            "PREFECT_API_URL": self.api_url,
            "PREFECT_API_AUTH_STRING": self.auth,
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": self._postgres_url(
                "postgresql+asyncpg", "prefect"
            ),
            "PREFECT_SERVER_DOCKET_URL": f"{redis}/1",
        }

    def _prefect(self, *arguments: str) -> list[str]:
        return [self.python, "-m", "prefect", *arguments]

    def _migrate(self) -> None:
        began = time.monotonic()
        with self.log("prefect-migrate").open("wb") as output:
            subprocess.run(
                self._prefect("server", "database", "upgrade", "-y"),
                check=True,
                env={**_plain_environment(), **self._server_environment()},
                stdout=output,
                stderr=output,
            )
        self._tell(f"Prefect's database is migrated after {time.monotonic() - began:.1f} s")

    def _api(self) -> Service:
        command = self._prefect("server", "start", "--no-services")
        return Service(
            "prefect-api",
            command,
            self._server_environment(),
            lambda: _answers(f"{self.api_url}/ready"),
        )

    def _services(self) -> Service:
        command = self._prefect("server", "services", "start")
        return Service("prefect-services", command, self._server_environment(), self._alive)

    def _voxloom(self, name: str, arguments: Sequence[str]) -> Service:
        home = self.folder / "home" / name
        home.mkdir(parents=True, exist_ok=True)
        environment = {
            **self.client(),
            "OMP_NUM_THREADS": "1",
            "PREFECT_HOME": str(home / "prefect"),
            "PYTHONPATH": str(ROOT),
            "VOXLOOM_HOME": str(home),
            **self.environment,
        }
        command = [self.python, *(one.format(name=name) for one in arguments)]
        return Service(name, command, environment, self._alive)

    def _alive(self) -> bool:
        """What has no address to ask is taken to be ready when it runs."""
        return True

    # Small things

    def _postgres_url(self, scheme: str, database: str) -> str:
        password, port = self.secrets["postgres"], self.ports["postgres"]
        return f"{scheme}://voxloom:{password}@{HOST}:{port}/{database}"

    def _kept(self) -> dict[str, dict]:
        path = self.folder / "secrets.json"
        if not path.exists():
            path.touch(0o600)
            kept = {
                "ports": dict(zip(PORTS, _free_ports(len(PORTS)), strict=True)),
                "secrets": {name: secrets.token_hex(16) for name in SECRETS},
            }
            path.write_text(json.dumps(kept))
        return json.loads(path.read_text())

    def _write_client(self) -> None:
        path = self.folder / "client.env"
        path.touch(0o600)
        path.write_text(
            "".join(f"export {key}='{value}'\n" for key, value in self.client().items())
        )

    def _tell(self, what: str) -> None:
        line = f"{time.monotonic() - self._began:7.1f} s  {what}"
        with (self.folder / "log" / "topology.log").open("a") as file:
            file.write(line + "\n")
        self.say(line)


def pool_settings() -> dict[str, str]:
    """configs/pool.env, which docker-compose.yml reads too."""
    lines = (ROOT / "configs" / "pool.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that they did, by /proc."""
    parents: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            parent = int(status.read_text().rsplit(")", 1)[1].split()[1])
            parents.setdefault(parent, []).append(int(status.parent.name))
    found = list(parents.get(pid, []))
    for one in found:
        found += parents.get(one, [])
    return found


def lacking() -> list[str]:
    """The programs that are not on this machine (Debian: postgresql, redis-server)."""
    lack = [name for name in ("initdb", "postgres", "pg_isready") if not _postgres_binary(name)]
    return lack + [name for name in ("redis-server",) if not shutil.which(name)]


def _postgres_binary(name: str) -> str:
    debian = sorted(str(path) for path in Path("/").glob(POSTGRES_BINARIES.lstrip("/")))
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *debian])) or ""


def _as_postgres() -> list[str]:
    if os.geteuid():
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


def _plain_environment() -> dict[str, str]:
    """Ours without what would lead Prefect or Voxloom astray."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "VOXLOOM_", "AWS_"))
    } | {"NO_PROXY": HOST, "no_proxy": HOST}


def _answers(url: str) -> bool:
    """Whether a web server answers, if only to refuse."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(url, timeout=5).close()
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
    return True


def _free_ports(number: int) -> list[int]:
    listeners = [socket.create_server((HOST, 0)) for _ in range(number)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def _end(process: subprocess.Popen[bytes] | None) -> None:
    """Asks a process to end, and kills it and all that it started if it does not."""
    if process is None:
        return
    started = descendants(process.pid)
    # PostgreSQL ends its sessions on SIGINT; on SIGTERM it would wait for them.
    asked = signal.SIGINT if "postgres" in str(process.args) else signal.SIGTERM
    process.send_signal(asked)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    for pid in [process.pid, *started]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="data, logs and passwords; made if need be")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    if lack := lacking():
        sys.exit(f"Not on this machine: {', '.join(lack)}. Install PostgreSQL and Redis.")
    names = tuple(f"worker-{number + 1}" for number in range(given.workers))
    topology = Topology(given.folder, workers=names)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        topology.start()
        print(f"Prefect's page: {topology.api_url.removesuffix('/api')}", file=sys.stderr)
        print(f"To submit from here: . {topology.folder / 'client.env'}", file=sys.stderr)
        stop.wait()
    finally:
        topology.stop()


if __name__ == "__main__":
    main()
