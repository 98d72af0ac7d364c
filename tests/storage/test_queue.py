import signal
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from configs.errors import UsageError, UserError

pytest.importorskip("psycopg")

import psycopg

from storage.queue import (
    HIGH,
    LOW,
    MAX_ATTEMPTS,
    Counts,
    Job,
    NewBatch,
    Queue,
)

LEASE = 60.0


@pytest.fixture
def queue(queue_url):
    queue = Queue(queue_url, patience=20.0)
    queue.migrate()
    yield queue
    queue.close()


def batches(number: int, lines: int = 4, name: str = "") -> list[NewBatch]:
    return [
        NewBatch(
            one, f"batches/{one}.json", tuple(f"{name}{one}-{line}" for line in range(lines)), 8.0
        )
        for one in range(number)
    ]


def started(queue: Queue, *ids: str) -> None:
    for id in ids:
        queue.add_job(Job(id, "audiobook", id.title()))
    while queue.claim_job("runner", "gpus", LEASE):
        pass


def expire(queue: Queue) -> None:
    """Every lease ends: whoever held one has died."""
    with psycopg.connect(queue._database._url) as connection:
        for table in ("job", "batch"):
            connection.execute(
                f"UPDATE voxloom.{table} SET lease_until = now() - interval '1 second' "
                "WHERE lease_until IS NOT NULL"
            )


def test_a_job_is_what_was_added(queue):
    before = time.time()
    queue.add_job(Job("a", "dub", "Ä film; DROP TABLE", priority=HIGH, pool="cpus"))
    queue.add_job(Job("a", "audiobook", "another"))
    job = queue.job("a")
    assert job.created == pytest.approx(before, abs=60)
    assert job == Job(
        "a", "dub", "Ä film; DROP TABLE", "waiting", HIGH, "cpus", created=job.created
    )
    assert queue.jobs() == [job]
    assert queue.jobs("waiting") == [job]
    assert queue.jobs("running") == []
    with pytest.raises(UserError, match="no job b"):
        queue.job("b")


def test_a_recovered_job_keeps_its_age_and_its_end(queue):
    lost = Job("a", "dub", "A", "finished", created=1000.5, started=1001.25, finished=2000.75)
    queue.add_job(lost)
    assert queue.job("a") == lost


def test_jobs_run_by_priority_then_age_and_not_before_their_time(queue):
    now = time.time()
    queue.add_job(Job("late", "dub", "", priority=HIGH, not_before=now + 3600, created=1))
    queue.add_job(Job("low", "dub", "", priority=LOW, created=1))
    queue.add_job(Job("young", "dub", "", created=3))
    queue.add_job(Job("old", "dub", "", created=2))
    queue.add_job(Job("high", "dub", "", priority=HIGH, not_before=now - 10, created=4))
    queue.add_job(Job("elsewhere", "dub", "", priority=HIGH, pool="cpus", created=1))
    claimed = []
    while job := queue.claim_job("me", "gpus", LEASE):
        assert (job.state, job.owner, job.attempt, job.started > 0) == ("running", "me", 1, True)
        claimed.append(job.id)
    assert claimed == ["high", "old", "young", "low"]
    assert queue.claim_job("me", "cpus", LEASE).id == "elsewhere"


def test_upcoming_batches_are_those_that_are_claimed_next(queue):
    queue.add_job(Job("low", "dub", "", priority=LOW))
    started(queue, "a")
    queue.add_job(Job("waits", "dub", "", priority=HIGH))
    queue.add_job(Job("tonight", "dub", "", priority=HIGH, not_before=time.time() + 3600))
    for id in ("low", "a", "waits", "tonight"):
        queue.add_batches(id, batches(2))
    assert queue.upcoming("cpus", 9) == []
    for left in (6, 5, 4, 3, 2, 1):
        upcoming = queue.upcoming("gpus", 9)
        assert len(upcoming) == left and queue.upcoming("gpus", 1) == upcoming[:1]
        claim = queue.claim("me", "gpus", LEASE)
        assert (claim.job, claim.manifest) == upcoming[0]
    assert queue.upcoming("gpus", 9) == []


def test_a_job_whose_runner_died_is_run_by_another_who_alone_may_end_it(queue):
    queue.add_job(Job("a", "audiobook", "A"))
    dead = queue.claim_job("first", "gpus", LEASE)
    assert queue.renew_job("a", "first", dead.attempt, LEASE)
    assert queue.claim_job("second", "gpus", LEASE) is None
    expire(queue)
    alive = queue.claim_job("second", "gpus", LEASE)
    assert (alive.id, alive.attempt, alive.started) == ("a", 2, dead.started)
    assert not queue.renew_job("a", "first", dead.attempt, LEASE)
    assert not queue.set_state("a", "failed", "I thought so", held=dead)
    assert queue.set_state("a", "finished", held=alive)
    assert queue.job("a").state == "finished"
    assert queue.job("a").finished > 0
    assert not queue.renew_job("a", "second", alive.attempt, LEASE)
    assert queue.claim_job("third", "gpus", LEASE) is None


