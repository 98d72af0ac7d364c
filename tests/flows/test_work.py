import os

import pytest

from configs.errors import UserError
from flows.work import (
    ASSUMED_SPEED,
    check_folder,
    remember_speed,
    remembered_speed,
)
from tasks.names import file_stem


@pytest.mark.parametrize(
    ("title", "stem"),
    [
        ("The Time Machine", "The Time Machine"),
        ("A/B: what? \\ \0 C", "A B what C"),
        ("../../etc/passwd", "etc passwd"),
        ("...", "audiobook"),
        ("", "audiobook"),
        ("a\nb\tc", "a b c"),
        ("CON.", "CON"),
        ("é" * 200, "é" * 60),
    ],
)
def test_file_stem(title, stem):
    assert file_stem(title) == stem


def test_a_folder_is_made_and_left_empty(tmp_path):
    check_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    for bad in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(UserError, match="file"):
            check_folder(bad)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="permission"):
        check_folder(tmp_path)


def test_the_speed_is_remembered(settings):
    assert remembered_speed(settings) == ASSUMED_SPEED
    remember_speed(settings, 33.333)
    assert remembered_speed(settings) == 33.33
    remember_speed(settings, None)
    assert remembered_speed(settings) == 33.33
    (settings.home / "speed.json").write_text("[]")
    assert remembered_speed(settings) == ASSUMED_SPEED
