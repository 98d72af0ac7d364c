"""`voxloom inspect`: what would be read of a book or a subtitle file, and what would not."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.start import start

if TYPE_CHECKING:
    from tasks.book import Book

# A narrator's usual pace.
WORDS_PER_HOUR = 150 * 60

BookArgument = Annotated[
    Path,
    typer.Argument(metavar="BOOK", help="An EPUB, plain text, Markdown or HTML file."),
]
NotesOption = Annotated[
    str,
    typer.Option(
        "--notes",
        metavar="skip|inline|chapter",
        help="Footnotes and endnotes: left out, after the paragraph that refers to them, or at "
        "their chapter's end.",
        rich_help_panel="What",
    ),
]
IncludeOption = Annotated[
    str,
    typer.Option(
        "--include",
        metavar="LIST",
        help="Read these, too: all, or names such as copyright,index,nonlinear "
        "(docs/books.md has them all).",
        rich_help_panel="What",
    ),
]
ExcludeOption = Annotated[
    str,
    typer.Option(
        "--exclude",
        metavar="LIST",
        help="Leave these out, too: all, or names such as preface,introduction,dedication.",
        rich_help_panel="What",
    ),
]
ImagesOption = Annotated[
    bool,
    typer.Option("--images", help="Read pictures' descriptions.", rich_help_panel="What"),
]


def inspect(
    book: Annotated[
        Path,
        typer.Argument(
            metavar="BOOK|SUBTITLES",
            help="An EPUB, plain text, Markdown or HTML file; or subtitles, or a video with some.",
        ),
    ],
    notes: NotesOption = "skip",
    include: IncludeOption = "",
    exclude: ExcludeOption = "",
    images: ImagesOption = False,
    subtitle_track: Annotated[
        int | None,
        typer.Option(
            "--subtitle-track",
            metavar="N",
            min=1,
            help="A video's subtitle track, from 1; by default the one it shows itself.",
            rich_help_panel="What",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON.", rich_help_panel="Other")
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug", help="Show a traceback when something fails.", rich_help_panel="Other"
        ),
    ] = False,
) -> None:
    """Show what would be read of a book, how long that takes, and what would be left out and why.

    Of subtitles, show who speaks, what is no speech, and what was mended.

    [bold]Examples[/]

    voxloom inspect book.epub

    voxloom inspect book.epub --notes inline --include copyright --json

    voxloom inspect film.srt
    """
    from tasks.read_subtitles import SUBTITLE_NAMES, VIDEO_NAMES, read_subtitles

    if book.suffix.lower() in SUBTITLE_NAMES | VIDEO_NAMES:
        from flows.inspect_subtitles import show_subtitles, subtitle_contents

        start()
        read = read_subtitles(book, subtitle_track)
        if as_json:
            typer.echo(json.dumps(subtitle_contents(read), ensure_ascii=False, indent=2))
        else:
            show_subtitles(book.name, read)
        return
    from tasks.matter import reading_of

    reading = reading_of(notes, include, exclude, images)
    start()
    from tasks.read_book import read_book

    found = read_book(book, reading)
    if as_json:
        typer.echo(json.dumps(contents(found), ensure_ascii=False, indent=2))
    else:
        _show(found)


def contents(book: "Book") -> dict[str, Any]:
    """What `--json` prints: the book, its chapters and what is left out; hours are estimates."""
    from tasks.epub_chapters import words_in

    words = [words_in([block.text for block in chapter.blocks]) for chapter in book.chapters]
    blocks = [block for chapter in book.chapters for block in chapter.blocks]
    remarks = [remark for block in blocks for remark in block.remarks]
    return {
        "title": book.title,
        "authors": list(book.authors),
        "language": book.language,
        "identifier": book.identifier,
        "publisher": book.publisher,
        "date": book.date,
        "words": sum(words),
        "hours": round(sum(words) / WORDS_PER_HOUR, 2),
        "chapters": [
            {
                "number": number,
                "title": chapter.title,
                "words": count,
                "minutes": round(60 * count / WORDS_PER_HOUR, 1),
            }
            for number, (chapter, count) in enumerate(
                zip(book.chapters, words, strict=True), start=1
            )
        ],
        "notes": sum(block.kind == "note" for block in blocks),
        "pronunciations": sum(bool(one.said or one.phonemes) for one in remarks),
        "passages_in_other_languages": sum(bool(one.language) for one in remarks),
        "speakers": sorted({one.speaker for one in remarks} - {""}),
        "left_out": [asdict(one) for one in book.left_out],
        "warnings": _odd(book),
    }


def _odd(book: "Book") -> list[str]:
    """The warnings that are about the file and not about what is left out."""
    return [warning for warning in book.warnings if not warning.startswith("Not read:")]


def _show(book: "Book") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    told = contents(book)
    console = Console(highlight=False)
    by = f" by {', '.join(book.authors)}" if book.authors else ""
    console.print(f"[bold]{escape(book.title)}[/]{escape(by)}")
    facts = [book.language, book.publisher, book.date, book.identifier]
    console.print(escape(", ".join(filter(None, facts))))
    console.print()
    table = Table("", "chapter", "words", "time", box=None, pad_edge=False)
    for column in (0, 2, 3):
        table.columns[column].justify = "right"
    for chapter in told["chapters"]:
        number, words = str(chapter["number"]), f"{chapter['words']:,}"
        table.add_row(number, escape(chapter["title"]), words, _time(chapter["minutes"]))
    table.add_section()
    table.add_row("", "", f"{told['words']:,}", _time(60 * told["hours"]))
    console.print(table)
    evidence = {
        "notes": told["notes"],
        "pronunciations": told["pronunciations"],
        "passages in other languages": told["passages_in_other_languages"],
        "speakers": len(told["speakers"]),
    }
    if any(evidence.values()):
        said = ", ".join(f"{count} {name}" for name, count in evidence.items() if count)
        console.print(f"\nMarked in the book: {said}")
    if book.left_out:
        console.print("\n[bold]Not read[/]")
        table = Table("why", "where", "words", box=None, pad_edge=False)
        table.columns[2].justify = "right"
        for one in book.left_out:
            table.add_row(escape(one.reason), escape(one.place), f"{one.words:,}")
        console.print(table)
    for warning in told["warnings"]:
        console.print(f"[yellow]{escape(warning)}[/]")


def _time(minutes: float) -> str:
    hours, rest = divmod(round(minutes), 60)
    if hours:
        return f"{hours} h {rest:02} min"
    return f"{rest} min" if rest else "< 1 min"
