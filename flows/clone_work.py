"""A voice on its way from recordings into the library: the steps that the flow takes with it.

Every step leaves its result in the work's folder, which is named by the content of the recordings
and the options: a run that was stopped finds there what is done.
"""

import fcntl
import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from configs.errors import UserError
from configs.presets import load_presets
from configs.settings import Settings
from flows.progress import RunProgress
from storage.files import write_whole
from storage.keys import content_key, hash_bytes
from storage.library import TUNING, Clone, Library, ReferenceClip, StoredTuning, StoredVoice
from tasks.clip_phones import UNKNOWN, Said, listen, spoken_language
from tasks.clips import Candidate, Chosen, best_sample, candidates, choose, hold_out, told
from tasks.engines import ChosenModel, load_voice_model
from tasks.recordings import check_recording, cut, decode_recording, speech_in
from tasks.takes import decode_flac, dequantize, encode_flac, quantize
from tasks.transcribe import load_whisper
from tasks.voice_measures import Scores, score, speaker_judge, why_not_tuned

if TYPE_CHECKING:
    from faster_whisper import WhisperModel
    from torch import Tensor

    from model.checkpoint import VoiceModel
    from model.engine import Engine
    from model.speaking import Sample
    from model.tuning import Clip, Progress, TuningOptions

CLONE_VERSION = "1"  # changes when the same recordings would give another voice
METHODS = ("reference", "lora", "s1")
Method = Literal["reference", "lora", "s1"]
SHARES = (1.0, 0.5, 0.25)
"""How far the model is moved towards what tuning found: the most of these that leaves it as
intelligible as it was. Few minutes of one person teach a voice, and unteach words."""
LORA_RANK = 8
KEPT_CLIPS = 8  # with the voice, the sample among them

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CloneOrder:
    """What the user asks for; `minutes` of clips are learned from at most."""

    name: str
    recordings: tuple[Path, ...]
    consent: str
    licence: str
    method: Method
    model_title: str
    minutes: float
    replace: bool
    settings: Settings


@dataclass(frozen=True)
class Cloned:
    """The voice that is now in the library, and why it is untuned ("" where it is tuned)."""

    voice: StoredVoice
    why_untuned: str


