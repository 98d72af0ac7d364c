"""Orders as jobs in the store: what goes in comes out, and nothing else is read."""

import json
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import pytest
import yaml

pytest.importorskip("psycopg")

from pydantic import SecretStr

from configs.errors import UsageError, UserError
from configs.presets import load_dub_presets, load_presets
from flows.dub_work import DubOrder
from flows.jobs import (
    JOB,
    Pool,
    load_submission,
    open_pool,
    read_state,
    recover,
    restore,
    submit,
    write_state,
)
from flows.orders import Order, order_record
from flows.submit_cli import due_at
from storage.library import Library
from tasks.casting import load_cast
from tasks.dub_cast import load_dub_cast
from tasks.matter import Reading
from tasks.voices import AskedVoice, find_voices, register_voice


@pytest.fixture
def pool(settings, queue_url) -> Pool:
    return open_pool(settings.model_copy(update={"queue": SecretStr(queue_url)}))


@pytest.fixture
def order(epub, sample, settings) -> Order:
    voice = AskedVoice((str(sample),), "What it says.")
    return Order(epub, voice, Path("out"), "1", "en", 3, load_presets(), settings)


def restored(pool: Pool, job_id: str, home: Path):
    folder = pool.folder(job_id)
    return restore(load_submission(folder), folder, home, pool.settings)


def test_an_order_comes_back_with_its_files(pool, order, tmp_path):
    lexicon = tmp_path / "words.yaml"
    lexicon.write_text("Weena: WEE-nah\n")
    order.settings.lexicon.parent.mkdir(parents=True)
    order.settings.lexicon.write_text("Morlock: MOR-lock\n")
    order = replace(order, lexicon=lexicon, reading=Reading("inline", frozenset({"cover"})))
    job = submit(pool, order, 1, 5.0)
    home = tmp_path / "elsewhere"
    back = restored(pool, job.id, home)
    assert back.settings.store_url == pool.settings.store_url
    assert back.settings.lexicon.read_text() == "Morlock: MOR-lock\n"
    assert (back.book.read_bytes(), back.book.name) == (order.book.read_bytes(), "small.epub")
    assert back.lexicon.read_text() == "Weena: WEE-nah\n"
    assert Path(back.voice.samples[0]).is_relative_to(home)
    paths = {"book", "voice", "out", "lexicon"}
    before, after = order_record(order), order_record(back)
    assert {name: before[name] for name in before.keys() - paths} == {
        name: after[name] for name in after.keys() - paths
    }
    assert back.voice.transcript == "What it says."
    queued_job = pool.queue.job(job.id)
    assert (queued_job.priority, queued_job.not_before, queued_job.state) == (1, 5.0, "waiting")
    # What is damaged on this machine is fetched again.
    back.book.write_bytes(b"damage")
    assert restored(pool, job.id, home).book.read_bytes() == order.book.read_bytes()


def test_registered_voices_and_casts_travel(pool, order, sample, tmp_path):
    register_voice("ada", sample, Library(order.settings.voices), "Hello.")
    cast = tmp_path / "cast.yaml"
    cast.write_text(f"voices: {{Ann: {sample.name}, Ben: ada}}\ndialogue: ada\ndashes: true\n")
    order = replace(order, voice=AskedVoice(("ada",)), cast=cast)
    job = submit(pool, order, 2)
    home = tmp_path / "elsewhere"
    back = restored(pool, job.id, home)
    library = Library(back.settings.voices)
    before = find_voices(order.voice, Library(order.settings.voices))
    assert [one.content_hash for one in find_voices(back.voice, library)] == [
        one.content_hash for one in before
    ]
    theirs, ours = load_cast(back.cast), load_cast(cast)
    assert Path(theirs.voices["Ann"]).read_bytes() == sample.read_bytes()
    assert (theirs.voices["Ben"], theirs.voices["dialogue"]) == ("ada", "ada")
    assert (theirs.names, theirs.dashes) == (ours.names, ours.dashes)


