"""`voxloom submit`: hand books and films to the pool."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs.errors import UsageError, UserError
from flows.audiobook_cli import (
    CastOption,
    ChaptersOption,
    CreditsOption,
    FormatsOption,
    LanguageOption,
    LayoutOption,
    LexiconOption,
    MasteringOption,
    book_order,
)
from flows.dub_cli import (
    CandidatesOption,
    LoudnessOption,
    ModeOption,
    TrackOption,
    VideoOption,
    dub_order,
)
from flows.inspect_cli import ExcludeOption, ImagesOption, IncludeOption, NotesOption
from flows.options import ConfigOption, DebugOption, ModelOption, SeedOption, TranscriptOption
from flows.start import start, terminal

if TYPE_CHECKING:
    from flows.dub_work import DubOrder
    from flows.orders import Order

BOOKS = frozenset((".epub", ".txt", ".md", ".markdown", ".html", ".htm", ".xhtml"))
SUBTITLES = frozenset((".srt", ".vtt", ".ass", ".ssa"))
FILMS = frozenset((".mkv", ".mp4", ".m4v", ".mov", ".webm", ".avi"))


def submit(
    what: Annotated[
        Path,
        typer.Argument(
            metavar="BOOK|SUBTITLES|FOLDER",
            help="A book, a subtitle file or a video to dub, or a folder of books.",
            show_default=False,
        ),
    ],
    voice: Annotated[
        list[str] | None,
        typer.Option(
            "--voice",
            metavar="SAMPLE",
            help="Audio file with 3 s or more of one person's clear speech, or a registered name.",
            rich_help_panel="Voice",
        ),
    ] = None,
    priority: Annotated[
        str, typer.Option("--priority", metavar="NAME", help="high, normal or low.")
    ] = "normal",
    at: Annotated[
        str,
        typer.Option(
            "--at", metavar="TIME", help="Not before: 22:00 (the next one), or 2026-12-24T22:00."
        ),
    ] = "",
    pool: Annotated[
        str, typer.Option("--pool", metavar="NAME", help="Which workers; VOXLOOM_POOL by default.")
    ] = "",
    chapters: ChaptersOption = "",
    language: LanguageOption = "",
    notes: NotesOption = "skip",
    include: IncludeOption = "",
    exclude: ExcludeOption = "",
    images: ImagesOption = False,
    lexicon: LexiconOption = None,
    formats: FormatsOption = "",
    mastering: MasteringOption = "",
    layout: LayoutOption = "",
    credits: CreditsOption = None,
    video: VideoOption = None,
    subtitle_track: TrackOption = None,
    mode: ModeOption = "dub",
    loudness: LoudnessOption = "",
    candidates: CandidatesOption = 4,
    cast: CastOption = None,
    transcript: TranscriptOption = None,
    model: ModelOption = "",
    seed: SeedOption = 0,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> None:
    """Hand a book, a dub or a folder of books to the pool, which makes what voxloom audiobook and
    voxloom dub make.

    VOXLOOM_STORE and VOXLOOM_QUEUE say where the pool's store and queue are. voxloom jobs shows how
    far a job is, voxloom jobs fetch brings what was made.

    [bold]Examples[/]

    voxloom submit book.epub --voice ada --priority high

    voxloom submit books/ --voice ada --at 22:00

    voxloom submit film.en.srt --voice ada --video film.mkv
    """
    level = _priority(priority)
    due = due_at(at, datetime.now()) if at else 0.0
    settings = start()
    if pool:
        settings = settings.model_copy(update={"pool": pool})
    from flows.jobs import open_pool
    from flows.jobs import submit as put
    from flows.jobs_cli import started

    orders: list[Order | DubOrder] = []
    for path in _books(what):
        if path.suffix.lower() in SUBTITLES | FILMS:
            order: Order | DubOrder = dub_order(
                path, voice, Path("out"), video, language, subtitle_track, mode, loudness,
                lexicon, cast, transcript, model, candidates, seed, config,
            )  # fmt: skip
        elif not voice:
            raise UsageError("a book needs --voice SAMPLE")
        else:
            order = book_order(
                path, voice, Path("out"), chapters, language, (notes, include, exclude, images),
                lexicon, (formats, mastering, layout, credits), cast, transcript, model, seed,
                config,
            )  # fmt: skip
        orders.append(order)
    where = open_pool(settings)
    for order in orders:
        submission = put(where, order, level, due)
        typer.echo(submission.id)
        terminal().print(started(where.queue.job(submission.id)))


def due_at(text: str, now: datetime) -> float:
    """When a job may begin, as Unix time: at the next such time of day, or at a date and time."""
    try:
        if "T" in text or "-" in text:
            return datetime.fromisoformat(text).timestamp()
        wanted = datetime.strptime(text.strip(), "%H:%M").time()
    except ValueError as error:
        raise UsageError(
            f"--at {text} is no time; give it like 22:00 or 2026-12-24T22:00"
        ) from error
    due = datetime.combine(now.date(), wanted)
    return (due if due > now else due + timedelta(days=1)).timestamp()


def _priority(name: str) -> int:
    levels = {"high": 1, "normal": 2, "low": 3}
    if name not in levels:
        raise UsageError(f"--priority knows {', '.join(levels)}, but not {name!r}")
    return levels[name]


def _books(what: Path) -> Iterator[Path]:
    """The file itself, or the books of a folder."""
    if not what.is_dir():
        if not what.is_file():
            raise UserError(f"There is no file {what}")
        yield what
        return
    books = [path for path in sorted(what.iterdir()) if path.suffix.lower() in BOOKS]
    if not books:
        raise UserError(f"{what} holds no books ({', '.join(sorted(BOOKS))})")
    yield from books
