"""The pool's queue: jobs and their batches in PostgreSQL, claimed under leases.

The queue says who works on what, nothing more: orders, manifests and takes are in the object store,
and a lost database is filled from there again. A claim is one `UPDATE` of a row found by
`FOR UPDATE SKIP LOCKED`, so that no two workers get the same. It lasts as long as its lease, which
the holder renews; a holder that died just stops. What a claim may change is fenced by its owner and
its attempt: a worker that was thought dead and comes back changes nothing.

A queue library would bring workers and tasks of its own beside Prefect's, and jobs with priorities
and pauses, halves of a batch and the fence would be tables of ours all the same.

States of a batch: open, done, split (its halves are batches of their own), quarantined.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from configs.errors import UserError
from storage.database import PATIENCE_SECONDS, Connection, PatientDatabase

JobKind = Literal["audiobook", "dub"]
JobState = Literal["waiting", "running", "paused", "finished", "failed", "cancelled"]
STATES: Final[tuple[JobState, ...]] = get_args(JobState)
ENDED: Final[tuple[JobState, ...]] = ("finished", "failed", "cancelled")

HIGH, NORMAL, LOW = 1, 2, 3
MAX_ATTEMPTS = 3
FORGET_WORKER_SECONDS = 24 * 3600.0

# What `set_state` may do. A job begins to run by `claim_job` alone.
TRANSITIONS: Final[dict[JobState, frozenset[JobState]]] = {
    "waiting": frozenset({"paused", "failed", "cancelled"}),
    "running": frozenset({"waiting", "paused", "finished", "failed", "cancelled"}),
    "paused": frozenset({"waiting", "failed", "cancelled"}),
    "finished": frozenset({"waiting"}),
    "failed": frozenset({"waiting", "cancelled"}),
    "cancelled": frozenset({"waiting"}),
}

SCHEMA = """
CREATE SCHEMA IF NOT EXISTS voxloom;
CREATE TABLE IF NOT EXISTS voxloom.job (
    id text PRIMARY KEY,
    kind text NOT NULL,
    title text NOT NULL,
    state text NOT NULL,
    priority smallint NOT NULL,
    pool text NOT NULL,
    not_before timestamptz NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    owner text NOT NULL DEFAULT '',
    lease_until timestamptz,
    error text NOT NULL DEFAULT '',
    created timestamptz NOT NULL,
    started timestamptz,
    finished timestamptz
);
CREATE TABLE IF NOT EXISTS voxloom.batch (
    job text NOT NULL REFERENCES voxloom.job ON DELETE CASCADE,
    number integer NOT NULL,  -- halves of a batch that was split: below zero
    place integer NOT NULL,   -- in the job's order; a half keeps its batch's
    manifest text NOT NULL,
    keys text[] NOT NULL,
    units double precision NOT NULL,
    state text NOT NULL DEFAULT 'open',
    attempt integer NOT NULL DEFAULT 0,  -- only rises: the fence
    tries integer NOT NULL DEFAULT 0,    -- claims that did not end well
    owner text NOT NULL DEFAULT '',
    lease_until timestamptz,
    reason text NOT NULL DEFAULT '',
    PRIMARY KEY (job, number)
);
CREATE INDEX IF NOT EXISTS batch_open ON voxloom.batch (job, place) WHERE state = 'open';
CREATE TABLE IF NOT EXISTS voxloom.worker (
    owner text PRIMARY KEY,
    facts jsonb NOT NULL,
    seen timestamptz NOT NULL
);
"""

JOB_COLUMNS = """
    id, kind, title, state, priority, pool, attempt, owner, error,
    extract(epoch FROM not_before)::float8 AS not_before,
    extract(epoch FROM created)::float8 AS created,
    coalesce(extract(epoch FROM started), 0)::float8 AS started,
    coalesce(extract(epoch FROM finished), 0)::float8 AS finished
