import hashlib
import signal
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from storage.folder import SUM, Folder, check_name
from tests.conftest import store_url

MEGABYTE = bytes(range(256)) * 4096


@pytest.fixture(params=["folder", "file url", "memory", "s3"])
def folder(request, tmp_path):
    return Folder(store_url(request, tmp_path))


def test_what_is_put_is_got(folder, tmp_path):
    assert folder.get("job.json") is None
    assert folder.names() == []
    source = tmp_path / "book.epub"
    source.write_bytes(MEGABYTE)
    folder.put("job.json", b"{}")
    folder.put("inputs/a book, ü.epub", source)
    folder.put("inputs/empty", b"")
    assert folder.get("job.json") == b"{}"
    assert folder.get("inputs/a book, ü.epub") == MEGABYTE
    assert folder.get("inputs/empty") == b""
    assert folder.names() == ["inputs/a book, ü.epub", "inputs/empty", "job.json"]
    assert folder.names("inputs") == ["inputs/a book, ü.epub", "inputs/empty"]
    assert folder.names("in") == []
    folder.fetch("inputs/a book, ü.epub", tmp_path / "deep" / "copy")
    assert (tmp_path / "deep" / "copy").read_bytes() == MEGABYTE
    folder.delete("job.json")
    folder.delete("job.json")
    assert folder.get("job.json") is None
    assert folder.names() == ["inputs/a book, ü.epub", "inputs/empty"]


def test_a_file_is_replaced(folder):
    for data in (b"one", b"two", b"two", b"one", b""):
        folder.put("state.json", data)
        assert folder.get("state.json") == data
    assert folder.names() == ["state.json"]


def test_what_is_not_there_can_not_be_fetched(folder, tmp_path):
    (tmp_path / "here").write_bytes(b"as it was")
    with pytest.raises(UserError, match=r"no job\.json"):
        folder.fetch("job.json", tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == b"as it was"
    assert not list(tmp_path.glob(".tmp*"))


def test_damage_is_noticed(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("storage.folder.REREAD_SECONDS", 0.0)
    for name in ("job.json", "unsigned"):
        folder.put(name, b"whole")
    folder._place.fs.pipe_file(folder._path("job.json"), b"whoke")
    folder._place.fs.rm_file(folder._path("unsigned") + SUM)
    for name in ("job.json", "unsigned"):
        with pytest.raises(UserError, match="damaged"):
            folder.get(name)
        with pytest.raises(UserError, match="damaged"):
            folder.fetch(name, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    folder.put("job.json", b"whole again")
    assert folder.get("job.json") == b"whole again"


def test_a_checksum_alone_is_no_file(folder):
    folder._write(folder._path("job.json") + SUM, b"0" * 64 + b"  job.json\n")
    assert folder.get("job.json") is None
    assert folder.names() == []


def test_the_checksums_are_those_of_sha256sum(tmp_path):
    Folder(str(tmp_path)).put("out/book.m4b", b"audio")
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", f"book.m4b{SUM}"],
        cwd=tmp_path / "out",
        capture_output=True,
    )
    assert checked.returncode == 0
    assert checked.stdout == b"book.m4b: OK\n"


TOO_LONG = ("x" * 241, "/".join(["x" * 200] * 4))
ESCAPES = ("", "/", "/etc/passwd", "a/", "a//b", "..", "../b", "a/../../b", "a/./b", "a\\b")
RESERVED = ("a.sha256", ".tmp-1", "a/.tmp-1/b", "a\0b", "a\nb", "\ud800")


@pytest.mark.parametrize("name", [*ESCAPES, *RESERVED, *TOO_LONG])
def test_a_name_stays_in_its_folder(tmp_path, name):
    folder = Folder(str(tmp_path / "job"))
    for action in (folder.get, folder.delete, lambda name: folder.put(name, b"")):
        with pytest.raises(UserError, match="name of a stored file"):
            action(name)
    assert not (tmp_path / "job").exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(name=st.text(max_size=40) | st.text("a./\\ü", max_size=12))
def test_any_name_is_refused_or_works(tmp_path_factory, name):
    try:
        check_name(name)
    except UserError:
        return
    top = tmp_path_factory.mktemp("top")
    folder = Folder(str(top / "job"))
    folder.put(name, name.encode())
    assert folder.names() == [name]
    assert folder.get(name) == name.encode()
    assert [path.name for path in top.iterdir()] == ["job"]


WRITER = """
import sys
from storage.folder import Folder
folder, number = Folder(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
while True:
    folder.put("state.json", str(number % 10).encode() * 200_000)
    number += 1
"""


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_killed_writer_leaves_one_of_its_files_whole(kind, request, tmp_path, root):
    url = str(tmp_path / "job") if kind == "folder" else request.getfixturevalue("s3_url")
    folder = Folder(url)
    folder.put("state.json", b"0" * 200_000)
    for start, delay in enumerate((0.0, 0.03, 0.1) if kind == "folder" else (0.2,)):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, url, str(start)], cwd=root, stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        data = folder.get("state.json")
        assert len(data) == 200_000
        assert len(set(data)) == 1


def test_a_reader_sees_whole_files_while_one_is_replaced(tmp_path):
    folder = Folder(str(tmp_path))
    contents = [str(number).encode() * 50_000 for number in range(4)]
    folder.put("state.json", contents[0])
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for content in contents:
                folder.put("state.json", content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = {hashlib.sha256(folder.get("state.json")).digest() for _ in range(100)}
    finally:
        stop.set()
        writer.join()
    assert seen <= {hashlib.sha256(content).digest() for content in contents}


def test_an_outage_is_ridden_out(s3_url, s3_server, tmp_path):
    folder = Folder(s3_url, patience=30.0)
    folder.put("job.json", b"{}")
    s3_server.kill()
    back = threading.Timer(1.0, s3_server.start)
    back.start()
    folder.fetch("job.json", tmp_path / "job.json")
    back.join()
    assert (tmp_path / "job.json").read_bytes() == b"{}"


FULL = """
import resource, signal, sys
from storage.folder import Folder
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
Folder(sys.argv[1]).put("state.json", bytes(20_000))
"""


def test_a_disk_that_takes_no_more_leaves_what_was_there(tmp_path, root):
    folder = Folder(str(tmp_path))
    folder.put("state.json", b"one")
    writer = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], cwd=root, capture_output=True
    )
    assert b"File too large" in writer.stderr
    assert folder.get("state.json") == b"one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.json", f"state.json{SUM}"]


def test_a_source_that_is_not_there_changes_nothing(tmp_path):
    folder = Folder(str(tmp_path))
    folder.put("state.json", b"one")
    with pytest.raises(FileNotFoundError):
        folder.put("state.json", tmp_path / "no such file")
    assert folder.get("state.json") == b"one"