def test_a_dub_comes_back(pool, sample, settings, tmp_path):
    subtitles = tmp_path / "film.en.srt"
    subtitles.write_text("1\n00:00:01,000 --> 00:00:02,000\nANN: Hello.\n")
    cast = tmp_path / "who.yaml"
    speakers = {"ANN": {"voice": sample.name}, "BEN": {"as": "ANN"}}
    cast.write_text(yaml.safe_dump({"default": sample.name, "speakers": speakers}))
    order = DubOrder(
        subtitles, None, Path("out"), None, "free", "en", 2, 7, load_dub_presets(), settings,
        cast=cast, track=None,
    )  # fmt: skip
    job = submit(pool, order, 3)
    assert (job.kind, job.title) == ("dub", "film.en")
    back = restored(pool, job.id, tmp_path / "elsewhere")
    assert back.subtitles.read_text() == subtitles.read_text()
    for name in ("voice", "video", "mode", "language", "candidates", "seed", "presets", "track"):
        assert getattr(back, name) == getattr(order, name), name
    theirs = load_dub_cast(back.cast)
    assert Path(theirs.default).read_bytes() == sample.read_bytes()
    assert theirs.people == {"BEN": "ANN"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"book": "../../secret"}, "can't be the name"),
        ({"book": "/etc/passwd"}, "can't be the name"),
        ({"book": "book/other.epub"}, "no file"),
        ({"lexicon": "voices/../../x"}, "can't be the name"),
        ({"out": "../out"}, "can't be the name"),
        ({"voice": {"samples": ["/etc/passwd"], "transcript": None}}, "can't name a voice"),
        ({"voice": {"samples": ["../a.wav"], "transcript": None}}, "can't name a voice"),
        ({"model": "../../other"}, "no model"),
        ({"voice": 5}, "can't be read"),
        ({"presets": {}}, "can't be read"),
        ({"seed": None, "reading": None}, "can't be read"),
    ],
)
def test_a_job_reads_nothing_but_its_own(pool, order, tmp_path, change, told):
    job = submit(pool, order, 2)
    hostile = replace(job, order=job.order | change)
    with pytest.raises(UserError, match=told):
        restore(hostile, pool.folder(job.id), tmp_path / "elsewhere", pool.settings)


def test_a_cast_file_that_names_others_files_is_refused(pool, order, sample, tmp_path):
    job = submit(pool, order, 2)
    folder = pool.folder(job.id)
    for given in (str(sample), "../../../../../../../../../../etc/hostname"):
        data = f"voices: {{Ann: {given}}}\n".encode()
        folder.put("inputs/cast.input", data)
        order_facts = job.order | {"cast": "cast/cast.yaml"}
        from storage.keys import hash_bytes

        digest = hash_bytes(data)
        folder.put(f"inputs/{digest}.input", data)
        hostile = replace(job, order=order_facts, files=job.files | {"cast/cast.yaml": digest})
        with pytest.raises(UserError, match="no voice of the job"):
            restore(hostile, folder, tmp_path / "elsewhere", pool.settings)


@pytest.mark.parametrize("name", ["../a", "/a", "a/../b", "a\\b", "a\nb", "", "a.sha256"])
def test_names_of_files_are_checked(pool, order, name):
    job = submit(pool, order, 2)
    folder = pool.folder(job.id)
    record = asdict(job) | {"files": {name: "0" * 64}}
    folder.put(JOB, json.dumps(record).encode())
    with pytest.raises(UserError):
        load_submission(folder)


def test_damaged_submissions_are_told(pool, order):
    job = submit(pool, order, 2)
    folder = pool.folder(job.id)
    for data in (b"", b"{}", b"[]", b'{"version": 1}', json.dumps(asdict(job) | {"x": 1}).encode()):
        folder.put(JOB, data)
        with pytest.raises(UserError, match="can't be read"):
            load_submission(folder)
    for bad in ("..", "a/b", "A", "", "x" * 99):
        with pytest.raises(UserError, match="no job"):
            pool.folder(bad)


def test_a_lost_queue_is_filled_from_the_store(pool, order, postgres, settings):
    jobs = [submit(pool, order, priority) for priority in (1, 2, 3)]
    write_state(pool.folder(jobs[1].id), "paused")
    write_state(pool.folder(jobs[2].id), "failed", "a reason", 2)
    assert read_state(pool.folder(jobs[2].id)) == ("failed", "a reason", 2)
    before = [pool.queue.job(job.id) for job in jobs]
    url = postgres.database("lost")
    empty = open_pool(pool.settings.model_copy(update={"queue": SecretStr(url)}))
    empty.folder("damaged").put("job.json", b"{}")
    count, problems = recover(empty)
    assert count == 3
    assert "damaged" in problems[0]
    assert recover(empty) == (0, problems)
    after = [empty.queue.job(job.id) for job in jobs]
    assert [job.state for job in after] == ["waiting", "paused", "failed"]
    assert after[2].error == "a reason"
    assert [replace(job, state="waiting", error="") for job in after] == before


def test_without_settings_there_is_no_pool(settings):
    with pytest.raises(UsageError, match="VOXLOOM_QUEUE"):
        open_pool(settings)


def test_a_model_that_is_not_installed_is_refused(pool, order, tmp_path):
    model = replace(order.model, folder=tmp_path / "mine")
    with pytest.raises(UsageError, match="installed"):
        submit(pool, replace(order, model=model), 2)


def test_times_of_day():
    now = datetime(2026, 5, 1, 21, 30)
    assert due_at("22:00", now) == datetime(2026, 5, 1, 22, 0).timestamp()
    assert due_at("21:30", now) == datetime(2026, 5, 2, 21, 30).timestamp()
    assert due_at("2026-12-24T22:00", now) == datetime(2026, 12, 24, 22, 0).timestamp()
    for bad in ("10 pm", "25:00", "tomorrow", "2026-13-01T00:00"):
        with pytest.raises(UsageError, match="--at"):
            due_at(bad, now)
