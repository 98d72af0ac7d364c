"""Presets: strict models of the YAML files that say how a book shall sound and be delivered."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from configs.errors import UsageError

SHIPPED = Path(__file__).parent


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Model = TypeVar("Model", bound=Strict)


class VoicePreset(Strict):
    """How an utterance is rendered; every value is part of a take's key."""

    top_k: int = Field(ge=1, le=1024)
    top_p: float = Field(gt=0, le=1)
    temperature: float = Field(gt=0, le=5)
    repetition_penalty: float = Field(ge=1, le=5)
    steps: int = Field(ge=1, le=128, description="Euler steps of the flow matching")
    guidance: float = Field(ge=0, le=10, description="of the flow matching; 0 leaves it out")
    speed: float = Field(ge=0.5, le=2.0, description="1 is the voice's own tempo")


Mastered = Literal["standard", "acx", "podcast", "ebu", "none"]
Format = Literal["m4b", "mp3", "opus", "flac", "srt", "vtt", "lrc", "elrc", "epub"]
Layout = Literal["plain", "audiobookshelf"]
SOUND_FORMATS: tuple[Format, ...] = ("m4b", "mp3", "opus", "flac")


class OutputPreset(Strict):
    """How the finished book is delivered."""

    mastering: Mastered
    loudness: float | None = Field(
        ge=-40, le=-10, description="integrated loudness of the book, LUFS; None: as it was spoken"
    )
    peak_db: float = Field(ge=-20, le=0, description="no peak of the delivered sound is over it")
    trim_db: float = Field(ge=0, le=6, description="a chapter's gain is so near the book's")
    formats: tuple[Format, ...] = Field(min_length=1)
    layout: Layout
    credits: bool = Field(description="opening and closing credits are spoken")

    @model_validator(mode="after")
    def _one_sound_on_a_shelf(self) -> "OutputPreset":
        if self.layout == "audiobookshelf" and len(self.sound) != 1:
            raise ValueError(
                "Audiobookshelf takes one kind of audio file in a book's folder: choose one of "
                f"{', '.join(SOUND_FORMATS)}"
            )
        return self

    @property
    def sound(self) -> tuple[Format, ...]:
        """The formats that are audio files, each once."""
        return tuple(kind for kind in SOUND_FORMATS if kind in self.formats)


class PausesPreset(Strict):
    """Silence after a piece of text, seconds."""

    sentence: float = Field(ge=0, le=10)
    clause: float = Field(ge=0, le=10)
    paragraph: float = Field(ge=0, le=10)
    verse: float = Field(ge=0, le=10)
    heading: float = Field(ge=0, le=10)
    scene: float = Field(ge=0, le=10)
    chapter: float = Field(ge=0, le=10)


DubMode = Literal["dub", "voice-over", "free"]
DubMastered = Literal["ebu", "streaming"]


class DubbingPreset(Strict):
    """How a dubbed track is mixed with the original, and how loud it is."""

    mastering: DubMastered
    loudness: float = Field(ge=-40, le=-10, description="LUFS of what `measured` says")
    measured: Literal["programme", "dialogue"]
    peak_db: float = Field(ge=-20, le=0, description="no true peak is over it")
    under_dub: float = Field(ge=-96, le=0, description="gain of the original under speech, dB")
    under_voice_over: float = Field(ge=-96, le=0)
    under_free: float = Field(ge=-96, le=0)
    attack: float = Field(ge=0.01, le=2, description="seconds")
    hold: float = Field(ge=0, le=5, description="seconds")
    release: float = Field(ge=0.01, le=5, description="seconds")

    def under(self, mode: DubMode) -> float:
        """The gain in dB of the original while somebody speaks."""
        gains = {
            "dub": self.under_dub,
            "voice-over": self.under_voice_over,
            "free": self.under_free,
        }
        return gains[mode]


class Presets(Strict):
    """The sections of a configuration file; a file of the user's may leave out any value."""

    voice: VoicePreset
    output: OutputPreset
    pauses: PausesPreset


