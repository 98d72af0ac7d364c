"""`voxloom jobs`: what the pool has to do, how far it is, and what it has made."""

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from configs.errors import UserError
from flows.options import DebugOption
from flows.start import start, terminal

if TYPE_CHECKING:
    from flows.jobs import Pool
    from storage.queue import Counts, Job, JobState, WorkerSeen

ALIVE_SECONDS = 60.0  # since the last sign of life of what is said to be working
_LISTED = 50

jobs_app = typer.Typer(help="What the pool has to do, and has done.", invoke_without_command=True)

JobArgument = Annotated[str, typer.Argument(metavar="ID", help="The job, or the beginning of it.")]


@jobs_app.callback()
def jobs(
    context: typer.Context,
    debug: DebugOption = False,
) -> None:
    """List the jobs of the pool: what waits, what is being made, what is done.

    [bold]Example[/]

    voxloom jobs
    """
    if context.invoked_subcommand is not None:
        return
    pool = _pool()
    from rich.console import Console
    from rich.table import Table

    signs = pool.queue.workers()
    rows = Table("job", "state", "priority", "title", "done", "left", box=None, pad_edge=False)
    for job in pool.queue.jobs()[-_LISTED:]:
        counts = pool.queue.counts(job.id)
        told = _told(job, signs)
        rows.add_row(
            job.id,
            _state(job),
            _priority(job),
            job.title,
            _share(job, counts),
            str(told.get("left", "")),
        )
    Console(highlight=False).print(rows)
    alive = [one for one in signs if one.facts.get("kind") == "worker" and _alive(one)]
    busy = sum(bool(one.facts.get("busy")) for one in alive)
    terminal().print(f"{len(alive)} workers, {busy} of them busy")


@jobs_app.command("show")
def jobs_show(given: JobArgument, debug: DebugOption = False) -> None:
    """Show how far a job is, who works on it, and what was set aside."""
    pool = _pool()
    job = _find(pool, given)
    counts = pool.queue.counts(job.id)
    signs = pool.queue.workers()
    told = _told(job, signs)
    typer.echo(f"job       {job.id} ({job.kind})")
    typer.echo(f"title     {job.title}")
    typer.echo(f"state     {_state(job)}")
    typer.echo(f"priority  {_priority(job)}, pool {job.pool}")
    typer.echo(f"submitted {_when(job.created)}")
    if job.started:
        typer.echo(f"begun     {_when(job.started)}, {job.attempt} times")
    if job.finished:
        typer.echo(f"ended     {_when(job.finished)}")
    if told:
        left = f", {told['left']} left" if told.get("left") else ""
        typer.echo(f"doing     {told.get('stage', '')}, {100 * told.get('share', 0):.0f} %{left}")
    typer.echo(f"spoken    {counts.lines_done} of {counts.lines_total} lines, as far as queued")
    for one in signs:
        if one.facts.get("job") == job.id and one.facts.get("kind") == "worker" and _alive(one):
            typer.echo(f"worker    {one.owner} ({one.facts.get('device')}): {_doing(one)}")
    for key, reason in pool.queue.quarantined(job.id).items():
        typer.echo(f"set aside {key[:16]}: {reason}")
    if job.error:
        typer.echo(f"error     {job.error}")
    typer.echo(f"folder    {pool.folder(job.id).url}")


@jobs_app.command("cancel")
def jobs_cancel(given: JobArgument, debug: DebugOption = False) -> None:
    """Stop a job for good; what is spoken stays in the store."""
    _move(given, "cancelled", "is cancelled; what is spoken is kept")


@jobs_app.command("pause")
def jobs_pause(given: JobArgument, debug: DebugOption = False) -> None:
    """Stop a job until it is resumed; batches that are being spoken are finished."""
    _move(given, "paused", "is paused; go on with: voxloom jobs resume")


@jobs_app.command("resume")
def jobs_resume(given: JobArgument, debug: DebugOption = False) -> None:
    """Go on with a job that is paused."""
    _move(given, "waiting", "goes on", ("paused",))


@jobs_app.command("retry")
def jobs_retry(given: JobArgument, debug: DebugOption = False) -> None:
    """Run a job again that failed, was cancelled or is finished; only what is missing is made."""
    _move(given, "waiting", "runs again", ("failed", "cancelled", "finished"))