"""


@dataclass(frozen=True)
class Job:
    """A book or a film to be voiced. Times are Unix times in seconds, 0 where there is none."""

    id: str
    kind: JobKind
    title: str
    state: JobState = "waiting"
    priority: int = NORMAL  # the smallest is worked on first
    pool: str = "gpus"
    not_before: float = 0.0
    attempt: int = 0
    owner: str = ""
    error: str = ""
    created: float = 0.0  # 0 in `add_job`: now
    started: float = 0.0
    finished: float = 0.0


@dataclass(frozen=True)
class NewBatch:
    """Lines that one worker renders together; `manifest` is the name of the file that says how."""

    number: int  # from 0; its place in the job
    manifest: str
    keys: tuple[str, ...]
    units: float  # how much work it is, in a measure that is the same for the whole job


@dataclass(frozen=True)
class Claim:
    """A batch in a worker's hands. Of the manifest's lines, only those of `keys` are meant."""

    job: str
    number: int
    attempt: int
    owner: str
    manifest: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Counts:
    """How far a job is. Batches that were split do not count, their halves do."""

    total: int
    done: int
    lines_total: int
    lines_done: int
    quarantined_lines: int
    units_total: float
    units_done: float

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do: every line is done or in quarantine."""
        return self.lines_done + self.quarantined_lines == self.lines_total


@dataclass(frozen=True)
class Exhausted:
    """A batch that was tried too often, and what became of it."""

    job: str
    number: int
    keys: tuple[str, ...]
    reason: str
    quarantined: bool  # else it was split into halves


@dataclass(frozen=True)
class WorkerSeen:
    """A worker's last sign of life (Unix time, seconds) and what it said about itself."""

    owner: str
    facts: dict[str, Any]
    seen: float


