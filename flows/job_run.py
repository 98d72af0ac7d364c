"""A job on its way through the pool: planned here, spoken by the workers, put together here."""

import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from configs.errors import UserError
from flows.delivery import AssembledChapter, Delivered
from flows.dub_delivery import Dubbed, deliver_dub
from flows.dub_voices import with_cut_voices
from flows.dub_work import DubOrder, DubPlan, DubWork, plan_dubbing
from flows.jobs import (
    OUT,
    Pool,
    load_submission,
    read_state,
    restore,
    write_state,
)
from flows.orders import Order
from flows.progress import Facts, RunProgress
from flows.script import Speaker
from flows.work import (
    LostTakeError,
    Plan,
    Work,
    check_folder,
    engine_of,
    plan_book,
    remembered_speed,
)
from storage.folder import Folder, hash_file
from storage.kept import TAKES
from storage.keys import hash_bytes
from storage.queue import ENDED, Job, JobState, NewBatch
from tasks.credits import chapter_title
from tasks.dub_takes import Fitting
from tasks.manifest import CarriedVoice, Manifest, Part, encode_manifest
from tasks.takes import encode_flac, quantize

LEASE_SECONDS = 60.0
POLL_SECONDS = 1.0
MAX_ERRORS = 5  # after so many failures in a row, a job that was planned well is given up
MAX_ATTEMPTS = 30  # a job that was begun so often and never ended kills whoever runs it
_ROUNDS = 3  # how often takes that vanish are made again
_NUMBERS = 100_000  # batches of one attempt

log = logging.getLogger(__name__)


class StoppedError(Exception):
    """The job is no longer ours to run: somebody paused or cancelled it, or our lease is lost."""


class Spoken(Protocol):
    """What a book's and a dub's work have in common."""

    missing: list[str]

    def split(self, keys: Sequence[str]) -> list[list[str]]: ...
    def parts(self, keys: Iterable[str]) -> Sequence[Part[Any]]: ...
    def units(self, keys: Iterable[str]) -> int: ...
    def settle(self, keys: Iterable[str], failures: Mapping[str, str]) -> list[int]: ...
    def again(self) -> list[str]: ...
    def keys(self) -> list[str]: ...
    def ready_chapters(self) -> list[int]: ...


@dataclass
class JobStatus:
    """How a job stands, for whoever shows it. `share` is that of the present stage, 0 to 1."""

    title: str
    stage: str = "Starting"
    share: float = 0.0
    left: str = ""
    chapters: dict[int, tuple[str, int, str]] = field(default_factory=dict)  # title, lines, state
    warnings: list[str] = field(default_factory=list)


class JobProgress(RunProgress):
    """The progress of a run, written into a job's status."""

    def __init__(
        self,
        status: JobStatus,
        phones_per_second: float,
        console: Console | None = None,
        tell: Callable[[Facts], None] | None = None,
    ) -> None:
        super().__init__(console or Console(quiet=True), phones_per_second, tell)
        self.status = status
        self._total = self._done = 0

    def stage(self, text: str) -> None:
        super().stage(text)
        if text != self.status.stage:
            self.status.stage, self.status.share = text, 0.0

    def expect(self, phones: int, left: int) -> None:
        super().expect(phones, left)
        self._total, self._done = max(phones, 1), phones - left

    def advance(self, phones: int) -> None:
        super().advance(phones)
        self._done += phones
        self.status.share, self.status.left = self._done / self._total, self.left()

    def fraction(self, done: float) -> None:
        super().fraction(done)
        self.status.share, self.status.left = done, self.left()


class Hold:
    """Keeps a claimed job's lease alive from a thread, as long as the job is ours."""

    def __init__(self, pool: Pool, job: Job, status: JobStatus, run: str) -> None:
        self._pool, self._job, self._status, self._run = pool, job, status, run
        self._over = threading.Event()
        self.lost = False
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> "Hold":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def check(self) -> None:
        """Raises StoppedError once the job is no longer ours."""
        if self.lost:
            raise StoppedError(self._job.id)

    def _keep(self) -> None:
        queue, job = self._pool.queue, self._job
        while not self._over.is_set():
            try:
                self.lost = not queue.renew_job(job.id, job.owner, job.attempt, LEASE_SECONDS)
                queue.beat(job.owner, self._facts())
                queue.quarantine_exhausted()  # sooner than the reconciler: a book waits for it
            except UserError as error:  # the queue is gone for minutes
                log.error("%s: %s", job.id, error)
                self.lost = True
            if self.lost:
                return
            self._over.wait(5.0)

    def _facts(self) -> dict[str, object]:
        status = self._status
        return {
            "kind": "job",
            "job": self._job.id,
            "run": self._run,
            "stage": status.stage,
            "share": round(status.share, 4),
            "left": status.left,
        }


