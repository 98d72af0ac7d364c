"""The command line. Commands import what they need themselves, so that --help is quick."""

import errno
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from configs.errors import UsageError, UserError
from flows.audiobook_cli import audiobook, plan
from flows.cast_cli import cast
from flows.clone_cli import clone
from flows.doctor_cli import doctor
from flows.dub_cli import dub
from flows.inspect_cli import inspect
from flows.jobs_cli import jobs_app
from flows.models_cli import models_app
from flows.options import (
    ConfigOption,
    DebugOption,
    ModelOption,
    SeedOption,
    TranscriptOption,
    VoiceOption,
    asked_voice,
)
from flows.pool_cli import pool_app
from flows.pretrain_cli import pretrain_app
from flows.redo_cli import redo
from flows.say_as_cli import say_as
from flows.start import start as _start
from flows.start import terminal as _terminal
from flows.submit_cli import submit

INTERRUPTED = 130
DAY_SECONDS = 86400.0
DISK_FULL = "the disk is full; free some space and run the same command again"

# Typer may carry a Click of its own; these are the classes that it raises, whichever it is.
WrongUsage: type[Exception] = typer.BadParameter.__mro__[1]
ClickProblem: type[Exception] = typer.BadParameter.__mro__[2]

# Not one of the rooms: what it says goes to the log file and not to the terminal.
log = logging.getLogger("voxloom")

app = typer.Typer(
    name="voxloom",
    help="Books to speech in a cloned voice, on this machine, offline.",
    epilog="What is spoken is kept: a run that was stopped goes on when the same command is run "
    "again. The folder for it is VOXLOOM_HOME; voxloom store du says where and how much.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
voices_app = typer.Typer(help="Voices registered by name.")
store_app = typer.Typer(help="The store of takes: what is spoken is kept.")
app.add_typer(voices_app, name="voices", rich_help_panel="Keep")
app.add_typer(models_app, name="models", rich_help_panel="Keep")
app.add_typer(pretrain_app, name="pretrain", rich_help_panel="Make")
app.add_typer(store_app, name="store", rich_help_panel="Keep")
app.add_typer(jobs_app, name="jobs", rich_help_panel="Pool")
app.add_typer(pool_app, name="pool", rich_help_panel="Pool")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"voxloom {version('voxloom')}")
        raise typer.Exit


@app.callback()
def _app(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


app.command(rich_help_panel="Make")(audiobook)
app.command(rich_help_panel="Make")(dub)
app.command(rich_help_panel="Make")(inspect)
app.command(rich_help_panel="Make")(plan)


@app.command(rich_help_panel="Make")
def speak(
    voice: VoiceOption,
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="What to say.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE.wav", help="Where to.", rich_help_panel="What"
        ),
    ] = None,
    lines: Annotated[
        Path | None,
        typer.Option(
            "--lines",
            metavar="FILE",
            help="Speak a text file instead, line by line.",
            rich_help_panel="What",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for 000.wav, 001.wav ..., one for each line.",
            rich_help_panel="What",
        ),
    ] = None,
    language: Annotated[
        str,
        typer.Option(
            "--language",
            metavar="TAG",
            help="The text's language: en, zh, yue, ja, ko, or auto for each stretch its own. By "
            "default en with the built-in voice, else auto.",
            rich_help_panel="What",
        ),
    ] = "",
    transcript: TranscriptOption = None,
    model: ModelOption = "",
    seed: SeedOption = 0,
    config: ConfigOption = None,
    debug: DebugOption = False,
) -> None:
    """Speak a text, or a file line by line.

    [bold]Examples[/]

    voxloom speak "Good morning." --voice me.wav -o morning.wav

    voxloom speak --lines lines.txt --voice ada --out lines/
    """
    from configs.presets import load_presets

    if (text is None) == (lines is None):
        raise UsageError("say what to speak: either a TEXT or --lines FILE")
    if text is not None and (output is None or out is not None):
        raise UsageError("a TEXT is spoken into one file: give -o FILE.wav")
    if lines is not None and (out is None or output is not None):
        raise UsageError("--lines makes one file a line: give --out DIR")
    if output is not None and output.suffix.lower() not in ("", ".wav"):
        raise UsageError(f"{output} can't be written: the format is WAV, so give -o FILE.wav")
    load_presets(config)  # says what is wrong with it before anything else
    settings = _start()
    from flows.progress import RunProgress, spoken_time
    from flows.speak import lines_of, numbered, speak
    from flows.work import check_folder, engine_of, remembered_speed
    from tasks.engines import check_language, choose_model

    chosen = choose_model(model, settings.models)
    language = language or ("auto" if chosen.official else "en")
    check_language(chosen, language)
    presets = load_presets(config, chosen.official)
    asked = asked_voice(voice, transcript)
    if lines is not None and out is not None:
        texts = lines_of(lines)
        targets = numbered(out, len(texts))
        check_folder(out)
    elif text is not None and output is not None:
        texts, targets = [text], [output]
        check_folder(output.absolute().parent)
    progress = RunProgress(_terminal(), remembered_speed(settings))
    with progress.shown():
        seconds = speak(
            texts,
            targets,
            asked,
            language,
            chosen.reading,
            seed,
            presets,
            settings,
            engine_of(chosen),
            progress,
        )
    where = targets[0] if text is not None else f"{out}: {len(targets)} files"
    _terminal().print(f"[green]{where}[/], {spoken_time(seconds)} of speech")


