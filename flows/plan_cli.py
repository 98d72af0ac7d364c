"""`voxloom plan`: what an audiobook would need, before anything is made."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from flows.orders import Order
from flows.progress import (
    FINISHING_SPEED,
    SPOKEN_PHONES_PER_SECOND,
    RunProgress,
    spoken_time,
)
from flows.script import Script
from flows.start import terminal
from flows.work import measured_speed, plan_book, remembered_speed
from storage.derived import DerivedFiles
from storage.objects import ObjectStore
from storage.runs import Runs
from tasks.changes import REASONS, Change, count_reasons, find_changes

if TYPE_CHECKING:
    from configs.settings import Settings
    from model.speaking import VoiceEngine
    from tasks.read_book import Book

LISTED = 20  # changes that are told one by one


def show_plan(order: Order, load_engine: "Callable[[Settings], VoiceEngine]") -> None:
    """Prints what is to be made of each chapter, how long that takes, and why. Writes nothing."""
    settings = order.settings
    progress = RunProgress(terminal(), remembered_speed(settings))
    with progress.shown():
        plan = plan_book(order, progress)
        progress.stage("Loading the voice model")
        script = Script(order, plan, load_engine(settings))
        progress.stage("Looking at what there is")
        missing = set(ObjectStore(settings.store_url).missing(line.key for line in script))
    before = Runs(settings.runs).last(order.out.absolute())
    changes = find_changes(before.lines if before else (), script.record(), missing)
    derived = DerivedFiles(settings.derived)
    speed = remembered_speed(settings)
    table = Table(
        "chapter", "utterances", "to make", "reused", "file", "time", box=None, pad_edge=False
    )
    made: set[str] = set()
    everything = left = again = 0
    for number in sorted(plan.chapters):
        lines = script.chapter(number)
        own = {line.key: line for line in lines if line.key in missing and line.key not in made}
        made |= own.keys()
        phones = sum(len(line.utterance.phones) for line in own.values())
        left += phones
        everything += sum(len(line.utterance.phones) for line in lines)
        kept = derived.get(script.chapter_key(number), ".flac") is not None
        again += not kept
        table.add_row(
            _title(plan.book, number),
            str(len(lines)),
            str(len(own)),
            str(len(lines) - len(own)),
            "kept" if kept else "again",
            spoken_time(phones / speed) if phones else "",
        )
    Console(highlight=False).print(table)
    finishing = everything / SPOKEN_PHONES_PER_SECOND / FINISHING_SPEED
    typer.echo(
        f"\n{len(made)} utterances to make, about {spoken_time(left / speed + finishing)} "
        f"({'measured' if measured_speed(settings) else 'assumed'} speed: {speed:.0f} sounds a "
        f"second); {again} of {len(plan.chapters)} chapters to assemble"
    )
    if before is None:
        typer.echo(f"Nothing was made into {order.out} before.")
        return
    for why, count in count_reasons(changes).items():
        typer.echo(f"{count:6} {REASONS[why]}")
    for change in changes[:LISTED]:
        typer.echo(_told(change))
    if len(changes) > LISTED:
        typer.echo(f"... and {len(changes) - LISTED} more")


def _title(book: "Book", number: int) -> str:
    """A chapter's number and title; credits are chapters of no book."""
    title = book.chapters[number].title if 0 <= number < len(book.chapters) else "credits"
    return f"{number + 1:3}  {title}" if title else f"{number + 1:3}"


def _told(change: Change) -> str:
    where = f"Chapter {change.chapter + 1}, utterance {change.index + 1}, {REASONS[change.why]}"
    was = f"“{change.before}” is now " if change.before else ""
    return f"{where}: {was}“{change.text}”"
