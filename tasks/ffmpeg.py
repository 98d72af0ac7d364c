"""Finds ffmpeg and runs it: lists of arguments, no shell, its errors as sentences."""

import errno
import re
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import IO

import imageio_ffmpeg

from configs.errors import UserError

# What the mastering and packing steps use.
_NEEDED = {
    "-encoders": ("aac", "flac", "libmp3lame", "libopus", "pcm_f32le"),
    "-filters": ("alimiter", "ametadata", "aresample", "ebur128"),
    "-muxers": ("flac", "ipod", "mp3", "ogg"),
}

# Containers that a voice sample or a cover may come in. A file is judged by its bytes, so without
# this list a playlist named .mp3 could make ffmpeg open other files.
SOUND_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,eac3,flac,flv,gsm,matroska,webm,mov,mp4,m4a,3gp,3g2,"
    "mj2,mp3,mpeg,mpegts,mpc,mpc8,ogg,oma,spx,tta,voc,w64,wav,wv"
)
PICTURE_FORMATS = "jpeg_pipe,png_pipe,gif,gif_pipe,webp_pipe,bmp_pipe,tiff_pipe,jpegxl_pipe"

_CHUNK = 1 << 16


class FfmpegError(Exception):
    """ffmpeg ended with an error; the text is its last line."""


@cache
def ffmpeg_path() -> Path:
    """The ffmpeg to use: the wheel's, so that the same version makes the same bytes wherever it
    runs; where the wheel brings none, one on the PATH that has what is needed."""
    try:
        found = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        found = shutil.which("ffmpeg") or ""
    if not found or not _has_what_is_needed(found):
        raise UserError(
            f"{found or 'ffmpeg'} {'lacks what is needed' if found else 'was not found'}: "
            "reinstall the package imageio-ffmpeg, which brings one, or put ffmpeg 6 or younger, "
            "with libmp3lame and libopus, on the PATH."
        )
    return Path(found)


def input_arguments(path: Path, formats: str | None = None) -> list[str]:
    """Arguments that open `path` as a plain local file, whatever its name looks like."""
    only = ["-format_whitelist", formats] if formats else []
    return ["-protocol_whitelist", "file", *only, "-i", f"file:{path.absolute()}"]


def run_ffmpeg(
    arguments: list[str],
    feed: Iterable[bytes] = (),
    on_seconds: Callable[[float], None] | None = None,
    timeout: float | None = None,
    on_output: Callable[[bytes], None] | None = None,
) -> str:
    """Runs ffmpeg and returns what it wrote to stderr (its last 400 lines).

    `feed` goes to its standard input (`pipe:0` in the arguments). `on_seconds` hears how many
    seconds of the output are done, about twice a second; instead of it `on_output` hears what
    ffmpeg writes to `pipe:1`, in blocks of 64 KiB, in a thread of its own. Raises `OSError` when
    the disk is full or a file grew too large, `FfmpegError` for every other failure and after
    `timeout` seconds.
    An exception in `feed` ends ffmpeg and is raised again.
    """
    command = [str(ffmpeg_path()), "-hide_banner", "-nostdin", "-nostats", "-loglevel", "info"]
    if on_seconds:
        command += ["-progress", "pipe:1"]
    command += arguments
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as error:
        raise FfmpegError(f"it could not be started: {error.strerror}") from error
    assert process.stdin and process.stdout and process.stderr
    lines: deque[str] = deque(maxlen=400)
    readers = [
        threading.Thread(target=_collect, args=(process.stderr, lines), daemon=True),
        threading.Thread(target=_hand_on, args=(process.stdout, on_output), daemon=True)
        if on_output
        else threading.Thread(target=_report, args=(process.stdout, on_seconds), daemon=True),
    ]
    timed_out = threading.Event()

    def give_up() -> None:
        timed_out.set()
        process.kill()

    timer = threading.Timer(timeout or 0, give_up)
    timer.daemon = True
    try:
        for reader in readers:
            reader.start()
        if timeout:
            timer.start()
        _feed(process.stdin, feed)
        status = process.wait()
        for reader in readers:
            reader.join()
    finally:
        # Only on an exception in between (Ctrl-C, a chapter that cannot be read) is it alive.
        timer.cancel()
        if process.poll() is None:
            process.kill()
            process.wait()
    if timed_out.is_set():
        raise FfmpegError(f"it was still busy after {timeout:.0f} seconds")
    if status != 0:
        raise _failure(status, lines)
    return "\n".join(lines)


def _has_what_is_needed(program: str) -> bool:
    for listing, names in _NEEDED.items():
        found = _answer(program, listing)
        if not all(re.search(rf"^ *\S+ +{name}\b", found, re.MULTILINE) for name in names):
            return False
    # Old versions of the limiter shift the sound by its look-ahead and cannot make up for it; old
    # meters can't be quiet.
    options = {"alimiter": "latency", "ebur128": "quiet"}
    return all(word in _answer(program, "-h", f"filter={name}") for name, word in options.items())


def _answer(program: str, *arguments: str) -> str:
    try:
        done = subprocess.run(
            [program, "-hide_banner", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace")


def _feed(stdin: IO[bytes], feed: Iterable[bytes]) -> None:
    try:
        with stdin:
            for block in feed:
                stdin.write(block)
    except BrokenPipeError:
        pass  # it stopped reading: its exit status and last line say why


def _collect(stream: IO[bytes], lines: deque[str]) -> None:
    for line in stream:
        text = line.decode(errors="replace").strip()
        if text:
            lines.append(text)


def _report(stream: IO[bytes], on_seconds: Callable[[float], None] | None) -> None:
    for line in stream:
        key, _, value = line.decode(errors="replace").strip().partition("=")
        if on_seconds and key == "out_time_us" and value.lstrip("-").isdigit():
            on_seconds(max(0, int(value)) / 1e6)


def _hand_on(stream: IO[bytes], on_output: Callable[[bytes], None]) -> None:
    with stream:  # closed after an exception, too, so that ffmpeg does not wait for ever
        while data := stream.read(_CHUNK):
            on_output(data)


def _failure(status: int, lines: deque[str]) -> Exception:
    said = "\n".join(lines)
    if "No space left on device" in said or "Disk quota exceeded" in said:
        return OSError(errno.ENOSPC, "No space left on device")
    if status == -signal.SIGXFSZ or "File too large" in said:
        return OSError(errno.EFBIG, "File too large")
    if status < 0:
        return FfmpegError(f"it was ended by {signal.Signals(-status).name}")
    # Not the last line of what it tells of its progress.
    errors = [
        line for line in lines if not line.startswith(("Conversion failed", "frame=", "size="))
    ]
    return FfmpegError(errors[-1] if errors else f"it ended with status {status}")
