"""Finding ffmpeg and running it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest

from configs.errors import UserError
from tasks.ffmpeg import FfmpegError, ffmpeg_path, input_arguments, run_ffmpeg

SECOND_OF_SILENCE = bytes(2 * 8_000)
PCM = ["-f", "s16le", "-ar", "8000", "-ac", "1", "-i", "pipe:0"]


@pytest.fixture
def fresh_search() -> Iterator[None]:
    ffmpeg_path.cache_clear()
    yield
    ffmpeg_path.cache_clear()


def program(folder: Path, script: str) -> Path:
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> Path:
    """imageio-ffmpeg brings no program for this machine; the one that it has brought."""
    wheels = Path(imageio_ffmpeg.get_ffmpeg_exe())

    def none() -> str:
        raise RuntimeError("No ffmpeg exe could be found")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none)
    return wheels


@pytest.mark.usefixtures("fresh_search")
def test_the_wheels_is_used_whatever_is_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, f'exec "{imageio_ffmpeg.get_ffmpeg_exe()}" "$@"')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert ffmpeg_path() == Path(imageio_ffmpeg.get_ffmpeg_exe())


@pytest.mark.usefixtures("fresh_search")
def test_without_a_wheel_the_one_on_the_path_is_used_if_it_has_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_wheel: Path
) -> None:
    own = program(tmp_path, f'exec "{no_wheel}" "$@"')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert ffmpeg_path() == own


@pytest.mark.usefixtures("fresh_search", "no_wheel")
@pytest.mark.parametrize("script", ["echo ' A..... aac  AAC'", "exit 1", "kill -9 $$"])
def test_a_poor_one_on_the_path_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    program(tmp_path, script)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(UserError, match="lacks what is needed"):
        ffmpeg_path()


def test_feeding_and_progress(tmp_path: Path) -> None:
    heard: list[float] = []
    said = run_ffmpeg(
        [*PCM, str(tmp_path / "a.wav")], feed=[SECOND_OF_SILENCE] * 3, on_seconds=heard.append
    )
    assert heard[-1] == pytest.approx(3.0)
    assert heard == sorted(heard)
    assert "pcm_s16le" in said
    assert (tmp_path / "a.wav").stat().st_size > 3 * len(SECOND_OF_SILENCE)


def test_an_error_is_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(FfmpegError, match="No such file or directory"):
        run_ffmpeg([*input_arguments(tmp_path / "none"), "-f", "null", "-"])
    with pytest.raises(FfmpegError, match=r"No such filter|Filter not found"):
        run_ffmpeg([*PCM, "-af", "nonsense", "-f", "null", "-"], feed=[SECOND_OF_SILENCE] * 90)


def test_an_error_while_feeding_ends_it(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield SECOND_OF_SILENCE
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_ffmpeg([*PCM, "-f", "null", "-"], feed=broken())


def test_it_does_not_run_for_ever() -> None:
    started = time.monotonic()
    with pytest.raises(FfmpegError, match="still busy after 0 seconds"):
        run_ffmpeg(["-re", "-f", "lavfi", "-i", "anullsrc", "-f", "null", "-"], timeout=0.3)
    assert time.monotonic() - started < 5


def test_names_are_never_options_or_addresses(tmp_path: Path) -> None:
    arguments = input_arguments(Path("-y"))
    assert arguments[-1].startswith("file:/")
    with pytest.raises(FfmpegError):
        run_ffmpeg([*input_arguments(tmp_path / "concat:a|b"), "-f", "null", "-"])


LIMITED = """
import resource, sys
from tasks.ffmpeg import run_ffmpeg
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
try:
    run_ffmpeg(sys.argv[2:], feed=[bytes(16000)] * 9)
except OSError as error:
    print(error.strerror)
"""


def test_a_file_that_may_not_grow_is_an_error_of_the_system(tmp_path: Path, root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "-", *PCM, str(tmp_path / "a.wav")],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "File too large\n"
