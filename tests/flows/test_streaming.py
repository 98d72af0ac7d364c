"""Memory does not grow with the length of a book."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Delivers a book of one long chapter and of a few; prints the greatest memory of this process and
# of ffmpeg, in MiB.
LONG = """
import json, os, re, resource, sys, threading, time
from pathlib import Path
from tasks.assemble import assemble_chapter
from tests.flows.test_delivery import OPENING, RATE, AssembledChapter, delivered, utterance, voice
from dataclasses import replace
peaks = [0]
def watch():
    # What the system says of ended children counts this process's own memory, too.
    while True:
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                told = dict(re.findall(r"^(Name|PPid|VmHWM):\\s+(\\S+)", status.read_text(), re.M))
            except OSError:
                continue
            if told["PPid"] == str(os.getpid()) and told["Name"].startswith("ffmpeg"):
                peaks.append(int(told.get("VmHWM", 0)) / 1024)
        time.sleep(0.2)
threading.Thread(target=watch, daemon=True).start()
folder, minutes = Path(sys.argv[1]), float(sys.argv[2])
take = voice(10.0, 140.0)
chapters = []
for number, share in ((OPENING, 0.02), (0, 0.9), (1, 0.08)):
    count = max(1, round(share * minutes * 6))
    pieces = ((replace(utterance(number), index=n), take) for n in range(count))
    audio = assemble_chapter(pieces, RATE, folder / f"{number + 1}.flac")
    chapters.append(AssembledChapter(number, replace(audio, spans=audio.spans[:1]), ()))
made, report = delivered(folder / "out", chapters, formats=tuple(sys.argv[3].split(",")))
print(json.dumps({
    "own": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "ffmpeg": max(peaks),
    "seconds": made.seconds,
    "failed": made.failed,
    "bytes": sum(path.stat().st_size for path in folder.rglob("*.flac")),
}))
"""


def memory(folder: Path, root: Path, minutes: float, formats: str) -> dict[str, float]:
    folder.mkdir()
    command = [sys.executable, "-c", LONG, folder, str(minutes), formats]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_book_six_times_as_long_takes_no_more_memory(tmp_path: Path, root: Path) -> None:
    short = memory(tmp_path / "short", root, 10, "m4b,mp3")
    long = memory(tmp_path / "long", root, 60, "m4b,mp3")
    assert long["seconds"] > 5.5 * short["seconds"]
    # What is kept of a book: a few numbers for each tenth of a second.
    assert 0 < short["ffmpeg"] < 200
    assert long["own"] - short["own"] < 40
    assert long["ffmpeg"] - short["ffmpeg"] < 40
    assert long["failed"] == short["failed"] == 0
