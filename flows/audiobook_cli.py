"""`voxloom audiobook` and `voxloom plan`: read a book aloud, or show what that would take."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.inspect_cli import (
    BookArgument,
    ExcludeOption,
    ImagesOption,
    IncludeOption,
    NotesOption,
)
from flows.options import (
    ConfigOption,
    DebugOption,
    ModelOption,
    OnPoolOption,
    ProgressOption,
    SeedOption,
    TranscriptOption,
    VoiceOption,
    asked_voice,
)
from flows.start import start, terminal

if TYPE_CHECKING:
    from flows.orders import Order

OutOption = Annotated[
    Path,
    typer.Option("--out", metavar="DIR", help="Folder for the results.", rich_help_panel="What"),
]
ChaptersOption = Annotated[
    str,
    typer.Option(
        "--chapters",
        metavar="LIST",
        help="Only these chapters: 2, 1-3, 1-3,7 or 5-. All by default.",
        rich_help_panel="What",
    ),
]
LanguageOption = Annotated[
    str,
    typer.Option(
        "--language",
        metavar="TAG",
        help="Read in this language, whatever the book says.",
        rich_help_panel="What",
    ),
]
LexiconOption = Annotated[
    Path | None,
    typer.Option(
        "--lexicon",
        metavar="FILE",
        help="How words of this book are spoken; lexicon.yaml in the output folder by default.",
        rich_help_panel="What",
    ),
]
CastOption = Annotated[
    Path | None,
    typer.Option(
        "--cast",
        metavar="FILE",
        help="Who speaks in which voice; voxloom cast writes a first such file.",
        rich_help_panel="Voice",
    ),
]
FormatsOption = Annotated[
    str,
    typer.Option(
        "--formats",
        metavar="LIST",
        help="What to write: m4b, mp3, opus and flac (folders of chapters), srt, vtt, lrc, "
        "elrc, epub (the book itself with the narration in it). By default m4b,srt,vtt.",
        rich_help_panel="What",
    ),
]
MasteringOption = Annotated[
    str,
    typer.Option(
        "--mastering",
        metavar="NAME",
        help="How loud: standard (-19 LUFS), acx (what audiobook shops ask for), podcast "
        "(-16), ebu (-23) or none.",
        rich_help_panel="What",
    ),
]
LayoutOption = Annotated[
    str,
    typer.Option(
        "--layout",
        metavar="NAME",
        help="plain, or audiobookshelf: the folders and files that Audiobookshelf reads.",
        rich_help_panel="What",
    ),
]
CreditsOption = Annotated[
    bool | None,
    typer.Option(
        "--credits/--no-credits",
        help="Speak opening and closing credits (English books); with --mastering acx they are "
        "spoken unless told otherwise.",
        rich_help_panel="What",
    ),
]


def audiobook(
    book: BookArgument,
    voice: VoiceOption,
    out: OutOption,
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
    cast: CastOption = None,
    transcript: TranscriptOption = None,
    model: ModelOption = "",
    seed: SeedOption = 0,
    config: ConfigOption = None,
    on_pool: OnPoolOption = False,
    progress_json: ProgressOption = False,
    debug: DebugOption = False,
) -> None:
    """Make a chaptered audiobook of a book: EPUB, plain text, Markdown or HTML.

    Writes Title.m4b with chapters, cover and tags, Title.srt and Title.vtt with the printed text,
    the cover, and report.html and report.json with measurements and what may be worth listening to.

    It may be stopped at any moment: run the same command again, and only what is missing is made.

    [bold]Examples[/]

    voxloom audiobook book.epub --voice me.wav --out book/

    voxloom audiobook book.epub --voice ada --out book/ --chapters 1-3

    voxloom audiobook book.epub --voice ada --out book/ --formats mp3,lrc --mastering acx
    """
    order = book_order(
        book,
        voice,
        out,
        chapters,
        language,
        (notes, include, exclude, images),
        lexicon,
        (formats, mastering, layout, credits),
        cast,
        transcript,
        model,
        seed,
        config,
    )
    from flows.progress import print_facts, spoken_time

    tell = print_facts if progress_json else None
    if on_pool:
        from flows.jobs import open_pool

        pool = open_pool(order.settings)
        from flows.on_pool import audiobook_on_pool

        made = audiobook_on_pool(pool, order, terminal(), tell)
    else:
        from flows.audiobook import make_audiobook
        from flows.work import engine_of

        made = make_audiobook(order, terminal(), engine_of(order.model), tell)
    for path in made.paths or (made.report.parent,):
        terminal().print(f"[green]{path}[/]: {spoken_time(made.seconds)} of speech")
    if made.failed:
        terminal().print(
            f"{made.failed} files are not as the preset {order.presets.output.mastering} wants "
            f"them; {made.report} says why."
        )
    if made.flawed:
        terminal().print(
            f"{made.flawed} utterances may be worth listening to; {made.report} names them."
        )


def plan(
    book: BookArgument,
    voice: VoiceOption,
    out: OutOption,
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
    cast: CastOption = None,
    transcript: TranscriptOption = None,
    model: ModelOption = "",
    seed: SeedOption = 0,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> None:
    """Show what an audiobook still needs: what would be made, how long it takes, and why.

    Takes the options of voxloom audiobook, and makes nothing.

    [bold]Example[/]

    voxloom plan book.epub --voice ada --out book/
    """
    order = book_order(
        book,
        voice,
        out,
        chapters,
        language,
        (notes, include, exclude, images),
        lexicon,
        (formats, mastering, layout, credits),
        cast,
        transcript,
        model,
        seed,
        config,
    )
    from flows.plan_cli import show_plan
    from flows.work import engine_of

    show_plan(order, engine_of(order.model))


def book_order(
    book: Path,
    voice: list[str],
    out: Path,
    chapters: str,
    language: str,
    reading: tuple[str, str, str, bool],
    lexicon: Path | None,
    output: tuple[str, str, str, bool | None],
    cast: Path | None,
    transcript: str | None,
    model: str,
    seed: int,
    config: Path | None,
) -> "Order":
    """What the options ask for; what is wrong with them is told before anything else is done."""
    from configs.presets import load_presets, output_options
    from tasks.matter import reading_of

    read = reading_of(*reading)
    overlay = output_options(*output)
    load_presets(config, output=overlay)
    settings = start()
    from flows.orders import Order
    from tasks.engines import choose_model

    chosen = choose_model(model, settings.models)
    presets = load_presets(config, chosen.official, overlay)
    asked = asked_voice(voice, transcript)
    return Order(
        book, asked, out, chapters, language, seed, presets, settings, chosen, read, lexicon, cast
    )
