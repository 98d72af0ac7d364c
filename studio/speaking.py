"""What Studio itself speaks, at once: a sentence in a voice, one more take of a line."""

import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from configs.presets import load_presets
from configs.settings import Settings
from flows.progress import RunProgress
from flows.script import Script, ScriptLine, renderable
from flows.speak import speak
from flows.work import engine_of
from model.speaking import VoiceEngine
from storage.objects import ObjectStore
from tasks.engines import BUILT_IN, ChosenModel, check_language
from tasks.gate import Gate
from tasks.render import render_takes
from tasks.takes import Take
from tasks.voices import AskedVoice

KEPT_SECONDS = 86400.0  # a preview is for now
LoadEngine = Callable[[ChosenModel], Callable[[Settings], VoiceEngine]]


class Speaking:
    """Speaks with one engine that stays loaded; one thing at a time."""

    def __init__(self, settings: Settings, folder: Path, load: LoadEngine = engine_of) -> None:
        """`folder` is for previews."""
        self._settings = settings
        self._folder = folder
        self._load = load
        self._lock = threading.Lock()
        self._loaded: tuple[ChosenModel, VoiceEngine] | None = None

    def engine(self, model: ChosenModel) -> VoiceEngine:
        """The engine of a model, loaded if need be."""
        with self._lock:
            return self._engine(model)

    def warm(self) -> None:
        """Loads the built-in voice beside everything else, unless an engine is loaded already: it
        takes longer than to speak a sentence."""
        if self._loaded is None and not self._lock.locked():
            threading.Thread(target=self._warm, daemon=True).start()

    def preview(
        self, text: str, voice: AskedVoice, language: str, model: ChosenModel
    ) -> tuple[str, float]:
        """Speaks a text into a WAV file -> the preview's id and the seconds of sound."""
        check_language(model, language)
        id = secrets.token_hex(16)
        with self._lock:
            self._forget()
            seconds = speak(
                [text],
                [self._folder / f"{id}.wav"],
                voice,
                language,
                model.reading,
                0,
                load_presets(official=model.official),
                self._settings,
                lambda settings: self._engine(model),
                quiet(),
            )
        return id, seconds

    def preview_file(self, id: str) -> Path | None:
        """The WAV file of a preview; None where it is gone."""
        found = (path for path in self._folder.glob("*.wav") if path.stem == id)
        return next(found, None)

    def make_take(self, script: Script, line: ScriptLine, settings: Settings, reading: str) -> str:
        """Renders a line into the store; what the engine says where it can't, else ""."""
        speaker = script.speaker(line)
        with self._lock:
            gate = Gate(
                speaker.engine, speaker.heard.samples, settings.whisper, settings.hear_all, reading
            )
            failures = render_takes(
                [renderable(line.utterance, line.key)],
                speaker.engine,
                speaker.engine.reference(speaker.heard.samples, speaker.heard.prompt),
                script.sampling(line.redone),
                ObjectStore(settings.store_url),
                _nobody_asks,
                gate,
            )
        return failures.get(line.key, "")

    def _warm(self) -> None:
        with self._lock:
            if self._loaded is None:
                self._engine(BUILT_IN)

    def _engine(self, model: ChosenModel) -> VoiceEngine:
        if self._loaded is None or self._loaded[0] != model:
            self._loaded = None  # two at once may be more than fits
            self._loaded = model, self._load(model)(self._settings)
        return self._loaded[1]

    def _forget(self) -> None:
        """Removes the previews of yesterday."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob("*.wav"):
            if time.time() - path.stat().st_mtime > KEPT_SECONDS:
                path.unlink(missing_ok=True)


def quiet() -> RunProgress:
    """A progress that nobody sees."""
    return RunProgress(Console(quiet=True), 1.0)


def _nobody_asks(line: object, take: Take) -> None:
    pass
