"""`voxloom pool`: this machine works for the pool."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from configs.errors import UsageError
from flows.options import DebugOption
from flows.start import start, terminal

ROOT = Path(__file__).resolve().parent.parent
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds before a process that ended is started again
_WELL_SECONDS = 60.0  # after so long, a process is no longer one that can't start
_STOP_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1

pool_app = typer.Typer(help="This machine works for the pool.")


@dataclass
class _Child:
    """A process of Prefect's that this one keeps alive."""

    name: str
    queues: tuple[str, ...]
    limit: int
    device: str | None = None  # what CUDA_VISIBLE_DEVICES says
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    begun: float = field(default=0.0, init=False)
    pause: float = field(default=0.0, init=False)

    def keep(self, pool: str) -> None:
        """Starts the process unless it runs, later and later where it can't be started."""
        now = time.monotonic()
        if self.process and self.process.poll() is None:
            return
        if self.process:
            well = now - self.begun > _WELL_SECONDS
            self.pause = FIRST_PAUSE if well else min(max(2 * self.pause, 1.0), LONGEST_PAUSE)
            terminal().print(f"{self.name} ended; it is started again in {self.pause:.0f} s")
            self.process, self.begun = None, now + self.pause
        if now >= self.begun:
            self.begun = now
            self.process = subprocess.Popen(
                self._command(pool),
                env=self._environment(),
                preexec_fn=_die_with_parent,
                start_new_session=True,
            )

    def _command(self, pool: str) -> list[str]:
        command = [sys.executable, "-m", "prefect", "worker", "start", "--type", "process"]
        command += ["--pool", pool, "--name", self.name, "--limit", str(self.limit)]
        for queue in self.queues:
            command += ["--work-queue", queue]
        return command

    def _environment(self) -> dict[str, str]:
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        if self.device is not None:
            environment["CUDA_VISIBLE_DEVICES"] = self.device
        return environment


@pool_app.command("deploy")
def pool_deploy(debug: DebugOption = False) -> None:
    """Make the work pool and its flows known to the Prefect server; voxloom pool work does it, too.

    [bold]Example[/]

    voxloom pool deploy
    """
    settings = start()
    from prefect.client.orchestration import get_client

    from flows.jobs import open_pool
    from flows.reconciler import check_api, deploy

    check_api()
    open_pool(settings)
    with get_client(sync_client=True) as client:
        deploy(client, settings.pool)
    terminal().print(f"The pool {settings.pool} is ready; voxloom pool work gives it workers")


@pool_app.command("work")
def pool_work(
    devices: Annotated[
        str,
        typer.Option(
            "--devices",
            metavar="LIST",
            help="The GPUs that speak, as in 0,1, each with a worker of its own, or 0,0 for two on "
            "one GPU; cpu:2 for two workers on the CPU; none. By default all GPUs, or one worker "
            "on the CPU.",
        ),
    ] = "",
    books: Annotated[
        int,
        typer.Option(
            "--books",
            min=0,
            help="How many jobs are planned and put together here at once; one machine of the "
            "pool must do that. With many short books, workers have nothing to do if it is few.",
        ),
    ] = 4,
    name: Annotated[
        str,
        typer.Option(
            "--name",
            metavar="NAME",
            help="What this machine is called in the pool; its host name by default.",
        ),
    ] = "",
    debug: DebugOption = False,
) -> None:
    """Work for the pool until Ctrl-C: speak batches, plan books and put them together.

    VOXLOOM_STORE and VOXLOOM_QUEUE say where the pool's store and queue are, PREFECT_API_URL where
    its Prefect server is. What dies is started again.

    [bold]Examples[/]

    voxloom pool work

    voxloom pool work --devices cpu:2 --books 1
    """
    slots = _slots(devices)
    settings = start()
    from prefect.client.orchestration import get_client

    from flows.jobs import open_pool
    from flows.reconciler import (
        ALL_QUEUES,
        GPU_SLOT,
        SERVICE,
        WORKERS,
        api_errors,
        check_api,
        deploy,
    )

    check_api()
    open_pool(settings)
    host = name or socket.gethostname()
    children = [
        _Child(f"{GPU_SLOT}{host}-{number}", (WORKERS,), 1, device)
        for number, device in enumerate(slots)
    ]
    rest = tuple(queue for queue in ALL_QUEUES if queue not in (WORKERS, SERVICE))
    if books:
        children.append(_Child(f"books-{host}", rest, books))
        # The reconciler must not wait until a book is done.
        children.append(_Child(f"service-{host}", (SERVICE,), 1))
    _interrupt_on_sigterm()
    pause = FIRST_PAUSE
    try:
        while True:
            try:
                with get_client(sync_client=True) as client:
                    deploy(client, settings.pool)
                break
            except api_errors() as error:
                terminal().print(f"Waiting for Prefect's server ({error}) ...", markup=False)
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        terminal().print(f"{len(slots)} workers for the pool {settings.pool}; Ctrl-C stops them")
        while True:
            for child in children:
                child.keep(settings.pool)
            time.sleep(0.5)
    finally:
        _stop(children)


def _slots(devices: str) -> list[str]:
    """What CUDA_VISIBLE_DEVICES says for each worker; "" is the CPU."""
    if devices == "none":
        return []
    name, _, count = devices.partition(":")
    if name == "cpu":
        if count and not count.isdigit():
            raise UsageError("--devices cpu:N wants a number of workers, as in cpu:2")
        return [""] * int(count or 1)
    if devices:
        return [device.strip() for device in devices.split(",")]
    import torch

    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return visible.split(",")
    return [str(number) for number in range(torch.cuda.device_count())] or [""]


def _stop(children: list[_Child]) -> None:
    """Tells all to end, and ends those that don't."""
    running = [child.process for child in children if child.process]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for process in running:
        try:
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _interrupt_on_sigterm() -> None:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def _die_with_parent() -> None:
    """In a child: it ends when we are killed, so that nobody works unseen (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
