import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.errors import UsageError, UserError
from storage import objects
from storage.keys import content_key
from storage.objects import HEADER_BYTES, STALE_SECONDS, ObjectStore
from tests.conftest import store_url

s3fs = pytest.importorskip("s3fs")

A, B, C = (content_key(name) for name in "abc")


def path_of(store: ObjectStore, key: str) -> Path:
    return Path(store.url) / key[:2] / key[2:4] / key


@pytest.fixture(params=["folder", "file url", "memory", "s3"])
def any_store(request, tmp_path):
    return ObjectStore(store_url(request, tmp_path))


@pytest.fixture
def s3_store(s3_url):
    return ObjectStore(s3_url, patience=20.0)


@pytest.fixture
def store(tmp_path):
    return ObjectStore(str(tmp_path / "store"))


def test_what_is_put_is_got(any_store):
    assert any_store.get(A) is None
    assert not any_store.has(A)
    any_store.put(A, b"one")
    any_store.put(B, b"")
    assert any_store.get(A) == b"one"
    assert any_store.get(B) == b""
    assert any_store.has(A)
    assert list(any_store) == sorted([A, B])
    assert any_store.missing([C, A, C, B]) == [C]
    assert any_store.du().objects == 2
    assert any_store.du().bytes == 3 + 2 * HEADER_BYTES
    any_store.delete(A)
    any_store.delete(A)
    assert any_store.missing([A, B]) == [A]


def test_an_empty_store(any_store):
    assert list(any_store) == []
    assert any_store.verify() == []
    assert any_store.du().objects == 0
    assert any_store.gc([]).objects == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.binary(max_size=2000), damage=st.data())
def test_no_damage_goes_unnoticed(tmp_path, data, damage):
    reported = []
    store = ObjectStore(str(tmp_path / "store"), lambda key, reason: reported.append((key, reason)))
    store.put(A, data)
    raw = bytearray(path_of(store, A).read_bytes())
    if damage.draw(st.booleans(), label="cut off"):
        del raw[damage.draw(st.integers(0, len(raw) - 1)) :]
    else:
        raw[damage.draw(st.integers(0, len(raw) - 1))] ^= damage.draw(st.integers(1, 255))
    path_of(store, A).write_bytes(raw)
    assert store.get(A) is None
    assert [key for key, _ in reported] == [A]
    assert not store.has(A)
    store.put(A, data)
    assert store.get(A) == data
    store.gc([])


def test_a_corrupt_object_is_set_aside_and_counts_as_missing(any_store, caplog):
    any_store.put(A, b"one")
    any_store.put(B, b"two")
    any_store._fs.pipe_file(any_store._path(A), b"something else")
    assert any_store.get(A) is None
    assert any_store.missing([A, B]) == [A]
    assert A in caplog.text
    assert list(any_store) == [B]
    assert any_store.du().corrupt_objects == 1
    assert any_store.du().corrupt_bytes == len(b"something else")


def test_a_local_store_verifies_what_it_says_is_there(store):
    store.put(A, b"one")
    path_of(store, A).write_bytes(b"something else")
    assert store.missing([A]) == [A]


ONE_BY_ONE, IN_PARTS, AT_ONCE = (0, 0), (12, 0), (12, 10_000)


@pytest.mark.parametrize("way", [ONE_BY_ONE, IN_PARTS, AT_ONCE])
def test_keys_are_asked_for_or_listed_and_the_answer_is_the_same(s3_url, monkeypatch, way):
    monkeypatch.setattr(objects, "FEWEST_LISTED", 20)
    monkeypatch.setattr(objects, "LISTED_PER_REQUEST", way[0])
    monkeypatch.setattr(objects, "FEW", way[1])
    store = ObjectStore(s3_url)
    store.put(A, b"")
    there = [content_key(number) for number in range(30)]
    for key in there:
        store.put(key, b"")
    many = [content_key(number) for number in range(15, 60)]
    few = [content_key(number) for number in range(25, 35)]
    assert store.missing([]) == []
    assert store.missing([*many, *many]) == [key for key in many if key not in there]
    assert store.missing(few) == [key for key in few if key not in there]


def test_verify_names_what_is_corrupt(store):
    for key in (A, B, C):
        store.put(key, b"bytes")
    path_of(store, B).write_bytes(b"")
    assert store.verify() == [B]
    assert store.verify() == []
    assert list(store) == sorted([A, C])


