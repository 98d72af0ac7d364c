"""Books that the pool speaks and this machine makes."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("psycopg")

from rich.console import Console

from configs.errors import UserError
from configs.presets import load_dub_presets
from flows.dub_work import DubOrder
from flows.jobs import OUT, cancel, job_of_folder, load_submission, read_state
from flows.on_pool import audiobook_on_pool, dub_on_pool
from flows.orders import last_order
from storage.runs import Runs
from tasks.voices import AskedVoice
from tests.flows.test_dub import srt
from tests.flows.test_pool import alone, order, pool, run, working  # noqa: F401  # fixtures

QUIET = Console(quiet=True)


@pytest.fixture
def mine(order, tmp_path, monkeypatch):  # noqa: F811
    """The small book, made into a folder of this machine."""
    monkeypatch.setattr("tasks.render.ATTEMPTS", 1)  # the tiny model's noise is always suspect
    return replace(order, out=tmp_path / "mine")


def interrupt(facts):
    """Ctrl-C, when the job is with the pool."""
    if facts["stage"] == "Waiting for the workers":
        raise KeyboardInterrupt


def test_a_book_is_the_same_as_without_the_pool(pool, mine, settings, tmp_path):  # noqa: F811
    told = []
    with working(pool) as worker:
        made = audiobook_on_pool(pool, mine, QUIET, told.append)
        spoken = worker._facts["lines"]
    assert [path.name for path in made.paths] == ["A Small Book.m4b"]
    out = alone(mine, settings.model_copy(update={"home": tmp_path / "other"}), tmp_path / "alone")
    theirs = {path.name for path in out.iterdir()}
    assert theirs == {path.name for path in mine.out.iterdir() if path.name[0] != "."}
    for name in theirs - {"report.html", "report.json"}:
        assert (mine.out / name).read_bytes() == (out / name).read_bytes(), name
    assert {"Waiting for the workers", "Speaking"} <= {facts["stage"] for facts in told}
    assert [chapter["done"] for chapter in told[-1]["chapters"]] == [1, 1]
    assert any(facts["seconds_left"] for facts in told)
    (job,) = pool.queue.jobs()
    assert job.id == job_of_folder(mine.out) and job.state == "finished"
    assert read_state(pool.folder(job.id))[0] == "finished"
    report = json.loads((mine.out / "report.json").read_text())
    assert report["run"]["made"] == spoken > 10
    # This machine knows what it has made, as voxloom redo needs it.
    known, record = last_order(mine.out, settings)
    assert known.book == mine.book and record.state == "finished"

    # The same command again is the same job, and nobody is needed for it.
    again = audiobook_on_pool(pool, mine, QUIET)
    assert again.paths == made.paths
    assert [(one.id, one.state) for one in pool.queue.jobs()] == [(job.id, "finished")]


def test_ctrl_c_pauses_the_job_and_the_same_command_goes_on(pool, mine):  # noqa: F811
    with pytest.raises(KeyboardInterrupt):
        audiobook_on_pool(pool, replace(mine, chapters="1"), QUIET, interrupt)
    (job,) = pool.queue.jobs()
    assert job.state == "paused" == read_state(pool.folder(job.id))[0]
    assert pool.queue.counts(job.id).lines_total > 0
    assert pool.queue.claim("worker", "gpus", 60.0) is None
    with working(pool):
        audiobook_on_pool(pool, mine, QUIET)
    assert [(one.id, one.state) for one in pool.queue.jobs()] == [(job.id, "finished")]
    counts = pool.queue.counts(job.id)
    assert counts.settled and counts.lines_done == len(set(takes(mine)))
    assert load_submission(pool.folder(job.id)).order["chapters"] == ""  # what was asked for last


def takes(order) -> tuple[str, ...]:  # noqa: F811
    run = Runs(order.settings.runs).last(order.out.absolute())
    assert run is not None
    return run.takes


def test_who_dies_is_stood_in_for_by_the_pool(pool, mine):  # noqa: F811
    mine = replace(mine, chapters="1")
    with pytest.raises(KeyboardInterrupt):
        audiobook_on_pool(pool, mine, QUIET, interrupt)
    job_id = job_of_folder(mine.out)
    assert pool.queue.set_state(job_id, "waiting")  # as it is when the lease of a dead one ends
    with working(pool):
        assert run(pool, job_id)[0] == "finished"
    assert pool.folder(job_id).names(OUT)
    batches = pool.queue.counts(job_id).total
    audiobook_on_pool(pool, mine, QUIET)  # nobody speaks: all takes are there
    assert pool.queue.counts(job_id).total == batches
    assert (mine.out / "A Small Book.m4b").exists()


def test_a_job_that_is_cancelled_elsewhere_stops_here(pool, mine):  # noqa: F811
    mine = replace(mine, chapters="1")

    def cancelled(facts):
        if facts["stage"] == "Waiting for the workers":
            threading.Thread(target=cancel, args=(pool.settings, job_of_folder(mine.out))).start()

    with pytest.raises(UserError, match="it is cancelled"):
        audiobook_on_pool(pool, mine, QUIET, cancelled)
    (job,) = pool.queue.jobs()
    assert job.state == "cancelled" == read_state(pool.folder(job.id))[0]
    with working(pool):
        audiobook_on_pool(pool, mine, QUIET)
    assert pool.queue.job(job.id).state == "finished"


def test_a_dub_is_made_here(pool, sample, settings, tmp_path):  # noqa: F811
    subtitles = tmp_path / "film.en.srt"
    subtitles.write_text(srt())
    dub = DubOrder(
        subtitles, AskedVoice((str(sample),)), tmp_path / "dub", None, "dub", "", 3, 0,
        load_dub_presets(), settings,
    )  # fmt: skip
    with working(pool):
        made = dub_on_pool(pool, dub, QUIET)
    assert made.paths[0].exists() and (tmp_path / "dub" / "stems" / "ANN.flac").exists()
    (job,) = pool.queue.jobs("finished")
    assert job.kind == "dub" and job.id == job_of_folder(Path(dub.out))


def test_without_a_pool_the_option_says_what_is_missing(voxloom, epub, sample, tmp_path):
    ran = voxloom("audiobook", epub, "--voice", sample, "--out", tmp_path / "out", "--on-pool")
    assert ran.status == 2 and "VOXLOOM_QUEUE is not set" in ran.err
