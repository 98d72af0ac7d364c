"""What a pool costs: orchestration, how busy workers are, how the server's database grows.

    python -m benchmarks.pool_load --books 1 --lines 10000 --folder /tmp/one
    python -m benchmarks.pool_load --books 40 --lines 80 --rtf 0.12 --folder /tmp/forty

Books are made by a voice model that only takes its time (benchmarks/fake), by two workers on the
native topology. Two shares are measured for each worker, from its first line to its last: that in
which the model or what belongs to a take (gate, encoding, storing) was at work, whose rest is
orchestration; and that in which the model itself was. `busy` is the first of them for all workers,
from the first line of any to the moment at which the last batch was begun: until then there was
work for all. In `all_busy` of that time, no worker had nothing to do.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import psycopg

from benchmarks.faults import FAKE, submit, write_book
from benchmarks.topology import ROOT, Topology, lacking
from storage.queue import ENDED, Queue

PRIORITIES = ("low", "normal", "high")
HOURS = 3.0  # after which it is given up


@dataclass(frozen=True)
class Load:
    """What was measured. Seconds are wall time; shares are of it."""

    books: int
    finished: int
    lines: int
    wall_seconds: float  # from the first line to the last
    whole_seconds: float  # from the first submission to the last book
    worked: dict[str, float]  # by worker: share in which takes were made
    modelled: dict[str, float]  # by worker: share in which the model was at work
    busy: float
    all_busy: float
    longest_gap: float
    priorities_kept: float  # share of pairs of books of two priorities that were begun in order
    database_megabytes: float  # by which Prefect's database grew
    queue_megabytes: float
    events: int  # that Prefect keeps, and how long they are on the average
    event_bytes: int
    idle_megabytes_an_hour: float  # Prefect's database, with nothing to do
    load: tuple[float, float, float]

    @property
    def overhead(self) -> float:
        return 1.0 - sum(self.worked.values()) / max(len(self.worked), 1)


def measure(
    folder: Path, books: int, lines: int, rtf: float, seed: int, at_once: int, idle: float
) -> Load:
    """Has the books made, `at_once` of them in the hands of a run, and measures; then for so many
    `idle` seconds what the server does to its database by itself."""
    spoken = folder / "spoken.log"
    fake = {
        "FAKE_LOG": str(spoken),
        "FAKE_RTF": str(rtf),
        "PYTHONPATH": f"{FAKE}{os.pathsep}{ROOT}",
    }
    chance = random.Random(seed)
    topology = Topology(folder / "pool", environment=fake)
    topology.flows = (*topology.flows, "--books", str(at_once))
    queue = Queue(topology.queue_url)
    try:
        topology.start()
        before = sizes(topology)
        began = time.monotonic()
        for number in range(books):
            wanted = PRIORITIES[number % len(PRIORITIES)]
            write_book(folder / "books" / wanted / f"book-{number}.md", chance, lines)
        priority = {}
        for wanted in PRIORITIES[:books]:  # a folder each: that of the lowest comes first
            made = submit(topology, folder / "books" / wanted, "--priority", wanted)
            priority |= dict.fromkeys(made, wanted)
            print(f"{len(priority)} submitted", file=sys.stderr, flush=True)
        while time.monotonic() - began < HOURS * 3600:
            jobs = queue.jobs()
            done = sum(job.state in ENDED for job in jobs)
            print(f"{time.monotonic() - began:6.0f} s  {done} done", file=sys.stderr, flush=True)
            if done == books:
                break
            time.sleep(10)
        whole = time.monotonic() - began
        time.sleep(20)  # Prefect's recorder lags behind
        grown = [after - was for after, was in zip(sizes(topology), before, strict=True)]
        jobs = queue.jobs()
        load = os.getloadavg()
        count, each = events(topology)
        grew = idle_growth(topology, idle) if idle else 0.0
    finally:
        queue.close()
        topology.stop()
    first, last, worked, modelled, gap = shares(spoken)
    busy, all_busy = busy_shares(spans_of(spoken))
    return Load(
        books=books,
        finished=sum(job.state == "finished" for job in jobs),
        lines=sum(line.startswith("line") for line in spoken.read_text().splitlines()),
        wall_seconds=round(last - first, 1),
        whole_seconds=round(whole, 1),
        worked=worked,
        modelled=modelled,
        busy=round(busy, 4),
        all_busy=round(all_busy, 4),
        longest_gap=round(gap, 2),
        priorities_kept=in_order([(priority[job.id], job.finished) for job in jobs]),
        database_megabytes=round(grown[0], 1),
        queue_megabytes=round(grown[1], 1),
        events=count,
        event_bytes=each,
        idle_megabytes_an_hour=round(grew, 2),
        load=load,
    )


def sizes(topology: Topology) -> tuple[float, float]:
    """Prefect's database and the queue's, in megabytes."""
    with psycopg.connect(topology.queue_url) as database:
        prefect, queue = database.execute(
            "SELECT pg_database_size('prefect'), pg_database_size('voxloom')"
        ).fetchone() or (0, 0)
    return prefect / 1e6, queue / 1e6


def shares(spoken: Path) -> tuple[float, float, dict[str, float], dict[str, float], float]:
    """First and last moment of all workers, each one's shares, and the longest gap of any."""
    calls = spans_of(spoken)
    slept: dict[str, float] = defaultdict(float)
    for line in spoken.read_text().splitlines():
        words = line.split()
        if words[0] == "line":
            slept[words[2]] += float(words[4])
    worked, modelled, gap = {}, {}, 0.0
    for pid, spans in calls.items():
        wall = spans[-1][1] - spans[0][0]
        worked[pid] = round(sum(end - begin for begin, end in spans) / wall, 4)
        modelled[pid] = round(slept[pid] / wall, 4)
        gaps = (after[0] - before[1] for before, after in pairwise(spans))
        gap = max(gap, max(gaps, default=0.0))
    first = min(spans[0][0] for spans in calls.values())
    last = max(spans[-1][1] for spans in calls.values())
    return first, last, worked, modelled, gap


