import json

import pytest

from configs.errors import UserError
from storage.folder import Folder
from storage.kept import JOBS, keys_of_jobs
from storage.keys import content_key
from tests.conftest import store_url

A, B, C = (content_key(name) for name in "abc")


@pytest.fixture(params=["folder", "memory", "s3"])
def url(request, tmp_path):
    return store_url(request, tmp_path)


def job(url: str, id: str, keys: list[str], **state: object) -> None:
    folder = Folder(f"{url}/{JOBS}/{id}")
    folder.put("job.json", b"{}")
    folder.put("takes.json", json.dumps(keys).encode())
    if state:
        folder.put("state.json", json.dumps(state).encode())


def test_a_store_without_jobs_keeps_nothing_for_them(url):
    assert keys_of_jobs(url, 1000.0) == {}


@pytest.mark.parametrize("state", ["waiting", "running", "paused", "failed", "unheard of", None])
def test_what_can_go_on_is_kept_however_old_it_is(tmp_path, state):
    facts = {"state": state, "when": 1.0} if state else {}
    job(str(tmp_path), "a-1", [A, B], **facts)
    assert keys_of_jobs(f"{tmp_path}/", 1000.0) == {"a-1": [A, B]}


def test_what_ended_is_kept_for_a_while(url):
    job(url, "a-1", [A], state="finished", when=999.0)
    job(url, "b-1", [B], state="cancelled", when=1001.0)
    job(url, "c-1", [C], state="finished")
    assert keys_of_jobs(url, 1000.0) == {"a-1": [], "b-1": [B], "c-1": [C]}


def test_only_the_job_s_own_file_counts(tmp_path):
    job(str(tmp_path), "a-1", [A])
    folder = Folder(f"{tmp_path}/{JOBS}/a-1")
    folder.put("out/takes.json", b"the user's")
    folder.put("inputs/deep/takes.json", b"the user's")
    assert keys_of_jobs(str(tmp_path), 1000.0) == {"a-1": [A]}


@pytest.mark.parametrize("said", [b"", b"{", b'["../x"]', b"[1]", b"7", b'{"a": 1}'])
def test_nothing_is_deleted_where_a_job_can_not_be_read(tmp_path, said):
    Folder(f"{tmp_path}/{JOBS}/a-1").put("takes.json", said)
    with pytest.raises(UserError, match="nothing is deleted"):
        keys_of_jobs(str(tmp_path), 1000.0)
