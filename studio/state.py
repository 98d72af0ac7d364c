"""What the routes of Studio work with."""

from dataclasses import dataclass
from pathlib import Path

from fastapi import Request

from configs.settings import Settings
from storage.library import Library
from studio.jobs import Jobs
from studio.listen import Listen
from studio.speaking import Speaking
from studio.uploads import Uploads


@dataclass(frozen=True)
class Studio:
    """`csrf` is what our own pages show that they are ours by."""

    settings: Settings
    home: Path
    csrf: str
    uploads: Uploads
    jobs: Jobs
    speaking: Speaking
    listen: Listen

    @property
    def library(self) -> Library:
        return Library(self.settings.voices)


def studio_of(request: Request) -> Studio:
    """The Studio that a request is for."""
    studio: Studio = request.app.state.studio
    return studio
