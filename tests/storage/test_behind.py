import threading

import pytest

from configs.errors import UserError
from storage.behind import MOST_WAITING, StoreBehind
from storage.keys import content_key
from storage.objects import ObjectStore

KEYS = [content_key({"n": number}) for number in range(3 * MOST_WAITING)]


@pytest.fixture
def gate(monkeypatch):
    """Holds every write until it is opened."""
    opened = threading.Event()
    write = ObjectStore._write

    def slow(self, path, raw):
        opened.wait(10)
        write(self, path, raw)

    monkeypatch.setattr(ObjectStore, "_write", slow)
    return opened


def test_put_does_not_wait_and_settle_does(tmp_path, gate):
    store = StoreBehind(str(tmp_path))
    store.put(KEYS[0], b"sound")
    assert ObjectStore(str(tmp_path)).get(KEYS[0]) is None
    threading.Timer(0.2, gate.set).start()
    store.settle()
    assert ObjectStore(str(tmp_path)).get(KEYS[0]) == b"sound"


def test_what_was_put_is_found_at_once(tmp_path, gate):
    store = StoreBehind(str(tmp_path))
    gate.set()
    for number, key in enumerate(KEYS):
        store.put(key, bytes([number]))
    assert store.missing(KEYS) == []
    assert [store.get(key) for key in KEYS] == [bytes([number]) for number in range(len(KEYS))]


def test_memory_is_bounded(tmp_path, gate):
    store = StoreBehind(str(tmp_path))
    put = []

    def fill():
        for key in KEYS:
            store.put(key, b"x")
            put.append(key)

    filling = threading.Thread(target=fill)
    filling.start()
    filling.join(0.5)
    assert len(put) == MOST_WAITING
    gate.set()
    filling.join(10)
    store.settle()
    assert store.missing(KEYS) == []


def test_what_could_not_be_stored_is_said_once(tmp_path, monkeypatch):
    store = StoreBehind(str(tmp_path))

    def broken(self, path, raw):
        raise UserError("the store is away")

    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "_write", broken)
        for key in KEYS:
            store.put(key, b"x")
        with pytest.raises(UserError, match="away"):
            store.settle()
    store.settle()
    store.put(KEYS[0], b"x")
    assert store.missing(KEYS) == KEYS[1:]


def test_what_was_handed_over_is_settled_by_another(tmp_path, gate):
    store = StoreBehind(str(tmp_path))
    store.put(KEYS[0], b"x")
    settle = store.handed_over()
    store.settle()  # knows nothing of it
    assert ObjectStore(str(tmp_path)).missing(KEYS[:1]) == KEYS[:1]
    gate.set()
    settle()
    assert ObjectStore(str(tmp_path)).missing(KEYS[:1]) == []


def test_no_key_is_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match="not a content key"):
        StoreBehind(str(tmp_path)).put("../x", b"")
