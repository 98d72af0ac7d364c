"""What keeps the pool going: deployments, runs for jobs that wait, workers, and an end for runs
that only seem to live.

All state that matters is the queue's and the store's. Prefect's tables can be lost: `deploy` and
the next reconciliation make what is needed anew.
"""

import logging
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from configs.errors import UsageError
from flows.jobs import Pool, write_state
from storage.queue import HIGH, LOW, NORMAL, Job

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

RECONCILE_SECONDS = 60.0
STALE_SECONDS = 90.0  # without a sign of life from a run that is said to be running
PENDING_SECONDS = 300.0  # in which a run must have begun
CRASH_WINDOW_SECONDS = 600.0
QUICK_SECONDS = 60.0  # a worker that lives no longer has not worked
MOST_QUICK_DEATHS = 5  # of each worker in that window; then no more are started in it
_PAGE = 200

WORKERS, SERVICE = "workers", "service"
QUEUES = {HIGH: "high", NORMAL: "normal", LOW: "low"}
# In the order of Prefect's priorities.
ALL_QUEUES = (SERVICE, WORKERS, *(QUEUES[priority] for priority in sorted(QUEUES)))
RENDER = {"audiobook": "render-book", "dub": "render-dub"}
GPU_SLOT = "gpu-"  # what the names of Prefect's workers begin with that have a worker of ours each

log = logging.getLogger(__name__)


def check_api() -> None:
    """UsageError unless Prefect's API is configured; without it Prefect would start one."""
    from prefect.settings import get_current_settings

    if not get_current_settings().api.url:
        raise UsageError(
            "PREFECT_API_URL is not set: it says where the pool's Prefect server is, as in "
            "http://127.0.0.1:4200/api"
        )


def api_errors() -> tuple[type[Exception], ...]:
    """What Prefect's client raises where the server is away or refuses."""
    import httpx
    from prefect.exceptions import PrefectException

    return httpx.HTTPError, PrefectException, OSError, RuntimeError


def deploy(
    client: "SyncPrefectClient",
    pool: str,
    module: str = "flows.pool",
    reconcile_seconds: float = RECONCILE_SECONDS,
) -> None:
    """Makes the work pool, its queues and the deployments of the flows in `module`, unless they are
    there; a work pool of another kind than `process` is left as it is."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
    from prefect.client.schemas.schedules import IntervalSchedule
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
    from prefect.utilities.importtools import import_object
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    try:
        client.read_work_pool(pool)
    except ObjectNotFound:
        try:
            client.create_work_pool(
                WorkPoolCreate(name=pool, type="process", base_job_template=template)
            )
        except ObjectAlreadyExists:
            log.debug("somebody else has just made the work pool %s", pool)
    for priority, name in enumerate(ALL_QUEUES, start=1):
        try:
            client.read_work_queue_by_name(name, work_pool_name=pool)
        except ObjectNotFound:
            try:
                client.create_work_queue(name, priority=priority, work_pool_name=pool)
            except ObjectAlreadyExists:
                log.debug("somebody else has just made the work queue %s", name)
    for name, queue in (
        (RENDER["audiobook"], QUEUES[NORMAL]),
        (RENDER["dub"], QUEUES[NORMAL]),
        ("gpu-worker", WORKERS),
        ("reconcile", SERVICE),
    ):
        entry = f"{module}.{name.replace('-', '_')}"
        schedules = []
        if name == "reconcile":
            every = IntervalSchedule(interval=timedelta(seconds=reconcile_seconds))
            # Few ahead: after a time in which nobody was there, old ones are of no use.
            ahead = max(1, round(2 * RECONCILE_SECONDS / reconcile_seconds))
            schedules = [DeploymentScheduleCreate(schedule=every, max_scheduled_runs=ahead)]
        client.create_deployment(
            flow_id=client.create_flow(import_object(entry)),
            name=pool,
            work_pool_name=pool,
            work_queue_name=queue,
            entrypoint=entry,
            schedules=schedules,
            enforce_parameter_schema=False,
            tags=["voxloom"],
        )


def dispatch(client: "SyncPrefectClient", job: Job) -> None:
    """Starts a run for a job as soon as it is due."""
    from prefect.states import Scheduled

    deployment = client.read_deployment_by_name(f"{RENDER[job.kind]}/{job.pool}")
    due = datetime.fromtimestamp(max(job.not_before, time.time()), UTC)
    client.create_flow_run_from_deployment(
        deployment.id,
        parameters={"job_id": job.id},
        state=Scheduled(scheduled_time=due),
        name=f"{job.title} ({job.id})",
        tags=[job.id],
        work_queue_name=QUEUES.get(job.priority, QUEUES[LOW]),
        # Two that see the same at the same time start one run.
        idempotency_key=f"{job.id}-{job.attempt}-{int(time.time() // RECONCILE_SECONDS)}",
    )


def reconcile_pool(pool: Pool, client: "SyncPrefectClient") -> list[str]:
    """Brings Prefect's runs in line with the queue -> what was done about it, a sentence each."""
    done = _expire(pool, client)
    for one in pool.queue.quarantine_exhausted():
        what = "set aside" if one.quarantined else "split"
        done.append(f"batch {one.number} of {one.job}: {what} ({one.reason})")
    name = pool.settings.pool
    has_run = {
        run.parameters.get("job_id")
        for kind in RENDER.values()
        for run in _live(client, f"{kind}/{name}")
    }
    now = time.time()
    # What somebody runs on a machine of his own (--on-pool) has no run, but gives signs of life.
    has_run |= {
        one.facts.get("job")
        for one in pool.queue.workers()
        if one.facts.get("run") == "" and now - one.seen < STALE_SECONDS
    }
    jobs = [*pool.queue.jobs("running"), *pool.queue.jobs("waiting")]
    for job in sorted(jobs, key=lambda job: (job.priority, job.created)):
        if job.pool != name or job.id in has_run or job.not_before > now:
            continue
        if job.state == "running" and _cancelled(client, job):
            write_state(pool.folder(job.id), "cancelled")
            pool.queue.set_state(job.id, "cancelled")
            done.append(f"{job.id} is cancelled, as its run was")
        else:
            dispatch(client, job)
            done.append(f"a run for {job.id} is started")
    return done + ensure_workers(pool, client)


