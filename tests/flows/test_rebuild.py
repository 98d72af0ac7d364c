"""What is made again after a change, and only that: edits, redone lines, kills."""

import json
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from configs.errors import UserError
from configs.presets import load_presets
from flows import audiobook
from flows.orders import Order, last_order
from flows.redo_cli import line_at, line_of
from flows.work import Work
from model.engine import Engine
from storage.derived import DerivedFiles
from storage.runs import Runs
from tasks.changes import count_reasons
from tasks.overlay_check import check_overlays
from tasks.redone import FILE, Redone, load_redone, save_redone
from tasks.voices import AskedVoice
from tests.flows.test_audiobook import order_for, work_on


def rewrite(book: Path, old: str, new: str) -> None:
    """Changes what a book's files say."""
    with zipfile.ZipFile(book) as source:
        members = {name: source.read(name) for name in source.namelist()}
    assert any(old.encode() in data for data in members.values())
    with zipfile.ZipFile(book, "w") as target:
        for name, data in members.items():
            target.writestr(name, data.replace(old.encode(), new.encode()))


def speak(order: Order, engine=None) -> Work:
    """Makes the chapters of an audiobook, without Prefect, and leaves the packing out."""
    work = work_on(order, engine or Engine.debug())
    for number in range(len(work.batches)):
        work.render(number)
    for number in work.plan.chapters:
        work.assemble(number)
    work._record("finished")
    return work


def deliver(order: Order) -> Work:
    """Makes the whole audiobook."""
    work = speak(order)
    work.deliver([work.assemble(number) for number in sorted(work.plan.chapters)])
    return work


def report(order: Order) -> dict:
    return json.loads((order.out / "report.json").read_text())


def chapters_of(work: Work) -> dict[int, bytes]:
    return {number: work.assemble(number).audio.path.read_bytes() for number in work.plan.chapters}


def reasons(work: Work) -> dict[str, int]:
    return count_reasons(work.changes)


def made(order: Order) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in order.out.iterdir() if path.suffix != ".json"}


def stamps(order: Order) -> dict[str, int]:
    folder = order.settings.derived
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.flac")}


@pytest.fixture(autouse=True)
def one_attempt(monkeypatch):
    """The tiny model's noise is always suspect; what is made of that is tests/tasks' business."""
    monkeypatch.setattr("tasks.render.ATTEMPTS", 1)


@pytest.fixture
def order(epub, sample, settings, tmp_path) -> Order:
    return order_for(epub, sample, tmp_path / "out", settings)


def test_one_changed_word_makes_one_utterance_and_one_chapter(order):
    deliver(order)
    first, chapters = made(order), stamps(order)
    again = deliver(order)
    assert (again.batches, again.changes) == ([], [])
    assert report(order)["run"]["made"] == 0
    assert made(order) == first, "the same book has the same bytes"
    assert stamps(order) == chapters, "no chapter was assembled again"

    assert sum(report(order)["run"]["verdicts"].values()) == 14
    times = again.assemble(1).times
    assert times, "also of a chapter that was there"
    for line in again.plan.chapters[1]:
        assert line.index not in times or times[line.index].shape == (len(line.phones), 2)

    rewrite(order.book, "dog barked somewhere behind the mill in part 2", "cat barked in part 2")
    changed = deliver(order)
    assert report(order)["run"]["made"] == 1
    assert report(order)["run"]["why"] == {"text": 1}
    (change,) = changed.changes
    assert change.before.startswith("A dog") and change.text.startswith("A cat")
    assert (change.chapter, change.index) == (1, 6)
    now = stamps(order)
    assert len(now) == 3 and now.items() > chapters.items(), "one more chapter was assembled"

    rewrite(order.book, "cat barked in part 2", "dog barked somewhere behind the mill in part 2")
    deliver(order)
    assert report(order)["run"]["made"] == 0, "what was made before is still there"
    assert made(order) == first


