"""The flow from recordings of a person to a voice in the library that is tuned to them."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console

from configs.settings import Settings
from flows.clone_work import Cloned, CloneOrder, CloneWork, check_order
from flows.embedded import EmbeddedApi
from flows.progress import RunProgress
from flows.work import remembered_speed

if TYPE_CHECKING:
    from model.checkpoint import VoiceModel


def clone_voice(
    order: CloneOrder, console: Console, load_model: Callable[[Settings], "VoiceModel"]
) -> Cloned:
    """Makes the voice, or goes on with it where a run was stopped.

    Prefect's API starts in a process of its own while the model is loaded.
    """
    settings = order.settings
    check_order(order)
    progress = RunProgress(console, remembered_speed(settings))
    with progress.shown():
        api = EmbeddedApi(settings.home / "prefect", settings.log_file.with_name("prefect.log"))
        try:
            progress.stage("Loading the voice model")
            work = CloneWork(order, load_model(settings), progress)
            try:
                progress.stage("Starting Prefect")
                return _run_flow(work, lambda: api.wait(settings.prefect_timeout))
            finally:
                work.close()
        finally:
            api.stop()


def _run_flow(work: CloneWork, ready: Callable[[], None]) -> Cloned:
    """Runs the steps of a work as Prefect tasks, one after the other.

    They leave what they made in the work's folder: no sound travels through Prefect.
    """
    # Here and not above: importing Prefect takes seconds, which the API's start needs anyway.
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.events.clients import NullEventsClient
    from prefect.events.worker import EventsWorker

    # Nobody listens to events on one machine.
    EventsWorker.set_client_override(NullEventsClient)
    steps = [work.read, work.slice, work.transcribe, work.tune, work.measure]
    tasks = [task(name=step.__name__, cache_policy=NO_CACHE)(step) for step in steps]
    register = task(name="register", cache_policy=NO_CACHE)(work.register)

    @flow(name="clone", validate_parameters=False)
    def clone(name: str) -> Cloned:
        for step in tasks:
            step()
        return register()

    ready()
    return clone(work.name)