class CloneWork:
    """The steps of one voice. Nothing here knows of Prefect; each step is called by the flow."""

    def __init__(self, order: CloneOrder, model: "VoiceModel", progress: RunProgress) -> None:
        from model.engine import Engine

        self._order = order
        self._model = model
        self._engine = Engine(model)
        self._progress = progress
        self._library = Library(order.settings.voices)
        self._options = tuning_options(order.method)
        key = content_key(
            {
                "step": f"clone {CLONE_VERSION}",
                "recordings": [_hash_file(path) for path in order.recordings],
                "model": model.content_hash,
                "method": order.method,
                "minutes": order.minutes,
                "whisper": order.settings.whisper,
            }
        )
        self._folder = order.settings.work / f"clone-{key}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self._folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                "Another run is making a voice of these recordings; wait until it is finished."
            ) from error

    @property
    def name(self) -> str:
        return self._order.name

    def read(self) -> None:
        """Decodes the recordings and finds where somebody speaks in them."""
        self._progress.stage("Reading the recordings")
        parts = len(self._order.recordings)
        for number, path in enumerate(self._order.recordings):
            if self._speech(number).exists():
                continue
            # Kept until the voice is there: clips are cut from it.
            decode_recording(path, self._decoded(number))
            likely = speech_in(self._decoded(number), self._share(number, parts))
            _write_array(self._speech(number), likely)

    def slice(self) -> None:
        """Cuts the recordings at pauses and chooses the clips to learn from."""
        if self._file("chosen.json").exists():
            return
        self._progress.stage("Choosing clean clips")
        found: list[Candidate] = []
        seconds, parts = 0.0, len(self._order.recordings)
        for number in range(parts):
            likely = np.load(self._speech(number), allow_pickle=False)
            found += candidates(
                number, self._decoded(number), likely, self._vector, self._share(number, parts)
            )
            seconds += _seconds(self._decoded(number))
        chosen = choose(found, seconds, self._order.minutes * 60)
        log.info("%d clips, %.0f s; %s", len(chosen.clips), chosen.seconds, told(chosen.dropped))
        for number in range(parts):
            mine = [(i, clip) for i, clip in enumerate(chosen.clips) if clip.recording == number]
            stretches = [(clip.start, clip.start + clip.seconds) for _, clip in mine]
            pieces = cut(self._decoded(number), stretches)
            for (index, _), (audio, rate) in zip(mine, pieces, strict=True):
                write_whole(self._clip(index), encode_flac(quantize(audio), rate))
        _write_json(self._file("chosen.json"), asdict(chosen))

    def transcribe(self) -> None:
        """Finds out what the clips say."""
        self._progress.stage("Finding out what is said")
        clips = self.chosen.clips
        for index in range(len(clips)):
            if not self._said_file(index).exists():
                audio, rate = self._audio(index)
                said = listen(audio, rate, self._whisper, self._model.recogniser)
                _write_json(self._said_file(index), asdict(said))
            self._progress.fraction((index + 1) / len(clips))
        language = spoken_language(self._said)
        if language not in ("", "en"):
            log.warning(
                "the recordings seem to be in the language %r, and this model speaks English: it "
                "takes after the sound alone",
                language,
            )

    def tune(self) -> None:
        """Tunes the model on the clips, judged by those held out."""
        if self._file("tuned.json").exists():
            return
        from safetensors.torch import save

        from model.tuning import tune_voice

        self._progress.stage("Tuning the voice")
        held_out = hold_out(len(self.chosen.clips), best_sample(self.chosen.clips))
        learned = [i for i in range(len(self.chosen.clips)) if i not in held_out]
        if self._order.method == "s1" and not all(
            any(self._said[i].phones != UNKNOWN for i in group) for group in (learned, held_out)
        ):
            raise UserError(
                "How the person reads can't be learned, since too little of it was understood: "
                "leave out --method s1."
            )
        tuned = tune_voice(
            self._model,
            [self._tuning_clip(index) for index in learned],
            [self._tuning_clip(index) for index in held_out],
            self._options,
            self._on_step,
            self._file("tuning.checkpoint"),
        )
        write_whole(self._file(TUNING), save(tuned.tensors))
        curve = [
            {"part": part} | asdict(point)
            for part, points in (("s2", tuned.curve), ("s1", tuned.s1_curve))
            for point in points
        ]
        record = {
            "improved": bool(tuned.tensors),
            "curve": curve,
            "steps": {"s2": tuned.best_step, "s1": tuned.s1_best_step},
        }
        _write_json(self._file("tuned.json"), record)

    def measure(self) -> None:
        """Speaks twenty sentences before and after tuning, and judges them; where tuning has cost
        words, also with less of it."""
        self._progress.stage("Comparing before and after")
        judge, embed = speaker_judge(self._engine)
        held_out = hold_out(len(self.chosen.clips), best_sample(self.chosen.clips))
        person = [embed(*self._audio(index)) for index in held_out]
        from model.sampling import Sampling

        sampling = Sampling(**load_presets().voice.model_dump())
        improved = _read_json(self._file("tuned.json"))["improved"]
        shares = [0.0, *(SHARES if improved else ())]
        for number, share in enumerate(shares):
            file = self._file(f"scores-{share}.json")
            if not file.exists():
                scores = score(
                    self._tuned_engine(share) if share else self._engine,
                    self._sample(),
                    person,
                    embed,
                    self._whisper,
                    self._model.recogniser,
                    sampling,
                    self._share(number, len(shares)),
                )
                _write_json(file, asdict(scores) | {"judge": judge})
            if share and not why_not_tuned(True, self._scores(0.0)[0], self._scores(share)[0]):
                break

    def register(self) -> Cloned:
        """Puts the voice into the library; the work's folder is gone then."""
        from safetensors.torch import save

        self._progress.stage("Registering the voice")
        tuned = _read_json(self._file("tuned.json"))
        before, judge = self._scores(0.0)
        # The shares were tried from the largest on: the last is the one, or none is.
        tried = [s for s in SHARES if self._file(f"scores-{s}.json").exists()]
        share = tried[-1] if tried else 0.0
        after, _ = self._scores(share)
        why_untuned = why_not_tuned(tuned["improved"], before, after)
        best = best_sample(self.chosen.clips)
        files: dict[str, bytes] = {}
        clips = []
        by_cleanness = sorted(
            range(len(self.chosen.clips)), key=lambda i: (i != best, -self.chosen.clips[i].snr_db)
        )
        for place, index in enumerate(by_cleanness[:KEPT_CLIPS]):
            name = f"clip-{place:02d}.flac"
            files[name] = self._clip(index).read_bytes()
            clips.append(self._reference_clip(name, files[name], index))
        tuning = None
        if not why_untuned:
            files[TUNING] = save(self._tensors(share))
            tuning = StoredTuning(
                hash_bytes(files[TUNING]),
                self._order.model_title,
                self._model.content_hash,
                self._order.method,
            )
        clone = Clone(
            consent=self._order.consent,
            licence=self._order.licence,
            recordings=tuple(path.name for path in self._order.recordings),
            seconds_used=round(self.chosen.seconds, 2),
            dropped=self.chosen.dropped,
            clips=tuple(clips),
            tuning=tuning,
            why_untuned=why_untuned,
            metrics=_metrics(before, after if tuned["improved"] else None, judge)
            | ({"share": share} if share else {})
            | {f"{part}_best_step": step for part, step in tuned["steps"].items() if step},
            curve=tuple(tuned["curve"]),
        )
        audio, rate = self._audio(best)
        voice = self._library.add(
            self._order.name,
            encode_flac(quantize(audio), rate),
            seconds=round(len(audio) / rate, 2),
            sample_rate=rate,
            source=self._order.recordings[self.chosen.clips[best].recording].name,
            added=datetime.now(UTC).isoformat(timespec="seconds"),
            transcript=self._said[best].text,
            clone=clone,
            files=files,
            replace=self._order.replace,
        )
        shutil.rmtree(self._folder, ignore_errors=True)
        return Cloned(voice, why_untuned)

    def close(self) -> None:
        """Lets another run have the work's folder."""
        self._lock.close()

    @cached_property
    def chosen(self) -> Chosen:
        """The clips to learn from, once they are chosen."""
        stored = _read_json(self._file("chosen.json"))
        clips = tuple(
            Candidate(**clip | {"vector": tuple(clip["vector"])}) for clip in stored["clips"]
        )
        return Chosen(clips, stored["dropped"])

    @cached_property
    def _said(self) -> list[Said]:
        stored = [_read_json(self._said_file(i)) for i in range(len(self.chosen.clips))]
        return [Said(**one | {"phones": tuple(one["phones"])}) for one in stored]

    @cached_property
    def _whisper(self) -> "WhisperModel | None":
        return load_whisper(self._order.settings.whisper)

    def _on_step(self, progress: "Progress") -> None:
        # S1 comes after S2, and is the second half.
        share = progress.step / progress.steps
        if self._order.method == "s1":
            share = (share + (progress.part == "s1")) / 2
        self._progress.fraction(share)

    def _share(self, number: int, parts: int) -> Callable[[float], None]:
        return lambda done: self._progress.fraction((number + done) / parts)

    def _vector(self, audio: np.ndarray, rate: int) -> np.ndarray:
        from model.speaking import Sample

        return self._engine.voice_vector(Sample(audio, rate))

    def _tuned_engine(self, share: float) -> "Engine":
        return self._engine.tuned(self._tensors(share))

    def _tensors(self, share: float) -> "dict[str, Tensor]":
        """What tuning found, so much of the way from the untuned model to it."""
        from safetensors.torch import load_file

        from model.tuning import part_way

        found = load_file(self._file(TUNING))
        return found if share == 1.0 else part_way(self._model, found, share)

    def _sample(self) -> "Sample":
        from model.speaking import Sample

        return Sample(*self._audio(best_sample(self.chosen.clips)))

    def _tuning_clip(self, index: int) -> "Clip":
        import soxr

        from model.tuning import Clip

        audio, rate = self._audio(index)
        said = self._said[index]
        return Clip(
            soxr.resample(audio, rate, self._model.config.sample_rate).astype(np.float32),
            said.phones,
        )

    def _reference_clip(self, name: str, data: bytes, index: int) -> ReferenceClip:
        clip, said = self.chosen.clips[index], self._said[index]
        phones = "" if said.phones == UNKNOWN else " ".join(said.phones)
        recording = self._order.recordings[clip.recording].name
        return ReferenceClip(
            name,
            hash_bytes(data),
            recording,
            round(clip.start, 2),
            round(clip.seconds, 2),
            said.text or phones,
        )

    def _scores(self, share: float) -> tuple[Scores, str]:
        stored = _read_json(self._file(f"scores-{share}.json"))
        judge = stored.pop("judge")
        return Scores(**stored), judge

    def _audio(self, index: int) -> tuple[np.ndarray, int]:
        import soundfile

        path = self._clip(index)
        return dequantize(decode_flac(path.read_bytes())), soundfile.info(path).samplerate

    def _file(self, name: str) -> Path:
        return self._folder / name

    def _decoded(self, number: int) -> Path:
        return self._folder / f"recording-{number:03d}.flac"

    def _speech(self, number: int) -> Path:
        return self._folder / f"speech-{number:03d}.npy"

    def _clip(self, index: int) -> Path:
        return self._folder / "clips" / f"{index:04d}.flac"

    def _said_file(self, index: int) -> Path:
        return self._folder / "said" / f"{index:04d}.json"