class Queue:
    """`url` is a PostgreSQL connection string. May be shared by threads.

    All operations can be repeated without harm, so that each is begun again for up to `patience`
    seconds where the connection breaks; then it raises a UserError.
    """

    def __init__(self, url: str, patience: float = PATIENCE_SECONDS) -> None:
        self._database = PatientDatabase(url, patience)

    @property
    def name(self) -> str:
        """Where it is, without the password."""
        return self._database.name

    def close(self) -> None:
        self._database.close()

    def migrate(self) -> None:
        """Creates what is not there yet; may run at the same time in several processes."""

        def create(connection: Connection) -> None:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(hashtext('voxloom'))")
                connection.execute(SCHEMA)

        self._database.perform(create)

    def add_job(self, job: Job) -> None:
        """Adds a job; one whose id is there already is left as it is."""
        self._database.run(
            """INSERT INTO voxloom.job
                   (id, kind, title, state, priority, pool, not_before, attempt, error,
                    created, started, finished)
               VALUES (%(id)s, %(kind)s, %(title)s, %(state)s, %(priority)s, %(pool)s,
                       to_timestamp(%(not_before)s), %(attempt)s, %(error)s,
                       coalesce(to_timestamp(nullif(%(created)s::float8, 0)), now()),
                       to_timestamp(nullif(%(started)s::float8, 0)),
                       to_timestamp(nullif(%(finished)s::float8, 0)))
               ON CONFLICT (id) DO NOTHING""",
            **job.__dict__,
        )

    def job(self, id: str) -> Job:
        """The job of that id; UserError where there is none."""
        rows = self._database.run(f"SELECT {JOB_COLUMNS} FROM voxloom.job WHERE id = %(id)s", id=id)
        if not rows:
            raise UserError(f"There is no job {id}; `voxloom jobs` lists them")
        return Job(**rows[0])

    def jobs(self, state: JobState | None = None) -> list[Job]:
        """All jobs, or those of a state, the oldest first."""
        rows = self._database.run(
            f"""SELECT {JOB_COLUMNS} FROM voxloom.job
                WHERE %(state)s::text IS NULL OR state = %(state)s ORDER BY job.created, id""",
            state=state,
        )
        return [Job(**row) for row in rows]

    def set_state(self, id: str, state: JobState, error: str = "", held: Job | None = None) -> bool:
        """Moves a job into a state; returns whether that was allowed (or it is there already).

        With `held`, a job as `claim_job` returned it, only if that claim is still the job's.
        A job that ended and waits again has its quarantined lines tried again.
        """

        def change(connection: Connection) -> bool:
            with connection.transaction():
                row = connection.execute(
                    "SELECT state, owner, attempt FROM voxloom.job WHERE id = %s FOR UPDATE", (id,)
                ).fetchone()
                if row is None:
                    return False
                if row["state"] == state:
                    return True
                if held and (row["owner"], row["attempt"]) != (held.owner, held.attempt):
                    return False
                if state not in TRANSITIONS[row["state"]]:
                    return False
                connection.execute(
                    """UPDATE voxloom.job SET state = %(state)s, error = %(error)s,
                           owner = '', lease_until = NULL,
                           finished = CASE WHEN %(ended)s THEN now() END
                       WHERE id = %(id)s""",
                    {
                        "id": id,
                        "state": state,
                        "error": error,
                        "ended": state in ENDED,
                    },
                )
                if state == "waiting" and row["state"] in ENDED:
                    connection.execute(
                        """UPDATE voxloom.batch SET state = 'open', tries = 0, reason = ''
                           WHERE job = %s AND state IN ('open', 'quarantined')""",
                        (id,),
                    )
                return True

        return self._database.perform(change)

    def remove_job(self, id: str) -> bool:
        """Forgets a job that has ended, with its batches; False if it has not, or is not there."""
        rows = self._database.run(
            """DELETE FROM voxloom.job WHERE id = %(id)s
                   AND state = ANY(%(ended)s) RETURNING id""",
            id=id,
            ended=list(ENDED),
        )
        return bool(rows)

    def claim_job(
        self, owner: str, pool: str, lease_seconds: float, id: str | None = None
    ) -> Job | None:
        """The next job to run: waiting and due, or running and left by whoever ran it.

        The smallest priority goes first, then the oldest; with an `id`, only that job.
        """
        rows = self._database.run(
            f"""UPDATE voxloom.job SET state = 'running', owner = %(owner)s,
                    attempt = attempt + 1, error = '', started = coalesce(started, now()),
                    lease_until = now() + make_interval(secs => %(lease)s)
                WHERE id = (
                    SELECT id FROM voxloom.job
                    WHERE pool = %(pool)s AND (%(id)s::text IS NULL OR id = %(id)s) AND (
                        (state = 'waiting' AND not_before <= now())
                        OR (state = 'running' AND (lease_until IS NULL OR lease_until < now())))
                    ORDER BY priority, created, id FOR UPDATE SKIP LOCKED LIMIT 1)
                RETURNING {JOB_COLUMNS}""",
            owner=owner,
            pool=pool,
            lease=lease_seconds,
            id=id,
        )
        return Job(**rows[0]) if rows else None

    def renew_job(self, id: str, owner: str, attempt: int, lease_seconds: float) -> bool:
        """Whether the job is still this owner's to run; if so, for that long from now on."""
        rows = self._database.run(
            """UPDATE voxloom.job SET lease_until = now() + make_interval(secs => %(lease)s)
               WHERE id = %(id)s AND owner = %(owner)s AND attempt = %(attempt)s
                   AND state = 'running' RETURNING id""",
            id=id,
            owner=owner,
            attempt=attempt,
            lease=lease_seconds,
        )
        return bool(rows)

    def add_batches(self, job_id: str, batches: Iterable[NewBatch]) -> None:
        """Adds batches; those whose numbers the job has already are left as they are."""
        values = [(job_id, b.number, b.number, b.manifest, list(b.keys), b.units) for b in batches]

        def insert(connection: Connection) -> None:
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(
                    """INSERT INTO voxloom.batch (job, number, place, manifest, keys, units)
                       VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (job, number) DO NOTHING""",
                    values,
                )

        self._database.perform(insert)

    def claim(
        self, owner: str, pool: str, lease_seconds: float, max_attempts: int = MAX_ATTEMPTS
    ) -> Claim | None:
        """The next batch to render: open and free, of a job that runs, or waits and is due.

        The job of the smallest priority goes first, then the oldest, and in it the first batch.
        Batches tried `max_attempts` times are left to `quarantine_exhausted`.
        """
        rows = self._database.run(
            """UPDATE voxloom.batch SET owner = %(owner)s, attempt = attempt + 1,
                   tries = tries + 1, lease_until = now() + make_interval(secs => %(lease)s)
               WHERE (job, number) = (
                   SELECT batch.job, batch.number
                   FROM voxloom.batch JOIN voxloom.job ON job.id = batch.job
                   WHERE batch.state = 'open' AND batch.tries < %(max_attempts)s
                       AND (batch.lease_until IS NULL OR batch.lease_until < now())
                       AND job.pool = %(pool)s
                       AND (job.state = 'running'
                           OR (job.state = 'waiting' AND job.not_before <= now()))
                   ORDER BY job.priority, job.created, job.id, batch.place, batch.number
                   FOR UPDATE OF batch SKIP LOCKED LIMIT 1)
               RETURNING job, number, attempt, owner, manifest, keys""",
            owner=owner,
            pool=pool,
            lease=lease_seconds,
            max_attempts=max_attempts,
        )
        return Claim(**rows[0] | {"keys": tuple(rows[0]["keys"])}) if rows else None

    def upcoming(self, pool: str, number: int) -> list[tuple[str, str]]:
        """The jobs and manifests of the batches that are claimed next, if nobody dies."""
        rows = self._database.run(
            """SELECT batch.job, batch.manifest
               FROM voxloom.batch JOIN voxloom.job ON job.id = batch.job
               WHERE batch.state = 'open' AND batch.lease_until IS NULL
                   AND job.pool = %(pool)s
                   AND (job.state = 'running'
                       OR (job.state = 'waiting' AND job.not_before <= now()))
               ORDER BY job.priority, job.created, job.id, batch.place, batch.number
               LIMIT %(number)s""",
            pool=pool,
            number=number,
        )
        return [(row["job"], row["manifest"]) for row in rows]

    def renew(self, claim: Claim, lease_seconds: float) -> bool:
        """Whether the batch is still this claim's; if so, for that long from now on."""
        return self._held(
            claim,
            "lease_until = now() + make_interval(secs => %(lease)s)",
            lease=lease_seconds,
        )

    def complete(self, claim: Claim) -> bool:
        """Marks the batch as done; False if it is no longer this claim's."""
        # A second call is true as well: the answer to the first may have been lost.
        return self._held(claim, "state = 'done', lease_until = NULL", states=["open", "done"])

    def fail(self, claim: Claim, reason: str) -> bool:
        """Gives a batch back that could not be rendered: it is tried again, so often as is left."""
        return self._held(
            claim, "owner = '', lease_until = NULL, reason = %(reason)s", reason=reason
        )

    def release(self, claim: Claim) -> bool:
        """Gives a batch back because the worker stops: the try is not counted."""
        return self._held(claim, "owner = '', lease_until = NULL, tries = greatest(tries - 1, 0)")

    def counts(self, job_id: str) -> Counts:
        rows = self._database.run(
            """SELECT count(*) AS total,
                   count(*) FILTER (WHERE state = 'done') AS done,
                   coalesce(sum(cardinality(keys)), 0)::int AS lines_total,
                   coalesce(sum(cardinality(keys)) FILTER (WHERE state = 'done'), 0)::int
                       AS lines_done,
                   coalesce(sum(cardinality(keys)) FILTER (WHERE state = 'quarantined'), 0)::int
                       AS quarantined_lines,
                   coalesce(sum(units), 0) AS units_total,
                   coalesce(sum(units) FILTER (WHERE state = 'done'), 0) AS units_done
               FROM voxloom.batch WHERE job = %(job)s AND state <> 'split'""",
            job=job_id,
        )
        return Counts(**rows[0])

    def open_keys(self, job_id: str) -> set[str]:
        """The keys of the lines that are still to be rendered."""
        rows = self._database.run(
            "SELECT keys FROM voxloom.batch WHERE job = %(job)s AND state = 'open'", job=job_id
        )
        return {key for row in rows for key in row["keys"]}

    def quarantine_exhausted(self, max_attempts: int = MAX_ATTEMPTS) -> list[Exhausted]:
        """Splits the batches that were tried `max_attempts` times and are in nobody's hands.

        A half has one try before it is split again, so that the line that kills its workers is
        found after few deaths; a line alone has all its tries, since three deaths in a row that
        have other causes are unlikely. After them it is put into quarantine: it is not tried again.
        """

        def settle(connection: Connection) -> list[Exhausted]:
            with connection.transaction():
                rows = connection.execute(
                    """SELECT * FROM voxloom.batch
                       WHERE state = 'open' AND tries >= %s
                           AND (lease_until IS NULL OR lease_until < now())
                       ORDER BY job, number FOR UPDATE SKIP LOCKED""",
                    (max_attempts,),
                ).fetchall()
                # Nobody else numbers the same job's halves meanwhile.
                connection.execute(
                    "SELECT 1 FROM voxloom.job WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE",
                    ([row["job"] for row in rows],),
                )
                return [_settle(connection, row, max_attempts) for row in rows]

        return self._database.perform(settle)

    def quarantined(self, job_id: str) -> dict[str, str]:
        """The keys of the lines in quarantine, and why they are there."""
        rows = self._database.run(
            """SELECT keys, reason FROM voxloom.batch
               WHERE job = %(job)s AND state = 'quarantined' ORDER BY place, number""",
            job=job_id,
        )
        return {key: row["reason"] for row in rows for key in row["keys"]}

    def beat(self, owner: str, facts: dict[str, Any]) -> None:
        """A worker's sign of life, with what `voxloom jobs` shows of it."""
        self._database.run(
            """INSERT INTO voxloom.worker VALUES (%(owner)s, %(facts)s, now())
               ON CONFLICT (owner) DO UPDATE SET facts = excluded.facts, seen = excluded.seen""",
            owner=owner,
            facts=json.dumps(facts),
        )
        self._database.run(
            "DELETE FROM voxloom.worker WHERE seen < now() - make_interval(secs => %(forget)s)",
            forget=FORGET_WORKER_SECONDS,
        )

    def workers(self) -> list[WorkerSeen]:
        """The workers of the last day, the one seen last first."""
        rows = self._database.run(
            """SELECT owner, facts, extract(epoch FROM seen)::float8 AS seen
               FROM voxloom.worker ORDER BY worker.seen DESC, owner"""
        )
        return [WorkerSeen(**row) for row in rows]

    def _held(
        self, claim: Claim, change: str, states: Iterable[str] = ("open",), **values: Any
    ) -> bool:
        """Changes a batch if it is still the claim's."""
        rows = self._database.run(
            f"""UPDATE voxloom.batch SET {change}
                WHERE job = %(job)s AND number = %(number)s AND owner = %(owner)s
                    AND attempt = %(attempt)s AND state = ANY(%(states)s) RETURNING number""",
            job=claim.job,
            number=claim.number,
            owner=claim.owner,
            attempt=claim.attempt,
            states=list(states),
            **values,
        )
        return bool(rows)


def _settle(connection: Connection, row: dict[str, Any], max_attempts: int) -> Exhausted:
    keys = row["keys"]
    reason = row["reason"] or f"its worker died {row['tries']} times"
    alone = len(keys) == 1
    connection.execute(
        """UPDATE voxloom.batch SET state = %s, reason = %s, owner = '', lease_until = NULL
           WHERE job = %s AND number = %s""",
        ("quarantined" if alone else "split", reason, row["job"], row["number"]),
    )
    middle = len(keys) // 2
    for half in () if alone else (keys[:middle], keys[middle:]):
        connection.execute(
            """INSERT INTO voxloom.batch (job, number, place, manifest, keys, units, tries)
               SELECT %(job)s, least(min(number), 0) - 1, %(place)s, %(manifest)s, %(keys)s,
                   %(units)s, %(tries)s
               FROM voxloom.batch WHERE job = %(job)s""",
            {
                "job": row["job"],
                "place": row["place"],
                "manifest": row["manifest"],
                "keys": half,
                "units": row["units"] * len(half) / len(keys),
                "tries": 0 if len(half) == 1 else max_attempts - 1,
            },
        )
    return Exhausted(row["job"], row["number"], tuple(keys), reason, quarantined=alone)
