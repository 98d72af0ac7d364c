"""Manifests: batches of lines with all that a worker must know to speak them, as JSON."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Generic

from configs.errors import UserError
from storage.objects import ObjectStore
from tasks.dub_takes import FittedLine, Fitting, render_fitted
from tasks.render import AnyLine, Line, Way, render_takes
from tasks.takes import Take

if TYPE_CHECKING:
    from model.sampling import Sampling
    from model.speaking import Prompt

VERSION = 1


@dataclass(frozen=True)
class CarriedVoice:
    """A voice as it travels: its samples (files of the job, FLAC of 16 bits, and their rates), what
    the first one says, the file of the weights that were tuned for it ("": none), and the content
    hash of the engine that shall speak, with those weights."""

    samples: tuple[tuple[str, int], ...]
    prompt: "Prompt | None"
    tuning: str
    engine: str


@dataclass(frozen=True)
class Part(Generic[AnyLine]):
    """Lines that one voice speaks with the same settings; in a dub they are `FittedLine`s."""

    voice: str
    sampling: "Sampling"
    lines: tuple[AnyLine, ...]


@dataclass(frozen=True)
class Manifest:
    """A batch. `model` is the name of an installed model ("": the built-in voice), `fitting` says
    how a dub's lines are fitted to their subtitles (None: a book's lines)."""

    model: str
    hear_all: bool
    voices: Mapping[str, CarriedVoice]
    parts: tuple[Part[Line] | Part[FittedLine], ...]
    fitting: Fitting | None = None


def speak_manifest(
    manifest: Manifest,
    keys: Collection[str],
    way_of: Callable[[str], Way],
    store: ObjectStore,
    on_take: Callable[[Line, Take], None],
    fresh: bool = False,
) -> dict[str, str]:
    """Makes the takes of the lines with these keys that are not in the store, each of them stored
    and told to `on_take` the moment that it is done. `way_of` finds how a voice speaks. With
    `fresh`, a book's lines are not asked for: nobody began with them since the planner did.

    The answer maps the keys of the lines that the engine can't speak to what it said.
    """
    failures: dict[str, str] = {}
    for part in manifest.parts:
        lines = {line.key: line for line in part.lines if line.key in keys}
        if not lines:
            continue
        if manifest.fitting:
            fitted = [line for line in lines.values() if isinstance(line, FittedLine)]
            failures |= render_fitted(
                fitted, way_of(part.voice), manifest.fitting, part.sampling, store, on_take
            )
        elif missing := [lines[key] for key in (lines if fresh else store.missing(lines))]:
            way = way_of(part.voice)
            failures |= render_takes(
                missing, way.engine, way.reference, part.sampling, store, on_take, way.gate
            )
    return failures


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as bytes, the same ones every time."""
    return json.dumps({"version": VERSION} | asdict(manifest), sort_keys=True).encode()


def decode_manifest(data: bytes) -> Manifest:
    """The manifest that encode_manifest made the bytes of; UserError for anything else."""
    try:
        record = json.loads(data)
        if record["version"] != VERSION:
            raise ValueError(f"its version is {record['version']}")
        fitting = Fitting(**record["fitting"]) if record["fitting"] else None
        kind = FittedLine if fitting else Line
        return Manifest(
            str(record["model"]),
            bool(record["hear_all"]),
            {name: _voice(facts) for name, facts in record["voices"].items()},
            tuple(_part(facts, kind) for facts in record["parts"]),
            fitting,
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"A manifest can't be read ({error}); is the worker's version another?"
        ) from error


def _voice(facts: dict[str, Any]) -> CarriedVoice:
    from model.speaking import Prompt

    prompt = facts["prompt"]
    samples = tuple((str(name), int(rate)) for name, rate in facts["samples"])
    said = Prompt(tuple(prompt["phones"]), _characters(prompt)) if prompt else None
    return CarriedVoice(samples, said, str(facts["tuning"]), str(facts["engine"]))


def _part(facts: dict[str, Any], kind: type[AnyLine]) -> Part[AnyLine]:
    from model.sampling import Sampling

    lines = tuple(
        kind(**line | {"phones": tuple(line["phones"]), "characters": _characters(line)})
        for line in facts["lines"]
    )
    return Part(facts["voice"], Sampling(**facts["sampling"]), lines)


def _characters(facts: dict[str, Any]) -> tuple[Any, ...]:
    from model.speaking import Characters

    return tuple(
        Characters(run["start"], run["text"], tuple(run["word2ph"])) for run in facts["characters"]
    )
