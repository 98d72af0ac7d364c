"""What the queue costs a worker: batches of a fake model, claimed from PostgreSQL, stored in S3.

    python -m benchmarks.worker_load --lines 10000 --folder /tmp/load
    python -m benchmarks.worker_load --lines 2560 --jobs 40 --folder /tmp/load

Two workers (flows/worker.py) speak a book's batches by a voice model that only takes its time. What
is not spent in making takes (model, gate, encoding) is orchestration: claims, manifests, asking
the store, waiting until takes are safe, completion. Prefect has no part in a batch.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from benchmarks.faults import FAKE
from benchmarks.pool_load import PRIORITIES, in_order, shares
from benchmarks.topology import ROOT, Topology, lacking
from storage.folder import Folder
from storage.keys import content_key
from storage.queue import Job, NewBatch, Queue

BATCH = 64
PHONES = ("HH", "AH0", "L", "OW1", "W", "ER1", "L", "D")
CODE = """
from configs.settings import load_settings
from flows.jobs import open_pool
from flows.worker import Worker
Worker(open_pool(load_settings())).work()
"""


def measure(folder: Path, lines: int, jobs: int, rtf: float) -> dict[str, object]:
    """Has the lines of so many jobs spoken, which have high, normal and low priorities in turn."""
    spoken = folder / "spoken.log"
    fake = {
        "FAKE_LOG": str(spoken),
        "FAKE_RTF": str(rtf),
        "PYTHONPATH": f"{FAKE}{os.pathsep}{ROOT}",
    }
    topology = Topology(folder / "pool", environment=fake, worker=("-c", CODE))
    queue = Queue(topology.queue_url)
    try:
        topology.start_stores()
        os.environ.update(topology.client())
        queue.migrate()
        rank = {}
        for number in range(jobs):
            name = f"load-{number}"
            rank[name] = PRIORITIES[number % len(PRIORITIES)]
            queue.add_job(Job(name, "audiobook", name, priority=len(PRIORITIES) - number % 3))
            part = range(number * lines // jobs, (number + 1) * lines // jobs)
            folder_of = Folder(f"{topology.store_url}/pool/jobs/{name}")
            queue.add_batches(name, batches(folder_of, part))
        topology.start_workers()
        ended: dict[str, float] = {}
        while len(ended) < jobs:
            time.sleep(1)
            for name in rank.keys() - ended.keys():
                if queue.counts(name).settled:
                    ended[name] = time.monotonic()
                    print(f"{name} ({rank[name]}) is done", file=sys.stderr, flush=True)
    finally:
        queue.close()
        topology.stop()
    first, last, worked, modelled, gap = shares(spoken)
    return {
        "jobs": jobs,
        "lines": lines,
        "priorities_kept": in_order([(rank[name], when) for name, when in ended.items()]),
        "wall_seconds": round(last - first, 1),
        "orchestration": round(1 - sum(worked.values()) / len(worked), 4),
        "model_busy": round(sum(modelled.values()) / len(modelled), 4),
        "longest_gap": round(gap, 2),
        "load": os.getloadavg(),
    }


def batches(folder: Folder, lines: range) -> list[NewBatch]:
    """A job's batches with their manifests in the job's folder."""
    import soundfile

    from model.sampling import Sampling
    from model.speaking import Sample
    from tasks.manifest import CarriedVoice, Manifest, Part, encode_manifest
    from tasks.render import Line
    from tasks.takes import encode_flac, quantize

    sys.path.insert(0, str(FAKE))
    from engine import Engine  # the fake one

    audio, rate = soundfile.read(ROOT / "demo" / "voice.flac", dtype="float32")
    sample = Sample(audio, rate)
    folder.put("voices/voice.flac", encode_flac(quantize(sample.audio), rate))
    voice = CarriedVoice((("voices/voice.flac", rate),), None, "", Engine.content_hash)
    chance = random.Random(0)
    made = []
    for number, start in enumerate(lines[::BATCH]):
        spoken = [
            Line(content_key({"line": line}), tuple(chance.choices(PHONES, k=65)))
            for line in range(start, min(start + BATCH, lines.stop))
        ]
        manifest = Manifest("", False, {"": voice}, (Part("", Sampling(), tuple(spoken)),))
        name = f"batches/{number}.json"
        folder.put(name, encode_manifest(manifest))
        made.append(NewBatch(number, name, tuple(line.key for line in spoken), 1.0))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--rtf", type=float, default=0.02)
    parser.add_argument("--folder", type=Path, required=True, help="must not exist yet")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # everything is ended then
    if lack := lacking():
        sys.exit(f"Not on this machine: {', '.join(lack)}. Install PostgreSQL and Redis.")
    print(
        json.dumps(measure(given.folder.absolute(), given.lines, given.jobs, given.rtf), indent=1)
    )


if __name__ == "__main__":
    main()
