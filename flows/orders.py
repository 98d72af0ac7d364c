"""Orders that can be given again: what the user asked for, as the record of the run keeps it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from configs.errors import UserError
from configs.presets import Presets
from configs.settings import Settings
from storage.runs import Run, Runs
from tasks.engines import BUILT_IN, ChosenModel, choose_model
from tasks.matter import AS_USUAL, Reading
from tasks.voices import AskedVoice


@dataclass(frozen=True)
class Order:
    """What the user asks for.

    `chapters` is like 1-3,5 or "" for all, `language` a BCP 47 tag or "" for the book's own,
    `reading` says what of the book is read, `lexicon` is that of this book beside that of all
    books, `cast` the file that says who speaks in which voice.
    """

    book: Path
    voice: AskedVoice
    out: Path
    chapters: str
    language: str
    seed: int
    presets: Presets
    settings: Settings
    model: ChosenModel = BUILT_IN
    reading: Reading = AS_USUAL
    lexicon: Path | None = None
    cast: Path | None = None


def order_record(order: Order) -> dict[str, Any]:
    """An order as JSON values; files by their absolute paths."""
    return {
        "book": str(order.book.absolute()),
        "voice": voice_record(order.voice),
        "out": str(order.out.absolute()),
        "chapters": order.chapters,
        "language": order.language,
        "seed": order.seed,
        "presets": order.presets.model_dump(mode="json"),
        "reading": {
            name: sorted(value) if isinstance(value, frozenset) else value
            for name, value in asdict(order.reading).items()
        },
        "lexicon": str(order.lexicon.absolute()) if order.lexicon else "",
        "cast": str(order.cast.absolute()) if order.cast else "",
        "model": str(order.model.folder.absolute()) if order.model.folder else "",
    }


def last_order(given: Path, settings: Settings) -> tuple[Order, Run]:
    """The order of the youngest run into an audiobook's folder, or else of a book; UserError where
    there is none that can be given again."""
    run = last_run(given, settings)
    return read_order(run.order, run.title, settings, settings.models), run


def last_run(given: Path, settings: Settings) -> Run:
    """The youngest run into an output folder, or else of a book or a subtitle file, that can be
    given again: as a dub where its order has subtitles. UserError where there is none."""
    path = str(given.absolute())
    for run in Runs(settings.runs):
        if path in (run.order.get(name) for name in ("out", "book", "subtitles")):
            return run
    raise UserError(
        f"Nothing is known that was made into the folder or of the file {given}: make it first "
        "with voxloom audiobook, or voxloom dub"
    )


def read_order(facts: dict[str, Any], title: str, settings: Settings, models: Path) -> Order:
    """The order that order_record made the facts of; `models` is the folder of installed models.

    UserError where they are something else."""
    try:
        return Order(
            book=Path(facts["book"]),
            voice=read_voice(facts["voice"]),
            out=Path(facts["out"]),
            chapters=facts["chapters"],
            language=facts["language"],
            seed=facts["seed"],
            presets=Presets.model_validate_json(json.dumps(facts["presets"])),
            settings=settings,
            model=choose_model(facts["model"], models),
            reading=Reading(
                facts["reading"]["notes"],
                frozenset(facts["reading"]["include"]),
                frozenset(facts["reading"]["exclude"]),
                facts["reading"]["images"],
            ),
            lexicon=Path(facts["lexicon"]) if facts["lexicon"] else None,
            cast=Path(facts["cast"]) if facts["cast"] else None,
        )
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise UserError(
            f"How {title} was made can't be read from its record (by another version?): make "
            "it again with voxloom audiobook"
        ) from error


def voice_record(voice: AskedVoice) -> dict[str, Any]:
    paths = (Path(sample).expanduser() for sample in voice.samples)
    samples = [
        str(path.absolute()) if path.exists() else given
        for path, given in zip(paths, voice.samples, strict=True)
    ]
    return {"samples": samples, "transcript": voice.transcript}


def read_voice(facts: dict[str, Any]) -> AskedVoice:
    return AskedVoice(tuple(facts["samples"]), facts["transcript"])
