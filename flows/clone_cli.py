"""`voxloom clone`: a voice of one's own from recordings."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from configs.errors import UsageError
from flows.start import start, terminal


def clone(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the voice.")],
    recordings: Annotated[
        list[Path],
        typer.Argument(
            metavar="RECORDING...", help="Audio files in which one person speaks; hours are fine."
        ),
    ],
    consent: Annotated[
        str,
        typer.Option(
            "--consent",
            metavar="TEXT",
            help="Who the speaker is and how they agreed; asked for when left out. Kept with the "
            "voice.",
            rich_help_panel="Rights",
        ),
    ] = "",
    licence: Annotated[
        str,
        typer.Option(
            "--licence",
            metavar="TEXT",
            help="The recordings' licence. Kept with the voice.",
            rich_help_panel="Rights",
        ),
    ] = "",
    method: Annotated[
        Literal["reference", "lora", "s1"],
        typer.Option(
            "--method",
            help="What is tuned: what hears the voice (reference); the flow matching's attention "
            "as well (lora); or how the person reads as well (s1).",
            rich_help_panel="How",
        ),
    ] = "reference",
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="NAME|DIR",
            help="A model of the built-in family; the built-in voice by default.",
            rich_help_panel="How",
        ),
    ] = "",
    minutes: Annotated[
        float,
        typer.Option(
            "--minutes-at-most",
            metavar="N",
            min=0.5,
            max=60,
            help="Learn from the cleanest minutes of the recordings.",
            rich_help_panel="How",
        ),
    ] = 5.0,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace a voice of that name.", rich_help_panel="Other"),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug", help="Show a traceback when something fails.", rich_help_panel="Other"
        ),
    ] = False,
) -> None:
    """Make a voice of recordings: one to five minutes of one person's clear speech are best.

    The recordings are cut at pauses; music, noise and other people are left out; the model is tuned
    to the rest, and the voice is registered with what that brought.

    It may be stopped at any moment: run the same command again, and it goes on where it was.

    [bold]Examples[/]

    voxloom clone ada interview.mp3 --consent "Ada, my sister, agreed on 3 May."

    voxloom clone reader chapter1.flac chapter2.flac --consent "public domain" --licence PD
    """
    settings = start()
    from flows.clone import clone_voice
    from flows.clone_work import CloneOrder, voice_model_of
    from storage.library import valid_name
    from tasks.engines import choose_model
    from tasks.voices import clone_lines

    valid_name(name)
    chosen = choose_model(model, settings.models)
    load_model = voice_model_of(chosen)
    order = CloneOrder(
        name=name,
        recordings=tuple(recordings),
        consent=_consent(consent),
        licence=licence.strip(),
        method=method,
        model_title=chosen.title,
        minutes=minutes,
        replace=force,
        settings=settings,
    )
    made = clone_voice(order, terminal(), load_model)
    facts = made.voice.clone
    assert facts is not None
    for line in clone_lines(facts):
        typer.echo(line)
    if made.why_untuned:
        terminal().print(
            f"[yellow]note:[/] {name} is registered with its sample, untuned: {made.why_untuned}"
        )
    terminal().print(f"[green]{name}[/] is registered; use it with --voice {name}")


def _consent(given: str) -> str:
    """The statement that the speaker agreed: given, or asked for; never assumed."""
    statement = given.strip()
    if not statement and sys.stdin.isatty():
        statement = typer.prompt(
            "Who is speaking, and how did they agree to have their voice cloned?", err=True
        ).strip()
    if not statement:
        raise UsageError(
            "a voice is cloned only if its speaker agreed: say who it is and how they agreed with "
            "--consent TEXT"
        )
    return statement