def run_job(pool: Pool, job: Job, status: JobStatus, run: str = "") -> JobState:
    """Does what is left of a claimed job -> its state then. `run` names the flow run.

    May be killed at any moment: what is run again goes on from the store. A job that can't be
    planned has failed; one that stumbles otherwise waits, and is tried again some times.
    """
    folder = pool.folder(job.id)
    home = pool.settings.home / "jobs" / job.id
    hopeless = True
    try:
        if job.attempt % MAX_ATTEMPTS == 0:
            raise UserError(f"It was begun {MAX_ATTEMPTS} times, and whoever ran it died.")
        with Hold(pool, job, status, run) as hold:
            progress = JobProgress(status, remembered_speed(pool.settings))
            hopeless = False
            order = restore(load_submission(folder), folder, home, pool.settings)
            hopeless = True
            if isinstance(order, DubOrder):
                dubbing = plan_dubbing(order, progress)
                hopeless = False
                run_dub(Running(pool, job, folder, hold), order, dubbing, progress)
            else:
                plan = plan_book(order, progress)
                hopeless = False
                run_book(Running(pool, job, folder, hold), order, plan, progress)
            hold.check()
            progress.stage("Putting the files into the store")
            _upload(order.out, folder)
            hold.check()
    except StoppedError:
        state = pool.queue.job(job.id).state
    except (UserError, OSError) as error:
        state = _failed(pool, job, folder, error, hopeless)
    else:
        state = "finished"
        write_state(folder, state)
        pool.queue.set_state(job.id, state, held=job)
    if state in ENDED:
        shutil.rmtree(home, ignore_errors=True)
    return state


@dataclass(frozen=True)
class Running:
    """A job that this process runs."""

    pool: Pool
    job: Job
    folder: Folder
    hold: Hold


def _failed(pool: Pool, job: Job, folder: Folder, error: Exception, hopeless: bool) -> JobState:
    log.exception("%s", job.id)
    errors = read_state(folder)[2] + 1
    state: JobState = "failed" if hopeless or errors >= MAX_ERRORS else "waiting"
    write_state(folder, state, str(error), errors)
    pool.queue.set_state(job.id, state, str(error), held=job)
    return state


def run_book(running: Running, order: Order, plan: Plan, progress: JobProgress) -> Delivered:
    """Has the workers speak what the plan's book lacks, and makes its files in the order's folder.

    StoppedError once the job is no longer ours.
    """
    check_folder(order.out)
    status = progress.status
    progress.stage("Loading the voice model")
    work = Work(order, plan, engine_of(order.model)(order.settings), progress)
    status.title = work.title
    for number, lines in plan.chapters.items():
        status.chapters[number] = chapter_title(plan.book, number), len(lines), "waiting"
    assembled: dict[int, AssembledChapter] = {}

    def assemble(numbers: Iterable[int]) -> bool:
        """Puts chapters together; whether all their takes were there."""
        whole = True
        for number in numbers:
            running.hold.check()
            title, lines, _ = status.chapters[number]
            try:
                assembled[number] = work.assemble(number)
                status.chapters[number] = title, lines, "done"
            except LostTakeError:
                whole = False
        return whole

    _speak(running, work, _manifests(running, work.script.speakers, order), assemble, progress)
    running.hold.check()
    return work.deliver([assembled[number] for number in sorted(assembled)])


def run_dub(running: Running, order: DubOrder, plan: DubPlan, progress: JobProgress) -> Dubbed:
    """The same for a dub."""
    check_folder(order.out)
    progress.stage("Loading the voice model")
    engine = engine_of(order.model)(order.settings)
    work = DubWork(order, with_cut_voices(order, plan, engine, progress), engine, progress)

    def assemble(numbers: Iterable[int]) -> bool:
        return False  # a dub has no chapters: whether all is there is to be looked up

    manifest = _manifests(running, work.speakers, order, work.fitting)
    _speak(running, work, manifest, assemble, progress)
    running.hold.check()
    return deliver_dub(work)


