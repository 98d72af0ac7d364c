"""`voxloom say-as`: how the user wants words to be spoken."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs.errors import UsageError, UserError
from flows.start import start

if TYPE_CHECKING:
    from tasks.lexicon import Entry


def say_as(
    word: Annotated[
        str, typer.Argument(metavar="[WORD]", help="The word, or several, as printed.")
    ] = "",
    respelling: Annotated[
        str,
        typer.Argument(
            metavar="[RESPELLING]",
            help="How it sounds, in syllables with the stressed one in capitals: her-MY-oh-nee.",
        ),
    ] = "",
    phones: Annotated[
        str,
        typer.Option(
            "--phones", metavar="ARPABET", help="Its phones instead: HH ER0 M AY1 AH0 N IY0."
        ),
    ] = "",
    ipa: Annotated[
        str, typer.Option("--ipa", metavar="IPA", help="Its sounds in IPA instead: hɜːˈmaɪəni.")
    ] = "",
    case: Annotated[
        str,
        typer.Option(
            "--case",
            metavar="exact|any",
            help="Which capitals the text may have; by default those of WORD, or all capitals.",
        ),
    ] = "",
    language: Annotated[
        str, typer.Option("--language", metavar="TAG", help="Only in text of this language.")
    ] = "",
    book: Annotated[
        Path | None,
        typer.Option(
            "--book", metavar="FILE.yaml", help="The lexicon of one book, not that of all books."
        ),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Forget the word.")] = False,
    show: Annotated[bool, typer.Option("--list", help="Show what the lexicon holds.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when it fails.")] = False,
) -> None:
    """Say how a word is spoken; books show it as it is printed all the same.

    [bold]Examples[/]

    voxloom say-as Hermione her-MY-oh-nee

    voxloom say-as Weena --ipa ˈwiːnə --book machine.yaml

    voxloom say-as --list
    """
    settings = start()
    from tasks.lexicon import Entry, read_entries, write_entry

    path = book or settings.lexicon
    given = [value for value in (respelling, phones, ipa) if value]
    if show:
        if word:
            raise UsageError("--list shows all words; give it alone or with --book")
        for entry in read_entries(path) if path.exists() else []:
            typer.echo(f"{entry.word}: {entry.say or entry.phones or entry.ipa}  {_sounds(entry)}")
        return
    if not word:
        raise UsageError("say which word: voxloom say-as WORD RESPELLING")
    if remove:
        if given:
            raise UsageError(f"--remove forgets {word!r}; leave out how it is said")
        if not write_entry(path, word, None):
            raise UserError(f"{word!r} is not in {path}")
        typer.echo(f"{word} is read as usual again")
        return
    word, respelling, phones, ipa = (
        " ".join(value.split()) for value in (word, respelling, phones, ipa)
    )
    entry = Entry(word, respelling, phones, ipa, case, language).check()
    write_entry(path, word, entry)
    typer.echo(f"{entry.word}: {_sounds(entry) or entry.say}")


def _sounds(entry: "Entry") -> str:
    return " ".join(entry.sounds)
