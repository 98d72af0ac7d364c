import errno

import pytest

from configs.errors import UserError
from storage.remote import Place


def place(local: bool = False, patience: float = 30.0) -> Place:
    return Place(None, "root", "s3://bucket/root", local, patience)


class Flaky:
    """Fails as often as it is told."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.calls = 0
        self._failures, self._error = failures, error

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self._failures:
            raise self._error
        return self.calls


def test_an_outage_is_told_once_and_waited_for(caplog):
    assert place().patiently(Flaky(3, ConnectionResetError("gone"))) == 4
    assert caplog.text.count("gone; trying again") == 1


def test_patience_ends():
    action = Flaky(100, TimeoutError())
    with pytest.raises(
        UserError, match=r"s3://bucket/root can't be reached for 1 seconds \(Timeout"
    ):
        place(patience=1.0).patiently(action)
    assert action.calls == 3, "after 0.2 and 0.4 more seconds"


@pytest.mark.parametrize("local", [True, False])
def test_what_is_not_there_is_not_waited_for(local):
    action = Flaky(1, FileNotFoundError("x"))
    with pytest.raises(FileNotFoundError):
        place(local).patiently(action)
    assert action.calls == 1


def test_a_refusal_is_an_error_at_once():
    action = Flaky(1, PermissionError("Forbidden"))
    with pytest.raises(UserError, match="refuses the access"):
        place().patiently(action)
    assert action.calls == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_local_disk_s_trouble_is_said_at_once(number):
    action = Flaky(1, OSError(number, "trouble"))
    with pytest.raises(OSError, match="trouble"):
        place(local=True).patiently(action)
    assert action.calls == 1
