"""The library: voices that the user has registered by name, each a folder with its sample.

voices/NAME/voice.json, sample.flac
voices/NAME/clip-00.flac ..., tuning.safetensors     of a voice that was cloned
"""

import json
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from configs.errors import UsageError, UserError
from storage.files import TEMPORARY, flush_folder, write_whole
from storage.keys import content_key, hash_bytes

_NAME = re.compile(r"\w[\w .-]{0,62}\w|\w")
_OPTIONAL = ("clone", "consent")
SAMPLE = "sample.flac"
FACTS = "voice.json"
TUNING = "tuning.safetensors"


@dataclass(frozen=True)
class ReferenceClip:
    """A stretch of the recordings that is kept with the voice; `file` is its name in the folder,
    `hash` the sha256 of that file."""

    file: str
    hash: str
    recording: str
    start: float  # seconds
    seconds: float
    says: str  # words, else phones, else ""


@dataclass(frozen=True)
class StoredTuning:
    """Weights that were tuned for the voice, and the model that they belong to."""

    hash: str  # sha256 of the file
    model: str  # what the model is called
    model_hash: str  # its content hash
    method: str


@dataclass(frozen=True)
class Clone:
    """What is known of a voice that `voxloom clone` made; `tuning` is None where tuning was not
    worth it, and `why_untuned` says why."""

    consent: str
    licence: str
    recordings: tuple[str, ...]
    seconds_used: float
    dropped: dict[str, float]  # seconds by reason
    clips: tuple[ReferenceClip, ...]
    tuning: StoredTuning | None
    why_untuned: str
    metrics: dict[str, float | str]
    curve: tuple[
        dict[str, float | str | None], ...
    ]  # a judgement each: part, step, train, held_out


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
    clone: Clone | None = None
    consent: str = ""  # that the voice may be used, as it was said; "" where nobody was asked

    @property
    def content_hash(self) -> str:
        """Names everything that can be heard of the voice: sample, clips and tuned weights."""
        clone = self.clone
        return content_key(
            {
                "sample": self.sample_hash,
                "clips": [clip.hash for clip in clone.clips] if clone else [],
                "tuning": clone.tuning.hash if clone and clone.tuning else "",
            }
        )


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
        clone: Clone | None = None,
        files: Mapping[str, bytes] | None = None,
        replace: bool = False,
        consent: str = "",
    ) -> StoredVoice:
        """Registers a voice, with the clips and weights that `clone` names as `files`, under a
        name that is free or whose voice shall be replaced; it is there whole or not at all."""
        folder = self._folder / valid_name(name)
        if not replace:
            self.check_free(name)
        voice = StoredVoice(
            name,
            seconds,
            sample_rate,
            hash_bytes(sample),
            source,
            added,
            transcript,
            clone,
            consent,
        )
        temporary = self._folder / f"{TEMPORARY}{secrets.token_hex(8)}"
        try:
            for file, data in (files or {}).items():
                write_whole(temporary / file, data)
            write_whole(temporary / SAMPLE, sample)
            write_whole(temporary / FACTS, json.dumps(_record(voice), indent=2).encode())
            if replace and folder.exists():
                self.remove(name)
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

    def check_free(self, name: str) -> None:
        """UsageError where the name can't be a voice's, UserError where it is taken."""
        if (self._folder / valid_name(name)).exists():
            raise UserError(
                f"A voice named {name} exists; choose another name, or remove it first with: "
                f"voxloom voices remove {name}"
            )

    def get(self, name: str) -> StoredVoice:
        """Raises UserError where there is no such voice or its files are damaged."""
        folder = self._folder / valid_name(name)
        if not folder.is_dir():
            known = ", ".join(voice.name for voice in self) or "none yet"
            raise UserError(f"There is no voice named {name}; registered voices: {known}")
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            return _voice(facts)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
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

    def tuning(self, name: str) -> Path | None:
        """The path of a voice's tuned weights, verified against their hash; None without any."""
        clone = self.get(name).clone
        if clone is None or clone.tuning is None:
            return None
        path = self._folder / name / TUNING
        if not path.is_file() or hash_bytes(path.read_bytes()) != clone.tuning.hash:
            raise UserError(
                f"The tuned weights of the voice {name} are damaged; remove it and clone it again"
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


def _record(voice: StoredVoice) -> dict[str, Any]:
    """A voice for JSON; one that was only added has no field for what cloning found out, and none
    for a consent that nobody was asked for."""
    record = asdict(voice)
    return {name: value for name, value in record.items() if name not in _OPTIONAL or value}


def _voice(facts: dict[str, Any]) -> StoredVoice:
    clone = facts.pop("clone", None)
    if clone is None:
        return StoredVoice(**facts)
    tuning = clone["tuning"]
    values = clone | {
        "recordings": tuple(clone["recordings"]),
        "clips": tuple(ReferenceClip(**clip) for clip in clone["clips"]),
        "tuning": StoredTuning(**tuning) if tuning else None,
        "curve": tuple(clone["curve"]),
    }
    return StoredVoice(**facts, clone=Clone(**values))