def tuning_options(method: Method) -> "TuningOptions":
    """What is tuned by a method: the reference encoder and MRTE always, with "lora" the
    flow-matching attention as well, with "s1" all of S1."""
    from model.tuning import TuningOptions

    return TuningOptions(lora=LORA_RANK if method == "lora" else 0, s1=method == "s1")


def voice_model_of(model: ChosenModel) -> Callable[[Settings], "VoiceModel"]:
    """What loads the weights to be tuned; UserError for a model that can't be."""
    if model.official:
        raise UserError(
            f"{model.title} can't be tuned here: leave --model out to clone with the built-in "
            "voice, or fine-tune it with GPT-SoVITS and import it with: voxloom models import"
        )
    return lambda settings: load_voice_model(model, settings.threads)


def check_order(order: CloneOrder) -> None:
    """Raises UserError for what can be known to be wrong before anything is loaded."""
    for path in order.recordings:
        check_recording(path)
    if not order.replace:
        Library(order.settings.voices).check_free(order.name)


def _metrics(before: Scores, after: Scores | None, judge: str) -> dict[str, float | str]:
    found: dict[str, float | str] = {"likeness_judge": judge}
    for when, scores in (("before", before), ("after", after)):
        for name, value in asdict(scores).items() if scores else ():
            if value is not None:
                found[f"{name}_{when}"] = value
    return found


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seconds(path: Path) -> float:
    import soundfile

    return float(soundfile.info(path).duration)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_whole(path, json.dumps(content).encode())


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_bytes())
    return content


def _write_array(path: Path, array: np.ndarray) -> None:
    import io

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_whole(path, buffer.getvalue())
