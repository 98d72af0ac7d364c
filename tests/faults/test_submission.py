"""What is submitted to the whole topology is made by it: a dub, a folder of books, at its time."""

import os
import time
from datetime import datetime, timedelta
from random import Random

import pytest

from benchmarks.faults import FAKE, different, make_alone, submit, voxloom, write_book
from benchmarks.topology import ROOT, Topology
from storage.queue import Job, Queue

VOICE = str(ROOT / "demo" / "voice.flac")
FILM = """1
00:00:01,000 --> 00:00:03,500
ANN: The rain had stopped before anyone noticed.

2
00:00:04,000 --> 00:00:06,000
BEN: Nobody came.

3
00:00:06,500 --> 00:00:09,000
ANN: A dog barked somewhere behind the mill.
"""
AHEAD_SECONDS = 45.0
LATE_SECONDS = 75.0  # a run is looked for each 10 s, and the reconciler comes once a minute
PATIENCE_SECONDS = 420.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def topology(pool_folder):
    fake = {"FAKE_RTF": "0.02", "PYTHONPATH": f"{FAKE}{os.pathsep}{ROOT}"}
    topology = Topology(pool_folder / "pool", workers=("worker-1",), environment=fake)
    try:
        topology.start()
        yield topology
    finally:
        topology.stop()


@pytest.fixture
def queue(topology):
    queue = Queue(topology.queue_url)
    yield queue
    queue.close()


def ended(queue: Queue, job_id: str) -> Job:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (job := queue.job(job_id)).state in ("waiting", "running"):
        assert time.monotonic() < deadline, job
        time.sleep(1)
    return job


def fetched(topology: Topology, job_id: str):
    out = topology.folder / "out" / job_id
    home = topology.folder / "home" / "submitter"
    voxloom(topology.client(), "jobs", "fetch", job_id, "--out", str(out), home=home)
    return out


def test_a_dub_is_that_of_one_machine(topology, queue, tmp_path):
    film = tmp_path / "film.en.srt"
    film.write_text(FILM)
    (job_id,) = submit(topology, film)
    assert ended(queue, job_id).state == "finished", queue.job(job_id).error
    out, alone = fetched(topology, job_id), tmp_path / "alone"
    arguments = ["dub", str(film), "--voice", VOICE, "--out", str(alone)]
    voxloom({}, *arguments, home=tmp_path / "home")
    names = {str(path.relative_to(alone)) for path in alone.rglob("*.flac")}
    assert {"dub.flac", "stems/ANN.flac", "stems/BEN.flac"} <= names
    for name in (*names, "cast.yaml"):
        assert (out / name).read_bytes() == (alone / name).read_bytes(), name


def test_a_folder_of_books_is_made_at_its_time_and_not_before(topology, queue, tmp_path):
    names = ("one", "two")
    for name in names:
        write_book(tmp_path / "books" / f"{name}.md", Random(name), 30)
    due = datetime.now() + timedelta(seconds=AHEAD_SECONDS)
    at = ("--at", due.isoformat(timespec="seconds"))
    jobs = submit(topology, tmp_path / "books", *at)
    assert [queue.job(one).title for one in jobs] == list(names)
    for job_id, name in zip(jobs, names, strict=True):
        job = ended(queue, job_id)
        assert job.state == "finished", job
        assert 0 <= job.started - job.not_before < LATE_SECONDS
        assert job.not_before == pytest.approx(due.timestamp(), abs=1.0)
        alone = make_alone(tmp_path / "books" / f"{name}.md", tmp_path / "alone")
        assert different(alone, fetched(topology, job_id), prefix=name) == []