def test_what_a_job_may_become(queue):
    started(queue, "a")
    assert queue.set_state("a", "paused")
    assert queue.set_state("a", "paused"), "it is already"
    assert not queue.set_state("a", "finished")
    assert not queue.set_state("a", "running"), "by a claim alone"
    assert queue.set_state("a", "waiting")
    assert queue.set_state("a", "cancelled", "the user")
    assert queue.job("a").error == "the user"
    assert not queue.set_state("a", "paused")
    assert queue.set_state("a", "waiting")
    assert queue.job("a").error == ""
    assert queue.job("a").finished == 0
    assert not queue.set_state("none", "waiting")


def test_batches_are_claimed_by_priority_age_and_place(queue):
    queue.add_job(Job("b", "dub", "", created=2))
    queue.add_job(Job("a", "dub", "", created=1))
    queue.add_job(Job("c", "dub", "", priority=HIGH, created=3))
    queue.add_job(Job("d", "dub", "", not_before=time.time() + 3600, created=1))
    for id in "abcd":
        queue.add_batches(id, batches(2))
    queue.add_batches("a", batches(3, lines=1))
    taken = []
    while claim := queue.claim("w", "gpus", LEASE):
        taken.append((claim.job, claim.number))
        assert claim.manifest == f"batches/{claim.number}.json"
    assert taken == [(job, number) for job in "cab" for number in range(2 + (job == "a"))]
    assert queue.counts("a").lines_total == 2 * 4 + 1, "those that were there are left as they are"


def test_nothing_is_claimed_of_a_job_that_does_not_run(queue):
    for id, state in enumerate(("paused", "cancelled", "failed")):
        started(queue, str(id))
        queue.add_batches(str(id), batches(1))
        assert queue.set_state(str(id), state)
    assert queue.claim("w", "gpus", LEASE) is None
    assert queue.claim("w", "cpus", LEASE) is None
    assert queue.set_state("0", "waiting")
    assert queue.claim("w", "cpus", LEASE) is None
    assert queue.claim("w", "gpus", LEASE).job == "0"


def test_a_claim_ends_with_its_lease_and_changes_nothing_any_more(queue):
    started(queue, "a")
    queue.add_batches("a", batches(1))
    slow = queue.claim("slow", "gpus", LEASE)
    assert queue.renew(slow, LEASE)
    assert queue.claim("other", "gpus", LEASE) is None
    expire(queue)
    assert queue.renew(slow, LEASE), "nobody else took it, so it goes on"
    expire(queue)
    other = queue.claim("other", "gpus", LEASE)
    assert (other.number, other.attempt) == (slow.number, 2)
    for change in (queue.complete, queue.release, lambda claim: queue.fail(claim, "x")):
        assert not change(slow)
    assert not queue.renew(slow, LEASE)
    assert queue.complete(other)
    assert queue.complete(other), "its first answer may have been lost"
    assert not queue.renew(other, LEASE)
    assert not queue.fail(other, "x")
    assert queue.counts("a") == Counts(1, 1, 4, 4, 0, 8.0, 8.0)
    assert queue.counts("a").settled


def test_a_lease_ends_by_the_clock(queue):
    started(queue, "a")
    queue.add_batches("a", batches(1))
    queue.claim("dies", "gpus", 0.2)
    assert queue.claim("lives", "gpus", LEASE) is None
    time.sleep(0.25)
    assert queue.claim("lives", "gpus", LEASE) is not None


def test_a_batch_given_back_by_a_worker_that_stops_has_all_its_tries(queue):
    started(queue, "a")
    queue.add_batches("a", batches(1))
    for _ in range(2 * MAX_ATTEMPTS):
        assert queue.release(queue.claim("w", "gpus", LEASE))
    assert queue.quarantine_exhausted() == []
    assert queue.claim("w", "gpus", LEASE).attempt == 2 * MAX_ATTEMPTS + 1


