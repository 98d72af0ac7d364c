"""Options that several commands have in common."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tasks.voices import AskedVoice

VoiceOption = Annotated[
    list[str],
    typer.Option(
        "--voice",
        metavar="SAMPLE",
        help="Audio file with 3 s or more of one person's clear speech, or a registered name. "
        "Given several times, the samples' voices are averaged where the model can.",
        rich_help_panel="Voice",
    ),
]
TranscriptOption = Annotated[
    str | None,
    typer.Option(
        "--transcript",
        metavar="TEXT|FILE",
        help="What the (first) sample says, for models that want to know; recognised by default.",
        rich_help_panel="Voice",
    ),
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="NAME|DIR",
        help="An installed model or a model's folder; the built-in voice by default.",
        rich_help_panel="Voice",
    ),
]
SeedOption = Annotated[
    int,
    typer.Option(
        "--seed",
        min=0,
        help="Another number gives another reading of the same text.",
        rich_help_panel="Voice",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="YAML file with sections voice, output and pauses; values left out stay as shipped.",
        rich_help_panel="Other",
    ),
]
DebugOption = Annotated[
    bool,
    typer.Option("--debug", help="Show a traceback when something fails.", rich_help_panel="Other"),
]
ProgressOption = Annotated[
    bool,
    typer.Option(
        "--progress-json",
        help="Print how far it is as lines of JSON, for programs.",
        rich_help_panel="Other",
    ),
]
OnPoolOption = Annotated[
    bool,
    typer.Option(
        "--on-pool",
        help="Have the workers of the pool (VOXLOOM_QUEUE) speak; the files are made here.",
        rich_help_panel="Other",
    ),
]


def asked_voice(samples: Sequence[str], transcript: str | None) -> "AskedVoice":
    """The voice that these options ask for."""
    from tasks.voices import AskedVoice, read_transcript

    said = None if transcript is None else read_transcript(transcript)
    return AskedVoice(tuple(samples), said)
