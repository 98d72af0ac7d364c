"""The whole way of a dub, with the tiny random model."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import soundfile
from rich.console import Console

from configs.errors import UsageError, UserError
from configs.presets import load_dub_presets
from configs.settings import Settings, load_settings
from flows.dub_delivery import Dubbed, deliver_dub
from flows.dub_work import DubOrder, DubWork, plan_dubbing
from flows.progress import RunProgress
from model.engine import Engine
from storage.objects import ObjectStore
from storage.runs import Runs
from tasks.dub_types import RATE
from tasks.redone import load_redone
from tasks.voices import AskedVoice

CUES = (
    ("00:00:01,000 --> 00:00:03,500", "ANN: Good morning to you all."),
    ("00:00:04,000 --> 00:00:06,000", "BEN: We have been waiting"),
    ("00:00:06,000 --> 00:00:08,000", "for an hour and a half."),
    ("00:00:09,500 --> 00:00:12,000", "ANN: The train was late again."),
    ("00:00:14,000 --> 00:00:17,000", "BEN: Then let us begin at once."),
    ("00:00:18,000 --> 00:00:19,000", "[applause]"),
)


class Counting(Engine):
    """The debug engine; writes down each sound that it makes before handing it over."""

    file: Path
    seconds: float

    def acoustics(self, requests, semantics, reference, sampling, on_done=None):
        made = super().acoustics(requests, semantics, reference, sampling, on_done)
        time.sleep(self.seconds)
        with self.file.open("a") as file:
            for request in requests:
                print(" ".join(request.phones), request.seed, sampling.speed, file=file)
        return made


def counting(file: Path, seconds: float = 0.0) -> Counting:
    engine = Counting.debug()
    engine.file, engine.seconds = file, seconds
    return engine


def srt(cues=CUES) -> str:
    return "\n".join(
        f"{number}\n{times}\n{text}\n" for number, (times, text) in enumerate(cues, start=1)
    )


@pytest.fixture
def subtitles(tmp_path: Path) -> Path:
    path = tmp_path / "film.en.srt"
    path.write_text(srt())
    return path


def order_for(subtitles: Path, sample: Path, out: Path, settings: Settings, **changes) -> DubOrder:
    values = {
        "voice": AskedVoice((str(sample),)),
        "video": None,
        "mode": "dub",
        "language": "",
        "candidates": 3,
        "seed": 0,
        "presets": load_dub_presets(),
    } | changes
    return DubOrder(subtitles=subtitles, out=out, settings=settings, **values)


def work_on(order: DubOrder, engine: Engine) -> DubWork:
    """The steps without Prefect, up to the point where rendering begins."""
    progress = RunProgress(Console(quiet=True), 100.0)
    return DubWork(order, plan_dubbing(order, progress), engine, progress)


def finish(work: DubWork) -> Dubbed:
    for batch in range(len(work.batches)):
        work.render(batch)
    return deliver_dub(work)


def spoken(count: Path) -> list[str]:
    """What was made to sound since the last look, each text once."""
    lines = count.read_text().splitlines() if count.exists() else []
    count.unlink(missing_ok=True)
    return sorted({line.rsplit(" ", 2)[0] for line in lines})


def test_subtitles_become_a_track(subtitles, sample, settings, tmp_path):
    out = tmp_path / "out"
    work = work_on(order_for(subtitles, sample, out, settings), Engine.debug())
    assert [line.speaker for line in work.plan.lines] == ["ANN", "BEN", "ANN", "BEN"]
    made = finish(work)
    info = soundfile.info(out / "dub.flac")
    assert (info.samplerate, info.channels) == (RATE, 1)
    assert info.frames / RATE == made.seconds
    assert {path.name for path in (out / "stems").iterdir()} == {"ANN.flac", "BEN.flac"}
    for path in made.paths:
        assert path.exists()
    report = json.loads((out / "report.json").read_text())
    assert (report["run"]["made"], report["run"]["reused"]) == (4, 0)
    assert made.report.read_text().startswith("<!DOCTYPE html>")
    bars = {bar["name"]: bar for bar in report["bars"]}
    assert bars["length_error"]["passed"]
    assert bars["overlaps"]["passed"]
    assert [line["text"] for line in report["lines"]][1] == (
        "We have been waiting for an hour and a half."
    )
    assert [len(line["pieces"]) for line in report["lines"]] == [1, 2, 1, 1]
    assert [one["number"] for one in report["skipped"]] == [6]
    assert {file["path"] for file in report["files"]} > {"dub.flac", "stems/ANN.flac"}
    assert "ANN:" in (out / "cast.yaml").read_text()
    assert next(iter(Runs(settings.runs))).state == "finished"


def test_only_what_changed_is_made_again(subtitles, sample, settings, tmp_path):
    out, count = tmp_path / "out", tmp_path / "count.txt"
    order = order_for(subtitles, sample, out, settings)
    first = finish(work_on(order, counting(count)))
    before = {path.name: path.read_bytes() for path in first.paths}
    assert len(spoken(count)) == 4

    again = finish(work_on(order, counting(count)))
    assert spoken(count) == []
    assert {path.name: path.read_bytes() for path in again.paths} == before

    text = srt().replace("was late again", "was early today")
    subtitles.write_text(text)
    finish(work_on(order, counting(count)))
    assert len(spoken(count)) == 1, "one text changed"

    # Another time changes at most how fast that line is spoken, and never another one.
    subtitles.write_text(text.replace("00:00:14,000 --> 00:00:17,000", "00:00:14,400 --> 00:00:15"))
    finish(work_on(order, counting(count)))
    assert len(spoken(count)) <= 1


def test_a_speaker_gets_a_voice_of_the_cast_file(subtitles, sample, settings, tmp_path):
    out, count = tmp_path / "out", tmp_path / "count.txt"
    order = order_for(subtitles, sample, out, settings)
    finish(work_on(order, counting(count)))
    spoken(count)
    cast = out / "cast.yaml"
    audio, rate = soundfile.read(sample)
    soundfile.write(out / "ben.wav", audio[::-1], rate)
    cast.write_text("speakers:\n  ANN:\n    voice:\n  BEN:\n    voice: ben.wav\n")
    work = work_on(order, counting(count))
    assert list(work.speakers) == ["", "BEN"]
    finish(work)
    assert len(spoken(count)) == 2, "the lines of the one with another voice"
    cast.write_text("speakers:\n  ANN:\n    skip: true\n  BEN:\n    voice: ben.wav\n")
    work = work_on(order, counting(count))
    assert {line.speaker for line in work.plan.lines} == {"BEN"}
    assert work.batches == []


def test_no_run_dies_for_one_line(subtitles, sample, settings, tmp_path):
    class Refusing(Counting):
        def semantics(self, requests, *others):
            if any(len(request.phones) > 22 for request in requests):
                raise ValueError("too much of it")
            return super().semantics(requests, *others)

    out = tmp_path / "out"
    engine = Refusing.debug()
    engine.file, engine.seconds = tmp_path / "count.txt", 0.0
    work = work_on(order_for(subtitles, sample, out, settings), engine)
    made = finish(work)
    report = json.loads((out / "report.json").read_text())
    refused = [line for line in report["lines"] if not line["pieces"]]
    assert 0 < len(refused) < 4
    assert all("too much of it" in line["problem"] for line in refused)
    assert len(report["warnings"]) >= len(refused)
    assert made.problems >= len(refused)


def test_a_missing_voice_and_an_empty_file_are_told(subtitles, sample, settings, tmp_path):
    order = order_for(subtitles, sample, tmp_path / "out", settings, voice=None)
    with pytest.raises(UsageError, match="--voice"):
        work_on(order, Engine.debug())
    subtitles.write_text(srt(CUES[-1:]))
    with pytest.raises(UserError, match="nothing that could be spoken"):
        work_on(order_for(subtitles, sample, tmp_path / "out", settings), Engine.debug())


def test_one_line_is_made_again_and_stays_so(
    subtitles, sample, settings, tmp_path, voxloom, monkeypatch
):
    out, count = tmp_path / "out", tmp_path / "count.txt"
    order = order_for(subtitles, sample, out, settings)

    def make(order, console, load_engine):
        return finish(work_on(order, counting(count)))

    monkeypatch.setattr("flows.dub.make_dub", make)
    make(order, None, None)
    first = json.loads((out / "report.json").read_text())
    sound = (out / "dub.flac").read_bytes()
    spoken(count)

    ran = voxloom("redo", out, "--id", "3")
    assert ran.status == 0, ran.err
    assert "Line 2: “We have been waiting for an hour and a half.”" in ran.err
    assert len(spoken(count)) == 1, "that line alone"
    report = json.loads((out / "report.json").read_text())
    assert [line["redone"] for line in report["lines"]] == [None, 1, None, None]
    keys = [[line["key"] for line in one["lines"]] for one in (first, report)]
    assert [a == b for a, b in zip(*keys, strict=True)] == [True, False, True, True]
    assert (out / "dub.flac").read_bytes() != sound
    again = (out / "dub.flac").read_bytes()

    subtitles.write_text(srt().replace("was late again", "was early today"))
    make(order, None, None)
    assert len(spoken(count)) == 1, "a rebuild after another edit keeps it"
    subtitles.write_text(srt())
    ran = voxloom("redo", subtitles, "--at", "0:05.5")
    assert ran.status == 0 and "We have been waiting" in ran.err
    assert [one.seed for one in load_redone(out)] == [2]
    assert voxloom("redo", out, "--at", "5.5", "--seed", "1").status == 0
    assert (out / "dub.flac").read_bytes() == again
    assert voxloom("redo", out, "--id", "2", "--undo").status == 0
    assert (out / "dub.flac").read_bytes() == sound and not (out / "redone.json").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--id", "2", "--undo"], "nothing to undo"),
        (["--id", "6"], "nothing is spoken"),
        (["--id", "1:2"], "no subtitle"),
        (["--at", "0.1"], "nothing is heard"),
    ],
)
def test_lines_of_a_dub_that_are_not_there(
    subtitles, sample, settings, tmp_path, voxloom, options, words
):
    out = tmp_path / "out"
    work_on(order_for(subtitles, sample, out, settings), Engine.debug())
    ran = voxloom("redo", out, *options)
    assert ran.status != 0 and ("make it again with voxloom dub" in ran.err or ":" in options[1])
    finish(work_on(order_for(subtitles, sample, out, settings), Engine.debug()))
    ran = voxloom("redo", out, *options)
    assert ran.status in (1, 2) and words in ran.err


@pytest.mark.parametrize("mode", ["voice-over", "free"])
def test_other_modes(subtitles, sample, settings, tmp_path, mode):
    order = order_for(subtitles, sample, tmp_path / "out", settings, mode=mode)
    work = work_on(order, Engine.debug())
    finish(work)
    speeds = {line.speed for line in work.spoken_lines()}
    assert mode != "free" or speeds == {1.0}


DRIVER = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1])))
import importlib.util
spec = importlib.util.spec_from_file_location("driver", sys.argv[2])
module = importlib.util.module_from_spec(spec)
sys.modules["driver"] = module
spec.loader.exec_module(module)
subtitles, sample, out, count = map(Path, sys.argv[3:])
order = module.order_for(subtitles, sample, out, module.load_settings())
module.finish(module.work_on(order, module.counting(count, 0.3)))
"""


