"""`voxloom pretrain`: trains the parts of a voice model on folders of recordings."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs.errors import UsageError
from flows.start import start, terminal

if TYPE_CHECKING:
    from rich.console import Console

    from model.training.loop import Progress

SECONDS_BETWEEN_LINES = 30.0

pretrain_app = typer.Typer(
    help="Train a voice model's parts on recordings with their texts.",
    invoke_without_command=True,
    rich_markup_mode="rich",
)

DebugOption = Annotated[bool, typer.Option("--debug", help="Show a traceback when it fails.")]


@pretrain_app.callback()
def pretrain(
    context: typer.Context,
    stage: Annotated[
        str,
        typer.Option(
            "--stage", metavar="STAGE", help="recogniser, semantic (S1), acoustic (S2) or vocoder."
        ),
    ] = "",
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Folder of recordings: LJSpeech's or LibriTTS's layout, or manifest.jsonl; may be "
            "given several times.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="YAML file; values left out stay as in configs/training/STAGE.yaml.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="RUN", help="Folder of the run, with its checkpoint and curves."
        ),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Train a stage of a voice model.

    The recordings are unpacked once, into the folder "prepared" beside the run. In the run's folder
    are its checkpoint, losses.csv and losses.png, and samples/.

    It may be stopped at any moment: run the same command again, and it goes on where it was.

    [bold]Examples[/]

    voxloom pretrain --stage recogniser --data LJSpeech-1.1 --out runs/recogniser

    voxloom pretrain --stage semantic --data LJSpeech-1.1 --out runs/semantic

    voxloom pretrain export --runs runs --out my-model
    """
    if context.invoked_subcommand is not None:
        if stage or data or config or out:
            raise UsageError("voxloom pretrain either trains a stage or exports, not both")
        return
    if not (stage and data and out):
        raise UsageError("give --stage, --data and --out; see voxloom pretrain --help")
    from configs.training import load_stage

    loaded = load_stage(stage, config)  # says what is wrong with it before anything else
    start()
    from model.training.stages import pretrain

    with shown(stage, terminal()) as progress:
        run = pretrain(stage, loaded, data, out, progress.prepared, progress.trained)
    terminal().print(f"[green]{out}[/]: {run.step} steps, {run.seconds / 60:.1f} min of training")


@pretrain_app.command("export")
def pretrain_export(
    runs: Annotated[
        Path,
        typer.Option(
            "--runs",
            metavar="DIR",
            help="Folder of the runs, called recogniser, semantic, acoustic and vocoder.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="MODEL", help="Folder to be made.")],
    base: Annotated[
        str,
        typer.Option(
            "--base",
            metavar="DIR",
            help="Voice model that the other parts are taken from; the built-in one by default.",
        ),
    ] = "built-in",
    name: Annotated[str, typer.Option("--name", help="What the model is called.")] = "",
    debug: DebugOption = False,
) -> None:
    """Collect trained parts into a voice model's folder."""
    start()
    from model.training.export import export

    trained = export(runs, out, base, name)
    typer.echo(f"{out} holds a voice model; of {runs}: {', '.join(trained)}")


class TrainingProgress:
    """A bar on a terminal, else a line now and then."""

    def __init__(self, stage: str, console: "Console") -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        self._stage, self._console = stage, console
        self._said = float("-inf")
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[note]}", style="cyan"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self.bar.add_task("", total=None, note="")
        self._what, self._began, self._first = "", 0.0, 0

    def prepared(self, what: str, done: int, total: int) -> None:
        """So much of the data is prepared."""
        if what != self._what:
            self._what, self._began, self._first = what, time.monotonic(), done
        made = done - self._first
        left = (time.monotonic() - self._began) / made * (total - done) if made else None
        self._show(f"preparing {what}", done / total, left, "", done == total)

    def trained(self, progress: "Progress") -> None:
        """A step is made."""
        losses = " ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
        text = f"{self._stage}, step {progress.step}"
        self._show(text, progress.share, progress.left, losses, progress.share >= 1)

    def _show(self, text: str, share: float, left: float | None, more: str, last: bool) -> None:
        from flows.progress import spoken_time

        to_go = "" if left is None or last else f"about {spoken_time(left)} left"
        note = ", ".join(part for part in (to_go, more) if part)
        self.bar.update(self._task, description=text, total=1.0, completed=share, note=note)
        now = time.monotonic()
        if not self._console.is_terminal and (last or now - self._said > SECONDS_BETWEEN_LINES):
            self._said = now
            self._console.print(f"{text}: {100 * share:.0f} %, {note}", highlight=False)


@contextmanager
def shown(stage: str, console: "Console") -> Iterator[TrainingProgress]:
    """Draws the progress of a stage while the block runs."""
    progress = TrainingProgress(stage, console)
    with progress.bar:
        yield progress
