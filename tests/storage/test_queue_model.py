"""The queue against a model of it: whatever happens in whatever order, no line is lost, none has
two owners, and the next batch is the one that it should be."""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)

pytest.importorskip("psycopg")

import psycopg

from storage.queue import MAX_ATTEMPTS, Claim, Job, NewBatch, Queue

LEASE = 600.0
WORKERS = st.sampled_from(["w1", "w2"])
ENDED = ("finished", "failed", "cancelled")


@dataclass
class ModelBatch:
    job: str
    number: int
    place: int
    keys: tuple[str, ...]
    state: str = "open"
    attempt: int = 0
    tries: int = 0
    owner: str = ""
    held: bool = False  # the lease has not ended


@dataclass
class ModelJob:
    priority: int
    age: int
    state: str = "waiting"
    owner: str = ""
    attempt: int = 0
    held: bool = False
    batches: list[ModelBatch] = field(default_factory=list)


class QueueMachine(RuleBasedStateMachine):
    """Runs the same calls on a real database and on plain lists."""

    claims = Bundle("claims")
    queue: Queue
    database: "psycopg.Connection[tuple[object, ...]]"

    def __init__(self):
        super().__init__()
        self.database.execute("TRUNCATE voxloom.job CASCADE")
        self.jobs: dict[str, ModelJob] = {}

    def teardown(self):
        self.look()

    @initialize()
    def begin(self):
        self.submit(2, [3, 1])

    @rule(priority=st.integers(1, 3), sizes=st.lists(st.integers(1, 5), max_size=3))
    def submit(self, priority, sizes):
        id = f"job{len(self.jobs)}"
        job = ModelJob(priority, len(self.jobs))
        self.jobs[id] = job
        self.queue.add_job(
            Job(id, "audiobook", id, priority=priority, created=1000.0 + len(self.jobs))
        )
        new = []
        for number, size in enumerate(sizes):
            keys = tuple(f"{id}-{number}-{line}" for line in range(size))
            job.batches.append(ModelBatch(id, number, number, keys))
            new.append(NewBatch(number, f"{number}.json", keys, float(size)))
        self.queue.add_batches(id, new)
        self.queue.add_batches(id, new)

    @rule(owner=WORKERS)
    def run_job(self, owner):
        due = [
            (job.priority, job.age, id)
            for id, job in self.jobs.items()
            if job.state == "waiting" or (job.state == "running" and not job.held)
        ]
        found = self.queue.claim_job(owner, "gpus", LEASE)
        assert (found and found.id) == (min(due)[2] if due else None)
        if found:
            job = self.jobs[found.id]
            job.state, job.owner, job.held = "running", owner, True
            job.attempt += 1
            assert (found.attempt, found.owner) == (job.attempt, owner)

    @rule(
        data=st.data(),
        state=st.sampled_from(["waiting", "paused", "finished", "failed", "cancelled"]),
    )
    def change_job(self, data, state):
        if not self.jobs:
            return
        id = data.draw(st.sampled_from(sorted(self.jobs)))
        job = self.jobs[id]
        allowed = (
            state == job.state
            or state
            in {
                "waiting": ["paused", "failed", "cancelled"],
                "running": ["waiting", "paused", "finished", "failed", "cancelled"],
                "paused": ["waiting", "failed", "cancelled"],
                "finished": ["waiting"],
                "failed": ["waiting", "cancelled"],
                "cancelled": ["waiting"],
            }[job.state]
        )
        assert self.queue.set_state(id, state) == allowed
        if allowed and state != job.state:
            if state == "waiting" and job.state in ENDED:
                for batch in job.batches:
                    if batch.state in ("open", "quarantined"):
                        batch.state, batch.tries = "open", 0
            job.state, job.owner, job.held = state, "", False

    # Not in the bundle if there is none, so that the other rules have real ones to work with.
    @rule(target=claims, owner=WORKERS)
    def claim(self, owner):
        free = [
            (job.priority, job.age, batch.place, batch.number, batch)
            for job in self.jobs.values()
            if job.state in ("waiting", "running")
            for batch in job.batches
            if batch.state == "open" and not batch.held and batch.tries < MAX_ATTEMPTS
        ]
        claim = self.queue.claim(owner, "gpus", LEASE)
        if not free:
            assert claim is None
            return multiple()
        batch = min(free, key=lambda one: one[:4])[4]
        batch.owner, batch.held = owner, True
        batch.attempt += 1
        batch.tries += 1
        assert claim == Claim(
            batch.job, batch.number, batch.attempt, owner, f"{batch.place}.json", batch.keys
        )
        return claim

    def held(self, claim) -> ModelBatch | None:
        """The batch, if it is open and still the claim's."""
        for batch in self.jobs[claim.job].batches if claim.job in self.jobs else ():
            if (batch.number, batch.owner, batch.attempt) == (
                claim.number,
                claim.owner,
                claim.attempt,
            ):
                return batch if batch.state == "open" else None
        return None

    @rule(claim=claims)
    def complete(self, claim):
        batch = self.held(claim)
        done = batch is None and any(
            (one.number, one.owner, one.attempt, one.state)
            == (claim.number, claim.owner, claim.attempt, "done")
            for job in self.jobs.values()
            for one in job.batches
            if one.job == claim.job
        )
        assert self.queue.complete(claim) == (batch is not None or done)
        if batch:
            batch.state, batch.held = "done", False

    @rule(claim=claims)
    def renew(self, claim):
        batch = self.held(claim)
        assert self.queue.renew(claim, LEASE) == (batch is not None)
        if batch:
            batch.held = True

    @rule(claim=claims, broken=st.booleans())
    def give_back(self, claim, broken):
        batch = self.held(claim)
        answer = self.queue.fail(claim, "broken") if broken else self.queue.release(claim)
        assert answer == (batch is not None)
        if batch:
            batch.owner, batch.held = "", False
            batch.tries = max(batch.tries - (not broken), 0)

    @rule()
    def everybody_dies(self):
        for table in ("job", "batch"):
            self.database.execute(
                f"UPDATE voxloom.{table} SET lease_until = now() - interval '1 second'"
            )
        for job in self.jobs.values():
            job.held = False
            for batch in job.batches:
                batch.held = False

    @rule()
    def reconcile(self):
        tired = [
            batch
            for job in self.jobs.values()
            for batch in job.batches
            if batch.state == "open" and not batch.held and batch.tries >= MAX_ATTEMPTS
        ]
        settled = self.queue.quarantine_exhausted()
        assert {(one.job, one.number) for one in settled} == {
            (one.job, one.number) for one in tired
        }
        for batch in sorted(tired, key=lambda one: (one.job, one.number)):
            batch.owner = ""
            if len(batch.keys) == 1:
                batch.state = "quarantined"
                continue
            batch.state = "split"
            siblings = self.jobs[batch.job].batches
            middle = len(batch.keys) // 2
            for keys in (batch.keys[:middle], batch.keys[middle:]):
                number = min(0, *(one.number for one in siblings)) - 1
                tries = 0 if len(keys) == 1 else MAX_ATTEMPTS - 1
                siblings.append(ModelBatch(batch.job, number, batch.place, keys, tries=tries))

    @rule()
    def look(self):
        for id, job in self.jobs.items():
            leaves = [batch for batch in job.batches if batch.state != "split"]
            lines = {
                state: sum(len(one.keys) for one in leaves if one.state == state)
                for state in ("open", "done", "quarantined")
            }
            counts = self.queue.counts(id)
            assert counts.total == len(leaves)
            assert counts.lines_total == sum(lines.values())
            assert counts.lines_done == lines["done"]
            assert counts.quarantined_lines == lines["quarantined"]
            assert counts.settled == (lines["open"] == 0)
            assert set(self.queue.quarantined(id)) == {
                key for one in leaves if one.state == "quarantined" for key in one.keys
            }
            assert self.queue.job(id).state == job.state


def test_the_queue_is_its_model(queue_url):
    class OnThisDatabase(QueueMachine):
        queue = Queue(queue_url)
        database = psycopg.connect(queue_url, autocommit=True)

    OnThisDatabase.queue.migrate()
    many = settings(max_examples=30, stateful_step_count=50, deadline=None)
    run_state_machine_as_test(OnThisDatabase, settings=many)
    OnThisDatabase.queue.close()
    OnThisDatabase.database.close()
