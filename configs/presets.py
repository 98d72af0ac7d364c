"""Presets: strict models of the YAML files that say how a book shall sound and be delivered."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from configs.errors import UsageError

SHIPPED = Path(__file__).parent


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class VoicePreset(Strict):
    """How an utterance is rendered; every value is part of a take's key."""

    top_k: int = Field(ge=1, le=1024)
    top_p: float = Field(gt=0, le=1)
    temperature: float = Field(gt=0, le=5)
    repetition_penalty: float = Field(ge=1, le=5)
    steps: int = Field(ge=1, le=128, description="Euler steps of the flow matching")
    guidance: float = Field(ge=0, le=10, description="of the flow matching; 0 leaves it out")
    speed: float = Field(ge=0.5, le=2.0, description="1 is the voice's own tempo")


class OutputPreset(Strict):
    """How the finished book is delivered."""

    loudness: float = Field(ge=-40, le=-10, description="integrated loudness of the book, LUFS")
    subtitles: tuple[Literal["srt", "vtt"], ...]


class PausesPreset(Strict):
    """Silence after a piece of text, seconds."""

    sentence: float = Field(ge=0, le=10)
    clause: float = Field(ge=0, le=10)
    paragraph: float = Field(ge=0, le=10)
    verse: float = Field(ge=0, le=10)
    heading: float = Field(ge=0, le=10)
    scene: float = Field(ge=0, le=10)
    chapter: float = Field(ge=0, le=10)


class Presets(Strict):
    """The sections of a configuration file; a file of the user's may leave out any value."""

    voice: VoicePreset
    output: OutputPreset
    pauses: PausesPreset


def load_presets(path: Path | None = None, official: str = "") -> Presets:
    """The shipped presets, overlaid value by value with the user's YAML file.

    `official` is the version of an official model ("v4"), "" for the built-in voice. Raises
    UsageError naming the file and the field that is wrong.
    """
    values = {name: read_yaml(SHIPPED / f"{name}.yaml") for name in Presets.model_fields}
    if official:
        sections = read_yaml(SHIPPED / "official.yaml")
        own = sections.get(official, {})
        values["voice"] = {k: v for k, v in sections.items() if not isinstance(v, dict)} | own
    if path is not None:
        for name, section in read_yaml(path).items():
            if isinstance(section, dict) and name in values:
                values[name] = values[name] | section
            else:
                values[name] = section
    try:
        return Presets.model_validate(_tuples(values))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path or SHIPPED}: {field}: {first['msg']}") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """The names and values of a YAML file; UsageError where it is none."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read: {error}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"{path} must hold names and values, not a {type(content).__name__}")
    return content


def _tuples(value: Any) -> Any:
    """YAML has lists where the strict models want tuples."""
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(value) if isinstance(value, list) else value