app.command(rich_help_panel="Make")(clone)
app.command(rich_help_panel="Make")(redo)
app.command(rich_help_panel="Pool")(submit)
app.command(rich_help_panel="Keep")(say_as)
app.command(rich_help_panel="Keep")(cast)
app.command(rich_help_panel="Keep")(doctor)


@voices_app.command("add")
def voices_add(
    name: Annotated[str, typer.Argument(help="What to call the voice.")],
    sample: Annotated[Path, typer.Argument(help="Audio file with 3 s or more of clear speech.")],
    transcript: Annotated[
        str | None,
        typer.Option("--transcript", metavar="TEXT|FILE", help="What the sample says."),
    ] = None,
    consent: Annotated[
        str,
        typer.Option(
            "--consent", metavar="TEXT", help="That the speaker agreed; it is kept with the voice."
        ),
    ] = "",
    debug: DebugOption = False,
) -> None:
    """Register a voice under a name."""
    settings = _start()
    from storage.library import Library
    from tasks.voices import read_transcript, register_voice

    said = "" if transcript is None else read_transcript(transcript)
    voice = register_voice(name, sample, Library(settings.voices), said, consent.strip())
    typer.echo(f"{voice.name}: {voice.seconds:.1f} s at {voice.sample_rate} Hz")


@voices_app.command("list")
def voices_list(debug: DebugOption = False) -> None:
    """List the registered voices."""
    settings = _start()
    from rich.console import Console
    from rich.table import Table

    from storage.library import Library

    voices = list(Library(settings.voices))
    if not voices:
        _terminal().print("No voices yet; register one with: voxloom voices add NAME SAMPLE")
        return
    table = Table("name", "seconds", "made from", "added", "", box=None, pad_edge=False)
    for voice in voices:
        tuned = "tuned" if voice.clone and voice.clone.tuning else ""
        table.add_row(voice.name, f"{voice.seconds:.1f}", voice.source, voice.added[:10], tuned)
    Console(highlight=False).print(table)


@voices_app.command("show")
def voices_show(
    name: Annotated[str, typer.Argument(help="The voice.")], debug: DebugOption = False
) -> None:
    """Show what is known of a voice."""
    settings = _start()
    from storage.library import Library
    from tasks.voices import clone_lines

    library = Library(settings.voices)
    voice = library.get(name)
    typer.echo(f"name      {voice.name}")
    typer.echo(f"sample    {library.sample(name)}")
    typer.echo(f"seconds   {voice.seconds}")
    typer.echo(f"rate      {voice.sample_rate} Hz")
    typer.echo(f"from      {voice.source}")
    typer.echo(f"added     {voice.added}")
    typer.echo(f"says      {voice.transcript or 'not written down'}")
    if voice.consent:
        typer.echo(f"consent   {voice.consent}")
    typer.echo(f"sha256    {voice.sample_hash}")
    if voice.clone:
        typer.echo(f"content   {voice.content_hash}")
        for line in clone_lines(voice.clone):
            typer.echo(line)


@voices_app.command("remove")
def voices_remove(
    name: Annotated[str, typer.Argument(help="The voice.")], debug: DebugOption = False
) -> None:
    """Remove a voice; books that were made with it stay."""
    settings = _start()
    from storage.library import Library

    Library(settings.voices).remove(name)
    typer.echo(f"{name} is removed")


@store_app.command("verify")
def store_verify(debug: DebugOption = False) -> None:
    """Read every take; damaged ones are set aside and made again when needed."""
    settings = _start()
    from storage.objects import ObjectStore

    store = ObjectStore(
        settings.store_url, on_corrupt=lambda key, why: log.info("%s: %s", key, why)
    )
    count = sum(1 for _ in store)
    if corrupt := store.verify():
        for key in corrupt:
            typer.echo(key)
        raise UserError(
            f"{len(corrupt)} of {count} takes were damaged and are set aside; a run that needs "
            "them makes them again."
        )
    typer.echo(f"{count} takes, all sound")


