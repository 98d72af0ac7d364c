"""A fault campaign: books are made on a pool of real processes while its parts are killed.

    python -m benchmarks.faults --kills 20 --folder /tmp/campaign

Every few seconds something is killed (SIGKILL), stopped, or its disk filled, while books are being
made by a voice model that only takes its time (benchmarks/fake). Nobody helps. In the end every
book must be there, the very bytes that an undisturbed run on one machine makes, and little must
have been spoken twice. The table goes to standard output and to FOLDER/campaign.json.
"""

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.topology import ROOT, Topology, descendants, lacking
from storage.folder import Folder
from storage.queue import ENDED, Queue

FAKE = ROOT / "benchmarks" / "fake"
COMPARED = (".m4b", ".srt", ".vtt")  # the report tells times of the run
WORDS = (8, 16)  # in a sentence
CHAPTER_LINES = 50
BATCH_LINES = 16
WORKERS = ("worker-1", "worker-2")
OUTAGE_SECONDS = 60.0
FULL_SECONDS = 20.0
STOPPED_SECONDS = 45.0
DISK_MEGABYTES = 600
PATIENCE_SECONDS = 1800.0  # for all books to be finished after the last fault


@dataclass
class Fault:
    """What was done, when (seconds from the campaign's start) and how long until a line was
    spoken again."""

    kind: str
    at: float
    recovered_seconds: float | None = None


@dataclass
class Outcome:
    """What a campaign found."""

    faults: list[Fault] = field(default_factory=list)
    books: int = 0
    finished: int = 0
    lines: int = 0
    lost: int = 0
    doubled: int = 0
    most_doubled: int = 0  # lines of the batches that were in the hands of workers that died
    different_files: list[str] = field(default_factory=list)
    secrets_in: list[str] = field(default_factory=list)
    wall_seconds: float = 0.0

    @property
    def good(self) -> bool:
        return (
            self.finished == self.books
            and not self.lost
            and not self.different_files
            and not self.secrets_in
        )


