"""The whole way of a book, with the tiny random model."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rich.console import Console

from configs.errors import UserError
from configs.presets import load_presets
from configs.settings import Settings, load_settings
from flows.orders import Order
from flows.progress import RunProgress
from flows.work import Work, engine_of, plan_book
from model.engine import Engine
from storage.objects import ObjectStore
from storage.runs import Runs
from tasks.chapters import read_nero_marks
from tasks.credits import OPENING, closing
from tasks.engines import choose_model
from tasks.matter import Reading
from tasks.voices import AskedVoice
from tests.flows.conftest import write_epub

BATCH = 4


@dataclass
class Counting:
    """The debug engine; writes every rendering down before handing it over."""

    file: Path
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.engine = Engine.debug()
        self.sample_rate = self.engine.sample_rate
        self.content_hash = self.engine.content_hash
        self.reference = self.engine.reference
        self.hearing = self.engine.hearing
        self.mends = self.engine.mends
        self.voice_vector = self.engine.voice_vector

    def render(self, requests, reference, sampling, on_done):
        def done(number, rendering):
            time.sleep(self.seconds)
            with self.file.open("a") as file:
                print(" ".join(requests[number].phones), requests[number].seed, file=file)
            on_done(number, rendering)

        return self.engine.render(requests, reference, sampling, done)


def order_for(book: Path, sample: Path, out: Path, settings: Settings, **changes) -> Order:
    values = {"chapters": "", "language": "", "seed": 0} | changes
    return Order(
        book, AskedVoice((str(sample),)), out, presets=load_presets(), settings=settings, **values
    )


def work_on(order: Order, engine) -> Work:
    """The steps without Prefect, up to the point where rendering begins."""
    progress = RunProgress(Console(quiet=True), 100.0)
    return Work(order, plan_book(order, progress), engine, progress)


def finish(work: Work) -> list[bytes]:
    """Renders what is missing and assembles every chapter; the chapters' files as bytes."""
    done = work.ready_chapters()
    for number in range(len(work.batches)):
        done += work.render(number)
    assert sorted(done) == list(work.plan.chapters)
    return [work.assemble(number).audio.path.read_bytes() for number in sorted(done)]


def home(tmp_path: Path, monkeypatch, name: str) -> Settings:
    monkeypatch.setenv("VOXLOOM_HOME", str(tmp_path / name))
    return load_settings()


