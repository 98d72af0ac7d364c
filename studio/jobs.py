"""The queue of jobs: each runs the very command of the command line, in a process of its own; where
there is a pool, that command has the pool's workers speak.

jobs/ID/job.json     what was asked for and how it stands, written whole or not at all
jobs/ID/out/         what the command makes
jobs/ID/log.txt      what it said last
jobs/ID/lock         held by the command as long as it runs, even when Studio is gone

A server or a browser that goes away loses nothing: the store keeps every take, so a job that is run
again goes on where it was.
"""

import asyncio
import fcntl
import json
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from fastapi import HTTPException
from pydantic import ValidationError

from configs.errors import UserError
from configs.settings import Settings
from flows.jobs import cancel, job_of_folder
from storage.files import write_whole
from studio.models import BookOrder, DubOrder, Job, JobState, Progress, UploadKind
from studio.uploads import Uploads
from tasks.beside import disk_error

PROGRAM = (sys.executable, "-P", "-m", "flows.cli")
ROOT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 20.0  # a command that does not end by itself in that time is killed
CAST_FILE = "cast.yaml"
TRANSCRIPT = "transcript.txt"
_STOPPED: tuple[JobState, ...] = ("paused", "failed", "cancelled", "finished")
_INTERRUPTED = 130

log = logging.getLogger(__name__)


class Jobs(Protocol):
    """A way to have books and dubs made."""

    def submit(self, order: BookOrder | DubOrder, title: str) -> Job: ...

    def all(self) -> list[Job]: ...

    def show(self, id: str) -> Job: ...

    def folder(self, id: str) -> Path: ...

    def pause(self, id: str) -> Job: ...

    def resume(self, id: str) -> Job: ...

    def cancel(self, id: str) -> Job: ...

    def changed(self, id: str) -> Job: ...

    def remove(self, id: str) -> None: ...

    def events(self) -> AsyncIterator[tuple[str, str]]: ...