class Campaign:
    """A pool, what is done to it, and what becomes of its books."""

    def __init__(self, folder: Path, seed: int, lines: int, rtf: float, books: int = 1) -> None:
        self.at_first = books
        self.folder = folder.absolute()
        self.random = random.Random(seed)
        self.lines = lines
        self.spoken = self.folder / "spoken.log"
        self.outcome = Outcome()
        self.books: dict[str, Path] = {}  # by job
        fake = {
            "FAKE_LOG": str(self.spoken),
            "FAKE_RTF": str(rtf),
            "PYTHONPATH": f"{FAKE}{os.pathsep}{ROOT}",
            "VOXLOOM_BATCH_SIZE": str(BATCH_LINES),
        }
        self.topology = Topology(self.folder / "pool", workers=WORKERS, environment=fake)
        self._began = 0.0

    def run(self, kills: int, pause: tuple[float, float], minutes: float = 1e6) -> Outcome:
        """Does `kills` faults, or as many as the minutes allow, `pause` seconds (least, most)
        apart, and waits for the books."""
        with full_disk_of(self.topology.folder / "s3"):
            try:
                self.topology.start()
                self._began = time.monotonic()
                for _ in range(self.at_first):
                    self._submit()
                self._wait_for_line(0, 300)
                for number in range(kills):
                    if time.monotonic() - self._began > 60 * minutes:
                        break
                    while not self._working():
                        self._submit()
                    time.sleep(self.random.uniform(*pause))
                    self._fault(KINDS[number % len(KINDS)] if number < len(KINDS) else None)
                self._settle()
                self._judge()
            finally:
                self.topology.stop()
        return self.outcome

    def _fault(self, kind: str | None) -> None:
        kind = kind or self.random.choice(KINDS)
        spoken = self._spoken()
        fault = Fault(kind, time.monotonic() - self._began)
        began = time.monotonic()
        FAULTS[kind](self)
        self.outcome.faults.append(fault)
        if self._wait_for_line(spoken, 240):
            fault.recovered_seconds = round(time.monotonic() - began, 1)
        print(f"{len(self.outcome.faults):4d}  {fault}", file=sys.stderr, flush=True)

    # The faults

    def kill_worker(self) -> None:
        self.topology.kill(self.random.choice(WORKERS))

    def kill_workers(self) -> None:
        for name in WORKERS:
            self.topology.kill(name)

    def kill_speaker(self) -> None:
        """Only the process with the model, not the one that started it."""
        with self.spoken.open("rb") as file:
            file.seek(max(0, self._spoken() - 4096))
            lines = [line.split() for line in file.read().decode().splitlines()[1:]]
        said = [int(words[2]) for words in lines if words[0] == "line"]
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(said[-1], signal.SIGKILL)

    def kill_run(self) -> None:
        """Only a flow run of a book, not what started it."""
        process = self.topology.services["flows"].process
        runs = descendants(process.pid) if process else []
        if runs:
            os.kill(self.random.choice(runs), signal.SIGKILL)

    def stop_worker(self) -> None:
        """It hangs for longer than its lease, then goes on as if nothing had been."""
        name = self.random.choice(WORKERS)
        self.topology.signal(name, signal.SIGSTOP)
        pid = self.topology.services[name].process
        timer = threading.Timer(STOPPED_SECONDS, self._continue, (name, pid))
        timer.daemon = True
        timer.start()

    def _continue(self, name: str, process: object) -> None:
        if self.topology.services[name].process is process:
            self.topology.signal(name, signal.SIGCONT)

    def fill_disk(self) -> None:
        """The store's disk is full for a while."""
        ballast = self.topology.folder / "s3" / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(1 << 20)):
                pass
        time.sleep(FULL_SECONDS)
        ballast.unlink()

    # Books

    def _submit(self) -> None:
        number = len(self.books)
        book = self.folder / "books" / f"campaign-{number}.md"
        write_book(book, self.random, self.lines)
        (job,) = submit(self.topology, book)
        self.books[job] = book

    def _working(self) -> bool:
        """Whether there is work that will last a little."""
        queue = Queue(self.topology.queue_url)
        try:
            states = {job.id: job.state for job in queue.jobs()}
            going = [id for id in self.books if states.get(id) in ("waiting", "running")]
            counts = [queue.counts(id) for id in going]
            left = sum(one.lines_total - one.lines_done for one in counts)
            return left > 20 or not all(one.total for one in counts)
        finally:
            queue.close()

    def _settle(self) -> None:
        """Waits until every book is finished, by itself."""
        queue = Queue(self.topology.queue_url)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if all(queue.job(id).state in ENDED for id in self.books):
                break
            time.sleep(2)
        self.outcome.wall_seconds = round(time.monotonic() - self._began, 1)
        self.outcome.books = len(self.books)
        self.outcome.finished = sum(queue.job(id).state == "finished" for id in self.books)
        queue.close()

    def _judge(self) -> None:
        outcome = self.outcome
        for job, book in self.books.items():
            alone = make_alone(book, self.folder / "alone")
            outcome.lost += self._lost(job)
            outcome.different_files += different(alone, self._fetched(job), prefix=book.stem)
            outcome.lines += self.lines
        said = (line.split() for line in self.spoken.read_text().splitlines())
        seeds = Counter(words[3] for words in said if words[0] == "line")
        outcome.most_doubled = BATCH_LINES * sum(
            AT_RISK.get(fault.kind, 0) for fault in outcome.faults
        )
        outcome.doubled = sum(count - 1 for count in seeds.values())
        outcome.secrets_in = leaks(self.topology)

    def _fetched(self, job: str) -> Path:
        os.environ.update(
            {name: value for name, value in self.topology.client().items() if "AWS" in name}
        )
        out = self.folder / "out" / job
        folder = Folder(f"{self.topology.store_url}/pool/jobs/{job}/out")
        for name in folder.names():
            folder.fetch(name, out / name)
        return out

    def _lost(self, job: str) -> int:
        """Lines that the book's report calls not spoken."""
        reports = list(self._fetched(job).glob("report.json"))
        return reports[0].read_text().count("not spoken") if reports else self.lines

    def _spoken(self) -> int:
        return self.spoken.stat().st_size if self.spoken.exists() else 0

    def _wait_for_line(self, after: int, seconds: float) -> bool:
        """Whether a line was spoken since then."""
        deadline = time.monotonic() + seconds
        while self._spoken() <= after and time.monotonic() < deadline:
            time.sleep(0.2)
        return self._spoken() > after


FAULTS: dict[str, Callable[[Campaign], None]] = {
    "a worker": Campaign.kill_worker,
    "both workers": Campaign.kill_workers,
    "a process that speaks": Campaign.kill_speaker,
    "a flow run": Campaign.kill_run,
    "the flow runner": lambda campaign: campaign.topology.kill("flows"),
    "Prefect's API": lambda campaign: campaign.topology.kill("prefect-api"),
    "Prefect's services": lambda campaign: campaign.topology.kill("prefect-services"),
    "PostgreSQL": lambda campaign: campaign.topology.kill("postgres"),
    "Redis": lambda campaign: campaign.topology.kill("redis"),
    "the S3 server": lambda campaign: campaign.topology.kill("s3"),
    "the S3 server, 60 s": lambda campaign: campaign.topology.kill("s3", OUTAGE_SECONDS),
    "a worker hangs": Campaign.stop_worker,
    "the store's disk is full": Campaign.fill_disk,
}
KINDS = list(FAULTS)
AT_RISK = {
    "a worker": 2,
    "both workers": 4,
    "a process that speaks": 2,
    "a worker hangs": 2,
}  # batches in flight: a worker has the one it speaks, and the one whose takes are being stored


def write_book(path: Path, random: random.Random, lines: int) -> None:
    """A book of so many different sentences of Alice's words, in Markdown."""
    words = re.findall(r"[a-z]{2,}", (ROOT / "benchmarks" / "alice.txt").read_text().lower())
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        file.write(f"# {path.stem}\n")
        for number in range(lines):
            if number % CHAPTER_LINES == 0:
                file.write(f"\n## Chapter {number // CHAPTER_LINES + 1} of {path.stem}\n\n")
            said = " ".join(random.choices(words, k=random.randint(*WORDS)))
            file.write(f"{said.capitalize()}.\n\n")