def test_gc_keeps_what_is_named_and_nothing_else(store):
    for key in (A, B, C):
        store.put(key, b"bytes")
    path_of(store, C).write_bytes(b"")
    assert store.get(C) is None
    fresh = path_of(store, A).parent / ".tmp-1-fresh"
    stale = path_of(store, A).parent / ".tmp-1-stale"
    for file in (fresh, stale):
        file.write_bytes(b"half")
    long_ago = time.time() - 2 * STALE_SECONDS
    os.utime(stale, (long_ago, long_ago))
    freed = store.gc([A])
    assert (freed.objects, freed.corrupt_objects) == (1, 1)
    assert list(store) == [A]
    assert fresh.exists()
    assert not stale.exists()
    assert store.du().corrupt_objects == 0


def test_gc_spares_the_young(any_store):
    any_store.put(A, b"one")
    assert any_store.gc([], spare_seconds=3600.0).objects == 0
    assert any_store.gc([], spare_seconds=0.0).objects == 1


def test_what_else_lies_in_the_folder_is_left_alone(any_store):
    others = ["pool/jobs/x/job.json", f"pool/jobs/x/inputs/{A}", f"{A[:2]}/{A}", A, "aa/bb/readme"]
    for name in others:
        any_store._place.fs.makedirs(f"{any_store._root}/{name}".rsplit("/", 1)[0], exist_ok=True)
        any_store._place.fs.pipe_file(f"{any_store._root}/{name}", b"mine")
    any_store.put(B, b"two")
    assert list(any_store) == [B]
    assert any_store.du().objects == 1
    assert any_store.gc([]).objects == 1
    for name in others:
        assert any_store._place.fs.cat_file(f"{any_store._root}/{name}") == b"mine"


def test_an_outage_of_the_server_is_ridden_out(s3_store, s3_server):
    s3_store.put(A, b"one")
    s3_server.kill()
    back = threading.Timer(1.5, s3_server.start)
    back.start()
    begun = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        put = pool.submit(s3_store.put, B, b"two")
        missing = pool.submit(s3_store.missing, [A, C])
        assert s3_store.get(A) == b"one"
    assert put.exception() is None
    assert missing.result() == [C]
    assert time.monotonic() - begun > 1.5
    back.join()
    assert s3_store.get(B) == b"two"


def test_a_server_that_is_away_for_good_is_an_error(s3_url, s3_server):
    store = ObjectStore(s3_url, patience=0.2)
    store.put(A, b"one")
    s3_server.kill()
    try:
        with pytest.raises(UserError, match="can't be reached"):
            store.missing([A])
    finally:
        s3_server.start()
    assert store.get(A) == b"one"


def test_what_the_server_refuses_is_an_error_at_once(s3_url, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    s3fs.S3FileSystem.clear_instance_cache()
    begun = time.monotonic()
    for action in (lambda store: store.put(A, b""), lambda store: store.get(A)):
        with pytest.raises(UserError, match="credentials") as caught:
            action(ObjectStore(s3_url))
        assert "wrong" not in str(caught.value)
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(UserError, match="credentials"):
        ObjectStore(s3_url).get(A)
    s3fs.S3FileSystem.clear_instance_cache()
    assert time.monotonic() - begun < 60


def test_credentials_are_not_taken_from_a_url():
    with pytest.raises(UsageError, match="environment"):
        ObjectStore("s3://key:secret@bucket/takes")


def test_only_keys_name_objects(store):
    for bad in ("", "../../etc/passwd", "A" * 64, A + "x"):
        with pytest.raises(ValueError, match="not a content key"):
            store.put(bad, b"")
        with pytest.raises(ValueError, match="not a content key"):
            store.get(bad)


def test_an_unknown_kind_of_store_is_a_usage_error():
    with pytest.raises(UsageError, match="nowhere://"):
        ObjectStore("nowhere://x")


WRITER = """
import sys
from storage.keys import content_key
from storage.objects import ObjectStore
store = ObjectStore(sys.argv[1])
number = int(sys.argv[2])
print("ready", flush=True)
while True:
    store.put(content_key(number), str(number).encode() * 20_000)
    number += 1
"""


def test_a_killed_writer_leaves_no_half_object(store, root):
    start = 0
    for delay in (0.0, 0.003, 0.01, 0.03, 0.4):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, store.url, str(start)], cwd=root, stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        start += 1000
    assert len(list(store)) > 5
    assert store.verify() == []
    for key in store:
        data = store.get(key)
        number = int(data[: len(data) // 20_000])
        assert content_key(number) == key
