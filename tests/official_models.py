"""Folders of small official models with random weights, as `voxloom models pull` makes them."""

from pathlib import Path

from model.identify import Version
from storage.models import Models
from tasks.pull import pull_model
from tests.official_files import write_pretrained


def install(models: Path, version: Version, work: Path, small: bool = True) -> Path:
    """Installs the official model of a version into the folder `models`; its own folder."""
    pretrained = write_pretrained(work / version, version, small)
    pull_model(Models(models), version, work / "downloads", pretrained)
    return Models(models).path(version)
