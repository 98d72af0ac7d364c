import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.errors import UsageError
from storage.keys import content_key
from storage.objects import HEADER_BYTES, STALE_SECONDS, ObjectStore

A, B, C = (content_key(name) for name in "abc")


def path_of(store: ObjectStore, key: str) -> Path:
    return Path(store.url) / key[:2] / key[2:4] / key


@pytest.fixture(params=["folder", "file url", "memory"])
def any_store(request, tmp_path):
    url = {
        "folder": str(tmp_path / "store"),
        "file url": (tmp_path / "store").as_uri(),
        "memory": f"memory://{tmp_path.name}-{request.node.name}",
    }[request.param]
    return ObjectStore(url)


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
    for delay in (0.0, 0.003, 0.01, 0.03, 0.08):
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