@jobs_app.command("fetch")
def jobs_fetch(
    given: JobArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where to; a folder named after the job."),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Bring the files that a job has made.

    [bold]Example[/]

    voxloom jobs fetch alice-1a2b3c4d --out alice/
    """
    pool = _pool()
    from flows.jobs import OUT

    job = _find(pool, given)
    folder = pool.folder(job.id)
    names = folder.names(OUT)
    if not names and job.state == "finished":
        raise UserError(
            f"{job.id} has no files in the store: who submitted it with --on-pool made them, "
            "in his own --out folder"
        )
    if not names:
        raise UserError(f"{job.id} has made nothing yet: it is {job.state}")
    target = out or Path(job.id)
    for name in names:
        folder.fetch(name, target / name.removeprefix(f"{OUT}/"))
    terminal().print(f"[green]{target}[/]: {len(names)} files")


@jobs_app.command("remove")
def jobs_remove(
    given: JobArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; else only what would go is said.")] = (
        False
    ),
    debug: DebugOption = False,
) -> None:
    """Remove a job that has ended from the pool: its order, inputs and files in the store.

    What is spoken stays until voxloom store gc finds that nobody needs it.

    [bold]Example[/]

    voxloom jobs remove alice-1a2b3c4d --yes
    """
    pool = _pool()
    from flows.jobs import remove
    from storage.queue import ENDED

    job = _find(pool, given)
    if job.state not in ENDED:
        raise UserError(f"{job.id} is {job.state}; cancel it first: voxloom jobs cancel {job.id}")
    if not yes:
        count = len(pool.folder(job.id).names())
        terminal().print(f"{job.title} ({job.id}): {count} files would go; do it with --yes")
        return
    terminal().print(f"{job.id} is removed: {remove(pool, job.id)} files")


@jobs_app.command("recover")
def jobs_recover(debug: DebugOption = False) -> None:
    """Fill the queue from the store again, after the queue's database was lost."""
    pool = _pool()
    from flows.jobs import recover

    count, problems = recover(pool)
    for problem in problems:
        terminal().print(f"[yellow]warning:[/] {problem}")
    terminal().print(f"{count} jobs are in the queue again; the reconciler starts them")


def started(job: "Job") -> str:
    """Starts a run for a job, or leaves that to the reconciler; a sentence about it."""
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    from flows.reconciler import api_errors, dispatch

    due = f"not before {_when(job.not_before)}" if job.not_before > time.time() else "at once"
    if get_current_settings().api.url:
        try:
            with get_client(sync_client=True) as client:
                dispatch(client, job)
            return f"{job.title} is handed to the pool {job.pool}, {due}"
        except api_errors():
            due = "as soon as Prefect's server is there again"
    return f"{job.title} is in the queue; the pool {job.pool} begins it {due}"


def _move(given: str, state: "JobState", what: str, before: tuple[str, ...] = ()) -> None:
    pool = _pool()
    from flows.jobs import write_state

    job = _find(pool, given)
    if (before and job.state not in before) or not pool.queue.set_state(job.id, state):
        raise UserError(f"{job.id} is {job.state}, so it can't be {state} now")
    write_state(pool.folder(job.id), state)
    typer.echo(f"{job.id} {what}")
    if state == "waiting":
        terminal().print(started(pool.queue.job(job.id)))


def _pool() -> "Pool":
    settings = start()
    from flows.jobs import open_pool

    return open_pool(settings)


def _find(pool: "Pool", given: str) -> "Job":
    """The job of an id, or the only one whose id begins so."""
    matching = [job for job in pool.queue.jobs() if job.id.startswith(given)]
    exact = [job for job in matching if job.id == given]
    if len(exact or matching) > 1:
        raise UserError(f"{given} may be {', '.join(job.id for job in matching)}")
    return (exact or matching)[0] if matching else pool.queue.job(given)


def _told(job: "Job", signs: "list[WorkerSeen]") -> dict[str, Any]:
    """What the run of a job says of itself."""
    for one in signs:
        if one.facts.get("kind") == "job" and one.facts.get("job") == job.id and _alive(one):
            return one.facts if job.state == "running" else {}
    return {}


def _alive(sign: "WorkerSeen") -> bool:
    return time.time() - sign.seen < ALIVE_SECONDS


def _doing(worker: "WorkerSeen") -> str:
    if error := worker.facts.get("error"):
        return f"in trouble: {error}"
    return f"batch {worker.facts.get('batch')}" if worker.facts.get("busy") else "idle"


def _state(job: "Job") -> str:
    if job.state == "waiting" and job.not_before > time.time():
        return f"waiting until {_when(job.not_before)}"
    return job.state


def _priority(job: "Job") -> str:
    return {1: "high", 2: "normal"}.get(job.priority, "low")


def _share(job: "Job", counts: "Counts") -> str:
    if job.state == "finished":
        return "100 %"
    if not counts.units_total:
        return ""
    return f"{100 * counts.units_done / counts.units_total:.0f} %"


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
