"""`voxloom redo`: one line of an audiobook or a dub is made again, and what holds it."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs.errors import UsageError, UserError
from flows.start import start, terminal

if TYPE_CHECKING:
    from configs.settings import Settings
    from flows.script import Script, ScriptLine
    from storage.runs import Run, RunLine

_TIME = re.compile(r"(?:(?:(\d+):)?(\d{1,3}):)?(\d+(?:\.\d+)?)")
_PLACE = re.compile(r"(-?\d+):(\d+)")


def redo(
    made: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|FILE", help="The audiobook's or dub's folder, or the file it is made of."
        ),
    ],
    at: Annotated[
        str,
        typer.Option("--at", metavar="TIME", help="The line that is heard at 1:02:33, or 62:33."),
    ] = "",
    place: Annotated[
        str,
        typer.Option(
            "--id",
            metavar="CHAPTER:UTTERANCE",
            help="The line by its numbers in the report: 3:14; in a dub by its subtitle's: 14.",
        ),
    ] = "",
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="Make it from this seed; the next one by default."),
    ] = None,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take the line as it was made first.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when it fails.")] = False,
) -> None:
    """Make one line of an audiobook or a dub again, read otherwise.

    All that it was made with is known from its last run. The choice is kept in the file redone.json
    in its folder, so that it stays when it is made again; --undo takes it back.

    [bold]Examples[/]

    voxloom redo book/ --at 1:02:33

    voxloom redo book/ --id 3:14 --seed 7

    voxloom redo dub/ --id 14
    """
    if bool(at) == bool(place):
        raise UsageError("say which line: either --at TIME or --id CHAPTER:UTTERANCE")
    if undo and seed is not None:
        raise UsageError("--undo goes without --seed")
    seconds = _seconds(at) if at else 0.0
    settings = start()
    from flows.orders import last_run

    run = last_run(made, settings)
    if "subtitles" in run.order:
        _redo_dub(run, settings, _subtitle(place) if place else None, seconds, seed, undo)
    else:
        _redo_book(run, settings, _numbers(place) if place else None, seconds, seed, undo)


def _redo_book(
    run: "Run",
    settings: "Settings",
    place: tuple[int, int] | None,
    seconds: float,
    seed: int | None,
    undo: bool,
) -> None:
    from flows.audiobook import make_audiobook
    from flows.orders import read_order
    from flows.progress import RunProgress
    from flows.script import Script
    from flows.work import engine_of, plan_book, remembered_speed

    order = read_order(run.order, run.title, settings, settings.models)
    heard = line_of(run, *place) if place else line_at(run, seconds, settings)
    progress = RunProgress(terminal(), remembered_speed(settings))
    with progress.shown():
        plan = plan_book(order, progress)
        progress.stage("Loading the voice model")
        engine = engine_of(order.model)(settings)
        script = Script(order, plan, engine)
    line = _now(heard, script)
    choose(line, order.out, seed, undo)
    terminal().print(f"Chapter {line.utterance.chapter + 1}, utterance {line.utterance.index + 1}:")
    terminal().print(f"“{line.utterance.text}”", markup=False)
    done = make_audiobook(order, terminal(), lambda _: engine)
    terminal().print(f"[green]{order.out}[/] holds it now")
    if done.flawed:
        terminal().print(
            f"{done.flawed} utterances may be worth listening to; {done.report} names them."
        )


def _redo_dub(
    run: "Run",
    settings: "Settings",
    subtitle: int | None,
    seconds: float,
    seed: int | None,
    undo: bool,
) -> None:
    from flows.dub import make_dub
    from flows.dub_orders import read_dub_order
    from flows.dub_redo import MadeDub
    from flows.work import engine_of

    order = read_dub_order(run.order, run.title, settings, settings.models)
    made = MadeDub(order.out, order.seed)
    for number in made.lines_at(seconds) if subtitle is None else made.lines_of(subtitle):
        if not made.choose(number, None if undo else seed, undo) and undo:
            raise UserError("This line was not made again; there is nothing to undo")
        terminal().print(f"Line {number + 1}: “{made.lines[number].text}”", markup=False)
    done = make_dub(order, terminal(), engine_of(order.model))
    terminal().print(f"[green]{order.out}[/] holds it now")
    terminal().print(f"{done.verdict} {done.report} says more.")


def line_at(run: "Run", seconds: float, settings: "Settings") -> "RunLine":
    """The line that is heard in a run's audiobook at a time, or last before it; UserError where the
    assembled chapters are gone or the book is shorter."""
    from flows.work import chapter_audio
    from storage.derived import DerivedFiles

    derived = DerivedFiles(settings.derived)
    begin = 0.0
    for key in run.derived:
        found = derived.get(key, ".flac")
        if run.state != "finished" or found is None:
            raise UserError(
                f"{run.title} is not there as a whole: make it again with voxloom audiobook (only "
                "what is missing is made), or name the line with --id"
            )
        audio = chapter_audio(*found)
        if seconds < begin + audio.seconds:
            sample = (seconds - begin) * audio.sample_rate
            before = [span for span in audio.spans if span.start <= sample]
            span = before[-1] if before else audio.spans[0]
            return _place(run, span.chapter, span.index)
        begin += audio.seconds
    raise UserError(f"{run.title} is only {round(begin)} s long; --at is after its end")


def line_of(run: "Run", chapter: int, index: int) -> "RunLine":
    """The line of a run with these numbers, from 1; UserError where there is none."""
    return _place(run, chapter - 1, index - 1)


def choose(line: "ScriptLine", out: Path, seed: int | None, undo: bool) -> None:
    """Remembers in the output folder that a line is made from another seed, or from none."""
    from tasks.redone import choose_seed

    number = line.seed + 1 if seed is None else seed
    text = line.utterance.text
    if not choose_seed(out, line.name, line.occurrence, text, None if undo else number) and undo:
        raise UserError("This line was not made again; there is nothing to undo")


def _place(run: "Run", chapter: int, index: int) -> "RunLine":
    for line in run.lines:
        if (line.chapter, line.index) == (chapter, index):
            return line
    raise UserError(
        f"{run.title} has no utterance {index + 1} in its chapter {chapter + 1}; the report says "
        "which there are"
    )


def _now(heard: "RunLine", script: "Script") -> "ScriptLine":
    """The line in the book as it is now."""
    same = [line for line in script if line.key == heard.key]
    places = [(line.utterance.chapter, line.utterance.index) for line in same]
    if not same:
        raise UserError(
            "The book or its voice is another than when this line was made: make the audiobook "
            "again first, with voxloom audiobook"
        )
    place = (heard.chapter, heard.index)
    return same[places.index(place)] if place in places else same[0]


def _seconds(text: str) -> float:
    match = _TIME.fullmatch(text.strip())
    if not match:
        raise UsageError(f"--at {text} is no time; give it like 1:02:33, 62:33 or 3753")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return 3600 * hours + 60 * minutes + seconds


def _numbers(text: str) -> tuple[int, int]:
    match = _PLACE.fullmatch(text.strip())
    if not match:
        raise UsageError(f"--id {text} is no line; give it like 3:14, as the report numbers them")
    return int(match[1]), int(match[2])


def _subtitle(text: str) -> int:
    if not text.strip().isascii() or not text.strip().isdigit():
        raise UsageError(f"--id {text} is no subtitle; give its number, like 14")
    return int(text)