def _manifests(
    running: Running,
    speakers: Mapping[str, Speaker],
    order: Order | DubOrder,
    fitting: Fitting | None = None,
) -> Callable[[Sequence[Part[Any]]], bytes]:
    """Puts the voices into the job's folder; what makes a manifest of a batch's parts."""
    model = order.model.folder.name if order.model.folder else ""
    voices = {name: _carried(running.folder, speaker) for name, speaker in speakers.items()}

    def manifest(parts: Sequence[Part[Any]]) -> bytes:
        named = {part.voice: voices[part.voice] for part in parts}
        return encode_manifest(
            Manifest(model, order.settings.hear_all, named, tuple(parts), fitting)
        )

    return manifest


def _carried(folder: Folder, speaker: Speaker) -> CarriedVoice:
    samples = []
    for sample in speaker.heard.samples:
        flac = encode_flac(quantize(sample.audio), sample.sample_rate)
        name = f"voices/{hash_bytes(flac)}.flac"
        folder.put(name, flac)
        samples.append((name, sample.sample_rate))
    tuning = ""
    if speaker.tuning:
        tuning = f"voices/{hash_file(speaker.tuning)}.safetensors"
        folder.put(tuning, speaker.tuning)
    return CarriedVoice(tuple(samples), speaker.heard.prompt, tuning, speaker.engine.content_hash)


def _speak(
    running: Running,
    work: Spoken,
    manifest: Callable[[Sequence[Part[Any]]], bytes],
    assemble: Callable[[Iterable[int]], bool],
    progress: JobProgress,
) -> None:
    """Has the workers speak what is missing, and puts chapters together as they get complete.

    What an earlier attempt has queued is waited for. What then is missing all the same (a take was
    damaged, or the queue was lost) is queued again.
    """
    queue, job, folder = running.pool.queue, running.job, running.folder
    for name in folder.names("failed"):
        folder.delete(name)  # the engine is asked again for what it refused in an earlier attempt
    _keep(folder, work)
    missing, whole, number = list(work.missing), True, job.attempt * _NUMBERS
    ready = work.ready_chapters()
    for _ in range(_ROUNDS):
        queued = queue.open_keys(job.id)
        refused = queue.quarantined(job.id)
        new = [key for key in missing if key not in queued and key not in refused]
        batches = []
        for keys in work.split(new):
            name = f"batches/{number}.json"
            folder.put(name, manifest(work.parts(keys)))
            batches.append(NewBatch(number, name, tuple(keys), work.units(keys)))
            number += 1
        queue.add_batches(job.id, batches)
        whole = assemble(ready)
        progress.stage("Waiting for the workers")
        whole = _wait(running, work, missing, assemble, progress) and whole
        missing = work.again() if not whole else []
        ready = []
        if not missing:
            break
    if missing:
        raise UserError(
            f"{len(missing)} takes were made, but are not in the store: is somebody deleting them?"
        )
    _keep(folder, work)


def _wait(
    running: Running,
    work: Spoken,
    missing: Sequence[str],
    assemble: Callable[[Iterable[int]], bool],
    progress: JobProgress,
) -> bool:
    """Waits until the lines are settled; whether all takes of complete chapters were there."""
    queue, job, folder = running.pool.queue, running.job, running.folder
    waiting, done, whole = set(missing), -1, True
    read: set[str] = set()
    failures: dict[str, str] = {}
    while waiting:
        running.hold.check()
        counts = queue.counts(job.id)
        if (now := counts.done + counts.quarantined_lines) == done:
            time.sleep(POLL_SECONDS)
            continue
        done = now
        settled = waiting - queue.open_keys(job.id)
        for name in set(folder.names("failed")) - read:
            failures |= json.loads(folder.get(name) or b"{}")
            read.add(name)
        failures |= queue.quarantined(job.id)
        waiting -= settled
        if settled:
            progress.stage("Speaking")
        progress.advance(work.units(settled))
        why = {key: failures[key] for key in settled if key in failures}
        whole = assemble(work.settle(settled, why)) and whole
    return whole


def _keep(folder: Folder, work: Spoken) -> None:
    """Names what the job needs, so that nobody deletes it."""
    folder.put(TAKES, json.dumps(work.keys()).encode())


def _upload(out: Path, folder: Folder) -> None:
    """Puts what was delivered into the store; what an earlier attempt put there goes."""
    files = {
        f"{OUT}/{path.relative_to(out).as_posix()}": path
        for path in sorted(out.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
    for name, path in files.items():
        folder.put(name, path)
    for name in set(folder.names(OUT)) - files.keys():
        folder.delete(name)
