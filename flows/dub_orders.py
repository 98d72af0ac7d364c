"""Orders of dubs that can be given again, as the record of a run and the pool's jobs keep them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from configs.errors import UserError
from configs.presets import DubPresets
from configs.settings import Settings
from flows.orders import read_voice, voice_record
from tasks.engines import choose_model

if TYPE_CHECKING:
    from flows.dub_work import DubOrder


def dub_record(order: "DubOrder") -> dict[str, Any]:
    """An order as JSON values; files by their absolute paths."""
    return {
        "subtitles": str(order.subtitles.absolute()),
        "video": str(order.video.absolute()) if order.video else "",
        "voice": voice_record(order.voice) if order.voice else None,
        "out": str(order.out.absolute()),
        "mode": order.mode,
        "language": order.language,
        "candidates": order.candidates,
        "seed": order.seed,
        "track": order.track,
        "presets": order.presets.model_dump(mode="json"),
        "lexicon": str(order.lexicon.absolute()) if order.lexicon else "",
        "cast": str(order.cast.absolute()) if order.cast else "",
        "model": str(order.model.folder.absolute()) if order.model.folder else "",
    }


def read_dub_order(
    facts: dict[str, Any], title: str, settings: Settings, models: Path
) -> "DubOrder":
    """The order that dub_record made the facts of; `models` is the folder of installed models.

    UserError where they are something else."""
    from flows.dub_work import DubOrder

    try:
        return DubOrder(
            subtitles=Path(facts["subtitles"]),
            voice=read_voice(facts["voice"]) if facts["voice"] else None,
            out=Path(facts["out"]),
            video=Path(facts["video"]) if facts["video"] else None,
            mode=facts["mode"],
            language=str(facts["language"]),
            candidates=int(facts["candidates"]),
            seed=int(facts["seed"]),
            presets=DubPresets.model_validate_json(json.dumps(facts["presets"])),
            settings=settings,
            model=choose_model(facts["model"], models),
            cast=Path(facts["cast"]) if facts["cast"] else None,
            track=facts["track"],
            lexicon=Path(facts["lexicon"]) if facts["lexicon"] else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError, ValidationError) as error:
        raise UserError(
            f"How {title} was made can't be read from its record (by another version?): make "
            "it again with voxloom dub"
        ) from error