@store_app.command("gc")
def store_gc(
    days: Annotated[
        float,
        typer.Option(
            "--older-than",
            metavar="DAYS",
            min=0,
            help="Runs and ended jobs so old no longer count.",
        ),
    ] = 30.0,
    debug: DebugOption = False,
) -> None:
    """Delete takes and assembled chapters that no recent run has used, and no job needs."""
    settings = _start()
    from storage.derived import DerivedFiles
    from storage.kept import keys_of_jobs
    from storage.objects import ObjectStore
    from storage.runs import Runs

    since = time.time() - days * DAY_SECONDS
    jobs = keys_of_jobs(settings.store_url, since)
    keep = Runs(settings.runs).keys(since).union(*jobs.values())
    # In a pool, somebody may just be making what no job names yet.
    freed = ObjectStore(settings.store_url).gc(keep, DAY_SECONDS if jobs else 0.0)
    derived = DerivedFiles(settings.derived).gc(keep)
    typer.echo(
        f"{freed.objects + freed.corrupt_objects} takes deleted, "
        f"{_size(freed.bytes + freed.corrupt_bytes + derived)} freed"
    )


@store_app.command("du")
def store_du(debug: DebugOption = False) -> None:
    """Show how much is stored, and which runs used it."""
    settings = _start()
    from datetime import datetime

    from storage.derived import DerivedFiles
    from storage.objects import ObjectStore
    from storage.runs import Runs

    usage = ObjectStore(settings.store_url).du()
    typer.echo(f"{settings.store_url}: {usage.objects} takes, {_size(usage.bytes)}")
    if usage.corrupt_objects:
        typer.echo(f"set aside as damaged: {usage.corrupt_objects}, {_size(usage.corrupt_bytes)}")
    typer.echo(f"{settings.derived}: assembled, {_size(DerivedFiles(settings.derived).size())}")
    for run in Runs(settings.runs):
        day = datetime.fromtimestamp(run.started).date().isoformat()
        typer.echo(f"{day}  {run.state:8}  {len(run.takes):6} takes  {run.title} ({run.voice})")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status: 0, 1 (failure), 2 (usage), 130 (interrupted)."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments:
        arguments = ["--help"]
    try:
        status: int | None = typer.main.get_command(app).main(
            arguments, prog_name="voxloom", standalone_mode=False
        )
        # An interrupted command comes back with its status or as an exception: Typer's choice.
        return _interrupted() if status == INTERRUPTED else status or 0
    except (typer.Abort, KeyboardInterrupt):
        return _interrupted()
    except WrongUsage as error:
        return _fail(_usage(error), UsageError.exit_status, arguments)
    except ClickProblem as error:
        return _fail(str(error), UserError.exit_status, arguments)
    except UserError as error:
        return _fail(str(error), error.exit_status, arguments)
    except BrokenPipeError:
        # Whoever reads our output has closed it (| head): nothing to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UserError.exit_status
    except OSError as error:
        return _fail(_disk(error), UserError.exit_status, arguments)
    except Exception as error:  # the last line of defence: a sentence instead of a traceback
        where = _log_file()
        if where:
            log.exception("unexpected")
        more = f"{where} has the details" if where else "run it again with --debug for details"
        return _fail(
            f"something unexpected failed ({type(error).__name__}: {error}); {more}",
            UserError.exit_status,
            arguments,
        )


def _interrupted() -> int:
    _say("stopped; what is done so far is kept: run the same command again to go on")
    return INTERRUPTED


def _fail(message: str, status: int, arguments: Sequence[str]) -> int:
    if "--debug" in arguments:
        _terminal().print_exception()
    _say(message)
    return status


def _say(message: str) -> None:
    print(f"voxloom: {' '.join(message.split())}", file=sys.stderr)


def _usage(error: BaseException) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "voxloom"
    message = error.format_message().rstrip(".")  # type: ignore[attr-defined]
    return f"{message[:1].lower()}{message[1:]}; see {command} --help"


def _disk(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DISK_FULL
    name = f"{error.filename}: " if error.filename else ""
    return f"{name}{error.strerror or error}; check the path and its permissions"


def _log_file() -> str:
    from flows.logs import HANDLER

    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler) and handler.name == HANDLER:
            return handler.baseFilename
    return ""


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


if __name__ == "__main__":
    sys.exit(main())
