"""Books and dubs that the pool's workers speak, while this machine plans and makes their files.

Here runs what is a `render-book` run in the pool otherwise: the job is claimed by this process, and
its output folder, its record and its derived files are those of this machine. The output folder
knows its job, so that the same command goes on with it. If this process dies, the pool finishes the
job without it, as any other; the same command then finds the takes in the store.
"""

import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from configs.errors import UserError
from flows.delivery import Delivered
from flows.dub_delivery import Dubbed
from flows.dub_work import DubOrder, plan_dubbing
from flows.job_run import (
    LEASE_SECONDS,
    Hold,
    JobProgress,
    JobStatus,
    Running,
    StoppedError,
    run_book,
    run_dub,
)
from flows.jobs import JOB_FILE, Pool, job_of_folder, submit, write_state
from flows.orders import Order
from flows.progress import Facts
from flows.work import check_folder, plan_book, remembered_speed
from storage.files import write_whole
from storage.queue import NORMAL, Job

_TRIES = 3  # a waiting job may be claimed by a run of the pool before it is by us


def audiobook_on_pool(
    pool: Pool, order: Order, console: Console, tell: Callable[[Facts], None] | None = None
) -> Delivered:
    """Makes the audiobook, or what is missing of it; `tell` is told how far it is.

    Whatever ends it before, Ctrl-C for one, pauses the pool's job.
    """
    progress = JobProgress(JobStatus(""), remembered_speed(order.settings), console, tell)
    with progress.shown():
        plan = plan_book(order, progress)
        with _claimed(pool, order, progress) as running:
            return run_book(running, order, plan, progress)


def dub_on_pool(
    pool: Pool, order: DubOrder, console: Console, tell: Callable[[Facts], None] | None = None
) -> Dubbed:
    """The same for a dub."""
    progress = JobProgress(JobStatus(""), remembered_speed(order.settings), console, tell)
    with progress.shown():
        plan = plan_dubbing(order, progress)
        with _claimed(pool, order, progress) as running:
            return run_dub(running, order, plan, progress)


@contextmanager
def _claimed(pool: Pool, order: Order | DubOrder, progress: JobProgress) -> Iterator[Running]:
    """The job of the order's output folder, ours as long as the block runs and finished after."""
    check_folder(order.out)
    progress.stage("Handing it to the pool")
    job = _claim(pool, order)
    folder = pool.folder(job.id)
    progress.status.title = job.title
    try:
        with Hold(pool, job, progress.status, "") as hold:
            yield Running(pool, job, folder, hold)
            hold.check()
    except StoppedError as error:
        state = pool.queue.job(job.id).state
        raise UserError(
            f"Somebody else has the job {job.id} now: it is {state}. The same command goes on with "
            "it here."
        ) from error
    except BaseException:
        if pool.queue.set_state(job.id, "paused", held=job):
            write_state(folder, "paused")
        raise
    write_state(folder, "finished")
    pool.queue.set_state(job.id, "finished", held=job)


def _claim(pool: Pool, order: Order | DubOrder) -> Job:
    """Submits the order, or takes the job of its output folder back, whoever has it."""
    job_id = submit(pool, order, NORMAL, job_id=job_of_folder(order.out)).id
    write_whole(order.out / JOB_FILE, f"{job_id}\n".encode())
    owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    for _ in range(_TRIES):
        pool.queue.set_state(job_id, "waiting")
        write_state(pool.folder(job_id), "waiting")
        if job := pool.queue.claim_job(owner, pool.settings.pool, LEASE_SECONDS, job_id):
            return job
    raise UserError(
        f"The job {job_id} can't be had: it is of the pool {pool.queue.job(job_id).pool}, and "
        f"VOXLOOM_POOL is {pool.settings.pool}."
    )
