"""Studio's jobs on the pool: made by its workers, paused and cancelled there, too."""

import threading
import time

import pytest

pytest.importorskip("psycopg")

from pydantic import SecretStr

from flows import work as flows_work
from flows.jobs import job_of_folder, open_pool
from flows.worker import Worker
from model.engine import Engine
from tests.studio.conftest import DEBUG_PROGRAM, open_page, page_of


@pytest.fixture
def pool(settings, queue_url, monkeypatch):
    monkeypatch.setenv("VOXLOOM_QUEUE", queue_url)
    monkeypatch.setattr(flows_work, "builtin_engine", lambda settings: Engine.debug())
    monkeypatch.setattr("tasks.render.ATTEMPTS", 1)
    monkeypatch.setattr("flows.worker.IDLE_SECONDS", 0.05)
    return open_pool(settings.model_copy(update={"queue": SecretStr(queue_url)}))


def handed_over(page, id: str) -> None:
    """Waits until the pool has all lines of a job."""
    deadline = time.monotonic() + 300
    while (page.wait(id, "running")["progress"] or {}).get("stage") != "Waiting for the workers":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_book_of_the_pool(pool, epub, sample):
    """Paused before anybody spoke, cancelled, taken up again and made."""
    with open_page(pool.settings, DEBUG_PROGRAM) as client:
        page = page_of(client, pool.settings)
        assert "<p>The workers of the pool speak" in client.get("/watch").text
        order = {
            "kind": "book",
            "book": page.upload("book", epub)["id"],
            "voice": {"upload": page.upload("voice", sample)["id"], "consent": True},
        }
        id = page.send("POST", "/jobs", order, 201)["id"]
        handed_over(page, id)
        job = job_of_folder(page.folder(id) / "out")
        assert pool.queue.job(job).state == "running"
        page.send("POST", f"/jobs/{id}/pause")
        page.wait(id, "paused")
        assert pool.queue.job(job).state == "paused"
        page.send("POST", f"/jobs/{id}/cancel")
        deadline = time.monotonic() + 60
        while pool.queue.job(job).state != "cancelled":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        page.send("POST", f"/jobs/{id}/resume")
        over = threading.Event()
        worker = Worker(pool)
        thread = threading.Thread(target=worker.work, args=(over.is_set,), daemon=True)
        thread.start()
        page.wait(id, "finished")
        over.set()
        thread.join(60)
        assert [(one.id, one.state) for one in pool.queue.jobs()] == [(job, "finished")]
        counts = pool.queue.counts(job)
        assert counts.settled and worker._facts["lines"] == counts.lines_done > 10
        # What is listened to and mended is this machine's, as ever.
        book = page.get(f"/jobs/{id}/listen")
        assert [chapter["number"] for chapter in book["chapters"]] == [1, 2]
        names = {file["name"] for file in page.get(f"/jobs/{id}/downloads")}
        assert "A Small Book.m4b" in names and not any(name[0] == "." for name in names)
