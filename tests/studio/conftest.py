"""A Studio with a home of the test's own, a client that may do everything, and what it is given."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from configs.settings import Settings
from model.engine import Engine
from studio.app import create_app
from tests.flows.conftest import epub, sample, settings  # noqa: F401  # fixtures

# Stands for the command line where a test is about the queue alone: it says how far it is and
# waits for the file "go" (or "fail") in the job's folder, or for Ctrl-C.
STUB = """
import json, sys, time
from pathlib import Path
job = Path.cwd()
with (job / "runs.txt").open("a") as runs:
    print(json.dumps(sys.argv[1:]), file=runs)
chapters = [{"number": 1, "title": "One", "done": 0.25}]
facts = {"stage": "Speaking", "done": 0.25, "seconds_left": 60, "chapters": chapters}
print(json.dumps(facts), flush=True)
try:
    while not (job / "go").exists():
        if (job / "fail").exists():
            sys.exit(f"voxloom: {sys.argv[2]} can't be read")
        print("not JSON", flush=True)
        time.sleep(0.05)
except KeyboardInterrupt:
    sys.exit(130)
"""
# The command line itself, with the tiny random model.
DEBUG = """
import sys
import flows.work
import tasks.render
from model.engine import Engine
flows.work.builtin_engine = lambda settings: Engine.debug()
tasks.render.ATTEMPTS = 1  # the tiny model's noise is always suspect
from studio.cli import main
sys.exit(main())
"""
STUB_PROGRAM = (sys.executable, "-c", STUB)
DEBUG_PROGRAM = (sys.executable, "-c", DEBUG)


def debug_engine(model: object) -> Callable[[Settings], Engine]:
    return lambda _: Engine.debug()


@dataclass
class Page:
    """What a page of Studio's can do."""

    client: TestClient
    home: Path

    def get(self, path: str, status: int = 200, **more: Any) -> Any:
        answer = self.client.get(f"/api{path}", **more)
        assert answer.status_code == status, answer.text
        return answer.json() if "json" in answer.headers.get("content-type", "") else answer

    def send(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        answer = self.client.request(method, f"/api{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def upload(self, kind: str, path: Path, name: str = "", status: int = 201) -> Any:
        answer = self.client.post(
            "/api/uploads",
            params={"kind": kind, "name": name or path.name},
            content=path.read_bytes(),
        )
        assert answer.status_code == status, answer.text
        return answer.json()

    def wait(self, id: str, *states: str, seconds: float = 300.0) -> Any:
        """The job once it is in one of the states."""
        deadline = time.monotonic() + seconds
        while (job := self.get(f"/jobs/{id}"))["state"] not in states:
            assert time.monotonic() < deadline, job
            time.sleep(0.02)
        return job

    def folder(self, id: str) -> Path:
        return self.home / "studio" / "jobs" / id


def open_page(settings: Settings, program: tuple[str, ...] = STUB_PROGRAM) -> TestClient:  # noqa: F811
    return TestClient(
        create_app(settings, program=program, load=debug_engine), base_url="http://localhost"
    )


def page_of(client: TestClient, settings: Settings) -> Page:  # noqa: F811
    client.headers["x-csrf-token"] = client.get("/api/limits").json()["csrf"]
    return Page(client, settings.home)


@pytest.fixture
def page(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:  # noqa: F811
    """A Studio whose jobs are run by the stub."""
    monkeypatch.setattr("tasks.render.ATTEMPTS", 1)
    with open_page(settings) as client:
        yield page_of(client, settings)


@pytest.fixture
def order(page: Page, epub: Path, sample: Path) -> dict[str, Any]:  # noqa: F811
    """An order for the small book."""
    return {
        "kind": "book",
        "book": page.upload("book", epub)["id"],
        "voice": {"upload": page.upload("voice", sample)["id"], "consent": True},
    }