def test_a_chapter_title_touches_its_chapter_alone(order):
    speak(order)
    chapters = stamps(order)
    rewrite(order.book, "<h1>Chapter 2</h1>", "<h1>Chapter Two Again</h1>")
    rewrite(order.book, ">Chapter 2</a>", ">Chapter Two Again</a>")
    changed = speak(order)
    assert [change.text for change in changed.changes] == ["Chapter Two Again"]
    assert len(stamps(order).keys() - chapters.keys()) == 1


def test_the_report_says_why(order, sample):
    order = replace(order, chapters="1")
    speak(order)
    audio, rate = soundfile.read(sample)
    soundfile.write(sample.with_name("other.wav"), audio[::-1], rate)
    for changes, why in (
        ({"voice": AskedVoice((str(sample.with_name("other.wav")),))}, "voice"),
        ({"seed": 5}, "settings"),
    ):
        work = work_on(replace(order, **changes), Engine.debug())
        assert reasons(work) == {why: 7}
        speak(order)
    work = work_on(order, Engine.debug(seed=1))
    assert reasons(work) == {"model": 7}
    work = work_on(replace(order, out=order.out / "elsewhere"), Engine.debug(seed=1))
    assert reasons(work) == {"new": 7}


def test_a_speaker_of_the_cast_has_a_voice_of_their_own(order, sample, tmp_path, monkeypatch):
    audio, rate = soundfile.read(sample)
    other = sample.with_name("other.wav")
    soundfile.write(other, audio[::-1], rate)
    order = replace(order, chapters="1")
    plain = speak(order)
    narrated = {line.utterance.index: line.key for line in plain.script}
    import flows.work as module

    original = module.plan_chapter

    def with_speakers(*arguments, **options):
        lines = original(*arguments, **options)
        lines[2] = replace(lines[2], speaker="Ann")
        lines[4] = replace(lines[4], speaker="Nobody")
        return lines

    monkeypatch.setattr(module, "plan_chapter", with_speakers)
    file = tmp_path / "cast.yaml"
    file.write_text(f"voices: {{Ann: {other}}}\n")
    cast = speak(replace(order, cast=file))
    keys = {line.utterance.index: line.key for line in cast.script}
    assert {index for index in keys if keys[index] != narrated[index]} == {2}
    assert reasons(cast) == {"voice": 1}
    again, _ = last_order(order.out, order.settings)
    assert again.cast == file
    alone = speak(replace(order, voice=AskedVoice((str(other),))))
    assert keys[2] in {line.key for line in alone.script}, "a voice is the same in every part"


def test_the_book_itself_can_hold_the_narration(order):
    output = {"formats": ("m4b", "epub"), "credits": True}
    order = replace(order, presets=load_presets(output=output))
    deliver(order)
    (path,) = order.out.glob("*.epub")
    assert check_overlays(order.book, path) == []
    told = report(order)["read_along"]
    assert (told["path"], told["pages"], told["lines"]) == (path.name, 2, 14)
    before = path.stat().st_mtime_ns
    deliver(order)
    assert path.stat().st_mtime_ns == before, "what is the same is not written again"
    assert report(order)["read_along"] == told
    rewrite(order.book, "dog barked somewhere behind the mill in part 2", "cat barked in part 2")
    deliver(order)
    assert report(order)["read_along"]["sha256"] != told["sha256"]
    assert check_overlays(order.book, path) == []


def test_a_book_that_can_not_hold_it_is_refused_before_anything_is_spoken(order, tmp_path):
    book = tmp_path / "plain.txt"
    book.write_text("It was late and cold.")
    presets = load_presets(output={"formats": ("epub",)})
    with pytest.raises(UserError, match="EPUB"):
        work_on(replace(order, book=book, presets=presets), Engine.debug())


