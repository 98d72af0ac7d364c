"""Fixtures that several rooms share."""

import os
import signal
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

# Tiny models only lose by threads, above all on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What a shell starts in the background does not hear of Ctrl-C, nor does what it starts: the tests
# send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A machine that is busy with something else must not fail a test.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Books, voices and parity cases that lie beside the repository and are not part of it."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared, the inputs that lie beside the repository")
    return folder


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server; a test that kills it starts it again."""
    pytest.importorskip("psycopg")
    from tests.pool_servers import Postgres

    try:
        server = Postgres()
    except LookupError as error:
        pytest.skip(str(error))
    yield server
    server.close()


@pytest.fixture
def queue_url(postgres) -> str:
    """An empty database."""
    return str(postgres.empty())


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    """An S3 server over HTTP; a test that kills it starts it again."""
    pytest.importorskip("s3fs")
    pytest.importorskip("nanio")
    from tests.pool_servers import S3

    server = S3(tmp_path_factory.mktemp("s3"))
    yield server
    server.kill()


@pytest.fixture
def s3_url(s3_server, monkeypatch) -> str:
    """An empty place in the S3 server, for which the environment holds the credentials."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://voxloom/{uuid4().hex}"


def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place of the kind that the fixture's parameter names."""
    if request.param == "s3":
        return str(request.getfixturevalue("s3_url"))
    return {
        "folder": str(tmp_path / "store"),
        "file url": (tmp_path / "store").as_uri(),
        "memory": f"memory://{uuid4().hex}",
    }[request.param]