@pytest.mark.parametrize("lines", [1, 2, 7, 64])
def test_the_line_that_kills_its_workers_is_found_and_the_rest_is_done(queue, lines):
    started(queue, "a")
    queue.add_batches("a", batches(2, lines))
    poison = f"1-{lines // 2}"
    deaths = 0
    for _ in range(100):
        while claim := queue.claim("w", "gpus", LEASE):
            if poison in claim.keys:
                deaths += 1
            else:
                assert queue.complete(claim)
        expire(queue)
        queue.quarantine_exhausted()
        if queue.counts("a").settled:
            break
    assert queue.quarantined("a") == {poison: "its worker died 3 times"}
    counts = queue.counts("a")
    assert (counts.lines_total, counts.lines_done) == (2 * lines, 2 * lines - 1)
    assert counts.quarantined_lines == 1
    assert counts.units_total == pytest.approx(16.0)
    assert deaths <= 2 * MAX_ATTEMPTS + lines.bit_length()


def test_what_a_worker_said_of_a_batch_is_the_reason(queue):
    started(queue, "a")
    queue.add_batches("a", batches(1, lines=1))
    for _ in range(MAX_ATTEMPTS):
        assert queue.fail(queue.claim("w", "gpus", LEASE), "the model is not there")
    assert queue.claim("w", "gpus", LEASE) is None
    (found,) = queue.quarantine_exhausted()
    assert (found.keys, found.quarantined) == (("0-0",), True)
    assert queue.quarantined("a") == {"0-0": "the model is not there"}
    assert queue.quarantine_exhausted() == []


def test_a_job_that_is_retried_tries_its_quarantined_lines_again(queue):
    started(queue, "a")
    queue.add_batches("a", batches(1, lines=1))
    for _ in range(MAX_ATTEMPTS):
        queue.fail(queue.claim("w", "gpus", LEASE), "no")
    queue.quarantine_exhausted()
    assert queue.set_state("a", "finished")
    assert queue.set_state("a", "waiting")
    assert queue.quarantined("a") == {}
    assert queue.complete(queue.claim("w", "gpus", LEASE))
    assert queue.counts("a").lines_done == 1


def test_a_job_that_is_retried_tries_what_was_given_up_again(queue):
    started(queue, "a")
    queue.add_batches("a", batches(1))
    for _ in range(MAX_ATTEMPTS):
        queue.fail(queue.claim("w", "gpus", LEASE), "no")
    assert queue.set_state("a", "failed")
    assert queue.set_state("a", "waiting")
    assert queue.claim("w", "gpus", LEASE) is not None


def test_workers_are_seen(queue):
    queue.beat("first", {"gpu": "H100", "done": 1})
    queue.beat("second", {"gpu": ""})
    queue.beat("first", {"gpu": "H100", "done": 2})
    assert [(one.owner, one.facts) for one in queue.workers()] == [
        ("first", {"gpu": "H100", "done": 2}),
        ("second", {"gpu": ""}),
    ]
    assert queue.workers()[0].seen == pytest.approx(time.time(), abs=60)


def test_a_queue_may_be_made_by_many_at_once_and_again(queue_url):
    queues = [Queue(queue_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Queue.migrate, queues))
    queues[0].add_job(Job("a", "dub", "A"))
    queues[1].migrate()
    assert queues[2].jobs() == queues[3].jobs() != []
    for queue in queues:
        queue.close()


def test_no_batch_has_two_owners(queue):
    started(queue, "a")
    queue.add_batches("a", batches(60, lines=1))

    def drain(worker: int) -> list[int]:
        own = Queue(queue._database._url)
        claims = iter(lambda: own.claim(f"w{worker}", "gpus", LEASE), None)
        numbers = [claim.number for claim in claims]
        own.close()
        return numbers

    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(drain, range(4)))
    assert sorted(number for numbers in taken for number in numbers) == list(range(60))


def test_a_queue_can_be_shared_by_threads(queue):
    started(queue, "a")
    queue.add_batches("a", batches(40, lines=1))
    with ThreadPoolExecutor(4) as pool:
        claims = list(pool.map(lambda _: queue.claim("w", "gpus", LEASE), range(40)))
        assert all(pool.map(lambda claim: queue.renew(claim, LEASE), claims))
        assert all(pool.map(queue.complete, claims))
    assert queue.counts("a").settled


def test_the_password_is_in_no_message():
    for url in ("postgresql://me:hunter2@[/x", "postgresql://me:hunter2@127.0.0.1:1/x"):
        with pytest.raises(UserError) as caught:
            Queue(url, patience=0.3).jobs()
        assert "hunter2" not in "".join(traceback.format_exception(caught.value, limit=0))
    with pytest.raises(UsageError, match="VOXLOOM_QUEUE"):
        Queue("no url")


def test_a_database_without_a_queue_is_an_error(queue_url):
    with pytest.raises(UserError, match="holds no queue"):
        Queue(queue_url).jobs()