@pytest.fixture
def plain_flow(monkeypatch):
    """Commands make audiobooks without Prefect; the works that they did."""
    from flows import work
    from flows.audiobook import Delivered

    works = []

    def make(order, console, load_engine):
        works.append(speak(order, load_engine(order.settings)))
        return Delivered((), 0.0, order.out / "report.json", 0, 0)

    monkeypatch.setattr(audiobook, "make_audiobook", make)
    monkeypatch.setattr(work, "builtin_engine", lambda settings: Engine.debug())
    return works


def test_one_line_is_made_again_and_stays_so(order, voxloom, plain_flow):
    first = chapters_of(speak(order))
    _, run = last_order(order.out, order.settings)
    # The third line of chapter 2, by its time.
    derived = DerivedFiles(order.settings.derived)
    facts = [derived.get(key, ".flac")[1] for key in run.derived]
    span = facts[1]["spans"][2]
    middle = (facts[0]["samples"] + (span["start"] + span["end"]) / 2) / facts[0]["sample_rate"]
    assert line_at(run, middle, order.settings) == line_of(run, 2, 3)
    ran = voxloom("redo", order.out, "--at", f"{int(middle // 60)}:{middle % 60:.2f}")
    assert ran.status == 0, ran.err
    assert "She put the lamp" in ran.err and "Chapter 2, utterance 3" in ran.err
    assert reasons(plain_flow[-1]) == {"redone": 1}
    (choice,) = load_redone(order.out)
    assert (choice.seed, choice.occurrence) == (1, 0)
    second = chapters_of(plain_flow[-1])
    assert second[0] == first[0] and second[1] != first[1]

    again = speak(order)
    assert again.changes == [] and chapters_of(again) == second, "a rebuild keeps it"
    rewrite(order.book, "Nobody came in part 1", "Somebody came in part 1")
    assert reasons(speak(order)) == {"text": 1}, "so does one after another edit"

    ran = voxloom("redo", order.book, "--id", "2:3")
    assert ran.status == 0, ran.err
    assert [one.seed for one in load_redone(order.out)] == [2]
    assert reasons(plain_flow[-1]) == {"redone": 1}
    assert voxloom("redo", order.out, "--id", "2:3", "--seed", "1").status == 0
    assert plain_flow[-1].changes == [] and chapters_of(plain_flow[-1])[1] == second[1]
    assert voxloom("redo", order.out, "--id", "2:3", "--undo").status == 0
    assert chapters_of(plain_flow[-1])[1] == first[1]
    assert not (order.out / FILE).exists()
    ran = voxloom("redo", order.out, "--id", "2:3", "--undo")
    assert ran.status == 1 and "nothing to undo" in ran.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--at", "9:59:59"], "after its end"),
        (["--at", "soon"], "no time"),
        (["--id", "2"], "no line"),
        (["--id", "9:1"], "no utterance 1 in its chapter 9"),
        ([], "which line"),
        (["--at", "1", "--id", "1:1"], "which line"),
    ],
)
def test_lines_that_are_not_there(order, voxloom, plain_flow, options, words):
    record = Runs(order.settings.runs)
    work = work_on(order, Engine.debug())
    assert next(iter(record)).state == "running"
    run = next(iter(record))
    record.put(replace(run, state="finished", derived=()))
    ran = voxloom("redo", order.out, *options)
    assert ran.status in (1, 2)
    assert words in ran.err
    assert work.batches, "nothing was made"


def test_a_book_that_nobody_made(voxloom, order):
    ran = voxloom("redo", order.out, "--id", "1:1")
    assert ran.status == 1 and "make it first" in ran.err


def test_an_unfinished_book_has_no_times(order):
    work_on(order, Engine.debug())
    _, run = last_order(order.out, order.settings)
    with pytest.raises(UserError, match="not there as a whole"):
        line_at(run, 1.0, order.settings)


