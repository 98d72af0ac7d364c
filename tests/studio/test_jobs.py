"""The queue: one at a time and in order, events, pause, resume, cancel, and a Studio that dies."""

import json
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from studio.jobs import LocalJobs, command_of, uploads_of
from studio.models import Job
from studio.uploads import Uploads
from tests.studio.conftest import STUB, STUB_PROGRAM, open_page, page_of


def runs(page, id: str) -> list[list[str]]:
    file = page.folder(id) / "runs.txt"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def let_go(page, id: str) -> None:
    (page.folder(id) / "go").touch()


def test_jobs_run_one_by_one_in_order(page, order):
    first, second, third = (page.send("POST", "/jobs", order, 201)["id"] for _ in range(3))
    running = page.wait(first, "running")
    assert running["title"] == "A Small / Book"
    while (job := page.get(f"/jobs/{first}"))["progress"] is None:
        time.sleep(0.01)
    assert job["progress"]["stage"] == "Speaking" and job["progress"]["done"] == 0.25
    assert job["progress"]["chapters"] == [{"number": 1, "title": "One", "done": 0.25}]
    assert [job["state"] for job in page.get("/jobs")] == ["running", "queued", "queued"]
    page.send("POST", f"/jobs/{second}/pause")
    let_go(page, first)
    done = page.wait(first, "finished")
    assert done["finished"] >= done["added"] and done["progress"] is None and done["listenable"]
    page.wait(third, "running")
    assert page.get(f"/jobs/{second}")["state"] == "paused" and runs(page, second) == []
    let_go(page, third)
    page.wait(third, "finished")
    page.send("POST", f"/jobs/{second}/resume")
    page.wait(second, "running")
    let_go(page, second)
    page.wait(second, "finished")


def test_pause_resume_and_cancel(page, order):
    id = page.send("POST", "/jobs", order, 201)["id"]
    page.wait(id, "running")
    page.send("POST", f"/jobs/{id}/pause")
    page.wait(id, "paused")
    page.send("POST", f"/jobs/{id}/pause", status=409)
    page.send("POST", f"/jobs/{id}/resume")
    page.wait(id, "running")
    page.send("DELETE", f"/jobs/{id}", status=409)
    page.send("POST", f"/jobs/{id}/cancel")
    assert page.wait(id, "cancelled")["error"] == ""
    assert len(runs(page, id)) <= 2
    assert page.folder(id).exists()
    page.send("DELETE", f"/jobs/{id}", status=204)
    assert not page.folder(id).exists()
    page.get(f"/jobs/{id}", 404)


def test_what_fails_is_told_without_paths_and_can_be_tried_again(page, order):
    id = page.send("POST", "/jobs", order, 201)["id"]
    page.wait(id, "running")
    (page.folder(id) / "fail").touch()
    assert page.wait(id, "failed")["error"] == "small.epub can't be read"
    (page.folder(id) / "fail").unlink()
    let_go(page, id)
    page.send("POST", f"/jobs/{id}/resume")
    assert page.wait(id, "finished")["error"] == ""


def test_a_job_that_is_changed_while_it_is_made_keeps_what_came_later(page, order):
    id = page.send("POST", "/jobs", order, 201)["id"]
    page.wait(id, "running")
    entry = {"word": "lamp", "say": "LAHMP"}
    assert page.send("PUT", f"/jobs/{id}/lexicon", entry)["changes"] == 1
    let_go(page, id)
    assert page.wait(id, "finished")["changes"] == 1
    page.send("POST", f"/jobs/{id}/resume")
    deadline = time.monotonic() + 60
    while page.get(f"/jobs/{id}")["changes"] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert page.get(f"/jobs/{id}")["changes"] == 0


def test_browsers_are_told_what_changes(page, order, settings):
    """Read as a browser does, from a server of its own: the test client waits for whole answers."""
    import socket

    import httpx
    import uvicorn

    app = page.client.app
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    id = page.send("POST", "/jobs", order, 201)["id"]
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/api/events"
    told: list[tuple[str, str]] = []
    try:
        with httpx.stream("GET", address, timeout=60) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            event = ""
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    told.append((event, line.removeprefix("data: ")))
                    state = json.loads(told[-1][1])["state"] if event == "job" else event
                    if state == "running":
                        let_go(page, id)
                    elif state == "finished":
                        page.send("DELETE", f"/jobs/{id}", status=204)
                    elif state == "removed":
                        break
    finally:
        server.should_exit = True
        thread.join(30)
    assert told[-1] == ("removed", id)
    states = [json.loads(data)["state"] for event, data in told if event == "job"]
    assert states[-1] == "finished" and set(states) <= {"queued", "running", "finished"}


def test_a_studio_that_is_closed_goes_on_where_it_was(page, order, settings):
    first, second = (page.send("POST", "/jobs", order, 201)["id"] for _ in range(2))
    page.wait(first, "running")
    (page.home / "studio" / "jobs" / "damaged").mkdir()
    (page.home / "studio" / "jobs" / "damaged" / "job.json").write_text("{")
    page.client.app.state.studio.jobs.stop()
    assert json.loads((page.folder(first) / "job.json").read_text())["state"] == "running"
    with open_page(settings) as client:
        again = page_of(client, settings)
        assert [job["id"] for job in again.get("/jobs")] == [first, second]
        again.wait(first, "running")
        let_go(again, first)
        let_go(again, second)
        again.wait(first, "finished")
        again.wait(second, "finished")
        assert len(runs(again, second)) == 1


