from pathlib import Path

import pytest

from configs.errors import UsageError, UserError
from configs.settings import PREFIX, Settings, load_settings


@pytest.fixture
def environment(monkeypatch):
    """Sets variables after every VOXLOOM_ variable of the caller's is gone."""
    for field in Settings.model_fields:
        monkeypatch.delenv(PREFIX + field.upper(), raising=False)

    def change(**values):
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return change


def test_without_variables_the_home_is_the_data_folder(environment):
    environment(XDG_DATA_HOME="/somewhere/data")
    settings = load_settings()
    assert settings.home == Path("/somewhere/data/voxloom")
    assert settings.store_url == "/somewhere/data/voxloom/store"
    assert settings.threads is None


def test_variables_are_read(environment):
    environment(VOXLOOM_HOME="/x", VOXLOOM_STORE="memory://s", VOXLOOM_THREADS="3")
    settings = load_settings()
    assert (settings.home, settings.store_url, settings.threads) == (Path("/x"), "memory://s", 3)


def test_a_relative_home_does_not_move_with_the_process(environment):
    environment(VOXLOOM_HOME="here")
    assert load_settings().home == Path.cwd() / "here"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VOXLOOM_THREADS", "0"),
        ("VOXLOOM_THREADS", "many"),
        ("VOXLOOM_BATCH_SIZE", "-1"),
        ("VOXLOOM_LOG_LEVEL", "LOUD"),
        ("VOXLOOM_OFFLINE", "perhaps"),
    ],
)
def test_a_wrong_variable_is_named(environment, name, value):
    environment(**{name: value})
    with pytest.raises(UsageError, match=f"{name}={value}: "):
        load_settings()


def test_the_queue_s_password_is_not_shown(environment):
    environment(VOXLOOM_QUEUE="postgresql://me:hunter2@host/voxloom")
    settings = load_settings()
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump()}"
    assert settings.queue.get_secret_value() == "postgresql://me:hunter2@host/voxloom"


def test_an_unknown_variable_is_named(environment):
    environment(VOXLOOM_STOER="/x")
    with pytest.raises(UsageError, match=r"VOXLOOM_STOER is not a setting.*VOXLOOM_STORE"):
        load_settings()


def test_exit_statuses():
    assert (UserError.exit_status, UsageError.exit_status) == (1, 2)
    assert issubclass(UsageError, UserError)
