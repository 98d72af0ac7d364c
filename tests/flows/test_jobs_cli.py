"""`voxloom submit` and `voxloom jobs` without a Prefect server: the queue and the store alone."""

import json

import pytest

pytest.importorskip("psycopg")

from pydantic import SecretStr

from flows.jobs import JOB, OUT, Pool, open_pool, write_state
from storage.kept import TAKES
from storage.keys import content_key
from storage.objects import ObjectStore
from tests.flows.conftest import write_epub


@pytest.fixture
def pool(settings, queue_url, monkeypatch) -> Pool:
    monkeypatch.setenv("VOXLOOM_QUEUE", queue_url)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return open_pool(settings.model_copy(update={"queue": SecretStr(queue_url)}))


@pytest.fixture
def submitted(voxloom, pool, epub, sample) -> str:
    """A job that waits."""
    return voxloom("submit", epub, "--voice", sample).out.split()[0]


def test_a_folder_of_books_becomes_jobs_that_begin_at_their_time(voxloom, pool, sample, tmp_path):
    books = tmp_path / "books"
    books.mkdir()
    for name in ("one.epub", "two.epub"):
        write_epub(books / name)
    (books / "notes.pdf").write_bytes(b"no book")
    at = ("--at", "2999-12-24T22:00", "--priority", "high")
    ran = voxloom("submit", books, "--voice", sample, *at)
    jobs = pool.queue.jobs("waiting")
    assert ran.status == 0 and ran.out.split() == [job.id for job in jobs]
    assert [(job.title, job.priority) for job in jobs] == [("one", 1), ("two", 1)]
    assert len({job.not_before for job in jobs}) == 1
    assert pool.queue.claim_job("runner", "gpus", 60.0) is None
    assert "waiting until 2999-12-24" in voxloom("jobs", "show", jobs[0].id).out
    ran = voxloom("submit", tmp_path / "home folder", "--voice", sample)
    assert ran.status == 1 and "holds no books" in ran.err


def test_ended_jobs_are_removed_and_their_takes_stay(voxloom, pool, submitted):
    folder, key = pool.folder(submitted), content_key({"line": 1})
    ObjectStore(pool.settings.store_url).put(key, b"sound")
    folder.put(TAKES, json.dumps([key]).encode())
    folder.put(f"{OUT}/book.m4b", b"book")
    ran = voxloom("jobs", "remove", submitted, "--yes")
    assert ran.status == 1 and "it first: voxloom jobs cancel" in ran.err
    assert voxloom("jobs", "cancel", submitted).status == 0
    there = folder.names()
    ran = voxloom("jobs", "remove", submitted)
    assert ran.status == 0 and f"{len(there)} files would go" in ran.err
    assert folder.names() == there and pool.queue.jobs()
    ran = voxloom("jobs", "remove", submitted, "--yes")
    assert ran.status == 0 and "is removed" in ran.err
    assert folder.names() == [] and pool.queue.jobs() == []
    assert "0 jobs" in voxloom("jobs", "recover").err
    assert ObjectStore(pool.settings.store_url).get(key) == b"sound"
    ran = voxloom("jobs", "remove", submitted, "--yes")
    assert ran.status == 1 and "no job" in ran.err


def test_a_job_whose_removal_was_killed_does_not_run_again(voxloom, pool, submitted, monkeypatch):
    assert voxloom("jobs", "cancel", submitted).status == 0
    folder = pool.folder(submitted)
    delete = type(folder).delete

    def killed(self, name):
        if name == JOB:
            raise KeyboardInterrupt
        delete(self, name)

    with monkeypatch.context() as patch:
        patch.setattr("storage.folder.Folder.delete", killed)
        assert voxloom("jobs", "remove", submitted, "--yes").status != 0
    assert pool.queue.jobs() == []
    assert "1 jobs" in voxloom("jobs", "recover").err
    assert pool.queue.job(submitted).state == "cancelled"
    assert voxloom("jobs", "remove", submitted, "--yes").status == 0
    assert folder.names() == []


def test_fetching_what_is_not_there_says_why(voxloom, pool, submitted, tmp_path):
    ran = voxloom("jobs", "fetch", submitted)
    assert ran.status == 1 and "has made nothing yet: it is waiting" in ran.err
    # As --on-pool ends it: the files are on the machine of whoever asked for them.
    held = pool.queue.claim_job("me", "gpus", 60.0, submitted)
    write_state(pool.folder(submitted), "finished")
    assert pool.queue.set_state(submitted, "finished", held=held)
    ran = voxloom("jobs", "fetch", submitted)
    assert ran.status == 1 and "--on-pool" in ran.err
    pool.folder(submitted).put(f"{OUT}/stems/a.flac", b"sound")
    ran = voxloom("jobs", "fetch", submitted, "--out", tmp_path / "made")
    assert ran.status == 0 and (tmp_path / "made" / "stems" / "a.flac").read_bytes() == b"sound"
