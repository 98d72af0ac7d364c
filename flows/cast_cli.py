"""`voxloom cast`: who speaks in a book, for the user to give them voices."""

from pathlib import Path
from typing import Annotated

import typer

from configs.errors import UsageError, UserError
from flows.start import start


def cast(
    book: Annotated[Path, typer.Argument(metavar="BOOK", help="The book.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.yaml", help="Where to write a first cast file."),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check", metavar="FILE.yaml", help="Show who speaks which lines with this cast file."
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when it fails.")] = False,
) -> None:
    """Write down who speaks in a book, to be edited; or show who speaks what.

    A cast file gives voices to speakers. Whoever has none is read by the narrator.

    [bold]Examples[/]

    voxloom cast book.epub --out cast.yaml

    voxloom cast book.epub --check cast.yaml
    """
    if (out is None) == (check is None):
        raise UsageError("say what to do: either --out FILE.yaml or --check FILE.yaml")
    start()
    from tasks.beside import write_bytes
    from tasks.casting import draft_cast, lines_of, load_cast
    from tasks.read_book import read_book

    if check is not None:
        loaded = load_cast(check)
        for number, chapter in enumerate(read_book(book).chapters):
            for place, lines in enumerate(lines_of(number, chapter, loaded)):
                for line in lines:
                    said = chapter.blocks[place].text[line.start : line.end]
                    voice = loaded.voice_of(line.speaker)
                    who = line.speaker or "?"
                    who += "" if voice == line.speaker else f" ({voice or 'narrator'})"
                    typer.echo(f"{number + 1}.{place + 1}\t{who}\t{said}")
    elif out is not None:
        if out.exists():
            raise UserError(f"{out} is there already; give another name, so that nothing is lost")
        write_bytes(out, draft_cast(read_book(book)).encode())
        typer.echo(f"{out} names who speaks; give them voices")