def voxloom(
    environment: dict[str, str], *arguments: str, home: Path
) -> subprocess.CompletedProcess[str]:
    """Runs a command with the fake voice model; RuntimeError where it fails."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "VOXLOOM_"))}
    ours = {"PYTHONPATH": f"{FAKE}{os.pathsep}{ROOT}", "VOXLOOM_HOME": str(home), "FAKE_RTF": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        env={**plain, **ours, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"voxloom {' '.join(arguments)}: {done.stderr[-2000:]}")
    return done


def submit(topology: Topology, what: Path, *options: str) -> list[str]:
    """Submits a book, subtitles or a folder of books to the pool; returns the jobs' ids."""
    arguments = ["submit", str(what), "--voice", str(ROOT / "demo" / "voice.flac"), *options]
    done = voxloom(topology.client(), *arguments, home=topology.folder / "home" / "submitter")
    return done.stdout.split()


def make_alone(book: Path, folder: Path) -> Path:
    """The same book by `voxloom audiobook` on this machine, undisturbed."""
    out = folder / book.stem
    voice = str(ROOT / "demo" / "voice.flac")
    arguments = ["audiobook", str(book), "--voice", voice, "--out", str(out)]
    voxloom({"VOXLOOM_BATCH_SIZE": "64"}, *arguments, home=folder / "home")
    return out


def different(one: Path, other: Path, prefix: str) -> list[str]:
    """The files of the book that are not the same bytes in both folders."""
    return [
        f"{prefix}: {path.name}"
        for path in sorted(one.iterdir())
        if path.suffix in COMPARED
        and (
            not (other / path.name).exists()
            or path.read_bytes() != (other / path.name).read_bytes()
        )
    ]


def leaks(topology: Topology) -> list[str]:
    """Where a password is to be read: logs, reports and the run parameters that Prefect keeps."""
    import psycopg

    found = []
    places = [*topology.folder.glob("log/*"), *topology.folder.glob("home/*/log/*")]
    texts = {str(path): path.read_text(errors="replace") for path in places if path.is_file()}
    url = topology.queue_url.rsplit("/", 1)[0] + "/prefect"
    with psycopg.connect(url) as database:
        rows = database.execute("SELECT parameters::text, name FROM flow_run").fetchall()
        texts["flow_run.parameters"] = " ".join(row[0] for row in rows)
        texts["log.message"] = " ".join(
            row[0] for row in database.execute("SELECT message FROM log").fetchall()
        )
    for place, text in texts.items():
        for name, secret in topology.secrets.items():
            if secret in text:
                found.append(f"{name} in {place}")
    return found


@contextmanager
def full_disk_of(folder: Path) -> Iterator[None]:
    """Gives a folder a small disk of its own, that can be full without harm to others (as root)."""
    if os.geteuid():
        KINDS.remove("the store's disk is full")
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    size = f"size={DISK_MEGABYTES}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def table(outcome: Outcome) -> str:
    """The campaign as Markdown."""
    by_kind: dict[str, list[Fault]] = {}
    for fault in outcome.faults:
        by_kind.setdefault(fault.kind, []).append(fault)
    lines = ["| killed | times | a line spoken again after (median, worst) |", "|---|---|---|"]
    for kind, faults in by_kind.items():
        seconds = [fault.recovered_seconds for fault in faults if fault.recovered_seconds]
        told = f"{statistics.median(seconds):.0f} s, {max(seconds):.0f} s" if seconds else "-"
        lines.append(f"| {kind} | {len(faults)} | {told} |")
    lines += [
        "",
        f"{len(outcome.faults)} faults in {outcome.wall_seconds / 60:.0f} min, "
        f"{outcome.finished} of {outcome.books} books finished, {outcome.lost} of {outcome.lines} "
        f"lines lost, {outcome.doubled} spoken twice, "
        f"{len(outcome.different_files)} files that differ from an undisturbed run's, "
        f"{len(outcome.secrets_in)} passwords found in logs and run parameters.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--folder", type=Path, required=True, help="must not exist yet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--books", type=int, default=1, help="submitted at first; more if need be")
    parser.add_argument("--lines", type=int, default=400, help="of each book")
    parser.add_argument("--rtf", type=float, default=0.2, help="seconds a second of speech takes")
    parser.add_argument("--minutes", type=float, default=1e6, help="no fault begins after them")
    parser.add_argument("--pause", type=float, nargs=2, default=(5.0, 20.0), help="between faults")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # everything is ended then
    if lack := lacking():
        sys.exit(f"Not on this machine: {', '.join(lack)}. Install PostgreSQL and Redis.")
    shutil.rmtree(given.folder / "out", ignore_errors=True)
    campaign = Campaign(given.folder, given.seed, given.lines, given.rtf, given.books)
    outcome = campaign.run(given.kills, given.pause, given.minutes)
    (given.folder / "campaign.json").write_text(json.dumps(asdict(outcome), indent=1))
    print(table(outcome))
    sys.exit(not outcome.good)


if __name__ == "__main__":
    main()
