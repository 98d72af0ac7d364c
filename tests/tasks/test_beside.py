"""Writing beside the final path: whole or not at all, and one sentence when the disk refuses."""

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from configs.errors import UserError
from tasks.beside import disk_error, write_bytes, written_beside


def test_the_final_path_appears_only_at_the_end(tmp_path: Path) -> None:
    final = tmp_path / "new" / "folder" / "book.m4b"
    with written_beside(final) as part:
        part.write_bytes(b"sound")
        assert not final.exists()
        assert part.parent == final.parent
    assert final.read_bytes() == b"sound"
    assert list(final.parent.iterdir()) == [final]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(final.stat().st_mode) == 0o666 & ~umask


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    final = tmp_path / "book.m4b"
    write_bytes(final, b"old")
    with pytest.raises(ZeroDivisionError), written_beside(final) as part:
        part.write_bytes(b"half")
        raise ZeroDivisionError
    assert final.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [final]


def test_parts_of_killed_runs_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    orphan = tmp_path / ".book.m4b.0000aaaa.part"
    living = tmp_path / ".book.m4b.0000bbbb.part"
    other = tmp_path / ".other.m4b.0000cccc.part"
    for path in (orphan, living, other):
        path.write_bytes(b"x")
    with living.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        write_bytes(tmp_path / "book.m4b", b"whole")
    assert {path.name for path in tmp_path.iterdir()} == {"book.m4b", living.name, other.name}


def test_two_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    final = tmp_path / "a"
    with written_beside(final) as first, written_beside(final) as second:
        first.write_bytes(b"1111")
        second.write_bytes(b"2")
    assert final.read_bytes() == b"1111"
    assert list(tmp_path.iterdir()) == [final]


def test_long_names_have_room_for_the_part(tmp_path: Path) -> None:
    final = tmp_path / ("ü" * 120)
    write_bytes(final, b"x")
    assert final.read_bytes() == b"x"


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    for final in (tmp_path / "out" / "a", tmp_path / "out" / "b" / "a"):
        with pytest.raises(UserError, match="is a file, not a folder"):
            write_bytes(final, b"x")


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder, not a file"):
        write_bytes(tmp_path, b"x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o555)
    with pytest.raises(UserError, match=r"Cannot write in .*out: Permission denied"):
        write_bytes(tmp_path / "out" / "a", b"x")


def test_a_file_system_that_refuses() -> None:
    with pytest.raises(UserError, match="Cannot write"):
        write_bytes(Path("/proc/voxloom/a"), b"x")


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "The disk is full"),
        (errno.EDQUOT, "The disk is full"),
        (errno.EFBIG, "ulimit"),
        (errno.EROFS, "Cannot write in /out"),
        (errno.EIO, "Cannot write /out/a: Input/output error"),
    ],
)
def test_what_the_system_says_becomes_a_sentence(number: int, sentence: str) -> None:
    error = disk_error(OSError(number, os.strerror(number)), Path("/out/a"))
    assert sentence in str(error)
    assert error.exit_status == 1
