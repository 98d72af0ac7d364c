"""The library: voices that the user has registered by name, each a folder with its sample."""

import json
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from configs.errors import UsageError, UserError
from storage.files import TEMPORARY, flush_folder, write_whole
from storage.keys import hash_bytes

_NAME = re.compile(r"\w[\w .-]{0,62}\w|\w")
SAMPLE = "sample.flac"
FACTS = "voice.json"


@dataclass(frozen=True)
class StoredVoice:
    """What is known of a voice; `sample_hash` is the sha256 of the sample's file."""

    name: str
    seconds: float
    sample_rate: int
    sample_hash: str
    source: str  # the name of the file it was made from
    added: str  # ISO date and time
    transcript: str = ""  # what is said in the sample, "" where nobody wrote it down


class Library:
    """The voices in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(
        self,
        name: str,
        sample: bytes,
        seconds: float,
        sample_rate: int,
        source: str,
        added: str,
        transcript: str = "",
    ) -> StoredVoice:
        """Registers a voice under a name that is free; it is there whole or not at all."""
        folder = self._folder / valid_name(name)
        if folder.exists():
            raise UserError(
                f"A voice named {name} exists; choose another name, or remove it first with: "
                f"voxloom voices remove {name}"
            )
        voice = StoredVoice(
            name, seconds, sample_rate, hash_bytes(sample), source, added, transcript
        )
        temporary = self._folder / f"{TEMPORARY}{secrets.token_hex(8)}"
        try:
            write_whole(temporary / SAMPLE, sample)
            write_whole(temporary / FACTS, json.dumps(asdict(voice), indent=2).encode())
            try:
                temporary.rename(folder)
            except OSError as error:
                if folder.exists():
                    raise UserError(f"A voice named {name} was just added by someone") from error
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        flush_folder(self._folder)
        return voice

    def get(self, name: str) -> StoredVoice:
        """Raises UserError where there is no such voice or its files are damaged."""
        folder = self._folder / valid_name(name)
        if not folder.is_dir():
            known = ", ".join(voice.name for voice in self) or "none yet"
            raise UserError(f"There is no voice named {name}; registered voices: {known}")
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            return StoredVoice(**facts)
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f"The files of the voice {name} are damaged ({error}); remove it and add it again"
            ) from error

    def sample(self, name: str) -> Path:
        """The path of a voice's sample, verified against its hash."""
        voice = self.get(name)
        path = self._folder / name / SAMPLE
        if not path.is_file() or hash_bytes(path.read_bytes()) != voice.sample_hash:
            raise UserError(
                f"The sample of the voice {name} is damaged; remove it and add it again"
            )
        return path

    def remove(self, name: str) -> None:
        """Removes a voice for good, damaged or not; UserError where there is none."""
        folder = self._folder / valid_name(name)
        if not folder.is_dir():
            self.get(name)  # says which voices there are
        temporary = self._folder / f"{TEMPORARY}{secrets.token_hex(8)}"
        folder.rename(temporary)
        shutil.rmtree(temporary)

    def __contains__(self, name: str) -> bool:
        return _NAME.fullmatch(name) is not None and (self._folder / name).is_dir()

    def __iter__(self) -> Iterator[StoredVoice]:
        """Every voice, by name; raises UserError at one that is damaged."""
        if self._folder.is_dir():
            for folder in sorted(self._folder.iterdir()):
                if not folder.name.startswith(TEMPORARY) and folder.is_dir():
                    yield self.get(folder.name)


def valid_name(name: str) -> str:
    """The name, which is also a folder's; UsageError where it can't be one."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} can't name a voice: use 1 to 64 letters, digits, spaces, dots, dashes "
            "and underscores, beginning and ending with a letter or digit"
        )
    return name