SERVER = """
import sys, time
from pathlib import Path
from configs.settings import load_settings
from studio.jobs import LocalJobs
from studio.uploads import Uploads
home = load_settings().home / "studio"
jobs = LocalJobs(home / "jobs", Uploads(home / "uploads"), (sys.executable, "-c", sys.argv[1]))
jobs.start()
print("ready", flush=True)
time.sleep(600)
"""


def test_a_studio_that_is_killed_loses_nothing(page, order, settings, root):
    """The command that it leaves behind ends by itself; the next Studio waits for that."""
    page.client.app.state.studio.jobs.stop()
    id = Job.model_validate(page.send("POST", "/jobs", order, 201)).id
    killed = subprocess.Popen(
        [sys.executable, "-c", SERVER, STUB], cwd=root, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not runs(page, id) and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert len(runs(page, id)) == 1
    assert json.loads((page.folder(id) / "job.json").read_text())["state"] == "running"
    with open_page(settings) as client:
        again = page_of(client, settings)
        again.wait(id, "running")
        let_go(again, id)
        again.wait(id, "finished")
        assert len(runs(again, id)) == 2


def job_of(order: dict) -> Job:
    facts = {"id": "0" * 32, "kind": order["kind"], "title": "t", "state": "queued", "order": order}
    facts |= {"added": 0, "queued": 0, "finished": None, "progress": None, "error": ""}
    return Job.model_validate(facts | {"listenable": False, "changes": 0})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("language", "--debug"),
        ("include", ["--config=/etc/passwd", "cover"]),
        ("exclude", ["-h"]),
    ],
)
def test_nothing_a_client_says_becomes_an_option(page, order, field, value, tmp_path):
    import typer

    from studio.cli import app

    command = command_of(
        job_of(order | {field: value}), tmp_path, page.client.app.state.studio.uploads
    )
    assert not {"--debug", "-h", "--config=/etc/passwd"} & set(command)
    parsed = typer.main.get_command(app).commands[command[0]]
    context = parsed.make_context("audiobook", command[1:])
    assert context.params["debug"] is False and context.params["config"] is None


def test_a_transcript_is_never_the_name_of_a_file(page, order, tmp_path):
    (tmp_path / "secret").write_text("root:x")
    order["voice"]["transcript"] = str(tmp_path / "secret")
    job = job_of(order)
    command = command_of(job, tmp_path, page.client.app.state.studio.uploads)
    (given,) = (word for word in command if word.startswith("--transcript="))
    from tasks.voices import read_transcript

    assert read_transcript(given.partition("=")[2]) == str(tmp_path / "secret")
    assert uploads_of(job) == [order["book"], order["voice"]["upload"]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": "/etc"}, "installed model"),
        ({"model": "../voices"}, "installed model"),
        ({"voice": {"name": "/etc/passwd"}}, "no voice"),
        ({"voice": {"name": "ada", "upload": "0" * 32}}, "Choose a voice"),
        ({"voice": {}}, "Choose a voice"),
        ({"chapters": [3]}, "2 chapters"),
        ({"include": ["everything"]}, "everything"),
        ({"layout": "audiobookshelf", "formats": ["m4b", "mp3"]}, "Audiobookshelf"),
        ({"surprise": 1}, "surprise"),
        ({"book": "../../voices"}, "book"),
    ],
)
def test_orders_that_can_not_be_made_are_refused(page, order, change, told):
    answer = page.client.post("/api/jobs", json=order | change)
    assert answer.status_code in (400, 404, 422)
    assert told in answer.json()["detail"]
    assert page.get("/jobs") == []


def test_consent_is_asked_for(page, order):
    order["voice"]["consent"] = False
    answer = page.send("POST", "/jobs", order, 400)
    assert "Confirm" in answer["detail"]
    asked = {"upload": order["book"], "voice": order["voice"]}
    assert "Confirm" in page.send("POST", "/previews", asked, 400)["detail"]
    voice = {"name": "ada", "upload": order["voice"]["upload"], "consent": False}
    page.send("POST", "/voices", voice, 422)
    kept = page.send("POST", "/voices", voice | {"consent": True}, 201)
    assert re.fullmatch(r"Confirmed in Studio on \d{4}-\d\d-\d\d: .*has agreed\.", kept["consent"])
    assert page.get("/voices") == [kept], "it is kept with the voice"
    assert "Confirmed in Studio" in page.client.get("/parts/voices").text
    assert "在 Studio 中确认" in page.client.get("/parts/voices?language=zh").text


def test_local_jobs_need_no_server(tmp_path):
    jobs = LocalJobs(tmp_path / "jobs", Uploads(tmp_path / "uploads"), STUB_PROGRAM)
    jobs.start()
    jobs.stop()
    assert jobs.all() == []
