"""The cover as audio files carry it: JPEG or PNG."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from tasks.ffmpeg import PICTURE_FORMATS, FfmpegError, input_arguments, run_ffmpeg

_TIMEOUT = 30.0


@dataclass(frozen=True)
class Cover:
    """A picture and its media type, "image/jpeg" or "image/png"."""

    data: bytes
    media_type: str

    @property
    def suffix(self) -> str:
        return ".jpg" if self.media_type == "image/jpeg" else ".png"


def find_cover(picture: bytes | None) -> tuple[Cover | None, tuple[str, ...]]:
    """The picture, converted where it is of another kind, and warnings where it can't be read."""
    if not picture:
        return None, ()
    if picture.startswith(b"\xff\xd8\xff"):
        return Cover(picture, "image/jpeg"), ()
    if picture.startswith(b"\x89PNG\r\n\x1a\n"):
        return Cover(picture, "image/png"), ()
    with tempfile.TemporaryDirectory(prefix="voxloom-") as folder:
        source, target = Path(folder) / "cover", Path(folder) / "cover.png"
        try:
            source.write_bytes(picture)
            run_ffmpeg(
                [
                    *input_arguments(source, PICTURE_FORMATS),
                    *("-map", "0:v:0", "-frames:v", "1", "-c:v", "png", "-flags", "+bitexact"),
                    *("-f", "image2", "-update", "1", "-y", str(target)),
                ],
                timeout=_TIMEOUT,
            )
            return Cover(target.read_bytes(), "image/png"), ()
        except (FfmpegError, OSError) as error:
            return None, (f"The cover is left out: its picture cannot be read ({error}).",)