def spans_of(spoken: Path) -> dict[str, list[tuple[float, float]]]:
    """Begin and end of each call of each worker's model, in order."""
    calls: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for line in spoken.read_text().splitlines():
        words = line.split()
        if words[0] == "call":
            calls[words[3]].append((float(words[1]), float(words[2])))
    return {pid: sorted(spans) for pid, spans in calls.items()}


def busy_shares(calls: dict[str, list[tuple[float, float]]]) -> tuple[float, float]:
    """Of the time until the last call was begun: the workers' share at work, and that of all."""
    first = min(spans[0][0] for spans in calls.values())
    last = max(spans[-1][0] for spans in calls.values())
    changes = sorted(
        change
        for spans in calls.values()
        for begin, end in spans
        for change in ((min(begin, last), 1), (min(end, last), -1))
    )
    worked = together = 0.0
    working, since = 0, first
    for moment, change in changes:
        worked += working * (moment - since)
        together += (working == len(calls)) * (moment - since)
        working, since = working + change, moment
    wall = max(last - first, 1e-9)
    return worked / (len(calls) * wall), together / wall


def events(topology: Topology) -> tuple[int, int]:
    """How many events Prefect keeps, and how many bytes each of them takes, indexes included."""
    with psycopg.connect(topology.queue_url.rsplit("/", 1)[0] + "/prefect") as database:
        count, size = database.execute(
            "SELECT count(*), pg_total_relation_size('events')"
            " + pg_total_relation_size('event_resources') FROM events"
        ).fetchone() or (0, 0)
    return count, round(size / max(count, 1))


def idle_growth(topology: Topology, seconds: float) -> float:
    """Megabytes an hour by which Prefect's database grows, measured for so many seconds."""
    before, _ = sizes(topology)
    time.sleep(seconds)
    after, _ = sizes(topology)
    return (after - before) * 3600.0 / seconds


def in_order(ends: list[tuple[str, float]]) -> float:
    """Of all pairs of books of two priorities, the share in which the higher was done first."""
    rank = {name: place for place, name in enumerate(PRIORITIES)}
    pairs = [
        one_end < other_end
        for one, one_end in ends
        for other, other_end in ends
        if rank[one] > rank[other]
    ]
    return round(sum(pairs) / len(pairs), 3) if pairs else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--books", type=int, default=1)
    parser.add_argument("--lines", type=int, default=10_000, help="of each book")
    parser.add_argument("--rtf", type=float, default=0.02)
    parser.add_argument("--at-once", type=int, default=4, help="books planned or put together")
    parser.add_argument("--idle", type=float, default=0.0, help="seconds, measured at the end")
    parser.add_argument("--folder", type=Path, required=True, help="must not exist yet")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # everything is ended then
    if lack := lacking():
        sys.exit(f"Not on this machine: {', '.join(lack)}. Install PostgreSQL and Redis.")
    load = measure(
        given.folder.absolute(),
        given.books,
        given.lines,
        given.rtf,
        given.seed,
        given.at_once,
        given.idle,
    )
    facts = asdict(load) | {"overhead": round(load.overhead, 4)}
    (given.folder / "load.json").write_text(json.dumps(facts, indent=1))
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
