"""The pool's flows: books and dubs, workers, and the reconciler, which keeps all of them going.

A `render-book` or `render-dub` run plans a job, waits for the workers and puts the result together.
A `gpu-worker` run stays and speaks whatever is queued. Any of them may die at any moment: what is
done is in the object store, and the reconciler starts another.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from prefect import flow
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.states import Completed, Failed, State

from flows.jobs import OUT, Pool, open_pool
from flows.reconciler import api_errors, ensure_workers, reconcile_pool
from flows.start import start

if TYPE_CHECKING:
    from flows.job_run import JobStatus
    from storage.queue import Job

TELL_SECONDS = 5.0
TABLE_SECONDS = 30.0
TABLES = 20  # of a book, each with all of its chapters
WORKERS_SECONDS = 15.0  # between looks whether there are workers
GRACE_SECONDS = 10.0

log = logging.getLogger(__name__)


@flow(name="render-book", validate_parameters=False)
def render_book(job_id: str) -> State[Any]:
    """Makes the audiobook of a job, or what is missing of it."""
    return _render(job_id)


@flow(name="render-dub", validate_parameters=False)
def render_dub(job_id: str) -> State[Any]:
    """Makes the dub of a job, or what is missing of it."""
    return _render(job_id)


@flow(name="gpu-worker")
def gpu_worker() -> None:
    """Speaks batches of all jobs, on the GPU that CUDA_VISIBLE_DEVICES names or on the CPU."""
    from flows.worker import Worker

    _end_with_parent()
    device = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    Worker(open_pool(start()), str(flow_run.id), f"GPU {device}" if device else "CPU").work()


@flow(name="reconcile")
def reconcile() -> list[str]:
    """Ends what only seems to run, starts what is missing, sets aside what kills its workers."""
    pool = open_pool(start())
    with get_client(sync_client=True) as client:
        done = reconcile_pool(pool, client)
    for line in done:
        log.info("reconcile: %s", line)
    return done


def _render(job_id: str) -> State[Any]:
    from flows.job_run import LEASE_SECONDS, JobStatus, run_job

    _end_with_parent()
    pool = open_pool(start())
    run = str(flow_run.id)
    job = pool.queue.claim_job(f"{run}-{os.getpid()}", pool.settings.pool, LEASE_SECONDS, job_id)
    if job is None:
        return Completed(message="Nothing to do: it does not wait, or another run has it.")
    status = JobStatus(job.title)
    with _told(pool, job, status):
        state = run_job(pool, job, status, run)
    if state == "finished":
        return Completed(message=f"{status.title} is done: voxloom jobs fetch {job_id}")
    error = pool.queue.job(job_id).error
    if error:
        return Failed(message=error)
    return Completed(message=f"The job is {state}.")


def _end_with_parent() -> None:
    """Ends this process soon after Prefect's worker that started it has died: whoever starts that
    one again expects the GPU to be free."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        # Nothing is logged: who read our output is gone, and Rich would end this thread for that.
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        os._exit(signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _told(pool: Pool, job: "Job", status: "JobStatus") -> Iterator[None]:
    """Shows a job's status as artifacts, from a thread: Prefect's API may be slow or away. The
    thread also sees to it that there are workers."""
    over = threading.Event()
    teller = _Teller(pool, job, status)

    def tell() -> None:
        while not over.wait(TELL_SECONDS):
            teller.tell()

    thread = threading.Thread(target=copy_context().run, args=(tell,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=2 * TELL_SECONDS)
        teller.tell(last=True)


class _Teller:
    """The artifacts of a job: progress, a table of chapters, and where the report is."""

    def __init__(self, pool: Pool, job: "Job", status: "JobStatus") -> None:
        self._pool, self._job, self._status = pool, job, status
        self._progress: Any = None
        self._told: tuple[str, int] = "", 0
        self._shown = -1
        self._tabled = self._looked = float("-inf")

    def tell(self, last: bool = False) -> None:
        try:
            self._tell(last)
        except api_errors() as error:
            log.warning("Prefect's API: %s", str(error).split(" - ", 1)[0])

    def _tell(self, last: bool) -> None:
        status, job = self._status, self._job
        said = f"{status.title}: {status.stage}"
        said += f", {status.left} left" if status.left else ""
        percent = 100.0 * status.share
        if self._progress is None:
            self._progress = create_progress_artifact(percent, f"progress-{job.id}", said)
        elif (status.stage, int(percent)) != self._told:
            # Only at each percent: every update is an event that Prefect keeps, some 6 kB.
            update_progress_artifact(self._progress, progress=percent, description=said)
        self._told = status.stage, int(percent)
        table = [
            {"chapter": title, "utterances": lines, "state": state}
            for title, lines, state in status.chapters.values()
        ]
        done = sum(one["state"] == "done" for one in table)
        shown = TABLES * done // max(len(table), 1)
        due = last or time.monotonic() - self._tabled > TABLE_SECONDS
        if table and shown != self._shown and due:
            create_table_artifact(table, f"chapters-{job.id}", f"The chapters of {status.title}")
            self._shown, self._tabled = shown, time.monotonic()
        if last:
            where = f"{self._pool.folder(job.id).url}/{OUT}/report.html"
            create_markdown_artifact(
                f"[The report]({where}) of **{status.title}** lies in the store; "
                f"`voxloom jobs fetch {job.id}` brings it, with all files.",
                f"report-{job.id}",
                "The report",
            )
            return
        if time.monotonic() - self._looked < WORKERS_SECONDS:
            return
        self._looked = time.monotonic()
        with get_client(sync_client=True) as client:
            for line in ensure_workers(self._pool, client):
                log.info("%s", line)
