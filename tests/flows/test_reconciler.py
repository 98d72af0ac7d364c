"""The reconciler with a real Prefect API and a real queue."""

import os
from pathlib import Path

import pytest

pytest.importorskip("psycopg")

from pydantic import SecretStr

from configs.presets import load_presets
from configs.settings import Settings
from flows import reconciler
from flows.embedded import EmbeddedApi
from flows.jobs import Pool, open_pool, submit
from flows.orders import Order
from flows.reconciler import ALL_QUEUES, GPU_SLOT, RENDER, deploy, ensure_workers, reconcile_pool
from storage.queue import HIGH, LOW
from tasks.voices import AskedVoice

pytestmark = pytest.mark.prefect


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A client of an API that starts empty."""
    environment = dict(os.environ)
    home = tmp_path_factory.mktemp("prefect")
    api = EmbeddedApi(home, home / "log")
    api.wait(300)
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: api.url}), get_client(sync_client=True) as client:
        yield client
    api.stop()
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture
def pool(settings: Settings, queue_url: str, tmp_path: Path, client) -> Pool:
    name = f"pool-{tmp_path.name[-20:].replace('_', '-')}"
    changes = {"queue": SecretStr(queue_url), "pool": name}
    deploy(client, name, reconcile_seconds=30.0)
    return open_pool(settings.model_copy(update=changes))


@pytest.fixture
def order(epub, sample, pool) -> Order:
    voice = AskedVoice((str(sample),))
    return Order(epub, voice, Path("out"), "", "", 0, load_presets(), pool.settings)


def runs(client, pool: Pool, flow: str = RENDER["audiobook"]):
    return reconciler._runs(client, f"{flow}/{pool.settings.pool}")


def test_deployments_are_made_once_and_can_be_imported(client, pool):
    from prefect.utilities.importtools import import_object

    deploy(client, pool.settings.pool, reconcile_seconds=30.0)
    entries = set()
    for name in (*RENDER.values(), "gpu-worker", "reconcile"):
        deployment = client.read_deployment_by_name(f"{name}/{pool.settings.pool}")
        assert import_object(deployment.entrypoint).name == name
        assert len(deployment.schedules) == (name == "reconcile")
        entries.add(deployment.entrypoint)
    assert len(entries) == 4
    priorities = [
        client.read_work_queue_by_name(name, work_pool_name=pool.settings.pool).priority
        for name in ALL_QUEUES
    ]
    assert priorities == sorted(priorities)


def test_a_job_that_waits_gets_one_run_in_its_queue(client, pool, order):
    urgent, later, tonight = (
        submit(pool, order, HIGH),
        submit(pool, order, LOW),
        submit(pool, order, HIGH, 9e9),
    )
    reconcile_pool(pool, client)
    reconcile_pool(pool, client)
    made = {run.parameters["job_id"]: run.work_queue_name for run in runs(client, pool)}
    assert made == {urgent.id: "high", later.id: "low"}
    assert tonight.id not in made
    assert len(runs(client, pool)) == 2


def test_runs_without_a_sign_of_life_are_replaced(client, pool, order, monkeypatch):
    from prefect.states import Pending, Running

    job = submit(pool, order, HIGH)
    reconcile_pool(pool, client)
    (run,) = runs(client, pool)
    pool.queue.claim_job(f"{run.id}-1", pool.settings.pool, 0.0, job.id)
    for state, limit in ((Running(), "STALE_SECONDS"), (Pending(), "PENDING_SECONDS")):
        (run,) = [one for one in runs(client, pool) if not one.state.is_final()]
        client.set_flow_run_state(run.id, state, force=True)
        assert reconcile_pool(pool, client) == [], "it has only just begun"
        with monkeypatch.context() as patch:
            patch.setattr(reconciler, limit, -1.0)
            patch.setattr(reconciler, "RECONCILE_SECONDS", 1e-3)  # a key of its own each time
            done = reconcile_pool(pool, client)
        assert any("is expired" in line for line in done)
        states = sorted(one.state.type.value for one in runs(client, pool))
        assert states.count("SCHEDULED") == 1, "another run takes over"


def test_a_living_run_is_left_alone(client, pool, order, monkeypatch):
    from prefect.states import Running

    job = submit(pool, order, HIGH)
    reconcile_pool(pool, client)
    (run,) = runs(client, pool)
    pool.queue.claim_job(f"{run.id}-1", pool.settings.pool, 60.0, job.id)
    client.set_flow_run_state(run.id, Running(), force=True)
    pool.queue.beat("somebody", {"kind": "job", "run": str(run.id)})
    monkeypatch.setattr(reconciler, "STALE_SECONDS", 30.0)
    assert reconcile_pool(pool, client) == []


def test_a_run_that_is_cancelled_on_the_page_cancels_its_job(client, pool, order):
    from prefect.states import Cancelled, Crashed

    for state, then in ((Crashed(), "running"), (Cancelled(), "cancelled")):
        job = submit(pool, order, HIGH)
        reconcile_pool(pool, client)
        (run,) = [one for one in runs(client, pool) if one.parameters["job_id"] == job.id]
        pool.queue.claim_job(f"{run.id}-1", pool.settings.pool, 0.0, job.id)
        client.set_flow_run_state(run.id, state, force=True)
        reconcile_pool(pool, client)
        assert pool.queue.job(job.id).state == then


def test_each_slot_gets_a_worker_unless_they_die_at_once(client, pool, order):
    from prefect.states import Crashed, Running

    name = pool.settings.pool
    for slot in ("a", "b"):
        client.send_worker_heartbeat(name, f"{GPU_SLOT}{slot}", heartbeat_interval_seconds=300.0)
    client.send_worker_heartbeat(name, "books-a", heartbeat_interval_seconds=300.0)
    assert ensure_workers(pool, client) == [], "nothing is to be done"
    job = submit(pool, order, HIGH)
    pool.queue.claim_job("runner", name, 60.0, job.id)
    assert ensure_workers(pool, client) == ["2 workers are started"]
    assert ensure_workers(pool, client) == []
    for _ in range(reconciler.MOST_QUICK_DEATHS):
        for run in runs(client, pool, "gpu-worker"):
            if not run.state.is_final():
                client.set_flow_run_state(run.id, Running(), force=True)
                client.set_flow_run_state(run.id, Crashed(), force=True)
        told = ensure_workers(pool, client)
    assert told == ["10 workers died as soon as they were started: no more for now"]


def test_what_kills_its_workers_is_split(client, pool, order):
    from storage.queue import NewBatch

    job = submit(pool, order, HIGH)
    pool.queue.add_batches(job.id, [NewBatch(0, "batches/0.json", ("a", "b"), 2.0)])
    for _ in range(3):
        assert pool.queue.claim("worker", pool.settings.pool, 0.0)
    assert any("split" in line for line in reconcile_pool(pool, client))
    assert pool.queue.counts(job.id).total == 2
