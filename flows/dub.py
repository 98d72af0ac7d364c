"""The flow from a subtitle file and a voice sample to a dub."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console

from configs.settings import Settings
from flows.dub_delivery import Dubbed, deliver_dub
from flows.dub_voices import with_cut_voices
from flows.dub_work import DubOrder, DubWork, plan_dubbing
from flows.embedded import EmbeddedApi
from flows.progress import Facts, RunProgress
from flows.work import check_folder, remembered_speed

if TYPE_CHECKING:
    from model.speaking import VoiceEngine


def make_dub(
    order: DubOrder,
    console: Console,
    load_engine: Callable[[Settings], "VoiceEngine"],
    tell: Callable[[Facts], None] | None = None,
) -> Dubbed:
    """Makes the dub, or what is missing of it; `tell` is told how far it is. Prefect's API starts
    meanwhile, as for a book."""
    settings = order.settings
    progress = RunProgress(console, remembered_speed(settings), tell)
    with progress.shown():
        api = EmbeddedApi(settings.home / "prefect", settings.log_file.with_name("prefect.log"))
        try:
            check_folder(order.out)
            plan = plan_dubbing(order, progress)
            progress.stage("Loading the voice model")
            engine = load_engine(settings)
            work = DubWork(order, with_cut_voices(order, plan, engine, progress), engine, progress)
            progress.stage("Starting Prefect")
            return _run_flow(work, lambda: api.wait(settings.prefect_timeout))
        finally:
            api.stop()


def _run_flow(work: DubWork, ready: Callable[[], None]) -> Dubbed:
    """Runs the steps as Prefect tasks: one for a batch of lines, and one for all that follows.

    Takes travel through the store, never through Prefect.
    """
    # Here and not above: importing Prefect takes seconds, which the API's start needs anyway.
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.events.clients import NullEventsClient
    from prefect.events.worker import EventsWorker

    # Nobody listens to events on one machine, and the store knows what has been made.
    EventsWorker.set_client_override(NullEventsClient)

    @task(name="render", task_run_name="render-{number}", cache_policy=NO_CACHE)
    def render(number: int) -> None:
        work.render(number)

    @task(name="deliver", cache_policy=NO_CACHE)
    def deliver() -> Dubbed:
        return deliver_dub(work)

    @flow(name="dub", validate_parameters=False)
    def dub(title: str) -> Dubbed:
        for batch in range(len(work.batches)):
            render(batch)
        return deliver()

    ready()
    return dub(work.title)
