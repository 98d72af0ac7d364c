"""`voxloom models`: official and fine-tuned GPT-SoVITS models on this machine."""

import os
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from flows.start import start

models_app = typer.Typer(help="Models of the GPT-SoVITS family.")

S1Option = Annotated[
    Path, typer.Option("--s1", metavar="FILE.ckpt", help="S1: GPT-SoVITS's GPT weights.")
]
S2Option = Annotated[
    Path, typer.Option("--s2", metavar="FILE.pth", help="S2: GPT-SoVITS's SoVITS weights.")
]
VersionOption = Annotated[
    str,
    typer.Option(
        "--version",
        metavar="VERSION",
        help="v1, v2, v2Pro, v2ProPlus, v3 or v4, where the files don't tell (v3 and v4 look "
        "alike).",
    ),
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show a traceback when it fails.")]


@models_app.command("list")
def models_list(debug: DebugOption = False) -> None:
    """List the installed models."""
    settings = start()
    from rich.console import Console
    from rich.table import Table

    from storage.models import Models
    from tasks.models import list_models

    lines = list_models(Models(settings.models))
    if not lines:
        typer.echo("No models but the built-in one; get one with: voxloom models pull v2ProPlus")
        return
    table = Table("name", "version", "size", "made from", box=None, pad_edge=False)
    for line in lines:
        table.add_row(line.name, line.version, f"{line.bytes / 1e6:.1f} MB", line.source)
    Console(highlight=False).print(table)


@models_app.command("pull")
def models_pull(
    name: Annotated[
        str, typer.Argument(help="v1, v2, v2Pro, v2ProPlus, v3 or v4; v2ProPlus is a good start.")
    ],
    pretrained: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIR",
            help="Take the files from GPT-SoVITS's folder pretrained_models, download nothing.",
        ),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Download an official model and install it.

    It may be stopped at any moment: run the same command again, and it goes on where it was.
    """
    settings = start()
    # Here asking the hub is what the user wants, whatever VOXLOOM_OFFLINE says to the libraries.
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ.pop(variable, None)
    from storage.models import Models
    from tasks.pull import pull_model

    pull_model(Models(settings.models), name, settings.models / ".downloads" / name, pretrained)
    typer.echo(f"{name} is installed; use it with --model {name}")


@models_app.command("import")
def models_import(
    s1: S1Option,
    s2: S2Option,
    name: Annotated[
        str, typer.Option("--name", help="What to call the model; the S2 file's name by default.")
    ] = "",
    version: VersionOption = "",
    base: Annotated[
        str,
        typer.Option(
            "--base",
            metavar="MODEL",
            help="Installed model to take HuBERT, vocoder ... from; by default one that fits.",
        ),
    ] = "",
    debug: DebugOption = False,
) -> None:
    """Install a voice of yours: the two files that GPT-SoVITS makes when fine-tuning.

    Nothing in the files is run: they are read by a loader that lets only data through.
    """
    settings = start()
    from storage.models import Models
    from tasks.models import import_model

    name, found = import_model(Models(settings.models), name, s1, s2, version, base)
    typer.echo(f"{name} is installed ({found}); use it with --model {quote(name)}")


@models_app.command("convert")
def models_convert(
    s1: S1Option,
    s2: S2Option,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to be made.")],
    hubert: Annotated[
        Path | None, typer.Option("--hubert", metavar="DIR", help="chinese-hubert-base.")
    ] = None,
    roberta: Annotated[
        Path | None,
        typer.Option("--roberta", metavar="DIR", help="chinese-roberta-wwm-ext-large."),
    ] = None,
    vocoder: Annotated[
        Path | None,
        typer.Option(
            "--vocoder", metavar="FILE", help="v3: bigvgan_generator.pt; v4: vocoder.pth."
        ),
    ] = None,
    speaker: Annotated[
        Path | None,
        typer.Option(
            "--speaker",
            metavar="FILE",
            help="v2Pro, v2ProPlus: pretrained_eres2netv2w24s4ep4.ckpt.",
        ),
    ] = None,
    base: Annotated[
        str,
        typer.Option("--base", metavar="MODEL", help="Installed model to take the rest from."),
    ] = "",
    version: VersionOption = "",
    debug: DebugOption = False,
) -> None:
    """Write checkpoints as a folder of safetensors and JSON, which load without pickle."""
    settings = start()
    from storage.models import Models
    from tasks.model_parts import Sources
    from tasks.models import convert_model

    folder = Models(settings.models).path(base) if base else None
    sources = Sources(s1, s2, vocoder, speaker, hubert, roberta, folder)
    found = convert_model(out, sources, version)
    typer.echo(f"{out} holds a model of {found}; use it with --model {quote(str(out))}")


@models_app.command("remove")
def models_remove(
    name: Annotated[str, typer.Argument(help="The model.")], debug: DebugOption = False
) -> None:
    """Remove a model, and what no other model shares with it."""
    settings = start()
    from storage.models import Models

    freed = Models(settings.models).remove(name)
    typer.echo(f"{name} is removed, {freed / 1e6:.1f} MB freed")