class LocalJobs:
    """Jobs of this machine, one at a time, in the order in which they were queued; `pool` are the
    settings of the pool whose workers speak, if there is one."""

    def __init__(
        self,
        folder: Path,
        uploads: Uploads,
        program: Sequence[str] = PROGRAM,
        pool: Settings | None = None,
    ) -> None:
        self._folder = folder
        self._uploads = uploads
        self._program = tuple(program)
        self._pool = pool
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Condition(threading.RLock())
        self._watchers: list[_Watcher] = []
        self._child: subprocess.Popen[str] | None = None
        self._wanted: dict[str, JobState] = {}  # what a running job shall be once it has stopped
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="studio jobs", daemon=True)

    def start(self) -> None:
        """Reads the jobs of before and goes on with those that ran or waited."""
        for path in sorted(self._folder.glob("*/job.json")):
            try:
                job = Job.model_validate(json.loads(path.read_bytes()) | {"progress": None})
            except (OSError, ValueError, ValidationError) as error:
                log.warning("the job %s is damaged and left out: %s", path, error)
                continue
            if job.state == "running":
                job = job.model_copy(update={"state": "queued"})
            self._jobs[job.id] = job
        self._thread.start()

    def stop(self) -> None:
        """Ends what runs; it goes on at the next start."""
        with self._lock:
            self._closing = True
            self._lock.notify_all()
            self._interrupt()
        if self._thread.is_alive():
            self._thread.join(2 * STOP_SECONDS)
        for watcher in list(self._watchers):
            watcher.close()

    def submit(self, order: BookOrder | DubOrder, title: str) -> Job:
        now = time.time()
        job = Job(
            id=secrets.token_hex(16),
            kind=order.kind,
            title=title,
            state="queued",
            order=order,
            added=now,
            queued=now,
            finished=None,
            progress=None,
            error="",
            listenable=False,
            changes=0,
        )
        return self._put(job)

    def all(self) -> list[Job]:
        with self._lock:
            return sorted(self._jobs.values(), key=lambda job: job.added)

    def show(self, id: str) -> Job:
        with self._lock:
            if id not in self._jobs:
                raise HTTPException(404, "There is no such job.")
            return self._jobs[id]

    def folder(self, id: str) -> Path:
        """Where a job's files are."""
        return self._folder / self.show(id).id

    def pause(self, id: str) -> Job:
        return self._stopped(id, "paused", ("queued", "running"))

    def cancel(self, id: str) -> Job:
        return self._stopped(id, "cancelled", ("queued", "running", "paused", "failed"))

    def resume(self, id: str) -> Job:
        with self._lock:
            job = self.show(id)
            if job.state in ("queued", "running") and not self._wanted.pop(id, None):
                return job
            return self._put(
                job.model_copy(update={"state": "queued", "queued": time.time(), "error": ""})
            )

    def changed(self, id: str) -> Job:
        """One edit more waits for the next run."""
        with self._lock:
            job = self.show(id)
            return self._put(job.model_copy(update={"changes": job.changes + 1}))

    def remove(self, id: str) -> None:
        with self._lock:
            job = self.show(id)
            if job.state not in _STOPPED:
                raise HTTPException(409, "Stop the job before you remove it.")
            self._leave_pool(id)
            # Without its record it is no job any more, whatever happens to the rest.
            (self._folder / id / "job.json").unlink(missing_ok=True)
            shutil.rmtree(self._folder / id, ignore_errors=True)
            del self._jobs[id]
            self._tell("removed", id)

    async def events(self) -> AsyncIterator[tuple[str, str]]:
        """(event, data) for server-sent events: every job as it is, then what changes."""
        watcher = _Watcher(asyncio.get_running_loop())
        with self._lock:
            self._watchers.append(watcher)
            for job in self.all():
                watcher.tell("job", job.id)
        try:
            while True:
                for event, id in await watcher.next():
                    if event == "removed":
                        yield event, id
                    elif id in self._jobs:
                        yield event, self._jobs[id].model_dump_json()
                if watcher.closed:
                    return
        finally:
            with self._lock:
                self._watchers.remove(watcher)

    def _stopped(self, id: str, state: JobState, within: Sequence[JobState]) -> Job:
        with self._lock:
            job = self.show(id)
            if job.state not in within:
                raise HTTPException(409, f"The job is {job.state}; it can't be {state} now.")
            if job.state == "running":
                self._wanted[id] = state
                self._interrupt()
                return job
            if state == "cancelled":
                self._leave_pool(id)
            return self._put(job.model_copy(update={"state": state, "progress": None}))

    def _leave_pool(self, id: str) -> None:
        """Cancels the pool's part of a job, without waiting for a queue that may be away."""
        if self._pool is None:
            return
        try:
            job = job_of_folder(self._folder / id / "out")
        except (UserError, OSError) as error:
            log.warning("the job %s in the pool is not known: %s", id, error)
            return
        if job:
            threading.Thread(target=_cancel, args=(self._pool, job), daemon=True).start()

    def _put(self, job: Job) -> Job:
        """Keeps a job that has changed, tells everybody, and wakes the worker."""
        with self._lock:
            before = self._jobs.get(job.id)
            self._jobs[job.id] = job
            # How far it is changes too often to be written each time, and is found out anew.
            if before is None or _record(before) != _record(job):
                self._write(job, new=before is None)
            self._tell("job", job.id)
            self._lock.notify_all()
            return job

    def _write(self, job: Job, new: bool) -> None:
        path = self._folder / job.id / "job.json"
        try:
            data = json.dumps(_record(job), ensure_ascii=False, indent=1).encode()
            write_whole(path, data)
        except OSError as error:
            if new:
                del self._jobs[job.id]
                raise disk_error(error, path) from error
            # The queue must go on; the next change of the job writes it again.
            log.error("the job %s can't be written: %s", path, error)

    def _tell(self, event: str, id: str) -> None:
        for watcher in self._watchers:
            watcher.tell(event, id)

    def _interrupt(self) -> None:
        if self._child is not None:
            with suppress(ProcessLookupError):
                self._child.send_signal(signal.SIGINT)
                threading.Thread(target=_ended, args=(self._child,), daemon=True).start()

    def _next(self) -> Job | None:
        waiting = [job for job in self._jobs.values() if job.state == "queued"]
        return min(waiting, key=lambda job: job.queued, default=None)

    def _work(self) -> None:
        """The worker: runs what is queued, one by one, until Studio closes."""
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._closing or self._next() is not None)
                job = self._next()
                if self._closing or job is None:
                    return
                job = self._put(job.model_copy(update={"state": "running", "progress": None}))
            try:
                update = self._run(job)
            except (HTTPException, OSError) as error:
                why = error.detail if isinstance(error, HTTPException) else str(error)
                update = {"state": "failed", "error": why}
            with self._lock:
                if self._closing:
                    return  # it is still "running" in its file, so that the next start goes on
                wanted = self._wanted.pop(job.id, None)
                now = self._jobs[job.id]
                if wanted == "cancelled":
                    self._leave_pool(job.id)
                if wanted and update["state"] != "finished":
                    update = {"state": wanted, "error": ""}
                elif now.state == "queued":  # it was resumed while it stopped
                    continue
                elif update["state"] == "finished":
                    later = now.changes - job.changes
                    update |= {"finished": time.time(), "listenable": True, "changes": later}
                self._put(now.model_copy(update={"progress": None} | update))

    def _run(self, job: Job) -> dict[str, object]:
        """Runs a job's command to its end; what is to be said of the job then."""
        folder = self._folder / job.id
        command = [*self._program, *command_of(job, folder, self._uploads), "--progress-json"]
        if self._pool is not None:
            command.append("--on-pool")
        with (folder / "lock").open("w") as lock, (folder / "log.txt").open("w") as said:
            self._locked(lock.fileno())
            with self._lock:
                if self._closing or job.id in self._wanted:
                    return {"state": "failed", "error": ""}
                self._child = child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    text=True,
                    encoding="utf-8",
                    cwd=folder,
                    env=os.environ | {"PYTHONPATH": _python_path(), "PYTHONIOENCODING": "utf-8"},
                    pass_fds=[lock.fileno()],
                    start_new_session=True,  # Ctrl-C in the terminal is for Studio
                )
            assert child.stdout is not None
            try:
                for line in child.stdout:
                    self._note(job.id, line)
            finally:
                child.stdout.close()
                status = child.wait()
                with self._lock:
                    self._child = None
        if status == 0:
            return {"state": "finished", "error": ""}
        if status == _INTERRUPTED and job.id not in self._wanted:
            return {"state": "paused", "error": ""}  # somebody else stopped it
        message = _last_words(folder / "log.txt") or f"The command ended with status {status}."
        message = message.replace(str(folder / "out"), "the results")
        return {"state": "failed", "error": self._uploads.without_paths(message, uploads_of(job))}

    def _locked(self, handle: int) -> None:
        """Waits for a command that a Studio which was killed has left behind; it ends by itself
        as soon as it has something to say."""
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                with self._lock:
                    if self._closing:
                        return
                    self._lock.wait(0.2)

    def _note(self, id: str, line: str) -> None:
        try:
            progress = Progress.model_validate_json(line)
        except ValidationError:
            return  # something else that the command prints
        with self._lock:
            job = self._jobs[id]
            heard = job.listenable or any(one.done >= 1 for one in progress.chapters)
            self._put(job.model_copy(update={"progress": progress, "listenable": heard}))


