"""Which model shall speak: the built-in voice, an installed model or a folder; and its engine."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from configs.errors import UsageError, UserError
from configs.settings import Settings
from storage.models import Models
from tasks.voices import Voice

if TYPE_CHECKING:
    from model.checkpoint import VoiceModel
    from model.device import Device
    from model.precision import Precision
    from model.speaking import VoiceEngine

_V1_LANGUAGES = ("en", "zh", "ja", "auto")
_LANGUAGES = {"": ("en",), "v1": _V1_LANGUAGES}
_V2_LANGUAGES = (*_V1_LANGUAGES, "yue", "ko", "auto_yue")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChosenModel:
    """A model that may speak. `folder` None is the built-in voice; `official` the version of an
    official GPT-SoVITS model, "" for a model of Voxloom's own kind."""

    title: str
    folder: Path | None
    official: str

    @property
    def languages(self) -> tuple[str, ...]:
        """What it was trained to speak; "auto": each stretch of a text in the language it is in."""
        return _LANGUAGES.get(self.official, _V2_LANGUAGES)

    @property
    def reading(self) -> Literal["", "v1", "v2"]:
        """Whose readings it knows, for `model.text.speak_text`."""
        if not self.official:
            return ""
        return "v1" if self.official == "v1" else "v2"


BUILT_IN = ChosenModel("Voxloom built-in voice", None, "")


def choose_model(given: str, models: Path) -> ChosenModel:
    """The model that the user means: "" for the built-in one, a model's folder, or the name of one
    in the folder `models`. Only its configuration is read. UserError where there is none."""
    if not given:
        return BUILT_IN
    folder = Path(given).expanduser()
    if given in Models(models):
        folder = Models(models).path(given)
    elif not folder.is_dir():
        raise UserError(
            f"There is neither an installed model nor a folder named {given}; see voxloom models "
            "list"
        )
    try:
        config = json.loads((folder / "config.json").read_bytes())
        official = config["version"] if config.get("family") == "gpt-sovits" else ""
        if not isinstance(official, str):
            raise TypeError("its version is no name")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{folder} holds no model: its config.json can't be read ({error})."
        ) from error
    name = folder.resolve().name
    return ChosenModel(f"GPT-SoVITS {official}: {name}" if official else name, folder, official)


def check_language(model: ChosenModel, language: str) -> None:
    """Raises UsageError for a language that the model never learned."""
    if language_of(language) not in model.languages:
        raise UsageError(
            f"the text is in {language!r}, and the model ({model.title}) speaks "
            f"{', '.join(model.languages)}: choose another model, or the language that it is to be "
            "read in"
        )


def language_of(tag: str) -> str:
    """The language that a setting or BCP 47 tag names: zh-CN is "zh", as is "all_zh"."""
    return tag.split("-")[0].lower().removeprefix("all_")


def speaking_device(settings: Settings) -> "Device":
    """What speaks, as the user says; UserError where that is a GPU that is not there."""
    from model.device import best_device

    return best_device(settings.device, settings.graphs)


def speaks_on_gpu(settings: Settings) -> bool:
    """Whether a GPU speaks."""
    if settings.device == "cpu":
        return False
    import torch

    return torch.cuda.is_available()


def load_engine(
    model: ChosenModel,
    threads: int | None,
    precision: "Precision | None" = None,
    slots: int | None = None,
    device: "Device | None" = None,
) -> "VoiceEngine":
    """Loads a model; UserError where it is damaged.

    Without a precision, the built-in voice takes the one that is fastest here, which does not harm
    it (docs/speed.md); official models stay in f32. `slots`: how many sentences S1 of the built-in
    voice decodes at once, which changes no result. Without a device the best one is taken.
    """
    if not model.official or model.folder is None:
        from model.engine import Engine

        return Engine.load(model.folder, threads, precision, slots, device)
    from model.official_engine import OfficialEngine

    return OfficialEngine.load(model.folder, threads, precision or "f32", device)


def load_voice_model(model: ChosenModel, threads: int | None) -> "VoiceModel":
    """The weights of a model of the built-in family; UserError where they are damaged."""
    import torch

    from model.checkpoint import load_model
    from model.engine import PRETRAINED

    if threads:
        torch.set_num_threads(threads)
    return load_model(model.folder or PRETRAINED)


def tuned_engine(engine: "VoiceEngine", voices: Sequence[Voice]) -> "VoiceEngine":
    """The engine with the weights that were tuned for the voice, where there are any.

    They fit only the model that they were made for, and no average of several voices: else they are
    left out, with a warning. UserError where they are damaged.
    """
    tuned = [voice for voice in voices if voice.tuning]
    if not tuned or tuned[0].tuning is None:
        return engine
    from model.engine import Engine

    voice, tuning = tuned[0], tuned[0].tuning
    if len(voices) > 1:
        log.warning("several voices are averaged: what was tuned for %s is left out", voice.name)
        return engine
    if not isinstance(engine, Engine) or engine.model_hash != tuning.model_hash:
        log.warning(
            "the voice %s was tuned for another model (%s): only its sample is used. Clone it "
            "again for this one",
            voice.name,
            tuning.model,
        )
        return engine
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(tuning.path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"The tuned weights of the voice {voice.name} can't be read ({error}); remove it and "
            "clone it again."
        ) from error
    return engine.tuned(tensors)
