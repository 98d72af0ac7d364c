"""The flow from an EPUB and a voice sample to an audiobook."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console

from configs.settings import Settings
from flows.delivery import AssembledChapter, Delivered
from flows.embedded import EmbeddedApi
from flows.orders import Order
from flows.progress import Facts, RunProgress
from flows.work import Work, check_folder, plan_book, remembered_speed

if TYPE_CHECKING:
    from model.speaking import VoiceEngine


def make_audiobook(
    order: Order,
    console: Console,
    load_engine: Callable[[Settings], "VoiceEngine"],
    tell: Callable[[Facts], None] | None = None,
) -> Delivered:
    """Makes the audiobook, or what is missing of it; `tell` is told how far it is.

    Prefect's API takes 10 to 20 seconds to start; it does so in a process of its own while the
    book is read and the model loaded.
    """
    settings = order.settings
    progress = RunProgress(console, remembered_speed(settings), tell)
    with progress.shown():
        api = EmbeddedApi(settings.home / "prefect", settings.log_file.with_name("prefect.log"))
        try:
            plan = plan_book(order, progress)
            check_folder(order.out)
            progress.stage("Loading the voice model")
            work = Work(order, plan, load_engine(settings), progress)
            progress.stage("Starting Prefect")
            return _run_flow(work, lambda: api.wait(settings.prefect_timeout))
        finally:
            api.stop()


def _run_flow(work: Work, ready: Callable[[], None]) -> Delivered:
    """Runs the steps of a work as Prefect tasks.

    One task covers a batch of utterances, which keeps orchestration under 1 % of the time. Takes
    travel through the store, never through Prefect: tasks pass numbers and paths.
    """
    # Here and not above: importing Prefect takes seconds, which the API's start needs anyway.
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.events.clients import NullEventsClient
    from prefect.events.worker import EventsWorker
    from prefect.task_runners import ThreadPoolTaskRunner

    # Nobody listens to events on one machine, and the store knows what has been made.
    EventsWorker.set_client_override(NullEventsClient)

    @task(name="render", task_run_name="render-{number}", cache_policy=NO_CACHE)
    def render(number: int) -> list[int]:
        return work.render(number)

    @task(name="assemble", task_run_name="assemble-{number}", cache_policy=NO_CACHE)
    def assemble(number: int) -> AssembledChapter:
        return work.assemble(number)

    @task(name="deliver", cache_policy=NO_CACHE)
    def deliver(numbers: list[int]) -> Delivered:
        return work.deliver([assembled[number].result() for number in numbers])

    assembled = {}

    # One thread beside the renderer: chapters are put together while later ones are spoken.
    @flow(
        name="audiobook",
        task_runner=ThreadPoolTaskRunner(max_workers=1),  # type: ignore[arg-type]  # invariant
        validate_parameters=False,
    )
    def audiobook(title: str) -> Delivered:
        for number in work.ready_chapters():
            assembled[number] = assemble.submit(number)
        for batch in range(len(work.batches)):
            for number in render(batch):
                assembled[number] = assemble.submit(number)
        return deliver(sorted(assembled))

    ready()
    return audiobook(work.title)
