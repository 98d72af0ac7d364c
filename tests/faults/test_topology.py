"""The native topology: it comes up, keeps itself up, and lets in only who knows the password."""

import base64
import json
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from benchmarks.topology import Topology, descendants

IDLE = ("-c", "import time; time.sleep(1000)")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def topology(pool_folder):
    topology = Topology(pool_folder, workers=("worker-1",), flows=IDLE, worker=IDLE)
    try:
        topology.start()
        yield topology
    finally:
        topology.stop()


def asked(url: str, password: str = "") -> int:
    """The status with which Prefect's API answers."""
    request = urllib.request.Request(url, data=b"{}", method="POST")
    request.add_header("Content-Type", "application/json")
    if password:
        request.add_header("Authorization", "Basic " + base64.b64encode(password.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_prefect_lets_in_only_who_knows_the_password(topology):
    url = f"{topology.api_url}/flow_runs/filter"
    assert asked(url) == 401
    assert asked(url, "voxloom:wrong") == 401
    assert asked(url, topology.auth) == 200


def test_the_store_refuses_other_keys(topology):
    import s3fs

    files = s3fs.S3FileSystem(key="voxloom", secret="wrong", endpoint_url=topology.s3_url)
    with pytest.raises(PermissionError):
        files.ls("voxloom")


def test_everything_listens_on_this_machine_alone(topology):
    mine = {f"{port:04X}" for port in topology.ports.values()}
    listening = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            address, port = line.split()[1].split(":")
            if port in mine and line.split()[3] == "0A":
                listening.add((address, port))
    assert listening == {("0100007F", port) for port in mine}


def test_no_password_is_on_a_command_line_or_readable_by_others(topology):
    for pid in descendants(os.getpid()):
        command = Path(f"/proc/{pid}/cmdline").read_text()
        assert not [name for name, secret in topology.secrets.items() if secret in command]
    for path in topology.folder.rglob("*"):
        if path.is_file() and path.stat().st_size < 100_000 and path.stat().st_mode & 0o077:
            text = path.read_text(errors="replace")
            assert not [name for name, secret in topology.secrets.items() if secret in text], path


@pytest.mark.parametrize("name", ["postgres", "redis", "s3", "worker-1"])
def test_what_is_killed_is_started_again(topology, name):
    before = topology.services[name].starts
    topology.kill(name)
    deadline = time.monotonic() + 60
    while topology.services[name].starts == before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert topology.services[name].starts == before + 1
    topology.wait_ready(name, 60)


def test_a_second_start_finds_the_same_passwords(topology):
    kept = json.loads((topology.folder / "secrets.json").read_text())
    assert Topology(topology.folder).secrets == kept["secrets"] == topology.secrets


def test_postgresql_needs_the_password(topology):
    import psycopg

    url = topology.queue_url.replace(topology.secrets["postgres"], "wrong")
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(url)