class DubPresets(Strict):
    """The sections that count in dubbing."""

    voice: VoicePreset
    dubbing: DubbingPreset


def load_presets(
    path: Path | None = None, official: str = "", output: Mapping[str, Any] | None = None
) -> Presets:
    """The shipped presets, overlaid value by value with the user's YAML file.

    `official` is the version of an official model ("v4"), "" for the built-in voice. `output` are
    values of that section that count more than the file's. The mastering preset that is chosen
    changes what the user does not. Raises UsageError naming the file and the field that is wrong.
    """
    own = _own(path, DubPresets)
    values = _shipped(Presets, official)
    if isinstance(own.get("output", {}), dict):
        own["output"] = own.get("output", {}) | dict(output or {})
        mastering = read_yaml(SHIPPED / "mastering.yaml")
        values["output"] |= mastering.get(str(own["output"].get("mastering", "standard")), {})
    return _overlaid(Presets, values, own, path)


def load_dub_presets(
    path: Path | None = None, official: str = "", mastering: str = ""
) -> DubPresets:
    """As `load_presets`, for dubbing; a section that only books have is left alone.

    `mastering` is the preset of the loudness, "" for the file's.
    """
    if mastering and mastering not in get_args(DubMastered):
        known = ", ".join(get_args(DubMastered))
        raise UsageError(f"--loudness knows {known}, but not {mastering!r}")
    own = _own(path, Presets)
    values = _shipped(DubPresets, official)
    if isinstance(own.get("dubbing", {}), dict):
        own["dubbing"] = own.get("dubbing", {}) | ({"mastering": mastering} if mastering else {})
        changes = read_yaml(SHIPPED / "dub_mastering.yaml")
        values["dubbing"] |= changes.get(str(own["dubbing"].get("mastering", "ebu")), {})
    return _overlaid(DubPresets, values, own, path)


def _own(path: Path | None, others: type[Strict]) -> dict[str, Any]:
    """The user's file without the sections that only `others` has: one file may serve books and
    dubbing."""
    own = {} if path is None else read_yaml(path)
    shared = Presets.model_fields.keys() & DubPresets.model_fields.keys()
    return {k: v for k, v in own.items() if k in shared or k not in others.model_fields}


def _shipped(model: type[Strict], official: str) -> dict[str, Any]:
    values = {name: read_yaml(SHIPPED / f"{name}.yaml") for name in model.model_fields}
    if official:
        sections = read_yaml(SHIPPED / "official.yaml")
        shared = {k: v for k, v in sections.items() if not isinstance(v, dict)}
        values["voice"] = shared | sections.get(official, {})
    return values


def _overlaid(
    model: type[Model], values: dict[str, Any], own: Mapping[str, Any], path: Path | None
) -> Model:
    for name, section in own.items():
        if isinstance(section, dict) and name in values:
            values[name] = values[name] | section
        else:
            values[name] = section
    try:
        return model.model_validate(_tuples(values))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path or SHIPPED}: {field}: {first['msg']}") from error


def output_options(
    formats: str, mastering: str, layout: str, credits: bool | None
) -> dict[str, Any]:
    """The section `output` from options of the command line; what is "" or None is left out.

    Raises UsageError for a value that there is not.
    """
    kinds = tuple(
        dict.fromkeys(kind.strip().lower() for kind in formats.split(",") if kind.strip())
    )
    given = [
        ("--formats", kinds, get_args(Format)),
        ("--mastering", (mastering,) if mastering else (), get_args(Mastered)),
        ("--layout", (layout,) if layout else (), get_args(Layout)),
    ]
    for option, values, known in given:
        for value in values:
            if value not in known:
                raise UsageError(f"{option} knows {', '.join(known)}, but not {value!r}")
    options: dict[str, Any] = {"formats": kinds} if kinds else {}
    options |= {"mastering": mastering} if mastering else {}
    options |= {"layout": layout} if layout else {}
    return options | ({} if credits is None else {"credits": credits})


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
