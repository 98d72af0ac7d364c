"""`voxloom studio` as a user starts it, and a book's whole way through it by the real command."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import httpx
import pytest

from configs.errors import UserError
from studio.cli import _hold, _listener
from tests.studio.conftest import DEBUG

SERVER = f"""
import sys
import studio.app
program = (sys.executable, "-c", {DEBUG!r})
create = studio.app.create_app
studio.app.create_app = lambda settings, token: create(settings, token, program)
{DEBUG.replace("sys.exit(main())", "sys.exit(main(['studio', *sys.argv[1:]]))")}
"""


class Served:
    """A Studio in a process of its own."""

    def __init__(self, root, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, "--no-browser", "--port", "0", *arguments],
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(root)},
            stderr=subprocess.PIPE,
            text=True,
        )
        said = ""
        while (match := re.search(r"Studio: (http://\S+)", said)) is None:
            line = self.process.stderr.readline()
            assert line, said
            said += line
        self.address = match[1]
        self.client = httpx.Client(base_url=self.address.partition("?")[0], timeout=120)

    def ask(self, method: str, path: str, **more):
        answer = self.client.request(method, f"/api{path}", **more)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def login(self) -> None:
        """Comes in with the token that was printed, as soon as there is somebody."""
        deadline = time.monotonic() + 120
        while True:
            try:
                assert self.client.get("/").status_code == 403
                break
            except httpx.ConnectError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert self.client.get(self.address, follow_redirects=True).status_code == 200
        self.client.headers["x-csrf-token"] = self.ask("GET", "/limits")["csrf"]

    def wait(self, id: str, *states: str):
        deadline = time.monotonic() + 300
        while (job := self.ask("GET", f"/jobs/{id}"))["state"] not in states:
            assert time.monotonic() < deadline, job
            time.sleep(0.1)
        return job

    def end(self, how: int) -> int:
        self.process.send_signal(how)
        self.process.communicate(timeout=120)
        return self.process.returncode


@pytest.mark.prefect
@pytest.mark.parametrize("killed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_book_is_made_and_mended(settings, epub, sample, root, killed):
    """Uploaded, started, gone on though Studio is killed, mended: and only that is made again."""
    served = Served(root, "--host", "127.0.0.2")
    assert re.fullmatch(r"http://127\.0\.0\.2:\d+/\?token=[0-9a-f]{64}", served.address)
    served.login()
    book, voice = (
        served.ask("POST", "/uploads", params={"kind": kind, "name": path.name}, content=data)["id"]
        for kind, path, data in (
            ("book", epub, epub.read_bytes()),
            ("voice", sample, sample.read_bytes()),
        )
    )
    order = {"kind": "book", "book": book, "voice": {"upload": voice, "consent": True}}
    id = served.ask("POST", "/jobs", json=order)["id"]
    served.wait(id, "running")
    with pytest.raises(UserError, match="runs already"):
        _hold(settings.home / "studio")
    if killed:
        served.end(signal.SIGKILL)
        served = Served(root, "--host", "127.0.0.2")
        served.login()
    stages = set()
    deadline = time.monotonic() + 300
    while (job := served.ask("GET", f"/jobs/{id}"))["state"] != "finished":
        assert time.monotonic() < deadline and job["state"] in ("queued", "running"), job
        if job["progress"]:
            stages.add(job["progress"]["stage"])
            chapters = [one["title"] for one in job["progress"]["chapters"]]
            assert chapters in ([], ["Chapter 1", "Chapter 2"])
        time.sleep(0.05)
    assert stages
    names = [one["name"] for one in served.ask("GET", f"/jobs/{id}/downloads")]
    assert {"A Small Book.m4b", "A Small Book.srt", "A Small Book.vtt"} <= set(names)

    place = served.ask("GET", f"/jobs/{id}/chapters/1")["lines"][2]["place"]
    served.ask("POST", f"/jobs/{id}/lines/{place}/takes")
    assert served.ask("PUT", f"/jobs/{id}/lines/{place}/take", json={"seed": 1})["changes"] == 1
    served.ask("POST", f"/jobs/{id}/resume")
    job = served.wait(id, "finished", "failed")
    assert (job["state"], job["error"], job["changes"]) == ("finished", "", 0)
    report = settings.home / "studio" / "jobs" / id / "out" / "report.json"
    assert json.loads(report.read_text())["run"]["made"] == 0  # the take was made on the page
    lines = served.ask("GET", f"/jobs/{id}/chapters/1")["lines"]
    assert [line["place"] for line in lines if line["redone"]] == [place]
    assert served.end(signal.SIGINT) in (130, -signal.SIGINT)


def test_a_port_that_is_taken_is_told(settings):
    with _listener("127.0.0.1", 0) as taken, pytest.raises(UserError, match="--port"):
        _listener("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(UserError, match="--port"):
        _listener("no.such.name.invalid", 0)