def test_the_plan_says_what_would_be_made(order, sample, voxloom, plain_flow):
    arguments = ["plan", order.book, "--voice", sample, "--out", order.out]
    ran = voxloom(*arguments)
    assert ran.status == 0, ran.err
    assert "14 utterances to make" in ran.out and "assumed speed" in ran.out
    assert "2 of 2 chapters" in ran.out and "Nothing was made into" in ran.out
    assert not order.out.exists(), "a plan writes nothing"
    assert list(Runs(order.settings.runs)) == []
    deliver(order)
    rewrite(order.book, "worst in part 1", "best in part 1")
    ran = voxloom(*arguments)
    assert "1 utterances to make" in ran.out and "1 of 2 chapters" in ran.out
    assert "measured speed" in ran.out
    assert "1 its text is another" in ran.out
    assert "Chapter 1, utterance 5" in ran.out and "best in part 1" in ran.out
    assert len(next(iter(Runs(order.settings.runs))).lines) == 14


def test_what_no_run_names_is_collected(order, voxloom, monkeypatch):
    import storage.derived as module

    speak(order)
    rewrite(order.book, "worst in part 1", "best in part 1")
    speak(order)
    assert len(stamps(order)) == 3
    voxloom("store", "gc")
    assert len(stamps(order)) == 3, "both runs are young"
    monkeypatch.setattr(module, "STALE_SECONDS", -1.0)
    records = sorted(order.settings.runs.glob("*.json"), key=lambda path: path.stat().st_mtime)
    records[0].unlink()
    assert "freed" in voxloom("store", "gc").out
    assert len(stamps(order)) == 2
    assert "assembled" in voxloom("store", "du").out


KILLED = """
import sys
from pathlib import Path
import numpy as np
from storage.derived import DerivedFiles
from tasks.assemble import assemble_chapter
from tasks.plan import Utterance
from tasks.overlay_check import check_overlays
from tasks.redone import Redone, save_redone
folder, out = map(Path, sys.argv[1:])
lines = [Utterance(0, n, "x", ("AA1",), "en", 0.2, "paragraph") for n in range(40)]
take = np.random.default_rng(0).normal(0, 0.1, 24000).astype(np.float32)
derived = DerivedFiles(folder)
def make(path):
    audio = assemble_chapter(((line, take) for line in lines), 24000, path)
    return {"samples": audio.samples}
for number in range(10**6):
    print(number, flush=True)
    derived.make(f"{number % 50:064x}", ".flac", make)
    save_redone(out, [Redone("a" * 64, n, number, "text") for n in range(1 + number % 2 * 300)])
"""


def test_a_kill_leaves_no_half_chapter_and_no_half_choice(tmp_path, root):
    folder, out = tmp_path / "derived", tmp_path / "out"
    derived = DerivedFiles(folder)
    samples = set()
    for kill in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, folder, out], cwd=root, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(2):  # the first file is done when the second is begun
            process.stdout.readline()
        time.sleep(0.01 + 0.15 * kill)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for number in range(50):
            found = derived.get(f"{number:064x}", ".flac")
            if found is not None:
                path, facts = found
                assert soundfile.info(path).frames == facts["samples"]
                samples.add(facts["samples"])
        assert len(load_redone(out)) in (0, 1, 301)
    assert len(samples) == 1, "at least one chapter was made"


def test_a_damaged_chapter_is_assembled_again(order):
    first = chapters_of(speak(order))
    for path in order.settings.derived.glob("*.flac"):
        path.write_bytes(path.read_bytes()[:-10])
    assert chapters_of(speak(order)) == first


@pytest.mark.parametrize("text", ["{", "[1]", '[{"line": "x"}]', '[{"line":1,"occurrence":0}]'])
def test_damaged_choices_stop_with_a_sentence(order, text):
    order.out.mkdir()
    (order.out / FILE).write_text(text)
    with pytest.raises(UserError, match="delete it"):
        work_on(order, Engine.debug())


def test_choices_come_back(tmp_path):
    choices = [Redone("a" * 64, 0, 3, "Über"), Redone("b" * 64, 2, 1, "x")]
    save_redone(tmp_path, choices)
    assert load_redone(tmp_path) == choices
    save_redone(tmp_path, [])
    assert load_redone(tmp_path) == []