DRIVER = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1])))
import importlib.util
spec = importlib.util.spec_from_file_location("driver", sys.argv[2])
module = importlib.util.module_from_spec(spec)
sys.modules["driver"] = module
spec.loader.exec_module(module)
book, sample, out, count = map(Path, sys.argv[3:])
settings = module.load_settings()
order = module.order_for(book, sample, out, settings)
print("ready", flush=True)
module.finish(module.work_on(order, module.Counting(count, 0.05)))
"""


def test_killed_at_any_moment_only_what_is_missing_is_made(
    epub, sample, settings, tmp_path, root, monkeypatch
):
    monkeypatch.setenv("VOXLOOM_BATCH_SIZE", str(BATCH))
    killed = home(tmp_path, monkeypatch, "killed")
    count = tmp_path / "count.txt"
    arguments = [epub, sample, tmp_path / "out", count]
    kills = 3
    for kill in range(kills):
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, root, __file__, *arguments], stdout=subprocess.PIPE
        )
        before = len(count.read_text().splitlines()) if count.exists() else 0
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and driver.poll() is None:
            made = len(count.read_text().splitlines()) if count.exists() else 0
            if made > before + kill:
                break
            time.sleep(0.005)
        driver.send_signal(signal.SIGKILL)
        driver.communicate()
    resumed = finish(work_on(order_for(*arguments[:3], killed), Counting(count)))

    whole = home(tmp_path, monkeypatch, "whole")
    count_whole = tmp_path / "count whole.txt"
    once = finish(work_on(order_for(*arguments[:3], whole), Counting(count_whole)))

    assert resumed == once
    stores = [ObjectStore(settings.store_url) for settings in (killed, whole)]
    assert list(stores[0]) == list(stores[1])
    assert all(stores[0].get(key) == stores[1].get(key) for key in stores[0])
    made, needed = (Counter(file.read_text().splitlines()) for file in (count, count_whole))
    assert made.keys() == needed.keys()
    twice = sum(made.values()) - sum(needed.values())
    assert 0 <= twice <= kills * BATCH, f"{twice} utterances were made twice"


def test_a_damaged_take_is_made_again(epub, sample, settings, tmp_path):
    order = order_for(epub, sample, tmp_path / "out", settings)
    count = tmp_path / "count.txt"
    first = finish(work_on(order, Counting(count)))
    paths = [path for path in Path(settings.store_url).rglob("*") if path.is_file()]
    paths[3].write_bytes(b"damage")
    paths[5].unlink()
    count.unlink()
    work = work_on(order, Counting(count))
    assert sum(len(batch) for batch in work.batches) == 2
    assert finish(work) == first


def test_a_take_that_is_damaged_meanwhile_stops_with_a_sentence(epub, sample, settings, tmp_path):
    work = work_on(order_for(epub, sample, tmp_path / "out", settings), Engine.debug())
    for number in range(len(work.batches)):
        work.render(number)
    for path in Path(settings.store_url).rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.raises(UserError, match="Run the same command again"):
        work.assemble(0)


def test_a_line_that_cannot_be_spoken_is_left_silent_and_listed(epub, sample, settings, tmp_path):
    refused = Counting(tmp_path / "count.txt")
    order = order_for(epub, sample, tmp_path / "out", settings, chapters="1")
    plan = plan_book(order, RunProgress(Console(quiet=True), 100.0))
    worst = plan.chapters[0][2]

    def render(requests, *others):
        if any(request.phones == worst.phones for request in requests):
            raise ValueError("too hard")
        return Counting.render(refused, requests, *others)

    refused.render = render
    work = Work(order, plan, refused, RunProgress(Console(quiet=True), 100.0))
    for number in range(len(work.batches)):
        work.render(number)
    chapter = work.assemble(0)
    assert (worst, "not spoken, ValueError: too hard") in chapter.flawed
    assert len(chapter.audio.spans) == len(plan.chapters[0])
    span = chapter.audio.spans[2]
    assert span.start == span.end
    # It is tried anew the next time.
    again = work_on(order, Engine.debug())
    assert [line.phones for batch in again.batches for line in batch] == [worst.phones]


def test_another_chapter_seed_or_voice(epub, sample, settings, tmp_path):
    order = order_for(epub, sample, tmp_path / "out", settings, chapters="1")
    one = work_on(order, Engine.debug())
    finish(one)
    assert list(one.plan.chapters) == [0]
    both = work_on(order_for(epub, sample, tmp_path / "out", settings), Engine.debug())
    assert both.ready_chapters() == [0]
    reseeded = order_for(epub, sample, tmp_path / "out", settings, chapters="1", seed=1)
    assert work_on(reseeded, Engine.debug()).ready_chapters() == []
    records = list(Runs(settings.runs))
    assert len(records) == 3
    assert {record.state for record in records} == {"running"}
    assert records[-1].takes and set(records[-1].takes) == set(ObjectStore(settings.store_url))
    assert [line.key for line in records[-1].lines] == list(records[-1].takes)


def test_a_book_in_another_language_is_refused_unless_told_otherwise(sample, settings, tmp_path):
    book = write_epub(tmp_path / "buch.epub", language="de")
    progress = RunProgress(Console(quiet=True), 100.0)
    with pytest.raises(UserError, match="'de'"):
        plan_book(order_for(book, sample, tmp_path / "out", settings), progress)
    plan = plan_book(order_for(book, sample, tmp_path / "out", settings, language="en"), progress)
    assert {utterance.language for utterance in plan.chapters[0]} == {"en"}
    unsaid = write_epub(tmp_path / "unsaid.epub", language="und")
    plan_book(order_for(unsaid, sample, tmp_path / "out", settings), progress)


def test_the_order_says_what_of_the_book_is_read(sample, settings, tmp_path):
    book = tmp_path / "book.txt"
    book.write_text("It was late and cold.[1] Nobody came.\n\n[Footnote 1: It was May.]\n")
    for notes, texts in (("skip", []), ("inline", ["It was May."])):
        order = order_for(book, sample, tmp_path / "out", settings, reading=Reading(notes=notes))
        plan = plan_book(order, RunProgress(Console(quiet=True), 100.0))
        assert [line.text for line in plan.chapters[0] if line.kind == "note"] == texts


def test_a_cast_file_gives_quotations_their_voices(sample, settings, tmp_path):
    book = tmp_path / "book.txt"
    book.write_text("“Good morning to you all,” said Ann. It was late.\n\n“Who is there?”\n")
    cast = tmp_path / "cast.yaml"
    cast.write_text(f"voices: {{Ann: {sample.name}}}\n")
    order = order_for(book, sample, tmp_path / "out", settings, cast=cast)
    plan = plan_book(order, RunProgress(Console(quiet=True), 100.0))
    spoken = [(line.speaker, line.text) for line in plan.chapters[0][1:]]  # without its title
    assert spoken == [
        ("Ann", "“Good morning to you all,”"),
        ("", "said Ann. It was late."),
        ("", "“Who is there?”"),
    ]
    assert list(plan.cast) == ["Ann"]
    assert order_for(book, sample, tmp_path / "out", settings).cast is None


def test_credits_are_planned_around_the_book(epub, sample, settings, tmp_path):
    progress = RunProgress(Console(quiet=True), 100.0)
    order = order_for(epub, sample, tmp_path / "out", settings, chapters="2")
    order = replace(order, presets=load_presets(output={"credits": True}))
    plan = plan_book(order, progress)
    assert list(plan.chapters) == [OPENING, 1, closing(plan.book)]
    assert plan.chapters[OPENING][0].text == "A Small / Book, by Ann Author."
    assert len(finish(work_on(order, Engine.debug()))) == 3


def test_a_book_is_read_by_an_official_model(epub, sample, settings, tmp_path):
    from tests.official_models import install

    install(settings.models, "v2", tmp_path)
    model = choose_model("v2", settings.models)
    order = order_for(epub, sample, tmp_path / "out", settings, chapters="1")
    presets = load_presets(official=model.official)
    asked = AskedVoice((str(sample),), "Nobody says this.")
    order = replace(order, voice=asked, presets=presets, model=model)
    work = work_on(order, engine_of(model)(settings))
    chapters = finish(work)
    assert all(chapters)
    again = work_on(order, engine_of(model)(settings))
    assert not again.batches, "what is made is not made again"
    other = replace(order, voice=replace(asked, transcript="But this."))
    assert work_on(other, engine_of(model)(settings)).batches


FLOW = """
import sys
from pathlib import Path
from flows import cli, work
from model.engine import Engine
work.builtin_engine = lambda settings: Engine.debug()
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.prefect
def test_the_command_makes_an_audiobook(epub, sample, settings, root, tmp_path):
    def run(out: str) -> subprocess.CompletedProcess[str]:
        command = ["audiobook", epub, "--voice", sample, "--out", tmp_path / out]
        return subprocess.run(
            [sys.executable, "-c", FLOW, *command],
            cwd=root,
            env=os.environ | {"PREFECT_API_URL": "http://127.0.0.1:9/api"},  # must not be used
            capture_output=True,
            text=True,
        )

    ran = run("out")
    assert ran.returncode == 0, ran.stderr
    assert "prefect" not in ran.stderr.replace("Starting Prefect", "").lower()
    assert "Speaking ..." in ran.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    stem = "A Small Book"
    assert names == {f"{stem}.m4b", f"{stem}.srt", f"{stem}.vtt", "report.json", "report.html"}
    marks = read_nero_marks(tmp_path / "out" / f"{stem}.m4b")
    assert [title for title, _ in marks] == ["Chapter 1", "Chapter 2"]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["run"]["made"] == report["totals"]["utterances"] > 10
    assert next(iter(Runs(settings.runs))).state == "finished"
    assert "flow_runs" in settings.log_file.read_text()
    assert list((settings.home / "prefect").glob("run-*")) == []

    again = run("again")
    assert again.returncode == 0, again.stderr
    report = json.loads((tmp_path / "again" / "report.json").read_text())
    assert report["run"]["made"] == 0
    for name in names - {"report.json", "report.html"}:
        first, second = (tmp_path / out / name for out in ("out", "again"))
        assert first.read_bytes() == second.read_bytes(), name
