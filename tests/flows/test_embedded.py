import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARENT = """
import sys, time
from pathlib import Path
from flows.embedded import EmbeddedApi
api = EmbeddedApi(Path(sys.argv[1]), Path(sys.argv[1]) / "prefect.log")
print(api._child.pid, flush=True)
time.sleep(60)
"""


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie waits only for being counted)."""
    try:
        return " Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_the_api_does_not_outlive_a_killed_parent(tmp_path, root):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], cwd=root, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()
    deadline = time.monotonic() + 20
    while not gone(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert gone(child)
    assert len(list(tmp_path.glob("run-*"))) == 1
    from flows.embedded import _remove_left_over

    _remove_left_over(tmp_path)
    assert list(tmp_path.glob("run-*")) == []


def test_the_run_of_a_living_process_stays(tmp_path):
    import fcntl

    from flows.embedded import _remove_left_over

    (tmp_path / "run-alive").mkdir()
    (tmp_path / "run-dead").mkdir()
    with (tmp_path / "run-alive" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _remove_left_over(tmp_path)
        assert [run.name for run in tmp_path.iterdir()] == ["run-alive"]