class _Watcher:
    """A browser that wants to know. What it has not been told yet is kept once for each job."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[str, str] = {}
        self._ready = asyncio.Event()
        self._guard = threading.Lock()
        self.closed = False

    def tell(self, event: str, id: str) -> None:
        with self._guard:
            self._waiting[id] = event
        self._wake()

    def close(self) -> None:
        self.closed = True
        self._wake()

    async def next(self) -> list[tuple[str, str]]:
        """Waits for news: events with the ids of their jobs."""
        await self._ready.wait()
        self._ready.clear()
        with self._guard:
            told = [(event, id) for id, event in self._waiting.items()]
            self._waiting.clear()
        return told

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._ready.set)


def command_of(job: Job, folder: Path, uploads: Uploads) -> list[str]:
    """The arguments of the command line that make a job. Options stick to their values, so that
    nothing a client has written is taken for an option."""
    order = job.order
    options: dict[str, str] = {
        "--out": str(folder / "out"),
        "--seed": str(order.seed),
        "--language": order.language,
        "--model": order.model,
    }
    if order.voice is not None:
        voice = order.voice
        options["--voice"] = (
            str(uploads.path(voice.upload, "voice")) if voice.upload else voice.name
        )
        if voice.transcript is not None:
            # As a file: what a client writes could be the name of one.
            write_whole(folder / TRANSCRIPT, voice.transcript.encode())
            options["--transcript"] = str(folder / TRANSCRIPT)
    if isinstance(order, DubOrder):
        command = ["dub", str(uploads.path(order.subtitles, *SUBTITLED))]
        options |= {"--mode": order.mode, "--loudness": order.loudness}
        if order.video:
            options["--video"] = str(uploads.path(order.video, "video"))
    else:
        command = ["audiobook", str(uploads.path(order.book, "book"))]
        options |= {
            "--chapters": ",".join(map(str, order.chapters)),
            "--include": ",".join(order.include),
            "--exclude": ",".join(order.exclude),
            "--notes": order.notes,
            "--formats": ",".join(order.formats),
            "--mastering": order.mastering,
            "--layout": order.layout,
        }
        if (folder / "out" / CAST_FILE).exists():
            options["--cast"] = str(folder / "out" / CAST_FILE)
        if order.credits is not None:
            command.append("--credits" if order.credits else "--no-credits")
    return command + [f"{name}={value}" for name, value in options.items() if value]


SUBTITLED: tuple[UploadKind, ...] = (
    "subtitles",
    "video",
)  # kinds that may hold subtitles


def uploads_of(job: Job) -> list[str]:
    """The ids of the uploads that a job needs."""
    order = job.order
    ids = [order.book] if isinstance(order, BookOrder) else [order.subtitles, order.video]
    return [id for id in (*ids, order.voice.upload if order.voice else "") if id]


def _record(job: Job) -> dict[str, object]:
    return job.model_dump(mode="json", exclude={"progress"})


def _python_path() -> str:
    """The child finds the packages wherever Studio was started."""
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))


def _ended(child: "subprocess.Popen[str]") -> None:
    """Kills a command that does not end by itself. Nothing is lost: the store is written so."""
    deadline = time.monotonic() + STOP_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    if child.poll() is None:
        child.kill()


def _cancel(pool: Settings, job: str) -> None:
    try:
        cancel(pool, job)
    except (UserError, OSError) as error:  # it stays paused there
        log.warning("the job %s of the pool can't be cancelled: %s", job, error)


def _last_words(path: Path) -> str:
    """What the command said in the end, without its name in front."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line.removeprefix("voxloom: ") for line in lines if line.startswith("voxloom: ")]
    return said[-1] if said else ""
