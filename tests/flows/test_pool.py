"""The pool at work: real queue, store and processes, the tiny random model."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("psycopg")

import psycopg
from pydantic import SecretStr
from rich.console import Console

from configs.errors import UserError
from configs.presets import load_dub_presets, load_presets
from configs.settings import Settings
from flows import work as flows_work
from flows.dub_delivery import deliver_dub
from flows.dub_work import DubOrder, DubWork, plan_dubbing
from flows.job_run import LEASE_SECONDS, JobStatus, run_job
from flows.jobs import Pool, open_pool, read_state, submit
from flows.orders import Order
from flows.progress import RunProgress
from flows.work import Work, plan_book
from flows.worker import AHEAD, UnfitError, Worker
from model.engine import Engine
from storage.folder import Folder
from storage.objects import ObjectStore
from tasks.voices import AskedVoice
from tests.flows.test_dub import srt


@pytest.fixture
def pool(settings: Settings, queue_url: str, monkeypatch) -> Pool:
    monkeypatch.setenv("VOXLOOM_QUEUE", queue_url)
    monkeypatch.setattr(flows_work, "builtin_engine", lambda settings: Engine.debug())
    monkeypatch.setattr("flows.job_run.POLL_SECONDS", 0.05)
    monkeypatch.setattr("flows.worker.IDLE_SECONDS", 0.05)
    return open_pool(settings.model_copy(update={"queue": SecretStr(queue_url)}))


@pytest.fixture
def order(epub, sample, settings) -> Order:
    voice = AskedVoice((str(sample),))
    return Order(epub, voice, Path("out"), "", "", 0, load_presets(), settings)


@contextmanager
def working(pool: Pool):
    """A worker in a thread."""
    over = threading.Event()
    worker = Worker(pool)
    thread = threading.Thread(target=worker.work, args=(over.is_set,), daemon=True)
    thread.start()
    yield worker
    over.set()
    thread.join(600)
    assert not thread.is_alive()


def run(pool: Pool, job_id: str) -> tuple[str, JobStatus]:
    job = pool.queue.claim_job("runner", "gpus", LEASE_SECONDS, job_id)
    assert job is not None
    status = JobStatus(job.title)
    return run_job(pool, job, status), status


def delivered(pool: Pool, job_id: str) -> dict[str, bytes]:
    """What a job has made, but for what differs from run to run."""
    folder = pool.folder(job_id)
    names = [name for name in folder.names("out") if "report" not in name]
    return {name.removeprefix("out/"): folder.get(name) for name in names}


def report(pool: Pool, job_id: str) -> dict:
    return json.loads(pool.folder(job_id).get("out/report.json"))


def alone(order: Order, settings: Settings, out: Path) -> Path:
    """The same book without the pool."""
    progress = RunProgress(Console(quiet=True), 100.0)
    own = replace(order, out=out, settings=settings)
    out.mkdir()
    work = Work(own, plan_book(own, progress), Engine.debug(), progress)
    done = work.ready_chapters()
    for number in range(len(work.batches)):
        done += work.render(number)
    work.deliver([work.assemble(number) for number in sorted(done)])
    return out


def test_a_book_is_the_same_as_without_the_pool(pool, order, settings, tmp_path):
    job = submit(pool, order, 2)
    with working(pool) as worker:
        state, status = run(pool, job.id)
        assert worker._facts["loads"] == 1
    assert state == pool.queue.job(job.id).state == "finished"
    assert {one[2] for one in status.chapters.values()} == {"done"}
    elsewhere = settings.model_copy(update={"home": tmp_path / "another home"})
    out = alone(order, elsewhere, tmp_path / "alone")
    made = delivered(pool, job.id)
    assert made.keys() == {path.name for path in out.iterdir() if "report" not in path.name}
    assert all(made[name] == (out / name).read_bytes() for name in made)
    ours = json.loads((out / "report.json").read_text())
    assert {**report(pool, job.id), "run": 0} == {**ours, "run": 0}
    assert report(pool, job.id)["run"]["made"] == ours["run"]["made"]
    takes = json.loads(pool.folder(job.id).get("takes.json"))
    assert set(takes) == set(ObjectStore(pool.settings.store_url))
    assert not (pool.settings.home / "jobs" / job.id).exists()

    # Another job of the same finds all in the store.
    again = submit(pool, order, 2)
    assert run(pool, again.id)[0] == "finished"
    assert delivered(pool, again.id) == made
    assert pool.queue.counts(again.id).total == 0


def test_a_dub_is_the_same_as_without_the_pool(pool, sample, settings, tmp_path):
    subtitles = tmp_path / "film.en.srt"
    subtitles.write_text(srt())
    voice = AskedVoice((str(sample),))
    order = DubOrder(
        subtitles, voice, Path("out"), None, "dub", "", 3, 0, load_dub_presets(), settings
    )
    job = submit(pool, order, 2)
    with working(pool):
        assert run(pool, job.id)[0] == "finished"
    elsewhere = settings.model_copy(update={"home": tmp_path / "another home"})
    own = replace(order, out=tmp_path / "alone", settings=elsewhere)
    own.out.mkdir()
    progress = RunProgress(Console(quiet=True), 100.0)
    work = DubWork(own, plan_dubbing(own, progress), Engine.debug(), progress)
    for batch in range(len(work.batches)):
        work.render(batch)
    deliver_dub(work)
    made = delivered(pool, job.id)
    assert {"dub.flac", "stems/ANN.flac", "cast.yaml"} < made.keys()
    assert all(made[name] == (own.out / name).read_bytes() for name in made)
    takes = json.loads(pool.folder(job.id).get("takes.json"))
    assert set(takes) >= set(ObjectStore(pool.settings.store_url))


def test_what_kills_its_workers_is_set_aside_and_told(pool, order):
    job = submit(pool, replace(order, chapters="1"), 2)
    progress = RunProgress(Console(quiet=True), 100.0)
    bad = plan_book(replace(order, chapters="1"), progress).chapters[0][3]

    class Deadly(Engine):
        def render(self, requests, *others):
            if any(request.phones == bad.phones for request in requests):
                raise SystemError("the worker would be dead")
            return super().render(requests, *others)

    flows_work.builtin_engine = lambda settings: Deadly.debug()
    with working(pool):
        assert run(pool, job.id)[0] == "finished"
    counts = pool.queue.counts(job.id)
    assert (counts.quarantined_lines, counts.lines_done) == (1, counts.lines_total - 1)
    told = report(pool, job.id)
    (incomplete,) = [one for one in told["incomplete_takes"] if "not spoken" in one["reason"]]
    assert incomplete["text"] == bad.text
    assert "SystemError: the worker would be dead" in incomplete["reason"]
    assert any(bad.text in str(one) or "not spoken" in one for one in told["warnings"])


def test_what_the_engine_refuses_is_told_and_asked_again(pool, order):
    job = submit(pool, replace(order, chapters="1"), 2)
    progress = RunProgress(Console(quiet=True), 100.0)
    bad = plan_book(replace(order, chapters="1"), progress).chapters[0][3]

    class Picky(Engine):
        def render(self, requests, *others):
            if any(request.phones == bad.phones for request in requests):
                raise ValueError("too hard")
            return super().render(requests, *others)

    flows_work.builtin_engine = lambda settings: Picky.debug()
    with working(pool):
        assert run(pool, job.id)[0] == "finished"
    (one,) = [one for one in report(pool, job.id)["incomplete_takes"] if "hard" in one["reason"]]
    assert one["text"] == bad.text
    flows_work.builtin_engine = lambda settings: Engine.debug()
    assert pool.queue.set_state(job.id, "waiting")
    with working(pool):
        assert run(pool, job.id)[0] == "finished"
    assert not [one for one in report(pool, job.id)["incomplete_takes"] if "hard" in one["reason"]]


@pytest.fixture
def quick(pool, order, monkeypatch) -> Order:
    """A chapter in batches of two lines, each spoken once."""
    monkeypatch.setattr("tasks.render.ATTEMPTS", 1)  # the tiny model's noise is always suspect
    pool.settings = pool.settings.model_copy(update={"batch_size": 2})
    return replace(order, chapters="1")


@contextmanager
def planned(pool: Pool, job_id: str):
    """The job is run in a thread, whose batches are in the queue; it ends in the block."""
    runner = threading.Thread(target=run, args=(pool, job_id), daemon=True)
    runner.start()
    deadline = time.monotonic() + 600
    while not pool.queue.open_keys(job_id) and time.monotonic() < deadline:
        time.sleep(0.02)
    yield runner
    runner.join(600)
    assert not runner.is_alive()


def test_no_batch_is_done_before_its_takes_are_stored_while_the_next_is_spoken(
    pool, quick, monkeypatch
):
    opened, held = threading.Event(), []
    write = ObjectStore._write

    def slow(self, path, raw):
        held.append(path)
        if path == held[0]:
            opened.wait(600)
        write(self, path, raw)

    monkeypatch.setattr(ObjectStore, "_write", slow)
    job = submit(pool, quick, 2)
    with planned(pool, job.id) as runner, working(pool) as worker:
        deadline = time.monotonic() + 300
        while worker._facts["lines"] < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        counts = pool.queue.counts(job.id)
        first, second = worker._finishing[0], worker._speaking
        assert (first.number + 1, counts.done) == (second.number, 0)
        assert pool.queue.renew(first, 60.0) and pool.queue.renew(second, 60.0)
        opened.set()
        runner.join(600)
    assert pool.queue.job(job.id).state == "finished"


def test_what_can_not_be_stored_behind_is_given_back(pool, quick, monkeypatch):
    monkeypatch.setattr("flows.worker.TROUBLE_SECONDS", 0.1)
    broken = []
    write = ObjectStore._write

    def breaks(self, path, raw):
        if not broken:
            broken.append(path)
            raise UserError("the store is away")
        write(self, path, raw)

    monkeypatch.setattr(ObjectStore, "_write", breaks)
    job = submit(pool, quick, 2)
    with working(pool):
        assert run(pool, job.id)[0] == "finished"
    counts = pool.queue.counts(job.id)
    assert broken and counts.done == counts.total
    assert (
        ObjectStore(pool.settings.store_url).missing(
            json.loads(pool.folder(job.id).get("takes.json"))
        )
        == []
    )


def test_manifests_are_read_before_they_are_claimed(pool, quick, monkeypatch):
    job = submit(pool, quick, 2)
    worker = Worker(pool)
    get, read = Folder.get, []

    def noted(self, name):
        if name.startswith("batches/"):
            read.append(name)
        return get(self, name)

    with planned(pool, job.id) as runner:
        monkeypatch.setattr(Folder, "get", noted)
        worker._read_ahead()
        assert len(read) == min(AHEAD, pool.queue.counts(job.id).total) > 1
        worker._read_ahead()
        done = pool.queue.claim("me", "gpus", 60.0)
        worker._speak(done)
        worker._store.settle()
        assert done.manifest == read[0] and len(set(read)) == len(read)
        assert pool.queue.complete(done)
        monkeypatch.setattr(Folder, "get", get)
        with working(pool):
            runner.join(600)
    assert pool.queue.job(job.id).state == "finished"


def test_takes_that_vanish_are_made_again(pool, order, monkeypatch):
    job = submit(pool, order, 2)
    store = ObjectStore(pool.settings.store_url)
    lost = []
    complete = pool.queue.complete

    def thief(claim):
        if not lost:
            lost.append(claim.keys[0])
            store.delete(claim.keys[0])
        return complete(claim)

    monkeypatch.setattr(pool.queue, "complete", thief)
    with working(pool):
        assert run(pool, job.id)[0] == "finished"
    assert lost
    assert store.get(lost[0]) is not None
    assert pool.queue.counts(job.id).done == pool.queue.counts(job.id).total


def test_a_job_that_is_paused_or_cancelled_stops_and_keeps_what_is_spoken(pool, order):
    job = submit(pool, order, 2)
    for state in ("paused", "cancelled"):
        timer = threading.Timer(1.0, pool.queue.set_state, (job.id, state))
        timer.start()
        assert run(pool, job.id)[0] == state  # nobody speaks
        timer.join()
        assert pool.queue.claim("worker", "gpus", 60.0) is None
        assert pool.queue.set_state(job.id, "waiting")
    with working(pool):
        assert run(pool, job.id)[0] == "finished"


def test_a_book_that_cannot_be_read_fails_with_a_sentence(pool, order, tmp_path):
    book = tmp_path / "broken.epub"
    book.write_bytes(b"PK\x03\x04 broken")
    job = submit(pool, replace(order, book=book), 2)
    assert run(pool, job.id)[0] == "failed"
    assert "broken.epub" in pool.queue.job(job.id).error
    assert read_state(pool.folder(job.id))[0] == "failed"
    assert not (pool.settings.home / "jobs" / job.id).exists()


def test_trouble_is_tried_again_some_times(pool, order, monkeypatch):
    job = submit(pool, order, 2)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("flows.job_run.check_folder", full)
    states = [run(pool, job.id)[0] for _ in range(5)]
    assert states == ["waiting"] * 4 + ["failed"]
    assert "No space left" in pool.queue.job(job.id).error


def test_a_worker_without_the_jobs_model_gives_the_batch_back_and_ends(pool, order):
    job = submit(pool, order, 2)
    other = threading.Thread(target=run, args=(pool, job.id), daemon=True)
    other.start()
    flows_work_engine = flows_work.builtin_engine
    deadline = time.monotonic() + 600
    while not pool.queue.open_keys(job.id) and time.monotonic() < deadline:
        time.sleep(0.05)
    flows_work.builtin_engine = lambda settings: Engine.debug(seed=1)
    deadline = time.monotonic() + 300
    with pytest.raises(UnfitError, match="not the one"):
        Worker(pool).work(lambda: time.monotonic() > deadline)
    flows_work.builtin_engine = flows_work_engine
    with working(pool):
        other.join(600)
    assert pool.queue.job(job.id).state == "finished"


WORKER = """
import sys
import flows.work
from model.engine import Engine
flows.work.builtin_engine = lambda settings: Engine.debug()
from flows.jobs import open_pool
from flows.start import start
from flows.worker import Worker
print("ready", flush=True)
Worker(open_pool(start())).work()
"""


def test_killed_workers_lose_nothing(pool, order, root, settings, tmp_path, monkeypatch):
    job = submit(pool, order, 2)
    runner = threading.Thread(target=run, args=(pool, job.id), daemon=True)
    runner.start()
    deadline = time.monotonic() + 900
    kills = 0
    while runner.is_alive() and time.monotonic() < deadline:
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER], cwd=root, stdout=subprocess.PIPE, env=os.environ
        )
        worker.stdout.readline()
        before = len(list(ObjectStore(pool.settings.store_url)))
        while runner.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
            if kills < 2 and len(list(ObjectStore(pool.settings.store_url))) > before + kills:
                kills += 1
                break
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
        expire(pool)
    assert kills == 2
    assert pool.queue.job(job.id).state == "finished"
    elsewhere = settings.model_copy(update={"home": tmp_path / "another home"})
    out = alone(order, elsewhere, tmp_path / "alone")
    for name, data in delivered(pool, job.id).items():
        assert data == (out / name).read_bytes(), name


def expire(pool: Pool) -> None:
    """The leases of dead workers end at once."""
    with psycopg.connect(pool.settings.queue.get_secret_value()) as connection:
        connection.execute("UPDATE voxloom.batch SET lease_until = now() WHERE state = 'open'")


def test_a_worker_that_hangs_ends_itself(pool, order, root, monkeypatch):
    monkeypatch.setenv("VOXLOOM_HANG_SECONDS", "2")
    job = submit(pool, order, 2)
    runner = threading.Thread(target=run, args=(pool, job.id), daemon=True)
    runner.start()
    hanging = WORKER.replace(
        "Engine.debug()", "Engine.debug()\nEngine.render = lambda *_: __import__('time').sleep(999)"
    ).replace("lambda settings: Engine.debug()", "lambda settings: Engine.debug()", 1)
    done = subprocess.run(
        [sys.executable, "-c", hanging], cwd=root, env=os.environ, capture_output=True, timeout=600
    )
    assert done.returncode == 75
    expire(pool)
    with working(pool):
        runner.join(600)
    assert pool.queue.job(job.id).state == "finished"