def test_a_restart_of_the_database_is_ridden_out(queue, postgres):
    started(queue, "a")
    queue.add_batches("a", batches(3))
    claim = queue.claim("w", "gpus", LEASE)
    postgres.kill()
    timer = threading.Timer(1.0, postgres.start)
    timer.start()
    begun = time.monotonic()
    assert queue.complete(claim)
    assert time.monotonic() - begun > 0.9
    timer.join()
    assert queue.claim("w", "gpus", LEASE).number == 1
    assert queue.counts("a").done == 1


def test_an_outage_that_lasts_is_an_error(queue, postgres):
    queue._database._patience = 0.5
    postgres.kill()
    try:
        with pytest.raises(UserError, match="can't be reached"):
            queue.jobs()
    finally:
        postgres.start()
    assert queue.jobs() == []


@pytest.fixture
def stopped(postgres, monkeypatch):
    """Stops the server for so many seconds; it takes connections, but does not answer."""
    monkeypatch.setattr("storage.database.ANSWER_SECONDS", 0.5)
    monkeypatch.setattr("storage.database.CONNECT_SECONDS", 2)  # the library takes no less
    timers = []

    def stop(seconds: float) -> None:
        postgres.signal(signal.SIGSTOP)
        timers.append(threading.Timer(seconds, postgres.signal, (signal.SIGCONT,)))
        timers[-1].start()

    yield stop
    for timer in timers:
        timer.join()


def test_a_server_that_hangs_is_waited_for(queue, stopped):
    started(queue, "a")
    queue.add_batches("a", batches(3))
    claim = queue.claim("w", "gpus", LEASE)
    begun = time.monotonic()
    stopped(1.5)
    assert queue.complete(claim)
    assert time.monotonic() - begun > 1.4
    assert queue.counts("a").done == 1


def test_a_server_that_hangs_for_long_is_an_error(queue, stopped):
    started(queue, "a")
    queue._database._patience = 1.0
    begun = time.monotonic()
    stopped(7.0)
    with pytest.raises(UserError, match="can't be reached"):
        queue.set_state("a", "paused")  # in a transaction
    with pytest.raises(UserError, match="can't be reached"):
        queue.jobs()
    assert time.monotonic() - begun < 7.0


def test_a_wrong_password_and_a_missing_database_are_told_at_once(postgres):
    right = postgres.locked("right")
    assert psycopg.connect(right).close() is None
    begun = time.monotonic()
    for url, told in (
        (right.replace(":right@", ":wrong@"), "password authentication failed"),
        (right.replace(":right@", "@"), "no password"),
        (postgres.url("nowhere"), 'database "nowhere" does not exist'),
        (postgres.url().replace("voxloom@", "nobody@"), 'role "nobody" does not exist'),
    ):
        with pytest.raises(UserError, match=told) as error:
            Queue(url).migrate()
        assert "VOXLOOM_QUEUE" in str(error.value) and "wrong" not in str(error.value)
    assert time.monotonic() - begun < 60


WORKER = """
import sys, time
from pathlib import Path
from storage.queue import Queue
owner, url, folder = sys.argv[1:]
queue = Queue(url)
while True:
    if claim := queue.claim(owner, "gpus", 1.0, max_attempts=1000):
        for key in claim.keys:
            with (Path(folder) / key).open("a") as file:
                file.write(owner + "\\n")
            time.sleep(0.004)
        queue.complete(claim)
    else:
        time.sleep(0.05)
"""


def test_killed_workers_lose_nothing_and_repeat_only_what_they_held(
    queue, postgres, tmp_path, root
):
    started(queue, "a")
    queue.add_batches("a", batches(200, lines=8))
    names = count()

    def worker() -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-c",
            WORKER,
            f"w{next(names)}",
            queue._database._url,
            str(tmp_path),
        ]
        return subprocess.Popen(command, cwd=root)

    workers = [worker() for _ in range(3)]
    kills = 0
    try:
        deadline = time.monotonic() + 60
        while not queue.counts("a").settled and time.monotonic() < deadline:
            time.sleep(0.4)
            if kills < 6:
                victim = workers[kills % 3]
                victim.send_signal(signal.SIGKILL)
                victim.wait()
                workers[kills % 3] = worker()
                kills += 1
            if kills == 3:
                postgres.kill()
                postgres.start()
    finally:
        for process in workers:
            process.kill()
            process.wait()
    counts = queue.counts("a")
    assert counts == Counts(200, 200, 1600, 1600, 0, 1600.0, 1600.0)
    made = {path.name: path.read_text().split() for path in tmp_path.iterdir()}
    assert len(made) == 1600
    assert kills == 6
    # The restart of the database may cost each worker a claim whose answer it lost.
    doubled = sum(len(owners) - 1 for owners in made.values())
    assert doubled <= 8 * (kills + 3)
