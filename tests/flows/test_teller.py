"""What a job shows on Prefect's page: little, since the server keeps each event."""

from collections import Counter

import pytest

pytest.importorskip("prefect")
pytest.importorskip("psycopg")

from flows import pool as flows_pool
from flows.job_run import JobStatus
from flows.jobs import Pool
from storage.queue import Job


def test_a_long_book_makes_few_events(settings, monkeypatch):
    made: Counter[str] = Counter()
    tables = []
    for name in ("create_progress_artifact", "update_progress_artifact"):
        monkeypatch.setattr(flows_pool, name, lambda *_, name=name, **__: made.update([name]) or 1)
    monkeypatch.setattr(flows_pool, "create_table_artifact", lambda table, *_: tables.append(table))
    monkeypatch.setattr(flows_pool, "create_markdown_artifact", lambda *_: None)
    monkeypatch.setattr(flows_pool, "TABLE_SECONDS", -1.0)
    status = JobStatus("Long", "Speaking")
    status.chapters = {number: (f"{number}", 25, "waiting") for number in range(400)}
    teller = flows_pool._Teller(Pool(settings, None), Job("long", "audiobook", "Long"), status)
    teller._looked = float("inf")  # nobody looks for workers
    for number in range(400):
        status.chapters[number] = f"{number}", 25, "done"
        status.share = (number + 1) / 400
        teller.tell()
        teller.tell()
    teller.tell(last=True)
    assert made == {"create_progress_artifact": 1, "update_progress_artifact": 100}
    assert len(tables) == flows_pool.TABLES + 1
    assert {row["state"] for row in tables[0]} == {"waiting", "done"}
    assert {row["state"] for row in tables[-1]} == {"done"}
