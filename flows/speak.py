"""Speaks single texts into WAV files, with the same takes as a book; Prefect stays out of it."""

import io
import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from configs.errors import UserError
from configs.presets import Presets
from configs.settings import Settings
from flows.progress import RunProgress
from storage.library import Library
from storage.objects import ObjectStore
from tasks.assemble import assemble_chapter
from tasks.batches import make_batches
from tasks.beside import write_bytes
from tasks.calibration import unit_size
from tasks.engines import tuned_engine
from tasks.gate import Gate
from tasks.hearing import hear
from tasks.lexicon import find_lexicon
from tasks.plan import Pauses, Utterance, plan_chapter
from tasks.read_book import Block, Chapter
from tasks.render import Line, render_takes
from tasks.takes import Take, decode_take, take_key
from tasks.voices import AskedVoice, find_voices

if TYPE_CHECKING:
    from model.speaking import VoiceEngine

HEAD_SECONDS, TAIL_SECONDS = 0.1, 0.2
NOTHING_SECONDS = 0.3  # silence for a text without anything to speak

log = logging.getLogger(__name__)


def speak(
    texts: Sequence[str],
    outs: Sequence[Path],
    voice: AskedVoice,
    language: str,
    reading: str,
    seed: int,
    presets: Presets,
    settings: Settings,
    load_engine: Callable[[Settings], "VoiceEngine"],
    progress: RunProgress,
) -> float:
    """Speaks each text into its WAV file (mono, 16 bits); returns the seconds of sound written.

    A text without anything to speak becomes a short silence, so that every text has its file.
    """
    from model.sampling import Sampling

    voices = find_voices(voice, Library(settings.voices))
    pauses = Pauses(**presets.pauses.model_dump())
    lexicon = find_lexicon(settings.lexicon)
    plans = [
        plan_chapter(
            number,
            Chapter("", (Block("paragraph", text),)),
            pauses,
            language,
            reading,
            lexicon=lexicon,
        )
        for number, text in enumerate(texts)
    ]
    progress.stage("Loading the voice model")
    engine = tuned_engine(load_engine(settings), voices)
    progress.stage("Listening to the voice sample")
    heard = hear(voices, engine.hearing, language, settings.whisper)
    sampling = Sampling(**presets.voice.model_dump())
    store = ObjectStore(settings.store_url)

    def key(utterance: Utterance) -> str:
        return take_key(
            utterance.phones,
            utterance.language,
            heard.content_hash,
            engine.content_hash,
            asdict(sampling),
            seed,
            utterance.characters,
        )

    keyed = [[(utterance, key(utterance)) for utterance in plan] for plan in plans]
    lines = {
        key: Line(key, utterance.phones, utterance.characters, utterance.language)
        for plan in keyed
        for utterance, key in plan
    }
    missing = [lines[key] for key in store.missing(lines)]
    phones = sum(len(line.phones) for line in missing)
    progress.expect(sum(len(line.phones) for line in lines.values()), phones)
    progress.pace.start()
    failures: dict[str, str] = {}
    if missing:
        progress.stage("Speaking")
        gate = Gate(engine, heard.samples, settings.whisper, settings.hear_all, reading)
        reference = engine.reference(heard.samples, heard.prompt)
        for batch in make_batches(missing, lambda line: len(line.phones), unit_size(settings)):
            failures |= render_takes(
                batch,
                engine,
                reference,
                sampling,
                store,
                lambda line, take: progress.advance(len(line.phones)),
                gate,
            )
    seconds = 0.0
    for number, (plan, out) in enumerate(zip(keyed, outs, strict=True)):
        takes = [(utterance, _take(store, key, failures)) for utterance, key in plan]
        for utterance, take in takes:
            problem = "it could not be spoken" if take is None else take.problem
            if problem:
                log.warning("text %d, “%s”: %s", number, utterance.text, problem)
        if not takes:
            log.warning("text %d has nothing to be spoken; %s is silent", number, out)
        audio = _joined(takes, engine.sample_rate)
        write_bytes(out, _wav(audio, engine.sample_rate))
        seconds += len(audio) / engine.sample_rate
    return seconds


def lines_of(file: Path) -> list[str]:
    """The lines of a text file in UTF-8; raises UserError where it is not one."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"{file} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file} is not a text in UTF-8; save it as UTF-8 and try again."
        ) from error
    if not lines:
        raise UserError(f"{file} is empty; write the texts into it, one a line.")
    return lines


def numbered(folder: Path, count: int) -> list[Path]:
    """The WAV files of so many lines: 000.wav, 001.wav ..."""
    return [folder / f"{number:03d}.wav" for number in range(count)]


def _take(store: ObjectStore, key: str, failures: dict[str, str]) -> Take | None:
    if key in failures:
        return None
    data = store.get(key)
    if data is None:
        raise UserError("A stored take was damaged meanwhile; run the same command again.")
    return decode_take(data)


def _joined(takes: Sequence[tuple[Utterance, Take | None]], sample_rate: int) -> np.ndarray:
    """The takes one after another with their pauses, int16 (samples,)."""
    if not takes:
        return np.zeros(round(NOTHING_SECONDS * sample_rate), np.int16)
    silence = np.zeros(0, np.float32)
    pieces = ((utterance, silence if take is None else take.audio) for utterance, take in takes)
    with tempfile.TemporaryDirectory(prefix="voxloom-") as folder:
        path = Path(folder) / "text.flac"
        assemble_chapter(pieces, sample_rate, path, HEAD_SECONDS, TAIL_SECONDS, room_tone=True)
        audio, _ = soundfile.read(path, dtype="int16")
    return np.asarray(audio, np.int16)


def _wav(audio: np.ndarray, sample_rate: int) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
