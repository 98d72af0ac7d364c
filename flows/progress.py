"""Live progress: what is being done, how far it is, and when it will be finished."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

PRIOR_SECONDS = 10.0  # how long the assumed speed counts as if it had been measured
SECONDS_BETWEEN_LINES = 20.0  # where there is no terminal to draw in
SECONDS_BETWEEN_FACTS = 0.25  # where a program reads
SPOKEN_PHONES_PER_SECOND = 12.5
FINISHING_SPEED = 60.0  # seconds of speech mastered, encoded and verified a second


class Pace:
    """Estimates the time left from work done; work is counted in phones.

    Begins with an assumed speed (that of the last run), which measurement soon outweighs.
    """

    def __init__(self, phones_per_second: float, clock: Callable[[], float] = time.monotonic):
        self._prior = phones_per_second
        self._clock = clock
        self._start: float | None = None
        self._last = 0.0
        self._done = 0

    def start(self) -> None:
        self._start = self._last = self._clock()

    def advance(self, phones: int) -> None:
        self._done += phones
        self._last = self._clock()

    @property
    def measured(self) -> float | None:
        """Phones a second since the start; None before there is anything to go by."""
        if self._start is None or not self._done or self._last <= self._start:
            return None
        return self._done / (self._last - self._start)

    def seconds_left(self, phones: int) -> float:
        """Seconds until so many phones are rendered, from now."""
        if self._start is None:
            return phones / self._prior
        elapsed = self._last - self._start
        speed = (self._prior * PRIOR_SECONDS + self._done) / (PRIOR_SECONDS + elapsed)
        return max(0.0, phones / speed - (self._clock() - self._last))


Facts = dict[str, Any]


def print_facts(facts: Facts) -> None:
    """A line of JSON on standard output, for a program that reads it."""
    print(json.dumps(facts, ensure_ascii=False), flush=True)


class RunProgress:
    """The display of one run: `stage` says what goes on, `advance` that an utterance is done.

    `tell` is told the same as JSON values: `stage`, `done` (0 to 1 of the stage, or None),
    `seconds_left` (or None), `chapters` (`number` from 1, `title` and `done`).
    """

    def __init__(
        self,
        console: Console,
        phones_per_second: float,
        tell: Callable[[Facts], None] | None = None,
    ) -> None:
        self.pace = Pace(phones_per_second)
        self._tell = tell
        self._told = 0.0
        self._chapters: dict[int, Facts] = {}
        self._console = console
        self._left = 0
        self._finishing = 0.0
        self._said = 0.0
        # Of the present stage: what was done when it said so first, when that was, what is now.
        self._found, self._begun, self._share = 0.0, 0.0, 0.0
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            _Left(self),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None)

    @contextmanager
    def shown(self) -> Iterator["RunProgress"]:
        """Draws while the block runs."""
        with self._bar:
            yield self

    def stage(self, text: str) -> None:
        """What is being done from now on."""
        if text == self._bar.tasks[self._task].description:
            return
        self._found, self._begun, self._share = 0.0, 0.0, 0.0
        self._bar.update(self._task, description=text)
        self._tell_facts(at_once=True)
        if not self._console.is_terminal:
            self._console.print(f"{text} ...", highlight=False)

    def chapters(self, titles: Mapping[int, str]) -> None:
        """The chapters of the run by their number (from 0); none of them is done."""
        self._chapters = {
            number: {"number": number + 1, "title": title, "done": 0.0}
            for number, title in titles.items()
        }

    def chapter(self, number: int, done: float) -> None:
        """How much of a chapter is done, 0 to 1."""
        if number in self._chapters:
            self._chapters[number]["done"] = round(done, 4)
            self._tell_facts(at_once=done >= 1)

    def expect(self, phones: int, left: int) -> None:
        """How much there is in all, and how much of it is left to render; estimates are welcome."""
        self._left = left
        self._finishing = phones / SPOKEN_PHONES_PER_SECOND / FINISHING_SPEED
        self._bar.update(self._task, total=max(phones, 1), completed=phones - left)
        self._tell_facts()

    def advance(self, phones: int) -> None:
        """An utterance of so many phones is done."""
        self.pace.advance(phones)
        self._left -= phones
        self._bar.update(self._task, advance=phones)
        self._tell_facts()
        if not self._console.is_terminal and self._left > 0 and self._due():
            done = self._bar.tasks[self._task]
            self._console.print(
                f"{done.percentage:.0f} % spoken, {self.left()} left", highlight=False
            )

    def fraction(self, done: float) -> None:
        """How much of the present stage is done, 0 to 1."""
        self._left = 0
        if not self._begun:  # a run that goes on finds much done
            self._found, self._begun = done, time.monotonic()
        self._share = done
        self._bar.update(self._task, total=1.0, completed=done)
        self._tell_facts()
        if not self._console.is_terminal and self.left() and self._due():
            self._console.print(f"{100 * done:.0f} %, {self.left()} left", highlight=False)

    def left(self) -> str:
        """The time left, in words; nothing while there is nothing to go by."""
        seconds = self._seconds_left()
        return "" if seconds is None else f"about {spoken_time(seconds)}"

    def _seconds_left(self) -> float | None:
        """None while there is nothing to go by."""
        if self._left <= 0:
            made = self._share - self._found
            if made <= 0 or self._share >= 1:
                return None
            elapsed = time.monotonic() - self._begun
            return elapsed * (1 - self._share) / made
        return self.pace.seconds_left(self._left) + self._finishing

    def _tell_facts(self, at_once: bool = False) -> None:
        now = time.monotonic()
        if self._tell is None or (now - self._told < SECONDS_BETWEEN_FACTS and not at_once):
            return
        self._told = now
        bar = self._bar.tasks[self._task]
        seconds = self._seconds_left()
        self._tell(
            {
                "stage": bar.description,
                "done": None if not bar.total else min(1.0, round(bar.completed / bar.total, 4)),
                "seconds_left": None if seconds is None else round(seconds, 1),
                "chapters": [dict(chapter) for chapter in self._chapters.values()],
            }
        )

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._said < SECONDS_BETWEEN_LINES:
            return False
        self._said = now
        return True


class _Left(ProgressColumn):
    """The time left, drawn anew with every refresh."""

    def __init__(self, run: RunProgress) -> None:
        super().__init__()
        self._run = run

    def render(self, task: Task) -> Text:
        left = self._run.left()
        return Text(f"{left} left" if left else "", style="cyan")


def spoken_time(seconds: float) -> str:
    """A duration as one says it: 40 s, 3 min 20 s, 2 h 05 min."""
    minutes, rest = divmod(max(1, round(seconds)), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