def ensure_workers(pool: Pool, client: "SyncPrefectClient") -> list[str]:
    """Starts a worker for each slot that has none, where there is something to do; none while they
    die as soon as they are started."""
    from prefect.client.schemas.objects import WorkerStatus

    name = pool.settings.pool
    slots = [
        worker
        for worker in client.read_workers_for_work_pool(name, limit=_PAGE, offset=0)
        if worker.name.startswith(GPU_SLOT) and worker.status == WorkerStatus.ONLINE
    ]
    lacking = len(slots) - len(_live(client, f"gpu-worker/{name}"))
    if lacking <= 0 or not any(job.pool == name for job in pool.queue.jobs("running")):
        return []
    deaths = _quick_deaths(client, f"gpu-worker/{name}")
    if deaths >= MOST_QUICK_DEATHS * len(slots):
        return [f"{deaths} workers died as soon as they were started: no more for now"]
    deployment = client.read_deployment_by_name(f"gpu-worker/{name}")
    for _ in range(lacking):
        client.create_flow_run_from_deployment(deployment.id, work_queue_name=WORKERS)
    return [f"{lacking} workers are started"]


def _expire(pool: Pool, client: "SyncPrefectClient") -> list[str]:
    """Runs that gave no sign of life, or never began, are crashed: nobody else would say so."""
    from prefect.client.schemas.objects import StateType
    from prefect.states import Crashed

    seen = {one.facts.get("run"): one.seen for one in pool.queue.workers()}
    done = []
    for name in (*RENDER.values(), "gpu-worker", "reconcile"):
        for run in _live(client, f"{name}/{pool.settings.pool}"):
            if run.state is None:
                continue
            age = time.time() - run.state.timestamp.timestamp()
            silent = time.time() - max(seen.get(str(run.id), 0.0), run.state.timestamp.timestamp())
            if run.state.type == StateType.PENDING and age > PENDING_SECONDS:
                why = f"It did not begin within {PENDING_SECONDS:.0f} s."
            elif run.state.type == StateType.RUNNING and silent > STALE_SECONDS:
                why = f"There was no sign of life for {silent:.0f} s."
            else:
                continue
            client.set_flow_run_state(run.id, Crashed(message=why), force=True)
            done.append(f"{name} {run.name} is expired: {why}")
    return done


def _cancelled(client: "SyncPrefectClient", job: Job) -> bool:
    """Whether somebody cancelled the last run of a job on Prefect's page."""
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType

    runs = _runs(
        client, f"{RENDER[job.kind]}/{job.pool}", tags=filters.FlowRunFilterTags(all_=[job.id])
    )
    ended = (StateType.CANCELLED, StateType.CANCELLING)
    return bool(runs) and runs[0].state is not None and runs[0].state.type in ended


def _live(client: "SyncPrefectClient", deployment: str) -> list["FlowRun"]:
    """The runs of a deployment that are scheduled, pending or running."""
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType

    states = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING]
    kinds = filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=states))
    return _runs(client, deployment, state=kinds)


def _quick_deaths(client: "SyncPrefectClient", deployment: str) -> int:
    """How many workers died lately before they could have done anything."""
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType

    since: Any = datetime.now(UTC) - timedelta(seconds=CRASH_WINDOW_SECONDS)
    states = filters.FlowRunFilterStateType(any_=[StateType.CRASHED, StateType.FAILED])
    runs = _runs(
        client,
        deployment,
        state=filters.FlowRunFilterState(type=states),
        end_time=filters.FlowRunFilterEndTime(after_=since),
    )
    lived = Counter(run.total_run_time.total_seconds() < QUICK_SECONDS for run in runs)
    return lived[True]


def _runs(client: "SyncPrefectClient", deployment: str, **conditions: Any) -> list["FlowRun"]:
    """The runs of a deployment, the youngest first."""
    from prefect.client.schemas import filters
    from prefect.client.schemas.sorting import FlowRunSort

    one: UUID = client.read_deployment_by_name(deployment).id
    chosen = filters.FlowRunFilter(
        deployment_id=filters.FlowRunFilterDeploymentId(any_=[one]), **conditions
    )
    runs: list[FlowRun] = []
    order = FlowRunSort.ID_DESC  # the youngest first
    while page := client.read_flow_runs(
        flow_run_filter=chosen, sort=order, limit=_PAGE, offset=len(runs)
    ):
        runs += page
        if len(page) < _PAGE:
            break
    return runs