def test_killed_at_any_moment_only_what_is_missing_is_made(
    subtitles, sample, settings, tmp_path, root, monkeypatch
):
    count = tmp_path / "count.txt"
    arguments = [subtitles, sample, tmp_path / "out", count]
    monkeypatch.setenv("VOXLOOM_HOME", str(tmp_path / "killed"))
    killed = load_settings()
    for kill in range(2):
        driver = subprocess.Popen([sys.executable, "-c", DRIVER, root, __file__, *arguments])
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and driver.poll() is None:
            made = len(count.read_text().splitlines()) if count.exists() else 0
            if made > 2 * kill:
                break
            time.sleep(0.005)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    resumed = finish(work_on(order_for(*arguments[:3], killed), counting(count)))

    monkeypatch.setenv("VOXLOOM_HOME", str(tmp_path / "whole"))
    once_count = tmp_path / "count once.txt"
    whole = order_for(subtitles, sample, tmp_path / "once", load_settings())
    once = finish(work_on(whole, counting(once_count)))

    for path, other in zip(resumed.paths, once.paths, strict=True):
        assert path.read_bytes() == other.read_bytes(), path.name
    stores = [ObjectStore(str(tmp_path / name / "store")) for name in ("killed", "whole")]
    assert list(stores[0]) == list(stores[1])
    assert all(stores[0].get(key) == stores[1].get(key) for key in stores[0])
    made, needed = (Counter(file.read_text().splitlines()) for file in (count, once_count))
    assert made.keys() == needed.keys()
    # What was sounding when it was killed, and the tries of a line before its last.
    assert sum(made.values()) - sum(needed.values()) <= 2 * 3


FLOW = """
import sys
from flows import cli, work
from model.engine import Engine
work.builtin_engine = lambda settings: Engine.debug()
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.prefect
def test_the_command_makes_a_dub(subtitles, sample, settings, root, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", FLOW, "dub", subtitles, "--voice", sample, "--out", tmp_path / "o"],
        cwd=root,
        env=os.environ | {"PREFECT_API_URL": "http://127.0.0.1:9/api"},  # must not be used
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Speaking ..." in ran.stderr
    names = {path.name for path in (tmp_path / "o").iterdir()}
    assert {"dub.flac", "dub.en.srt", "dub.en.vtt", "cast.yaml", "report.json"} <= names
    wrong = subprocess.run(
        [sys.executable, "-c", FLOW, "dub", subtitles, "--out", tmp_path / "o", "--mode", "x"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert wrong.returncode == 2
    assert "voice-over" in wrong.stderr
